//! What holds for all bytes, whoever has made them up. `fuzz/` looks for bytes that it does not hold for.

use super::examples;
use bytes::{Bytes, BytesMut};
use postrider_protocol::frame::{Frame, FrameDecoder};
use postrider_protocol::limits;
use postrider_protocol::message::{Incoming, Message, Record};
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Request;
use postrider_protocol::rule::{Filter, Rule};
use postrider_protocol::wire::Read;

/// Does `work` on `input` bytes and demands that it takes at most 16 times as much memory, and 64 KiB.
pub fn bounded<T>(what: &str, input: usize, work: impl FnOnce() -> T) -> T {
    measured(what, input, work).0
}

/// The same; returns the bytes it took as well.
pub fn measured<T>(what: &str, input: usize, work: impl FnOnce() -> T) -> (T, u64) {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(work()));
    let (most, took) = (16 * input as u64 + 64 * 1024, info.bytes_max);
    assert!(took <= most, "{what}: {input} bytes took {took} bytes of memory, at most {most} are allowed");
    (result.expect("work was done"), took)
}

/// What comes off a connection: its first byte says in how large pieces. The frames are the same as in one go, and each
/// is read as either side would.
pub fn frames(input: &[u8]) {
    let Some((piece, bytes)) = input.split_first() else { return };
    let (whole, pieces) = (cut([bytes]), cut(bytes.chunks(usize::from(*piece).max(1))));
    assert_eq!(whole, pieces);
    let Ok(frames) = whole else { return };
    for frame in frames {
        assert!(frame.payload.len() < bytes.len());
        use_up(&frame);
    }
}

/// All frames that come in these pieces.
fn cut<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read<Vec<Frame>> {
    let mut decoder = FrameDecoder::new(limits::UNAUTHENTICATED_FRAME_BYTES);
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(frame) = decoder.next(&mut buffer)? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Opcode, flags, and the fields of a request.
pub fn request(input: &[u8]) {
    let [opcode, flags, payload @ ..] = input else { return };
    use_up_request(&made(*opcode, *flags, payload));
}

/// The same of a reply, as a client reads it.
pub fn reply(input: &[u8]) {
    let [opcode, flags, payload @ ..] = input else { return };
    use_up_reply(&made(*opcode, *flags, payload));
}

/// A message, and a record that one is in.
pub fn message(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    use_up_message(bytes.clone());
    use_up_record(bytes);
}

fn made(opcode: u8, flags: u8, payload: &[u8]) -> Frame {
    Frame { opcode, flags, request: 1, payload: Bytes::copy_from_slice(payload) }
}

/// Reads and judges the frame as either side would, and looks into what is inside. What can be read can be written, and
/// then reads the same.
pub fn use_up(frame: &Frame) {
    use_up_request(frame);
    use_up_reply(frame);
}

fn use_up_request(frame: &Frame) {
    let Ok(request) = bounded("a request", frame.payload.len(), || Request::decode(frame)) else { return };
    bounded("checking", frame.payload.len(), || drop(request.check()));
    judge(&request);
    let written = examples::request_frame(&request);
    let again = Request::decode(&one(&written)).expect("what was written can be read");
    assert_eq!(examples::request_frame(&again), written);
}

fn use_up_reply(frame: &Frame) {
    let Ok(reply) = bounded("a reply", frame.payload.len(), || Reply::decode(frame)) else { return };
    look_into(&reply);
    let written = examples::reply_frame(&reply);
    let again = Reply::decode(&one(&written)).expect("what was written can be read");
    assert_eq!(examples::reply_frame(&again), written);
}

/// The one frame of these bytes.
pub fn one(bytes: &[u8]) -> Frame {
    let frame = FrameDecoder::new(limits::FRAME_BYTES).next(&mut BytesMut::from(bytes));
    frame.expect("the bytes are a frame").expect("the bytes are a whole frame")
}

fn judge(request: &Request) {
    match request {
        Request::Publish { messages, .. } => messages.iter().cloned().for_each(use_up_message),
        Request::Create { kind, options, rules, .. } => {
            let _ = (options.check(*kind), rules.iter().map(Rule::check).collect::<Vec<_>>());
        }
        Request::Update { options, .. } => {
            let _ = options.check_update(EntityKind::Queue);
        }
        Request::PutRule { rule, .. } => {
            let _ = (rule.check(), rule.filter.to_string(), rule.filter.matches(&examples::full_message()));
        }
        Request::Settle { items, .. } => {
            for item in items {
                assert!(item.token.place.checked_add(item.run - 1).is_some(), "places stay within 16 bits");
            }
        }
        _ => {}
    }
}

/// Reads a message as one that was sent. One that is taken in is the same message again when it is written anew.
pub fn use_up_message(bytes: Bytes) {
    let Ok(incoming) = bounded("a message", bytes.len(), || Incoming::parse(bytes.clone())) else { return };
    let message = incoming.message;
    let _ = (message.system_property("subject"), message.property("priority"));
    assert!(Filter::True.matches(&message));
    let written = message.encode();
    assert_eq!(Message::decode(written.clone()).expect("what was written can be read").encode(), written);
}

/// Reads a record as it is stored. What can be read has the same bytes when it is written.
fn use_up_record(bytes: Bytes) {
    let Ok(record) = bounded("a record", bytes.len(), || Record::decode(bytes.clone())) else { return };
    assert_eq!(examples::record_bytes(&record), bytes);
    use_up_message(record.message);
}

/// Looks at what a client looks at.
pub fn look_into(reply: &Reply) {
    match reply {
        Reply::Delivery(delivery) => {
            delivery.messages.iter().for_each(|message| use_up_record(message.record.clone()));
        }
        Reply::Peeked { messages, .. } => {
            messages.iter().for_each(|peeked| use_up_record(peeked.message.record.clone()));
        }
        Reply::Published(runs) => {
            for (items, outcome) in runs {
                let _ = outcome.at(items - 1);
            }
        }
        Reply::Refused(refusal) => assert!(!refusal.to_string().is_empty()),
        _ => {}
    }
}
