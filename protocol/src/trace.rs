//! What happened to a message, step by step.

use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};
use std::fmt;

/// What happened in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StepKind {
    /// A queue or topic took the message in.
    Accepted = 0,
    /// It came from another entity, which had passed it on.
    Arrived = 1,
    /// A message of this id was not stored, because another one was there.
    Duplicate = 2,
    /// It is to be enqueued at a moment.
    Scheduled = 3,
    /// Its moment has come: it is enqueued.
    Due = 4,
    /// It was cancelled before its moment.
    Cancelled = 5,
    /// A subscription got a copy of the topic's message.
    Copied = 6,
    /// No subscription wanted it.
    Unmatched = 7,
    /// A receiver got it, and locks it.
    Delivered = 8,
    /// A receiver got it for good.
    Received = 9,
    /// It was completed.
    Completed = 10,
    /// It was abandoned.
    Abandoned = 11,
    /// It was set aside.
    Deferred = 12,
    /// Its lock was let go; the delivery does not count.
    Released = 13,
    /// Its lock ran out.
    LockRanOut = 14,
    /// It became a dead letter, or one of those that could not be passed on.
    DeadLettered = 15,
    /// Its time to live ran out, and it is gone.
    Expired = 16,
    /// It was purged.
    Purged = 17,
    /// A transaction removed it.
    Removed = 18,
    /// It went back from the dead letters.
    Redriven = 19,
    /// It left for another entity.
    Forwarded = 20,
    /// It went with its entity.
    Deleted = 21,
}

impl StepKind {
    /// All kinds, in the order of their codes, with the names that users see.
    pub const ALL: [(StepKind, &str); 22] = [
        (StepKind::Accepted, "accepted"),
        (StepKind::Arrived, "arrived"),
        (StepKind::Duplicate, "duplicate"),
        (StepKind::Scheduled, "scheduled"),
        (StepKind::Due, "due"),
        (StepKind::Cancelled, "cancelled"),
        (StepKind::Copied, "copied"),
        (StepKind::Unmatched, "unmatched"),
        (StepKind::Delivered, "delivered"),
        (StepKind::Received, "received"),
        (StepKind::Completed, "completed"),
        (StepKind::Abandoned, "abandoned"),
        (StepKind::Deferred, "deferred"),
        (StepKind::Released, "released"),
        (StepKind::LockRanOut, "lock-ran-out"),
        (StepKind::DeadLettered, "dead-lettered"),
        (StepKind::Expired, "expired"),
        (StepKind::Purged, "purged"),
        (StepKind::Removed, "removed"),
        (StepKind::Redriven, "redriven"),
        (StepKind::Forwarded, "forwarded"),
        (StepKind::Deleted, "deleted"),
    ];

    /// The name that users see.
    pub fn name(self) -> &'static str {
        Self::ALL[usize::from(self.code())].1
    }

    /// The kind's code in bytes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Reads a kind.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        let code = reader.u8("step.kind")?;
        let found = Self::ALL.get(usize::from(code)).map(|(kind, _)| *kind);
        let last = Self::ALL.len() - 1;
        found.ok_or_else(|| Malformed::new("step.kind", format!("found {code}, kinds are 0 to {last}")))
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that happened to a message. What a kind does not need is empty, or 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When, UTC milliseconds.
    pub when_ms: u64,
    /// What.
    pub kind: StepKind,
    /// The queue or topic it happened in; of a copy, the subscription.
    pub address: String,
    /// The message's number there; 0 where it never got one.
    pub sequence: u64,
    /// Where it went: the dead letters, the queue of a redriven one, the entity of a forwarded one.
    pub to_address: String,
    /// Its number there, as far as this shard knows it; of a copy and a duplicate, the number of the first message.
    pub to_sequence: u64,
    /// The client that got it.
    pub client: u128,
    /// That client's receiver.
    pub handle: u32,
    /// Which delivery it was, from 1: those that failed before, and this one.
    pub attempt: u32,
    /// Until when it is locked or delayed, or when it is due, UTC milliseconds.
    pub until_ms: u64,
    /// Why it became a dead letter.
    pub reason: String,
    /// The same in more words.
    pub description: String,
}

impl Step {
    /// Bytes of the smallest one.
    pub(crate) const LEAST_BYTES: usize = 65;

    pub(crate) fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.when_ms);
        out.put_u8(self.kind.code());
        wire::put_text(out, &self.address);
        out.put_u64(self.sequence);
        wire::put_text(out, &self.to_address);
        out.put_u64(self.to_sequence);
        out.put_u128(self.client);
        out.put_u32(self.handle);
        out.put_u32(self.attempt);
        out.put_u64(self.until_ms);
        wire::put_text(out, &self.reason);
        wire::put_text(out, &self.description);
    }

    pub(crate) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Step {
            when_ms: reader.u64("step.when_ms")?,
            kind: StepKind::read(reader)?,
            address: reader.text("step.address")?,
            sequence: reader.u64("step.sequence")?,
            to_address: reader.text("step.to_address")?,
            to_sequence: reader.u64("step.to_sequence")?,
            client: reader.u128("step.client")?,
            handle: reader.u32("step.handle")?,
            attempt: reader.u32("step.attempt")?,
            until_ms: reader.u64("step.until_ms")?,
            reason: reader.text("step.reason")?,
            description: reader.text("step.description")?,
        })
    }
}

/// A place in a trace that is answered in parts. Whoever goes on hands it back as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct TraceCursor {
    /// The shard.
    pub shard: u16,
    /// The row of the shard's journal.
    pub row: u64,
    /// The step of the row.
    pub step: u32,
}

impl TraceCursor {
    pub(crate) fn put(self, out: &mut BytesMut) {
        out.put_u16(self.shard);
        out.put_u64(self.row);
        out.put_u32(self.step);
    }

    pub(crate) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(TraceCursor {
            shard: reader.u16("cursor.shard")?,
            row: reader.u64("cursor.row")?,
            step: reader.u32("cursor.step")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_listed_by_their_codes() {
        for (at, (kind, name)) in StepKind::ALL.iter().enumerate() {
            assert_eq!((usize::from(kind.code()), kind.name()), (at, *name));
        }
    }
}
