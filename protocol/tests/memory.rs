//! Length bombs: a few bytes that claim to be many. Reading, and what the broker checks of it, allocates at most 16
//! times the input and 64 KiB, whatever the bytes say. This binary counts every allocation of its thread.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod examples;
#[path = "corpus/fuzzed.rs"]
#[allow(dead_code, reason = "the fuzzer needs more of it")]
mod fuzzed;

use bytes::{BufMut, Bytes, BytesMut};
use fuzzed::{bounded, measured};
use postrider_protocol::frame::{Frame, FrameDecoder};
use postrider_protocol::limits;
use postrider_protocol::message::{Incoming, Record};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Request;
use postrider_protocol::wire::{Read, Reader};

fn request(opcode: u8, payload: Bytes) -> Read<Request> {
    let frame = Frame { opcode, flags: 0, request: 1, payload };
    bounded("a request", frame.payload.len(), || Request::decode(&frame))
}

fn reply(opcode: u8, payload: Bytes) -> Read<Reply> {
    let frame = Frame { opcode, flags: 0, request: 1, payload };
    bounded("a reply", frame.payload.len(), || Reply::decode(&frame))
}

/// Reads what a frame of this opcode holds; the bytes of memory it took.
fn took(opcode: u8, payload: Bytes) -> u64 {
    let frame = Frame { opcode, flags: 0, request: 1, payload };
    let (what, bytes) = (format!("{opcode:#04x}"), frame.payload.len());
    if opcode < 0x80 {
        measured(&what, bytes, || Request::decode(&frame).is_ok()).1
    } else {
        measured(&what, bytes, || Reply::decode(&frame).is_ok()).1
    }
}

fn message(bytes: Bytes) {
    let _ = bounded("message", bytes.len(), || Incoming::parse(bytes.clone()));
    let _ = bounded("record", bytes.len(), || Record::decode(bytes.clone()));
}

#[test]
fn the_counter_counts() {
    let info = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 100_000])));
    assert_eq!(info.bytes_max, 100_000);
}

/// A claimed length takes nothing at all before the bytes are there.
#[test]
fn the_length_of_a_frame_is_only_a_claim() {
    for claimed in [6, 4092, limits::FRAME_BYTES as u32 - 4, u32::MAX] {
        let mut buffer = BytesMut::with_capacity(64);
        buffer.put_u32(claimed);
        let mut decoder = FrameDecoder::new(limits::FRAME_BYTES);
        let info = allocation_counter::measure(|| drop(decoder.next(&mut buffer)));
        assert!(info.bytes_total < 256, "{claimed} took {}", info.bytes_total);
    }
}

/// What is read back from storage has no share to keep to, but a count has to be covered by bytes there as well.
#[test]
fn a_count_is_only_a_claim() {
    for count in [2u32, 1_000_000, u32::MAX] {
        let mut out = BytesMut::new();
        out.put_u32(count);
        out.put_u64(1);
        let mut reader = Reader::new(out.freeze());
        let list = || reader.list("list", 8, usize::MAX, |reader| reader.u64("element"));
        assert_eq!(bounded("a list", 12, list).unwrap_err().field, "list", "{count} elements");
    }
}

/// Elements that are small on the wire and large in memory.
fn fillings() -> Vec<Vec<u8>> {
    let conditions = |count: u32| {
        let mut rule = BytesMut::from(&[0, 1, b'a', 2][..]);
        rule.put_u32(count);
        rule.put_bytes(0, 4 * count as usize);
        rule.put_bytes(0, 7);
        rule.to_vec()
    };
    vec![
        vec![0],                                  // properties, conditions, rules, blobs, entities
        vec![0, 1, b'a', 0],                      // properties with a name
        vec![0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0], // rules with a name
        vec![0, 0, 0, 1, 0],                      // runs that can be joined
        vec![0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0], // runs that cannot
        vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], // settlements
        vec![1, 1, 1],                            // options
        vec![1, 3],                               // options that are unset
        conditions(64),
        [conditions(64), vec![0, 0, 0]].concat(),
        vec![0xff],
        vec![0xc3, 0xa9],
    ]
}

/// `prefix`, a count, and behind it as many elements as there is room for in `most` bytes.
fn bomb(prefix: &[u8], count: u32, filling: &[u8], most: usize) -> Bytes {
    let mut out = BytesMut::from(prefix);
    out.put_u32(count);
    out.extend(filling.iter().cycle().take(most.min(filling.len() * count as usize)));
    out.freeze()
}

/// At every place of every example frame: a count, and behind it elements as small as they can be. Where a small
/// bomb takes memory, larger ones follow.
#[test]
fn no_list_takes_more_than_its_share() {
    let mut lists = 0;
    for frame in examples::frames() {
        let (opcode, payload) = (frame[4], &frame[10..]);
        for at in 0..=payload.len() {
            took(opcode, bomb(&payload[..at], u32::MAX, &[0], 64));
            for filling in fillings() {
                let small = bomb(&payload[..at], 64, &filling, 64 * filling.len());
                if took(opcode, small.clone()) <= 4 * small.len() as u64 {
                    continue;
                }
                lists += 1;
                for count in [255, 1_000, 4_096, 65_536] {
                    took(opcode, bomb(&payload[..at], count, &filling, 200_000));
                }
            }
        }
    }
    assert!(lists > 20, "only {lists} places took memory");
}

#[test]
fn no_message_takes_more_than_its_share() {
    let header = examples::full_message().encode();
    for count in [10u32, 1_000, 4_096, 65_536, 1_000_000, u32::MAX] {
        for filling in fillings() {
            let bytes = filling.len() * (count as usize).min(70_000);
            let mut fields = BytesMut::new();
            fields.put_u32(1 << 14);
            fields.put_u32(count);
            fields.extend(filling.iter().cycle().take(bytes));
            let mut out = BytesMut::new();
            out.put_u32(fields.len() as u32);
            out.extend_from_slice(&fields);
            message(out.freeze());
        }
        for at in 0..header.len() - 4 {
            let mut out = header.to_vec();
            out[at..at + 4].copy_from_slice(&count.to_be_bytes());
            message(out.into());
        }
    }
}

/// Outcomes take up to twenty times their bytes: alternating ones that cannot be joined, then single ones that can.
#[test]
fn no_outcome_takes_more_than_its_share() {
    for (mixed, single) in [(4_096, 0), (2_049, 2_047), (2_600, 1_400), (1_025, 1_023), (0, 4_096)] {
        let mut out = BytesMut::new();
        out.put_u32(mixed + single);
        for at in 0..mixed + single {
            out.put_u32(1);
            if at < mixed && at % 2 == 1 {
                out.put_u8(1);
                out.put_u64(u64::from(at));
            } else {
                out.put_u8(0);
            }
        }
        reply(0xa2, out.freeze()).unwrap();
    }
}

/// Names that all differ, so that checking goes to its end.
#[test]
fn checking_takes_its_share_too() {
    use postrider_protocol::message::Message;
    use postrider_protocol::value::Value;
    for count in [100, 1_000, 4_000, 12_000] {
        let properties = (0..count).map(|at| (format!("{at:x}"), Value::Null)).collect();
        let bytes = Message { properties, ..Message::default() }.encode();
        let parsed = bounded("properties", bytes.len(), || Incoming::parse(bytes.clone()));
        // What people send is far from the bound.
        if count <= 1_000 {
            assert_eq!(parsed.unwrap().message.properties.len(), count);
        }
    }
}

/// Full frames of good will are not taken for bombs.
#[test]
fn honest_frames_are_read() {
    use postrider_protocol::message::Message;
    use postrider_protocol::reply::{Published, Settled};
    use postrider_protocol::request::{SettleItem, Settlement};
    use postrider_protocol::rule::{Filter, Rule};
    let most = limits::BATCH_MESSAGES;
    let empty = Message::default().encode();
    let item = SettleItem { token: examples::TOKEN, run: 1, settlement: Settlement::Complete };
    let rule = |at: usize| Rule::new(format!("rule-{at}"), Filter::properties([("kind", at as i64)]));
    let create = Request::Create {
        stamp: examples::STAMP,
        name: "t/subscriptions/s".into(),
        kind: postrider_protocol::options::EntityKind::Subscription,
        options: Default::default(),
        rules: (0..10_000).map(rule).collect(),
    };
    let requests = [
        Request::Publish { handle: 1, stamp: examples::STAMP, atomic: false, messages: vec![empty; most] },
        Request::Settle { stamp: examples::STAMP, items: vec![item; most] },
        create,
    ];
    for honest in requests {
        let frame = examples::request_frame(&honest);
        assert_eq!(request(frame[4], frame.slice(10..)).unwrap(), honest);
    }
    let settled = |at: usize| if at.is_multiple_of(2) { Settled::Done } else { Settled::Renewed(at as u64) };
    let published = |at: usize| (1, Published::Accepted(2 * at as u64));
    let replies = [
        Reply::Settled((0..most).map(|at| (1, settled(at))).collect()),
        Reply::Published((0..most).map(published).collect()),
    ];
    for honest in replies {
        let frame = examples::reply_frame(&honest);
        assert_eq!(reply(frame[4], frame.slice(10..)).unwrap(), honest);
    }
}
