//! Frames: what a producer and the broker do to a publish, what the broker and a consumer do to a delivery.

use super::{Rounds, repeat};
use crate::bodies::Bodies;
use crate::figures::Micro;
use anyhow::{Context, Result, anyhow, ensure};
use bytes::{Bytes, BytesMut};
use postrider_protocol::frame::{Frame, FrameDecoder};
use postrider_protocol::limits::FRAME_BYTES;
use postrider_protocol::message::{Incoming, Message, Record};
use postrider_protocol::reply::{Delivered, Delivery, Reply};
use postrider_protocol::request::{Request, Stamp};
use postrider_protocol::token::LockToken;
use std::hint::black_box;

/// Measures frames with so many messages.
pub fn measure(size: usize, messages: usize) -> Result<Vec<Micro>> {
    let bodies = Bodies::new(size);
    Ok([publish(&bodies, messages)?, delivery(&bodies, messages)?].concat())
}

fn publish(bodies: &Bodies, messages: usize) -> Result<Vec<Micro>> {
    let (mut encode, mut decode) = (Rounds::default(), Rounds::default());
    repeat(|| {
        let bytes = encode.time(|| published(bodies, messages));
        let parsed = decode.time(|| parse_publish(bytes))?;
        ensure!(parsed.len() == messages, "a message was lost");
        black_box(parsed);
        Ok(())
    })?;
    let size = bodies.size();
    Ok(vec![
        encode.micro("publish frame: encode", size, messages),
        decode.micro("publish frame: decode and check", size, messages),
    ])
}

fn published(bodies: &Bodies, messages: usize) -> BytesMut {
    let mut out = BytesMut::new();
    let messages = (0..messages).map(|_| message(bodies)).collect();
    Request::Publish { handle: 1, stamp: Stamp { sequence: 1, floor: 1 }, atomic: false, messages }
        .put(1, &mut out);
    out
}

fn message(bodies: &Bodies) -> Bytes {
    Message::new(bodies.next()).with_id("0123456789abcdef0123456789abcdef-12345").encode()
}

fn parse_publish(bytes: BytesMut) -> Result<Vec<Incoming>> {
    match Request::decode(&frame(bytes)?).map_err(|malformed| anyhow!("{malformed}"))? {
        Request::Publish { messages, .. } => Ok(messages
            .into_iter()
            .map(Incoming::parse)
            .collect::<Result<_, _>>()
            .map_err(|refusal| anyhow!("{refusal}"))?),
        other => Err(anyhow!("{other:?} is no publish")),
    }
}

fn delivery(bodies: &Bodies, messages: usize) -> Result<Vec<Micro>> {
    let (mut encode, mut decode) = (Rounds::default(), Rounds::default());
    let delivery = delivered(bodies, messages);
    repeat(|| {
        let mut bytes = BytesMut::new();
        encode.time(|| delivery.put(0, &mut bytes));
        black_box(decode.time(|| parse_delivery(bytes))?);
        Ok(())
    })?;
    let size = bodies.size();
    Ok(vec![
        encode.micro("delivery frame: encode", size, messages),
        decode.micro("delivery frame: decode", size, messages),
    ])
}

fn delivered(bodies: &Bodies, messages: usize) -> Reply {
    let one = |sequence| {
        let record = Record {
            enqueued_time_ms: 1,
            enqueued_sequence: sequence,
            dead_letter: None,
            expires_at_ms: None,
            redrive_count: 0,
            rule_name: None,
            message: message(bodies),
        };
        let mut bytes = BytesMut::new();
        record.put(&mut bytes);
        Delivered { sequence, attempts: 0, record: bytes.freeze() }
    };
    let token = LockToken { shard: 1, lease: 2, place: 0, salt: 3 };
    let messages = (1..=messages as u64).map(one).collect();
    Reply::Delivery(Delivery { handle: 1, token, locked_until_ms: 1, messages })
}

fn parse_delivery(bytes: BytesMut) -> Result<Vec<Message>> {
    let parse = |record| Message::decode(Record::decode(record)?.message);
    match Reply::decode(&frame(bytes)?).map_err(|malformed| anyhow!("{malformed}"))? {
        Reply::Delivery(delivery) => {
            let messages =
                delivery.messages.into_iter().map(|one| parse(one.record)).collect::<Result<_, _>>();
            messages.map_err(|malformed| anyhow!("{malformed}"))
        }
        other => Err(anyhow!("{other:?} is no delivery")),
    }
}

fn frame(mut bytes: BytesMut) -> Result<Frame> {
    let frame =
        FrameDecoder::new(FRAME_BYTES).next(&mut bytes).map_err(|malformed| anyhow!("{malformed}"))?;
    frame.context("the frame is not whole")
}
