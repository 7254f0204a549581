//! What is written is read back the same: every request and reply, and everything inside them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod examples;
mod strategies;

use bytes::{Bytes, BytesMut};
use postrider_protocol::frame::{Frame, FrameDecoder};
use postrider_protocol::limits;
use postrider_protocol::message::{Incoming, Message, Record};
use postrider_protocol::options::Options;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Request;
use postrider_protocol::retry::RetryPolicy;
use postrider_protocol::rule::Rule;
use postrider_protocol::token::LockToken;
use postrider_protocol::value::{Id, Value};
use postrider_protocol::wire::{self, Read, Reader};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

fn one_frame(bytes: Bytes) -> Frame {
    let mut buffer = BytesMut::from(&bytes[..]);
    let frame = FrameDecoder::new(limits::FRAME_BYTES).next(&mut buffer).unwrap().unwrap();
    assert!(buffer.is_empty(), "the frame's length counts all of it");
    frame
}

#[test]
fn every_request() {
    let mut seen = BTreeSet::new();
    for strategy in strategies::requests() {
        TestRunner::default()
            .run(&strategy, |request| {
                let frame = one_frame(examples::request_frame(&request));
                prop_assert_eq!(frame.opcode, request.opcode());
                prop_assert_eq!(frame.request, examples::NUMBER);
                prop_assert_eq!(Request::decode(&frame).unwrap(), request);
                Ok(())
            })
            .unwrap();
        let mut runner = TestRunner::deterministic();
        let request = strategy.new_tree(&mut runner).unwrap();
        seen.insert(examples::request_name(&proptest::strategy::ValueTree::current(&request)));
    }
    assert_eq!(seen.len(), examples::REQUESTS, "a strategy for every request");
}

#[test]
fn every_reply() {
    let mut seen = BTreeSet::new();
    for strategy in strategies::replies() {
        TestRunner::default()
            .run(&strategy, |reply| {
                let frame = one_frame(examples::reply_frame(&reply));
                prop_assert_eq!(frame.opcode, reply.opcode());
                prop_assert_eq!(&Reply::decode(&frame).unwrap(), &reply);
                // The same without a frame: how outcomes are recorded.
                let mut fields = BytesMut::new();
                reply.put_fields(&mut fields);
                let mut reader = Reader::new(fields.freeze());
                prop_assert_eq!(Reply::read_fields(reply.opcode(), &mut reader).unwrap(), reply);
                prop_assert_eq!(reader.remaining(), 0);
                Ok(())
            })
            .unwrap();
        let mut runner = TestRunner::deterministic();
        let reply = strategy.new_tree(&mut runner).unwrap();
        seen.insert(examples::reply_name(&proptest::strategy::ValueTree::current(&reply)));
    }
    assert_eq!(seen.len(), examples::REPLIES, "a strategy for every reply");
}

#[test]
fn the_examples_begin_with_one_of_each() {
    let requests: Vec<_> = examples::requests().iter().map(examples::request_name).collect();
    let replies: Vec<_> = examples::replies().iter().map(examples::reply_name).collect();
    let different = |names: &[&str]| names.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(different(&requests[..examples::REQUESTS]), examples::REQUESTS);
    assert_eq!(different(&requests), examples::REQUESTS);
    assert_eq!(different(&replies[..examples::REPLIES]), examples::REPLIES);
    assert_eq!(different(&replies), examples::REPLIES);
    for request in examples::requests() {
        assert_eq!(Request::decode(&one_frame(examples::request_frame(&request))).unwrap(), request);
    }
    for reply in examples::replies() {
        assert_eq!(Reply::decode(&one_frame(examples::reply_frame(&reply))).unwrap(), reply);
    }
}

/// Writes with `put`, reads with `read`, and demands that nothing is left.
fn again<T>(value: &T, put: fn(&T, &mut BytesMut), read: impl Fn(&mut Reader) -> Read<T>) -> T {
    let mut out = BytesMut::new();
    put(value, &mut out);
    let mut reader = Reader::untrusted(out.freeze());
    let read = read(&mut reader).unwrap();
    reader.finish().unwrap();
    read
}

proptest! {
    #[test]
    fn messages(message in strategies::message()) {
        prop_assert_eq!(Message::decode(message.encode()).unwrap(), message);
    }

    #[test]
    fn records(record in strategies::record()) {
        let bytes = examples::record_bytes(&record);
        let mut plain = Record { dead_letter: None, expires_at_ms: None, rule_name: None, ..record.clone() };
        plain = Record { redrive_count: 0, hops: 0, destination: None, replayed: false, ..plain };
        if record == plain {
            prop_assert_eq!(bytes.len(), Record::PLAIN_OVERHEAD + record.message.len());
        }
        prop_assert_eq!(Record::decode(bytes).unwrap(), record);
    }

    #[test]
    fn options(options in strategies::options()) {
        prop_assert_eq!(again(&options, Options::put, Options::read), options);
    }

    #[test]
    fn retry_policies(text in strategies::retry_policy()) {
        let policy = RetryPolicy::parse(&text).unwrap();
        prop_assert_eq!(RetryPolicy::parse(&policy.to_string()).unwrap(), policy);
    }

    #[test]
    fn rules(rule in strategies::rule()) {
        prop_assert_eq!(again(&rule, Rule::put, Rule::read), rule);
    }

    #[test]
    fn values(value in strategies::value()) {
        prop_assert_eq!(again(&value, Value::put, Value::read), value);
    }

    #[test]
    fn ids(id in strategies::id()) {
        prop_assert_eq!(again(&id, Id::put, |reader| Id::read(reader, "id")), id);
    }

    #[test]
    fn tokens(token in strategies::token()) {
        prop_assert_eq!(again(&token, LockToken::put, LockToken::read), token);
        prop_assert_eq!(token.to_string().parse::<LockToken>().unwrap(), token);
    }

    /// A text that is too long is cut at a character's edge, and what is left is still over every limit.
    #[test]
    fn long_texts(wide in any::<char>(), shift in 0..4usize) {
        let text = "x".repeat(shift) + &String::from_iter(std::iter::repeat_n(wide, 70_000));
        let mut out = BytesMut::new();
        wire::put_text(&mut out, &text);
        let read = Reader::new(out.freeze()).text("text").unwrap();
        prop_assert!(text.starts_with(&read));
        prop_assert!(read.len() > usize::from(u16::MAX) - 4);
        let message = Message { subject: Some(text), ..Message::default() };
        prop_assert!(Incoming::parse(message.encode()).is_err());
    }
}

#[test]
fn not_a_number_keeps_its_bits() {
    let odd = f64::from_bits(0x7ff8_0000_0000_1234);
    match again(&Value::Float(odd), Value::put, Value::read) {
        Value::Float(read) => assert_eq!(read.to_bits(), odd.to_bits()),
        other => panic!("read {other:?}"),
    }
}

#[test]
fn bodies_are_shared_and_never_copied() {
    let bytes = examples::full_message().encode();
    let message = Message::decode(bytes.clone()).unwrap();
    assert_eq!(message.body.as_ptr(), bytes[bytes.len() - message.body.len()..].as_ptr());
}

/// The frame's payload with its last list, of `length` u64, made longer or shorter.
fn with_numbers(frame: &Frame, length: u32, numbers: &[u64]) -> Frame {
    let front = frame.payload.len() - 8 * length as usize - 4;
    assert_eq!(frame.payload[front..front + 4], length.to_be_bytes());
    let mut payload = BytesMut::from(&frame.payload[..front]);
    wire::put_list(&mut payload, numbers, |out, number| bytes::BufMut::put_u64(out, *number));
    Frame { payload: payload.freeze(), ..frame.clone() }
}

/// A newer broker counts more, an older one less.
#[test]
fn lists_of_numbers_may_grow() {
    let longer: Vec<u64> = (100..124).collect();
    for reply in examples::replies() {
        let frame = one_frame(examples::reply_frame(&reply));
        match reply {
            Reply::Status(_) => {
                let read = |numbers| match Reply::decode(&with_numbers(&frame, 13, numbers)).unwrap() {
                    Reply::Status(status) => (status.uptime_ms, status.connections, status.breakers_open),
                    other => panic!("{other:?}"),
                };
                assert_eq!((read(&longer), read(&[7])), ((100, 101, 109), (7, 0, 0)));
            }
            Reply::Entity(_) => {
                let read = |numbers| match Reply::decode(&with_numbers(&frame, 22, numbers)).unwrap() {
                    Reply::Entity(info) => {
                        (info.counters.active, info.counters.locked, info.counters.replaying)
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!((read(&longer), read(&[7])), ((100, 101, 121), (7, 0, 0)));
            }
            _ => {}
        }
    }
}
