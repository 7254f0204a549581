//! What may be told, once the turn's facts are durable.

use crate::command::{ReceiverKey, Ticket};
use crate::key::QueueId;
use crate::outbox::{Parcel, Taken};
use bytes::Bytes;
use postrider_protocol::error::Refusal;
use postrider_protocol::reply::Reply;
use postrider_protocol::token::LockToken;

/// One thing to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The answer to a request.
    Reply(Ticket, Reply),
    /// Messages for a receiver.
    Deliver(Deliver),
    /// The broker closed a receiver.
    Closed(ReceiverKey, Refusal),
    /// The engine is to read a cold range and bring it back as [`crate::command::Loaded`].
    Load(Load),
    /// Messages for another shard, which the engine is to bring it as [`crate::command::Command::Take`].
    Send {
        /// The shard.
        to: u16,
        /// Numbers and parcels, in order.
        parcels: Vec<(u64, Parcel)>,
    },
    /// What was taken of another shard's parcels, which the engine is to bring it as
    /// [`crate::command::Command::Receipt`].
    Receipt {
        /// The shard that sent them.
        to: u16,
        /// What was taken.
        taken: Taken,
    },
}

/// Messages for a receiver, under one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliver {
    /// The receiver.
    pub receiver: ReceiverKey,
    /// The queue they come from.
    pub queue: QueueId,
    /// The lock of the first one. Lease 0: no lock.
    pub token: LockToken,
    /// UTC milliseconds until when the locks hold.
    pub locked_until_ms: u64,
    /// Which messages, in order.
    pub runs: Vec<PageRun>,
}

/// Neighbouring messages of one page with the same number of failed deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRun {
    /// The page's first sequence number.
    pub page: u64,
    /// The first message's index in the page.
    pub index: u32,
    /// How many messages.
    pub count: u32,
    /// Their failed deliveries so far.
    pub attempts: u32,
    /// What consumers have changed in the properties of a message, which then is a run of its own.
    pub changes: Option<Bytes>,
}

/// Part of a cold range that is wanted in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// The queue.
    pub queue: QueueId,
    /// The life of the cold range; to be handed back.
    pub generation: u64,
    /// The first sequence number to read.
    pub from: u64,
    /// The number to stop before.
    pub to: u64,
    /// Messages after which to stop.
    pub messages: usize,
    /// Bytes after which to stop.
    pub bytes: u64,
}
