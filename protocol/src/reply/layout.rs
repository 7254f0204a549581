//! How replies are laid out in bytes.

use super::{
    Delivered, Delivery, PeekState, Peeked, Published, Reply, Runs, Settled, StatusInfo, Welcome, opcode,
};
use crate::entity::EntityInfo;
use crate::error::Refusal;
use crate::frame::{Frame, put_frame};
use crate::limits;
use crate::token::LockToken;
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};

/// Bytes in front of the record of each message of a delivery.
const DELIVERED_BYTES: usize = 16;

impl Reply {
    /// The reply's opcode.
    pub fn opcode(&self) -> u8 {
        match self {
            Reply::Welcome(_) => opcode::WELCOME,
            Reply::Pong => opcode::PONG,
            Reply::Goodbye(_) => opcode::GOODBYE,
            Reply::Done => opcode::DONE,
            Reply::Refused(_) => opcode::REFUSED,
            Reply::Opened { .. } => opcode::OPENED,
            Reply::Published(_) => opcode::PUBLISHED,
            Reply::Settled(_) => opcode::SETTLED,
            Reply::Drained { .. } => opcode::DRAINED,
            Reply::Delivery(_) => opcode::DELIVERY,
            Reply::ReceiverClosed { .. } => opcode::RECEIVER_CLOSED,
            Reply::Entity(_) => opcode::ENTITY,
            Reply::Entities { .. } => opcode::ENTITIES,
            Reply::Peeked(_) => opcode::PEEKED,
            Reply::Purged(_) => opcode::PURGED,
            Reply::Status(_) => opcode::STATUS,
        }
    }

    /// Writes the reply as one frame.
    pub fn put(&self, request: u32, out: &mut BytesMut) {
        put_frame(out, self.opcode(), 0, request, |out| self.put_fields(out));
    }

    /// Writes the reply's fields without a frame around them: how outcomes are recorded.
    pub fn put_fields(&self, out: &mut BytesMut) {
        match self {
            Reply::Welcome(welcome) => welcome.put(out),
            Reply::Pong | Reply::Done => {}
            Reply::Goodbye(refusal) | Reply::Refused(refusal) => refusal.put(out),
            Reply::Opened { max_message_bytes, lock_duration_ms } => {
                out.put_u64(*max_message_bytes);
                out.put_u64(*lock_duration_ms);
            }
            Reply::Published(runs) => put_runs(out, runs, Published::put),
            Reply::Settled(runs) => put_runs(out, runs, Settled::put),
            Reply::Drained { handle, delivered } => {
                out.put_u32(*handle);
                out.put_u64(*delivered);
            }
            Reply::Delivery(delivery) => delivery.put(out),
            Reply::ReceiverClosed { handle, refusal } => {
                out.put_u32(*handle);
                refusal.put(out);
            }
            Reply::Entity(info) => info.put(out),
            Reply::Entities { entities, more } => {
                out.put_u8(u8::from(*more));
                wire::put_list(out, entities, |out, info| info.put(out));
            }
            Reply::Peeked(messages) => wire::put_list(out, messages, |out, peeked| {
                out.put_u8(u8::from(peeked.state == PeekState::Locked));
                peeked.message.put(out);
            }),
            Reply::Purged(count) => out.put_u64(*count),
            Reply::Status(status) => status.put(out),
        }
    }

    /// Reads the reply in `frame`.
    pub fn decode(frame: &Frame) -> Read<Self> {
        if frame.flags != 0 {
            return Err(Malformed::new("frame.flags", format!("has unknown bits {:#x}", frame.flags)));
        }
        let mut reader = frame.reader();
        let reply = Self::read_fields(frame.opcode, &mut reader)?;
        reader.finish()?;
        Ok(reply)
    }

    /// Reads the fields of the reply with this opcode.
    pub fn read_fields(code: u8, reader: &mut Reader) -> Read<Self> {
        Ok(match code {
            opcode::WELCOME => Reply::Welcome(Welcome::read(reader)?),
            opcode::PONG => Reply::Pong,
            opcode::GOODBYE => Reply::Goodbye(Refusal::read(reader)?),
            opcode::DONE => Reply::Done,
            opcode::REFUSED => Reply::Refused(Refusal::read(reader)?),
            opcode::OPENED => Reply::Opened {
                max_message_bytes: reader.u64("max_message_bytes")?,
                lock_duration_ms: reader.u64("lock_duration_ms")?,
            },
            opcode::PUBLISHED => Reply::Published(read_runs(reader, Published::read, Published::at)?),
            opcode::SETTLED => {
                Reply::Settled(read_runs(reader, Settled::read, |settled, _| settled.clone())?)
            }
            opcode::DRAINED => {
                Reply::Drained { handle: reader.u32("handle")?, delivered: reader.u64("delivered")? }
            }
            opcode::DELIVERY => Reply::Delivery(Delivery::read(reader)?),
            opcode::RECEIVER_CLOSED => {
                Reply::ReceiverClosed { handle: reader.u32("handle")?, refusal: Refusal::read(reader)? }
            }
            opcode::ENTITY => Reply::Entity(Box::new(EntityInfo::read(reader)?)),
            opcode::ENTITIES => Reply::Entities {
                more: reader.bool("more")?,
                entities: reader.list("entities", 23, limits::LISTING_ENTRIES as usize, EntityInfo::read)?,
            },
            opcode::PEEKED => Reply::Peeked(reader.list(
                "messages",
                1 + DELIVERED_BYTES,
                limits::LISTING_ENTRIES as usize,
                read_peeked,
            )?),
            opcode::PURGED => Reply::Purged(reader.u64("count")?),
            opcode::STATUS => Reply::Status(StatusInfo::read(reader)?),
            other => return Err(Malformed::new("frame.opcode", format!("{other:#04x} is not a reply"))),
        })
    }
}

fn read_peeked(reader: &mut Reader) -> Read<Peeked> {
    let state = if reader.bool("state")? { PeekState::Locked } else { PeekState::Ready };
    Ok(Peeked { state, message: Delivered::read(reader)? })
}

impl Welcome {
    fn put(&self, out: &mut BytesMut) {
        out.put_u16(self.version);
        out.put_u64(self.features);
        out.put_u128(self.cluster);
        out.put_u64(self.node);
        out.put_u32(self.feature_level);
        out.put_u64(self.heartbeat_ms);
        out.put_u32(self.frame_bytes);
        out.put_u32(self.requests_in_flight);
        out.put_u32(self.links);
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Welcome {
            version: reader.u16("welcome.version")?,
            features: reader.u64("welcome.features")?,
            cluster: reader.u128("welcome.cluster")?,
            node: reader.u64("welcome.node")?,
            feature_level: reader.u32("welcome.feature_level")?,
            heartbeat_ms: reader.u64("welcome.heartbeat_ms")?,
            frame_bytes: reader.u32("welcome.frame_bytes")?,
            requests_in_flight: reader.u32("welcome.requests_in_flight")?,
            links: reader.u32("welcome.links")?,
        })
    }
}

impl Published {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Published::Accepted(sequence) => {
                out.put_u8(0);
                out.put_u64(*sequence);
            }
            Published::Duplicate(sequence) => {
                out.put_u8(1);
                out.put_u64(*sequence);
            }
            Published::Refused(refusal) => {
                out.put_u8(2);
                refusal.put(out);
            }
        }
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(match reader.u8("published")? {
            0 => Published::Accepted(reader.u64("sequence")?),
            1 => Published::Duplicate(reader.u64("sequence")?),
            2 => Published::Refused(Refusal::read(reader)?),
            other => return Err(Malformed::new("published", format!("found {other}, outcomes are 0 to 2"))),
        })
    }

    /// The outcome of the item `places` behind the first of its run.
    pub fn at(&self, places: u32) -> Published {
        match self {
            Published::Accepted(first) => Published::Accepted(first.saturating_add(u64::from(places))),
            other => other.clone(),
        }
    }
}

impl Settled {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Settled::Done => out.put_u8(0),
            Settled::Renewed(until) => {
                out.put_u8(1);
                out.put_u64(*until);
            }
            Settled::Refused(refusal) => {
                out.put_u8(2);
                refusal.put(out);
            }
        }
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(match reader.u8("settled")? {
            0 => Settled::Done,
            1 => Settled::Renewed(reader.u64("locked_until_ms")?),
            2 => Settled::Refused(Refusal::read(reader)?),
            other => return Err(Malformed::new("settled", format!("found {other}, outcomes are 0 to 2"))),
        })
    }
}

/// Writes runs: a list of (u32 items, outcome).
fn put_runs<T>(out: &mut BytesMut, runs: &Runs<T>, put: impl Fn(&T, &mut BytesMut)) {
    wire::put_list(out, runs, |out, (items, outcome)| {
        out.put_u32(*items);
        put(outcome, out);
    });
}

/// Bytes that joined runs take on average at least: a bare `Done` takes 5, and its neighbours 13 or more.
const JOINED_RUN_BYTES: usize = 9;

/// Reads runs, joining neighbours that could have been one. `at` is the outcome so many places behind another.
///
/// An outcome can be twenty times larger in memory than on the wire; joined ones stay within the share of
/// [`limits::MEMORY_PER_BYTE`].
fn read_runs<T: PartialEq>(
    reader: &mut Reader,
    read: impl Fn(&mut Reader) -> Read<T>,
    at: impl Fn(&T, u32) -> T,
) -> Read<Runs<T>> {
    const FIELD: &str = "runs";
    let count = reader.count(FIELD, 5, limits::BATCH_MESSAGES)?;
    let joined = count.min(reader.remaining() / JOINED_RUN_BYTES + 1);
    let (mut runs, mut total): (Runs<T>, u64) = (Vec::with_capacity(joined), 0);
    for _ in 0..count {
        let items = reader.u32("run.items")?;
        total += u64::from(items);
        if items == 0 || total > limits::BATCH_MESSAGES as u64 {
            let most = limits::BATCH_MESSAGES;
            return Err(Malformed::new(
                "run.items",
                format!("is {items}, allowed is 1 to {most} in all runs together"),
            ));
        }
        let outcome = read(reader)?;
        match runs.last_mut() {
            Some((length, first)) if at(first, *length) == outcome => *length += items,
            _ => runs.push((items, outcome)),
        }
    }
    Ok(runs)
}

impl Delivered {
    fn put(&self, out: &mut BytesMut) {
        put_delivered(out, self.sequence, self.attempts, &self.record);
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Delivered {
            sequence: reader.u64("sequence")?,
            attempts: reader.u32("attempts")?,
            record: reader.blob("record")?,
        })
    }
}

/// Writes one message of a delivery.
pub fn put_delivered(out: &mut BytesMut, sequence: u64, attempts: u32, record: &[u8]) {
    out.put_u64(sequence);
    out.put_u32(attempts);
    wire::put_blob(out, record);
}

/// Writes what stands in front of a delivery's messages. `messages` calls to [`put_delivered`] must follow.
pub fn put_delivery_head(
    out: &mut BytesMut,
    handle: u32,
    token: LockToken,
    locked_until_ms: u64,
    messages: usize,
) {
    out.put_u32(handle);
    token.put(out);
    out.put_u64(locked_until_ms);
    wire::put_count(out, messages);
}

impl Delivery {
    fn put(&self, out: &mut BytesMut) {
        put_delivery_head(out, self.handle, self.token, self.locked_until_ms, self.messages.len());
        for message in &self.messages {
            message.put(out);
        }
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Delivery {
            handle: reader.u32("handle")?,
            token: LockToken::read(reader)?,
            locked_until_ms: reader.u64("locked_until_ms")?,
            messages: reader.list("messages", DELIVERED_BYTES, limits::DELIVERY_MESSAGES, Delivered::read)?,
        })
    }
}

impl StatusInfo {
    fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.version);
        out.put_u128(self.cluster);
        out.put_u64(self.node);
        let numbers = [
            self.uptime_ms,
            self.connections,
            self.entities,
            self.messages,
            self.bytes,
            self.published,
            self.delivered,
            self.settled,
            self.commits,
        ];
        wire::put_list(out, &numbers, |out, number| out.put_u64(*number));
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        let (version, cluster, node) =
            (reader.text("status.version")?, reader.u128("status.cluster")?, reader.u64("status.node")?);
        let numbers = reader.list("status.numbers", 8, 255, |reader| reader.u64("status.number"))?;
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next().unwrap_or(0);
        Ok(StatusInfo {
            version,
            cluster,
            node,
            uptime_ms: next(),
            connections: next(),
            entities: next(),
            messages: next(),
            bytes: next(),
            published: next(),
            delivered: next(),
            settled: next(),
            commits: next(),
        })
    }
}
