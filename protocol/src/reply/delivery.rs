//! Messages on their way to a receiver.

use crate::limits;
use crate::token::LockToken;
use crate::wire::{self, Read, Reader};
use bytes::{BufMut, Bytes, BytesMut};

/// A message of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// Its number in the queue.
    pub sequence: u64,
    /// Deliveries of it before this one that failed.
    pub attempts: u32,
    /// The [`crate::message::Record`].
    pub record: Bytes,
}

/// Messages for a receiver, under one lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The receiver.
    pub handle: u32,
    /// The lock of the first message; the next ones hold the next places. Lease 0: received and deleted, no lock.
    pub token: LockToken,
    /// UTC milliseconds until when the locks hold.
    pub locked_until_ms: u64,
    /// The messages.
    pub messages: Vec<Delivered>,
}

impl Delivered {
    /// Bytes in front of the record.
    pub(super) const LEAST_BYTES: usize = 16;

    pub(super) fn put(&self, out: &mut BytesMut) {
        put_delivered(out, self.sequence, self.attempts, [&self.record, &[]]);
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Delivered {
            sequence: reader.u64("sequence")?,
            attempts: reader.u32("attempts")?,
            record: reader.blob("record")?,
        })
    }
}

/// Writes one message of a delivery, whose record is in two parts.
pub fn put_delivered(out: &mut BytesMut, sequence: u64, attempts: u32, [begin, rest]: [&[u8]; 2]) {
    out.put_u64(sequence);
    out.put_u32(attempts);
    wire::put_count(out, begin.len() + rest.len());
    out.put_slice(begin);
    out.put_slice(rest);
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
    pub(super) fn put(&self, out: &mut BytesMut) {
        put_delivery_head(out, self.handle, self.token, self.locked_until_ms, self.messages.len());
        for message in &self.messages {
            message.put(out);
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Delivery {
            handle: reader.u32("handle")?,
            token: LockToken::read(reader)?,
            locked_until_ms: reader.u64("locked_until_ms")?,
            messages: reader.list(
                "messages",
                Delivered::LEAST_BYTES,
                limits::DELIVERY_MESSAGES,
                Delivered::read,
            )?,
        })
    }
}
