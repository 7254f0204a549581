//! Malformed bytes on an admitted connection.

use bytes::{BufMut, BytesMut};
use postrider_client::{ErrorCode, LockToken, Settlement};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Request, SettleItem, Stamp, opcode};
use postrider_tests::raw::{Raw, bytes, frame, hello};
use postrider_tests::{Broker, eventually};
use std::time::Duration;

/// The bytes end the connection with a goodbye that names what is wrong, and nothing else.
#[track_caller]
fn fatal(broker: &Broker, bytes: &[u8]) {
    let mut raw = Raw::open(broker.address());
    raw.send(bytes);
    let goodbye = raw.goodbye();
    assert_eq!(goodbye.code, ErrorCode::InvalidArgument);
    assert!(!goodbye.field.is_empty() && !goodbye.message.is_empty(), "{goodbye:?}");
}

#[test]
fn malformed_frames_end_the_connection() {
    let broker = Broker::start();
    let unknown_opcode = frame(0x7e, 0, 2, &[]);
    let reply_opcode = frame(0x81, 0, 2, &[]);
    let unknown_flag = frame(opcode::PING, 4, 2, &[]);
    let left_over = frame(opcode::PING, 0, 2, &[0]);
    let cut_short = frame(opcode::OPEN_SENDER, 0, 2, &[0, 0, 0]);
    let request_zero = bytes(0, &Request::Ping);
    let not_text = frame(opcode::GET, 0, 2, &[0, 1, 0xff]);
    let too_small = 5_u32.to_be_bytes();
    let too_large = u32::MAX.to_be_bytes();
    let no_sequence =
        bytes(2, &Request::Delete { stamp: Stamp { sequence: 0, floor: 0 }, name: "q".to_owned() });
    let floor_above =
        bytes(2, &Request::Delete { stamp: Stamp { sequence: 1, floor: 2 }, name: "q".to_owned() });
    for bytes in [
        &unknown_opcode[..],
        &reply_opcode,
        &unknown_flag,
        &left_over,
        &cut_short,
        &request_zero,
        &not_text,
        &too_small,
        &too_large,
        &no_sequence,
        &floor_above,
    ] {
        fatal(&broker, bytes);
    }
}

#[test]
fn a_run_of_nothing_and_too_many_settlements_are_malformed() {
    let broker = Broker::start();
    let token = LockToken { shard: 0, lease: 1, place: 0, salt: 0 };
    let item = |run| SettleItem { token, run, settlement: Settlement::Complete };
    for items in [vec![item(0)], vec![item(4096), item(1)]] {
        fatal(&broker, &bytes(2, &Request::Settle { stamp: Stamp { sequence: 1, floor: 1 }, items }));
    }
}

/// A frame of `length` bytes would follow, but `count` is claimed where only these few bytes are.
fn bomb(opcode: u8, fields: impl Fn(&mut BytesMut)) -> BytesMut {
    let mut payload = BytesMut::new();
    fields(&mut payload);
    frame(opcode, 0, 2, &payload)
}

#[test]
fn claimed_counts_allocate_nothing() {
    let broker = Broker::start();
    let stamp = |out: &mut BytesMut| {
        out.put_u64(1);
        out.put_u64(1);
    };
    let messages = bomb(opcode::PUBLISH, |out| {
        out.put_u32(1);
        stamp(out);
        out.put_u32(u32::MAX);
    });
    let message = bomb(opcode::PUBLISH, |out| {
        out.put_u32(1);
        stamp(out);
        out.put_u32(1);
        out.put_u32(u32::MAX);
    });
    let settlements = bomb(opcode::SETTLE, |out| {
        stamp(out);
        out.put_u32(u32::MAX);
    });
    let held = bomb(opcode::OPEN_RECEIVER, |out| {
        out.put_u32(1);
        out.put_slice(&[0, 1, b'q', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.put_u32(u32::MAX);
    });
    let name = bomb(opcode::GET, |out| out.put_u16(u16::MAX));
    let before = broker.resident();
    for bytes in [&messages, &message, &settlements, &held, &name] {
        fatal(&broker, bytes);
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "{grown} bytes");
}

#[test]
fn a_large_frame_takes_memory_as_it_comes() {
    let broker = Broker::start();
    let (before, reserved) = (broker.resident(), broker.reserved());
    let mut open: Vec<_> = (0..20).map(|_| Raw::open(broker.address())).collect();
    for raw in &mut open {
        raw.send(&100_000_000_u32.to_be_bytes());
        raw.send(&[opcode::PUBLISH, 0, 0, 0, 0, 9]);
    }
    assert!(matches!(Raw::open(broker.address()).ask(&Request::Status), Reply::Status(_)));
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes for claims of 2 GB");
    // What is asked for and not touched yet. Threads that the broker starts meanwhile have arenas of 64 MiB.
    let asked = broker.reserved().saturating_sub(reserved);
    assert!(asked < 512 * 1024 * 1024, "{asked} bytes were asked for, for claims of 2 GB");
}

#[test]
fn half_a_frame_and_then_nothing_leaves_nothing_behind() {
    let broker = Broker::start();
    let mut good = Raw::open(broker.address());
    for cut in [1, 3, 4, 9, 12] {
        let mut raw = Raw::open(broker.address());
        let request = Request::Create {
            stamp: Stamp { sequence: 1, floor: 1 },
            name: "half".to_owned(),
            kind: postrider_client::EntityKind::Queue,
            options: postrider_client::Options::new(),
            rules: vec![],
        };
        raw.send(&bytes(2, &request)[..cut]);
    }
    eventually(
        Duration::from_secs(10),
        "only this connection is left",
        || matches!(good.ask(&Request::Status), Reply::Status(status) if status.connections == 1),
    );
    let refused = good.ask(&Request::Get { name: "half".to_owned() });
    assert!(matches!(refused, Reply::Refused(refusal) if refusal.code == ErrorCode::NotFound));
}

#[test]
fn random_bytes_harm_nobody() {
    let broker = Broker::start();
    let mut good = Raw::open(broker.address());
    good.create_queue("q");
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        let mut raw =
            if random.bool() { Raw::open(broker.address()) } else { Raw::connect(broker.address()) };
        let size = random.usize(0..200);
        let payload: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size).collect();
        let opcode =
            [0x01, 0x10, 0x11, 0x20, 0x21, 0x22, 0x30, 0x35, 0x40, random.u8(..)][random.usize(..10)];
        raw.send(&frame(opcode, random.u8(..2), random.u32(..5), &payload));
    }
    assert!(matches!(good.ask(&Request::Status), Reply::Status(_)), "seed {seed}");
    assert!(!broker.process().stderr().contains("panic"), "seed {seed}: {}", broker.process().stderr());
}

#[test]
fn a_second_hello_is_refused_and_the_connection_goes_on() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    raw.request(&Request::Hello(hello()));
    assert_eq!(raw.refusal().code, ErrorCode::InvalidArgument);
    assert_eq!(raw.ask(&Request::Ping), Reply::Pong);
}
