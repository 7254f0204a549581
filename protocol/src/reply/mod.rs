//! What the broker answers and sends by itself. One variant a frame.

mod backup;
mod delivery;
mod layout;
mod peeked;
mod queue;

pub use crate::selection::PeekState;
pub use backup::BackupInfo;
pub use delivery::{Delivered, Delivery, put_delivered, put_delivery_head};
pub use peeked::Peeked;
pub use queue::{CauseInfo, ConsumerInfo, ConsumersInfo, SessionInfo};

use crate::entity::EntityInfo;
use crate::error::Refusal;
use crate::explain::Explained;
use crate::rule::RuleInfo;
use crate::schedule::ScheduleInfo;
use crate::trace::{Step, TraceCursor};
use bytes::Bytes;

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The version both sides speak from here on.
    pub version: u16,
    /// Bits of the features that both sides can use.
    pub features: u64,
    /// The cluster, drawn once when its store was made.
    pub cluster: u128,
    /// The node within the cluster, from 1.
    pub node: u64,
    /// What all nodes of the cluster can do; rises with upgrades.
    pub feature_level: u32,
    /// Silence after which to send a ping.
    pub heartbeat_ms: u64,
    /// Bytes of the largest frame the broker takes.
    pub frame_bytes: u32,
    /// Requests that may wait for answers.
    pub requests_in_flight: u32,
    /// Senders and receivers that may be open.
    pub links: u32,
}

/// Neighbouring equal results: so many items of a request, in its order, with the same outcome.
pub type Runs<T> = Vec<(u32, T)>;

/// What became of published messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// On stable storage, under this sequence number; the run's next ones follow it.
    Accepted(u64),
    /// The id was seen within the window; nothing new was stored.
    Duplicate(u64),
    /// Not stored.
    Refused(Refusal),
    /// On its way to an entity in another shard, where it arrives once and gets its number.
    Underway,
}

/// What became of settlements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Durably done.
    Done,
    /// Locked until then, UTC milliseconds.
    Renewed(u64),
    /// Not done.
    Refused(Refusal),
}

/// How the broker is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusInfo {
    /// The broker's version.
    pub version: String,
    /// The cluster.
    pub cluster: u128,
    /// The node.
    pub node: u64,
    /// Milliseconds since it started to serve.
    pub uptime_ms: u64,
    /// Authenticated connections.
    pub connections: u64,
    /// Entities of all kinds.
    pub entities: u64,
    /// Messages in all queues, locked and dead-lettered ones included.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Messages accepted since the start.
    pub published: u64,
    /// Messages delivered since the start.
    pub delivered: u64,
    /// Messages settled since the start.
    pub settled: u64,
    /// Synced batches since the start.
    pub commits: u64,
    /// Queues and subscriptions whose circuit breaker is open or half-open.
    pub breakers_open: u64,
    /// 1 while publishers are refused because the disk is nearly full, else 0.
    pub storage_full: u64,
    /// Bytes that were free on the broker's disk when it looked last.
    pub disk_free: u64,
    /// Bytes of the disk that are kept for what makes room; 0: none.
    pub disk_reserve: u64,
}

/// A reply, or a frame that the broker sends by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The connection is authenticated.
    Welcome(Welcome),
    /// A sign of life.
    Pong,
    /// The broker is about to close the connection, and why.
    Goodbye(Refusal),
    /// Done; there is nothing more to say.
    Done,
    /// The request was not carried out.
    Refused(Refusal),
    /// The link is open.
    Opened {
        /// Bytes of the largest message the entity takes.
        max_message_bytes: u64,
        /// The lock's duration; 0 for a sender.
        lock_duration_ms: u64,
        /// The session that was locked; empty for none.
        session_id: String,
        /// UTC milliseconds until when the session's lock holds; 0 without one.
        locked_until_ms: u64,
    },
    /// What became of the messages.
    Published(Runs<Published>),
    /// What became of the settlements.
    Settled(Runs<Settled>),
    /// All that was ready was sent; the receiver has no credit any more.
    Drained {
        /// The receiver.
        handle: u32,
        /// Messages delivered on it since it was opened.
        delivered: u64,
    },
    /// Messages for a receiver.
    Delivery(Delivery),
    /// The broker closed a receiver, and why.
    ReceiverClosed {
        /// The receiver.
        handle: u32,
        /// Why.
        refusal: Refusal,
    },
    /// The session's lock holds longer.
    SessionRenewed {
        /// UTC milliseconds until when.
        locked_until_ms: u64,
    },
    /// The state of a session.
    SessionState {
        /// Opaque bytes; `None` when it was never set, or cleared.
        state: Option<Bytes>,
        /// When it was set or cleared last, UTC milliseconds; 0 when it never was.
        changed_ms: u64,
    },
    /// One entity.
    Entity(Box<EntityInfo>),
    /// A page of a listing.
    Entities {
        /// In the order of their names.
        entities: Vec<EntityInfo>,
        /// Whether there are more behind the last one.
        more: bool,
    },
    /// A page of a subscription's rules.
    Rules {
        /// In the order of their names.
        rules: Vec<RuleInfo>,
        /// Whether there are more behind the last one.
        more: bool,
    },
    /// A replay begins, of the topic's numbers from one on and before another; of none where they are the same.
    Replaying {
        /// The first one.
        from: u64,
        /// The one behind the last.
        to: u64,
    },
    /// What the rules of a topic say of a message.
    Explained(Explained),
    /// Messages that were peeked at.
    Peeked {
        /// In the order of their numbers.
        messages: Vec<Peeked>,
        /// The number to go on from; 0: that was all.
        next: u64,
    },
    /// What a bulk request did.
    Worked {
        /// Messages removed or moved.
        done: u64,
        /// Messages looked at.
        examined: u64,
        /// The number to go on from; 0: all done.
        next: u64,
    },
    /// Why dead letters are there.
    Causes {
        /// One entry for each cause.
        causes: Vec<CauseInfo>,
        /// The number to go on from; 0: that was all.
        next: u64,
    },
    /// A page of a queue's sessions.
    Sessions {
        /// In the order of their ids.
        sessions: Vec<SessionInfo>,
        /// Whether there are more behind the last one.
        more: bool,
    },
    /// A page of the schedules of a queue or topic.
    Schedules {
        /// In the order of their names.
        schedules: Vec<ScheduleInfo>,
        /// Whether there are more behind the last one.
        more: bool,
    },
    /// Who receives from a queue.
    Consumers(ConsumersInfo),
    /// What happened to the messages of an id.
    Traced {
        /// The steps, of one shard after the other, each shard's in the order they happened.
        steps: Vec<Step>,
        /// Where to go on; `None`: that was all.
        next: Option<TraceCursor>,
    },
    /// How the broker is.
    Status(StatusInfo),
    /// A backup was made.
    BackedUp {
        /// The backup.
        backup: BackupInfo,
        /// Bytes of the files that were not in the directory before.
        added_bytes: u64,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// The backups that there are, the oldest first.
    Backups(Vec<BackupInfo>),
}

/// Opcodes of replies.
pub mod opcode {
    #![allow(missing_docs, reason = "each is the variant of `Reply` of the same name")]
    pub const WELCOME: u8 = 0x81;
    pub const PONG: u8 = 0x82;
    pub const GOODBYE: u8 = 0x83;
    pub const DONE: u8 = 0x84;
    pub const REFUSED: u8 = 0x85;
    pub const OPENED: u8 = 0x90;
    pub const PUBLISHED: u8 = 0x91;
    pub const DELIVERY: u8 = 0xa0;
    pub const DRAINED: u8 = 0xa1;
    pub const SETTLED: u8 = 0xa2;
    pub const RECEIVER_CLOSED: u8 = 0xa3;
    pub const SESSION_RENEWED: u8 = 0xa4;
    pub const SESSION_STATE: u8 = 0xa5;
    pub const ENTITY: u8 = 0xb0;
    pub const ENTITIES: u8 = 0xb1;
    pub const RULES: u8 = 0xb2;
    pub const EXPLAINED: u8 = 0xb3;
    pub const REPLAYING: u8 = 0xb4;
    pub const PEEKED: u8 = 0xc0;
    pub const WORKED: u8 = 0xc1;
    pub const CAUSES: u8 = 0xc2;
    pub const SESSIONS: u8 = 0xc3;
    pub const CONSUMERS: u8 = 0xc4;
    pub const SCHEDULES: u8 = 0xc5;
    pub const TRACED: u8 = 0xc6;
    pub const STATUS: u8 = 0xd0;
    pub const BACKED_UP: u8 = 0xd1;
    pub const BACKUPS: u8 = 0xd2;
}
