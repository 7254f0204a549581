//! What there is to say about a queue: its sessions, its consumers, the causes of its dead letters.

use crate::limits;
use crate::selection::Cause;
use crate::wire::{self, Read, Reader};
use bytes::{BufMut, BytesMut};

/// Dead letters of one cause.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CauseInfo {
    /// The cause.
    pub cause: Cause,
    /// How many there are.
    pub messages: u64,
    /// Of these, messages that were redriven before.
    pub redriven: u64,
    /// When the first of them was dead-lettered, UTC milliseconds.
    pub first_ms: u64,
    /// When the last of them was.
    pub last_ms: u64,
    /// The sequence number of the last one.
    pub sample: u64,
}

impl CauseInfo {
    /// Bytes of the smallest one.
    pub(super) const LEAST_BYTES: usize = 44;

    pub(super) fn put(&self, out: &mut BytesMut) {
        self.cause.put(out);
        out.put_u64(self.messages);
        out.put_u64(self.redriven);
        out.put_u64(self.first_ms);
        out.put_u64(self.last_ms);
        out.put_u64(self.sample);
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(CauseInfo {
            cause: Cause::read(reader)?,
            messages: reader.u64("cause.messages")?,
            redriven: reader.u64("cause.redriven")?,
            first_ms: reader.u64("cause.first_ms")?,
            last_ms: reader.u64("cause.last_ms")?,
            sample: reader.u64("cause.sample")?,
        })
    }
}

/// A session of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionInfo {
    /// Its id.
    pub id: String,
    /// Messages in it.
    pub messages: u64,
    /// The client that holds its lock; 0 when it is free.
    pub owner: u128,
    /// UTC milliseconds until when the lock holds; 0 when it is free.
    pub locked_until_ms: u64,
    /// When its oldest message was enqueued, UTC milliseconds; 0 without messages.
    pub oldest_ms: u64,
    /// Bytes of its state.
    pub state_bytes: u64,
    /// When the state was set or cleared last, UTC milliseconds; 0 when it never was.
    pub state_changed_ms: u64,
}

impl SessionInfo {
    /// Bytes of the smallest one.
    pub(super) const LEAST_BYTES: usize = 58;

    pub(super) fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.id);
        out.put_u64(self.messages);
        out.put_u128(self.owner);
        out.put_u64(self.locked_until_ms);
        out.put_u64(self.oldest_ms);
        out.put_u64(self.state_bytes);
        out.put_u64(self.state_changed_ms);
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(SessionInfo {
            id: reader.text("session.id")?,
            messages: reader.u64("session.messages")?,
            owner: reader.u128("session.owner")?,
            locked_until_ms: reader.u64("session.locked_until_ms")?,
            oldest_ms: reader.u64("session.oldest_ms")?,
            state_bytes: reader.u64("session.state_bytes")?,
            state_changed_ms: reader.u64("session.state_changed_ms")?,
        })
    }
}

/// Who receives from a queue, and how its capacity is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumersInfo {
    /// The queue's `capacity_units`; 0 for no bound.
    pub capacity_units: u64,
    /// Units of the messages that consumers hold.
    pub in_use: u64,
    /// Units of the ready messages in the broker's window.
    pub waiting: u64,
    /// Units given back by the clock since the broker started.
    pub refilled: u64,
    /// The consumers, at most [`limits::CONSUMERS`].
    pub consumers: Vec<ConsumerInfo>,
}

impl ConsumersInfo {
    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.capacity_units);
        out.put_u64(self.in_use);
        out.put_u64(self.waiting);
        out.put_u64(self.refilled);
        wire::put_list(out, &self.consumers, |out, consumer| consumer.put(out));
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(ConsumersInfo {
            capacity_units: reader.u64("capacity_units")?,
            in_use: reader.u64("in_use")?,
            waiting: reader.u64("waiting")?,
            refilled: reader.u64("refilled")?,
            consumers: reader.list(
                "consumers",
                ConsumerInfo::BYTES,
                limits::CONSUMERS,
                ConsumerInfo::read,
            )?,
        })
    }
}

/// A receiver of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConsumerInfo {
    /// Its client.
    pub client: u128,
    /// The client's number for it.
    pub handle: u32,
    /// Its share where the queue's `balance` is `weighted`.
    pub weight: u32,
    /// Messages it can still take.
    pub credit: u32,
    /// Messages it holds.
    pub messages: u64,
    /// Units of these.
    pub units: u64,
    /// Messages delivered to it since it was opened.
    pub delivered: u64,
    /// Milliseconds from delivery to settlement, as a moving average.
    pub latency_ms: u64,
}

impl ConsumerInfo {
    const BYTES: usize = 60;

    fn put(&self, out: &mut BytesMut) {
        out.put_u128(self.client);
        out.put_u32(self.handle);
        out.put_u32(self.weight);
        out.put_u32(self.credit);
        out.put_u64(self.messages);
        out.put_u64(self.units);
        out.put_u64(self.delivered);
        out.put_u64(self.latency_ms);
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(ConsumerInfo {
            client: reader.u128("consumer.client")?,
            handle: reader.u32("consumer.handle")?,
            weight: reader.u32("consumer.weight")?,
            credit: reader.u32("consumer.credit")?,
            messages: reader.u64("consumer.messages")?,
            units: reader.u64("consumer.units")?,
            delivered: reader.u64("consumer.delivered")?,
            latency_ms: reader.u64("consumer.latency_ms")?,
        })
    }
}
