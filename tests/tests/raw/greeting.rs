//! Before a connection is admitted.

use postrider_client::ErrorCode;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Hello, Request};
use postrider_tests::Broker;
use postrider_tests::raw::{Raw, bytes, frame, hello};
use std::time::{Duration, Instant};

#[test]
fn the_magic_comes_first() {
    let broker = Broker::start();
    let mut wrong = bytes(1, &Request::Hello(hello()));
    wrong[10] ^= 0x20;
    let mut raw = Raw::connect(broker.address());
    raw.send(&wrong);
    assert_eq!(raw.refusal().code, ErrorCode::InvalidArgument);
    raw.closed();
}

#[test]
fn other_protocols_are_refused() {
    let broker = Broker::start();
    for bytes in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], b"AMQP\0\x01\0\0", &[0xff; 64]] {
        let mut raw = Raw::connect(broker.address());
        raw.send(bytes);
        assert_eq!(raw.refusal().code, ErrorCode::InvalidArgument);
        raw.closed();
    }
}

#[test]
fn nothing_but_a_hello_is_legal_first() {
    let broker = Broker::start();
    let others = [Request::Status, Request::Ping, Request::Goodbye, Request::Get { name: "q".to_owned() }];
    for request in others {
        let mut raw = Raw::connect(broker.address());
        raw.send(&bytes(7, &request));
        assert_eq!(raw.refusal().code, ErrorCode::Unauthorized, "{request:?}");
        raw.closed();
    }
}

#[test]
fn four_bytes_are_enough_to_refuse_a_large_frame() {
    let broker = Broker::start();
    for claimed in [4093_u32, 1 << 20, u32::MAX] {
        let mut raw = Raw::connect(broker.address());
        raw.send(&claimed.to_be_bytes());
        let refusal = raw.refusal();
        assert_eq!(
            (refusal.code, refusal.field.as_str()),
            (ErrorCode::InvalidArgument, "hello"),
            "{claimed}"
        );
        raw.closed();
    }
}

#[test]
fn a_hello_of_exactly_the_limit_is_read() {
    let broker = Broker::start();
    let empty = bytes(1, &Request::Hello(Hello { token: String::new(), ..hello() })).len();
    let token = "x".repeat(4096 - empty);
    let mut raw = Raw::connect(broker.address());
    raw.send(&bytes(1, &Request::Hello(Hello { token, ..hello() })));
    assert_eq!(raw.refusal().code, ErrorCode::Unauthorized);
    raw.closed();
}

#[test]
fn a_wrong_token_is_refused_and_told_nowhere() {
    let broker = Broker::start();
    for token in ["", "wrong-canary", "test-toke", "test-token2"] {
        let mut raw = Raw::connect(broker.address());
        raw.send(&bytes(3, &Request::Hello(Hello { token: token.to_owned(), ..hello() })));
        let refusal = raw.refusal();
        assert_eq!(refusal.code, ErrorCode::Unauthorized);
        assert!(!refusal.message.contains("canary"));
        raw.closed();
    }
    assert!(!broker.process().stderr().contains("canary"));
}

#[test]
fn versions_must_meet() {
    let broker = Broker::start();
    for versions in [(2, 9), (0, 0), (5, 1)] {
        let mut raw = Raw::connect(broker.address());
        raw.send(&bytes(1, &Request::Hello(Hello { versions, ..hello() })));
        assert_eq!(raw.refusal().field, "hello.versions", "{versions:?}");
        raw.closed();
    }
    let (_, welcome) =
        Raw::open_as(broker.address(), Hello { versions: (1, 9), features: u64::MAX, ..hello() });
    assert_eq!((welcome.version, welcome.features), (1, 0));
}

#[test]
fn a_hello_in_single_bytes_is_a_hello() {
    let broker = Broker::start();
    let mut raw = Raw::connect(broker.address());
    for byte in bytes(1, &Request::Hello(hello())) {
        raw.send(&[byte]);
    }
    assert!(matches!(raw.reply(), Some((1, Reply::Welcome(_)))));
}

#[test]
fn requests_right_behind_the_hello_are_answered() {
    let broker = Broker::start();
    let mut raw = Raw::connect(broker.address());
    let mut both = bytes(1, &Request::Hello(hello()));
    both.extend_from_slice(&bytes(2, &Request::Status));
    // Larger than what a stranger may send, and sent before the welcome came: legal once the hello was read.
    both.extend_from_slice(&bytes(3, &Request::Get { name: "x".repeat(6000) }));
    raw.send(&both);
    assert!(matches!(raw.reply(), Some((1, Reply::Welcome(_)))));
    let mut answered: Vec<_> = (0..2).map(|_| raw.reply().expect("an answer").0).collect();
    answered.sort_unstable();
    assert_eq!(answered, [2, 3]);
}

#[test]
fn strangers_have_ten_seconds() {
    let broker = Broker::start();
    let start = Instant::now();
    let mut silent = Raw::connect(broker.address());
    let mut slow = Raw::connect(broker.address());
    slow.send(&bytes(1, &Request::Hello(hello()))[..20]);
    // What comes in between does not lengthen the time.
    silent.silent(Duration::from_secs(5));
    slow.send(&bytes(1, &Request::Hello(hello()))[20..25]);
    for mut raw in [silent, slow] {
        raw.closed();
        let seconds = start.elapsed().as_secs_f64();
        assert!((9.0..15.0).contains(&seconds), "closed after {seconds} s");
    }
}

#[test]
fn strangers_do_not_hold_up_a_client() {
    let broker = Broker::start();
    let strangers: Vec<_> = (0..500).map(|_| Raw::connect(broker.address())).collect();
    let before = broker.resident();
    let mut raw = Raw::open(broker.address());
    assert!(matches!(raw.ask(&Request::Status), Reply::Status(_)));
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes for {} strangers", strangers.len());
}

#[test]
fn an_empty_frame_of_no_known_kind_is_no_hello() {
    let broker = Broker::start();
    let mut raw = Raw::connect(broker.address());
    raw.send(&frame(0x7f, 0xff, 0, &[]));
    assert_eq!(raw.refusal().code, ErrorCode::Unauthorized);
    raw.closed();
}
