//! Cutting frames off a buffer that fills in pieces of any size.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod examples;
mod strategies;

use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::frame::{Frame, FrameDecoder, HEADER_BYTES};
use postrider_protocol::limits;
use proptest::prelude::*;

/// Feeds the pieces one after the other and takes every frame as soon as it is there.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut decoder = FrameDecoder::new(limits::FRAME_BYTES);
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(frame) = decoder.next(&mut buffer).unwrap() {
            frames.push(frame);
        }
    }
    assert!(buffer.is_empty());
    frames
}

fn stream() -> (Bytes, usize) {
    let frames = examples::frames();
    (frames.concat().into(), frames.len())
}

#[test]
fn any_split_in_two_gives_the_same_frames() {
    let (bytes, count) = stream();
    let whole = feed([&bytes[..]]);
    assert_eq!(whole.len(), count);
    for at in 0..=bytes.len() {
        assert_eq!(feed([&bytes[..at], &bytes[at..]]), whole, "split at {at}");
    }
    assert_eq!(feed(bytes.chunks(1)), whole);
}

proptest! {
    #[test]
    fn any_pieces_give_the_same_frames(sizes in proptest::collection::vec(1..40usize, 1..40)) {
        let (bytes, _) = stream();
        let (mut rest, mut pieces) = (&bytes[..], Vec::new());
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        prop_assert_eq!(feed(pieces), feed([&bytes[..]]));
    }
}

#[test]
fn a_length_is_judged_by_itself() {
    let judge = |most: usize, claimed: usize| {
        let mut buffer = BytesMut::new();
        buffer.put_u32(u32::try_from(claimed).unwrap());
        FrameDecoder::new(most).next(&mut buffer)
    };
    let least = HEADER_BYTES - 4;
    for most in [limits::UNAUTHENTICATED_FRAME_BYTES, limits::FRAME_BYTES] {
        assert_eq!(judge(most, most - 4), Ok(None));
        assert_eq!(judge(most, least), Ok(None));
        for wrong in [0, least - 1, most - 3, most, u32::MAX as usize] {
            assert_eq!(judge(most, wrong).unwrap_err().field, "frame.length", "{wrong} of {most}");
        }
    }
}

#[test]
fn three_bytes_are_not_judged() {
    let mut buffer = BytesMut::from(&[0xff; 3][..]);
    assert_eq!(FrameDecoder::new(limits::UNAUTHENTICATED_FRAME_BYTES).next(&mut buffer), Ok(None));
    assert_eq!(buffer.len(), 3);
}

/// The largest message that an entity can take fits into the frames that carry it.
#[test]
fn the_largest_message_travels() {
    use postrider_protocol::message::{DeadLetterInfo, Record};
    use postrider_protocol::reply::{Delivered, Delivery, Reply};
    use postrider_protocol::request::Request;
    let message = Bytes::from(vec![0; limits::MESSAGE_BYTES_CEILING]);
    let text = |bytes| "x".repeat(bytes);
    let dead_letter = Some(DeadLetterInfo {
        source: text(limits::NAME_CHARS),
        reason: text(limits::REASON_BYTES),
        description: text(limits::REASON_BYTES),
        time_ms: 1,
    });
    let record = Record {
        enqueued_time_ms: 1,
        enqueued_sequence: 1,
        dead_letter,
        expires_at_ms: Some(1),
        redrive_count: 1,
        hops: 1,
        destination: Some(text(limits::NAME_CHARS)),
        rule_name: Some("r".repeat(limits::RULE_NAME_CHARS)),
        replayed: true,
        message: message.clone(),
    };
    let delivered = Delivered { sequence: 1, attempts: 0, record: examples::record_bytes(&record) };
    let delivery =
        Delivery { handle: 1, token: examples::TOKEN, locked_until_ms: 1, messages: vec![delivered] };
    let publish =
        Request::Publish { handle: 1, stamp: examples::STAMP, atomic: false, messages: vec![message] };
    assert!(examples::request_frame(&publish).len() <= limits::FRAME_BYTES);
    assert!(examples::reply_frame(&Reply::Delivery(delivery)).len() <= limits::FRAME_BYTES);
}

#[cfg(feature = "codec")]
#[test]
fn the_codec_cuts_the_same_frames() {
    use tokio_util::codec::Decoder;
    let (bytes, count) = stream();
    let (mut decoder, mut buffer) = (FrameDecoder::new(limits::FRAME_BYTES), BytesMut::from(&bytes[..]));
    let frames: Vec<_> = std::iter::from_fn(|| decoder.decode(&mut buffer).unwrap()).collect();
    assert_eq!(frames.len(), count);
    assert_eq!(frames, feed([&bytes[..]]));
    assert!(decoder.decode_eof(&mut BytesMut::from(&bytes[..5])).is_err(), "a frame cut off by the end");
    assert!(decoder.decode(&mut BytesMut::from(&[0xff; 4][..])).is_err());
}
