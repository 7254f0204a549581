//! Bytes that nobody of good will sends: cut off, flipped, made up. Every answer is a value, none is a panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod examples;
#[path = "corpus/fuzzed.rs"]
#[allow(dead_code, reason = "the fuzzer needs more of it")]
mod fuzzed;
mod strategies;

use bytes::{Bytes, BytesMut};
use fuzzed::{look_into, one, use_up, use_up_message};
use postrider_protocol::frame::{Frame, FrameDecoder, HEADER_BYTES};
use postrider_protocol::limits;
use postrider_protocol::message::{Message, Record};
use postrider_protocol::reply::{PeekState, Published, Reply, Settled};
use postrider_protocol::request::{Flow, Request, SettleItem, Settlement, States};
use postrider_protocol::retry::{Retry, RetryPolicy};
use postrider_protocol::token::LockToken;
use postrider_protocol::wire::{Malformed, Read};
use proptest::prelude::*;

fn frame(bytes: &[u8]) -> Read<Option<Frame>> {
    FrameDecoder::new(limits::FRAME_BYTES).next(&mut BytesMut::from(bytes))
}

/// A whole frame from its parts.
fn made(opcode: u8, flags: u8, request: u32, payload: &[u8]) -> Frame {
    Frame { opcode, flags, request, payload: Bytes::copy_from_slice(payload) }
}

#[test]
fn a_frame_that_is_cut_off_is_incomplete_and_its_fields_are_malformed() {
    for bytes in examples::frames() {
        for end in 0..bytes.len() {
            assert_eq!(frame(&bytes[..end]), Ok(None));
        }
        let whole = one(&bytes);
        for end in 0..whole.payload.len() {
            let cut = Frame { payload: whole.payload.slice(..end), ..whole.clone() };
            assert!(Request::decode(&cut).is_err(), "{cut:?}");
            assert!(Reply::decode(&cut).is_err(), "{cut:?}");
        }
        let mut longer = whole.payload.to_vec();
        longer.push(0);
        let longer = Frame { payload: longer.into(), ..whole };
        assert!(Request::decode(&longer).is_err() && Reply::decode(&longer).is_err(), "{longer:?}");
    }
}

#[test]
fn a_message_that_is_cut_off_in_its_header_is_malformed() {
    let message = examples::full_message();
    let bytes = message.encode();
    let header = bytes.len() - message.body.len();
    for end in 0..bytes.len() {
        assert_eq!(Message::decode(bytes.slice(..end)).is_err(), end < header);
    }
    let record = examples::record_bytes(&examples::dead_record());
    let front = record.len() - examples::dead_record().message.len();
    for end in 0..record.len() {
        assert_eq!(Record::decode(record.slice(..end)).is_err(), end < front);
    }
}

#[test]
fn a_record_has_no_unknown_flag_and_no_field_that_says_nothing() {
    let with = |flags: u8, fields: &[u8]| {
        let front = [&[0; 16], &[flags][..], fields].concat();
        Record::decode(front.into())
    };
    assert_eq!(with(0, b"message").unwrap().message, "message");
    assert_eq!(with(4, &[0, 0, 0, 1]).unwrap().redrive_count, 1);
    malformed_at("record.redrive_count", with(4, &[0, 0, 0, 0]));
    malformed_at("record.hops", with(8, &[0]));
    assert_eq!(with(16, &[0, 1, b'r']).unwrap().rule_name.as_deref(), Some("r"));
    malformed_at("record.rule_name", with(16, &[0, 0]));
    for unknown in (0..=u8::MAX).filter(|flags| flags & 0b1000_0000 != 0) {
        malformed_at("record.flags", with(unknown, &[0; 64]));
    }
}

#[test]
fn no_flipped_byte_panics() {
    for bytes in examples::frames() {
        for at in 0..bytes.len() {
            for flip in 1..=u8::MAX {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= flip;
                if let Ok(Some(frame)) = frame(&flipped) {
                    use_up(&frame);
                }
            }
        }
    }
}

#[test]
fn no_opcode_takes_flags_that_it_does_not_know() {
    let flagged = |bytes: &Bytes, flags| Frame { flags, ..one(bytes) };
    for request in examples::requests() {
        let known = if matches!(request, Request::Publish { .. }) { 1 } else { 0 };
        for flags in 0..=u8::MAX {
            let read = Request::decode(&flagged(&examples::request_frame(&request), flags));
            assert_eq!(read.is_ok(), flags & !known == 0);
        }
    }
    for reply in examples::replies() {
        for flags in 1..=u8::MAX {
            assert!(Reply::decode(&flagged(&examples::reply_frame(&reply), flags)).is_err());
        }
    }
}

#[test]
fn unknown_opcodes_are_malformed() {
    let requests: Vec<u8> = examples::requests().iter().map(Request::opcode).collect();
    let replies: Vec<u8> = examples::replies().iter().map(Reply::opcode).collect();
    for code in 0..=u8::MAX {
        let field = |read: Option<Malformed>| read.is_some_and(|malformed| malformed.field == "frame.opcode");
        let frame = made(code, 0, 1, &[]);
        assert_eq!(field(Request::decode(&frame).err()), !requests.contains(&code), "{code:#x}");
        assert_eq!(field(Reply::decode(&frame).err()), !replies.contains(&code), "{code:#x}");
    }
}

/// Demands that reading fails at the field named.
fn malformed_at<T: std::fmt::Debug>(field: &str, read: Read<T>) {
    assert_eq!(read.unwrap_err().field, field);
}

#[test]
fn what_contradicts_itself_is_malformed() {
    let read = |request: Request| Request::decode(&one(&examples::request_frame(&request)));
    let settle = |items| Request::Settle { stamp: examples::STAMP, items };
    let item = |place, run| SettleItem {
        token: LockToken { place, ..examples::TOKEN },
        run,
        settlement: Settlement::Complete,
    };
    malformed_at(
        "frame.request",
        Request::decode(&Frame { request: 0, ..one(&examples::request_frame(&Request::Ping)) }),
    );
    malformed_at("run", read(settle(vec![item(0, 0)])));
    malformed_at("run", read(settle(vec![item(u16::MAX, 2)])));
    read(settle(vec![item(u16::MAX, 1)])).unwrap();
    malformed_at("items", read(settle(vec![item(0, 4_000), item(0, 97)])));
    read(settle(vec![item(0, 4_000), item(0, 96)])).unwrap();

    let stamp = |sequence, floor| Request::Delete {
        stamp: postrider_protocol::request::Stamp { sequence, floor },
        name: "q".into(),
    };
    malformed_at("stamp", read(stamp(0, 0)));
    malformed_at("stamp", read(stamp(5, 6)));
    read(stamp(5, 5)).unwrap();

    let flow = Request::Flow(Flow { handle: 1, delivered: 0, credit: 1, drain: true });
    let mut bytes = examples::request_frame(&flow).to_vec();
    *bytes.last_mut().unwrap() = 2;
    malformed_at("drain", Request::decode(&one(&bytes)));
}

#[test]
fn sequences_and_states_are_bounded() {
    let read = |request: Request| Request::decode(&one(&examples::request_frame(&request)));
    let deferred =
        |count| Request::ReceiveDeferred { handle: 1, stamp: examples::STAMP, sequences: vec![1; count] };
    read(deferred(4_096)).unwrap();
    malformed_at("sequences", read(deferred(4_097)));

    let peek =
        Request::Peek { address: "q".into(), from: 1, limit: 0, states: States::ALL, filter: String::new() };
    let frame = one(&examples::request_frame(&peek));
    let with_states = |bits: u8| {
        let mut payload = frame.payload.to_vec();
        let at = payload.len() - 3;
        payload[at] = bits;
        Request::decode(&Frame { payload: payload.into(), ..frame.clone() })
    };
    assert_eq!(with_states(0), Ok(peek.clone()));
    assert_eq!(with_states(0b1_1111), Ok(peek));
    assert!(with_states(0b1_0000).is_ok_and(|request| {
        matches!(request, Request::Peek { states, .. } if states == States::of(&[PeekState::Delayed]))
    }));
    malformed_at("states", with_states(0b10_0000));
}

#[test]
fn runs_are_bounded_and_joined() {
    let read = |reply: Reply| Reply::decode(&one(&examples::reply_frame(&reply)));
    malformed_at("run.items", read(Reply::Settled(vec![(0, Settled::Done)])));
    malformed_at("run.items", read(Reply::Settled(vec![(u32::MAX, Settled::Done)])));
    malformed_at(
        "run.items",
        read(Reply::Published(vec![(4_000, Published::Accepted(1)), (97, Published::Accepted(9))])),
    );
    let singles = |count: u64| (0..count).map(|at| (1, Published::Accepted(10 + at))).collect();
    assert_eq!(
        read(Reply::Published(singles(4_096))).unwrap(),
        Reply::Published(vec![(4_096, Published::Accepted(10))])
    );
    malformed_at("runs", read(Reply::Published(singles(4_097))));
    let last = read(Reply::Published(vec![(2, Published::Accepted(u64::MAX))])).unwrap();
    look_into(&last);
}

#[test]
fn secrets_stay_out_of_debug_output_and_of_errors() {
    let whole = one(&examples::request_frame(&examples::hello()));
    assert!(!format!("{whole:?} {:?}", Request::decode(&whole).unwrap()).contains("secret"));
    for at in 0..whole.payload.len() {
        let mut bytes = whole.payload.to_vec();
        bytes[at] = 0xff;
        if let Err(malformed) = Request::decode(&Frame { payload: bytes.into(), ..whole.clone() }) {
            assert!(!malformed.to_string().contains("secret"));
        }
    }
}

proptest! {
    #[test]
    fn no_made_up_payload_panics(opcode: u8, flags in 0..4u8, payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        use_up(&made(opcode, flags, 1, &payload));
    }

    /// Mostly small numbers, which pass for lengths, counts and kinds.
    #[test]
    fn no_plausible_payload_panics(
        which in 0..examples::REQUESTS + examples::REPLIES,
        payload in proptest::collection::vec(prop_oneof![4 => Just(0u8), 4 => 0..9u8, 1 => any::<u8>()], 0..300),
    ) {
        use_up(&made(one(&examples::frames()[which]).opcode, 0, 1, &payload));
    }

    /// What passes for a policy has a canonical text.
    #[test]
    fn no_retry_policy_panics(text in strategies::retry_text()) {
        if let Ok(policy) = RetryPolicy::parse(&text) {
            prop_assert_eq!(RetryPolicy::parse(&policy.to_string()).unwrap(), policy);
        }
    }

    #[test]
    fn no_delay_is_above_its_most(text in strategies::retry_policy(), attempt: u32, entropy: u64) {
        let policy = RetryPolicy::parse(&text).unwrap();
        for reason in [None, Some("R0"), Some("R3")] {
            if let Retry::DelayMs(delay_ms) = policy.after(attempt, reason, entropy) {
                prop_assert!(delay_ms <= limits::RETRY_DELAY_MS);
            }
        }
    }

    #[test]
    fn no_damaged_message_panics(message in strategies::message(), damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = message.encode().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        use_up_message(bytes.into());
    }
}

#[test]
fn the_header_is_ten_bytes() {
    assert_eq!(examples::request_frame(&Request::Ping).len(), HEADER_BYTES);
}
