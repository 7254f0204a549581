//! What a client asks for. One variant a frame; `docs/protocol.md` has the table of opcodes and layouts.

mod check;
mod layout;
mod receiver;
mod settle;
mod transact;

pub use crate::selection::{Cause, Selection, States};
pub use receiver::{Flow, OpenReceiver, ReceiveMode, SessionWish};
pub use settle::{SettleItem, Settlement};
pub use transact::Operation;

use crate::explain::After;
use crate::options::{EntityKind, Options};
use crate::rule::Rule;
use crate::schedule::Schedule;
use crate::trace::TraceCursor;
use bytes::Bytes;

/// The newest version of the protocol that this crate speaks.
pub const VERSION: u16 = 1;

/// Makes a mutating request repeatable: the same client and sequence get the recorded outcome, however often they ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Rises with every mutating request of the client, from 1.
    pub sequence: u64,
    /// The client has the answers to everything below; their outcomes may be forgotten.
    pub floor: u64,
}

/// The first frame of a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Lowest and highest version the client speaks.
    pub versions: (u16, u16),
    /// Bits of optional features the client can use; none are defined in version 1.
    pub features: u64,
    /// Chosen at random by the client once, and kept across reconnects.
    pub client: u128,
    /// What the client calls itself, for people.
    pub name: String,
    /// The secret that authenticates.
    pub token: String,
}

/// Leaves the token out.
impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Hello { versions, client, name, .. } = self;
        write!(f, "Hello {{ versions: {versions:?}, client: {client:032x}, name: {name:?} }}")
    }
}

/// Which entities a listing is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Only this kind.
    pub kind: Option<EntityKind>,
    /// Only names that start so, without regard to case.
    pub prefix: String,
    /// Only names behind this one in order; empty for all.
    pub after: String,
    /// Entities in the answer, at most [`crate::limits::LISTING_ENTRIES`]; 0 for that many.
    pub limit: u32,
}

/// What to do with scheduled messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduledAction {
    /// Remove them.
    Cancel,
    /// Enqueue them now instead of when they are due.
    DeliverNow,
}

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Authenticates; the only request legal before it was answered.
    Hello(Hello),
    /// Asks for a sign of life.
    Ping,
    /// Announces that the client is about to close.
    Goodbye,
    /// Opens a sender.
    OpenSender {
        /// The sender's number on this connection, chosen by the client.
        handle: u32,
        /// The queue or topic.
        address: String,
    },
    /// Closes a sender.
    CloseSender {
        /// The sender.
        handle: u32,
    },
    /// Sends messages.
    Publish {
        /// The sender.
        handle: u32,
        /// Makes the request repeatable.
        stamp: Stamp,
        /// Whether one refused message refuses all.
        atomic: bool,
        /// The messages as [`crate::message`] lays them out.
        messages: Vec<Bytes>,
    },
    /// Acts on messages that wait for their time to be enqueued.
    Scheduled {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The queue or topic that the messages were sent to.
        address: String,
        /// What to do with them.
        action: ScheduledAction,
        /// The numbers they got when they were accepted.
        sequences: Vec<u64>,
    },
    /// Adds a schedule to a queue or topic, or replaces the one of its name.
    PutSchedule {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The queue or topic.
        address: String,
        /// The schedule.
        schedule: Schedule,
    },
    /// Removes a schedule.
    DeleteSchedule {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The queue or topic.
        address: String,
        /// The schedule's name.
        schedule: String,
    },
    /// Asks for the schedules of a queue or topic.
    ListSchedules {
        /// The queue or topic.
        address: String,
        /// Only names behind this one in order; empty for all.
        after: String,
        /// Schedules in the answer, at most [`crate::limits::LISTING_ENTRIES`]; 0 for that many.
        limit: u32,
    },
    /// Opens a receiver.
    OpenReceiver(OpenReceiver),
    /// Grants credit.
    Flow(Flow),
    /// Settles locked messages of one shard.
    Settle {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The settlements, all tokens of one shard.
        items: Vec<SettleItem>,
    },
    /// Does several things, all or nothing.
    Transact {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// What to do, in order.
        operations: Vec<Operation>,
    },
    /// Closes a receiver and lets go of what it has not settled.
    CloseReceiver {
        /// The receiver.
        handle: u32,
    },
    /// Keeps the lock of a receiver's session longer, by the lock's own duration. Harmless to repeat.
    RenewSession {
        /// The receiver that holds the lock.
        handle: u32,
    },
    /// Asks for the state of a session.
    GetSessionState {
        /// The receiver that holds the session's lock.
        handle: u32,
    },
    /// Sets or clears the state of a session.
    SetSessionState {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The receiver that holds the session's lock.
        handle: u32,
        /// Opaque bytes, at most [`crate::limits::SESSION_STATE_BYTES`]; `None` clears.
        state: Option<Bytes>,
    },
    /// Locks deferred messages for a receiver, without credit. They come in a delivery before the answer.
    ReceiveDeferred {
        /// The receiver.
        handle: u32,
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The messages' numbers.
        sequences: Vec<u64>,
    },
    /// Creates an entity.
    Create {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The entity's name.
        name: String,
        /// Queue, topic or subscription.
        kind: EntityKind,
        /// What differs from the defaults.
        options: Options,
        /// A subscription's rules; empty for the default rule.
        rules: Vec<Rule>,
    },
    /// Changes options of an entity.
    Update {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The entity's name.
        name: String,
        /// What to change.
        options: Options,
    },
    /// Deletes an entity with all its messages, a topic with its subscriptions.
    Delete {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The entity's name.
        name: String,
    },
    /// Asks for one entity.
    Get {
        /// The entity's name.
        name: String,
    },
    /// Asks for entities.
    List(Listing),
    /// Adds a rule to a subscription, or replaces one.
    PutRule {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The subscription's name.
        subscription: String,
        /// Whether a rule of that name must exist (and is replaced) or must not.
        replace: bool,
        /// The rule.
        rule: Rule,
    },
    /// Removes a rule from a subscription.
    DeleteRule {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The subscription's name.
        subscription: String,
        /// The rule's name.
        rule: String,
    },
    /// Makes a shadow rule a real one.
    PromoteRule {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The subscription's name.
        subscription: String,
        /// The rule's name.
        rule: String,
    },
    /// Copies what a topic keeps to one of its subscriptions once more.
    Replay {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The subscription's name.
        subscription: String,
        /// Where to begin.
        start: Start,
        /// A filter beside the subscription's rules; empty for none.
        filter: String,
    },
    /// Asks for the rules of a subscription.
    ListRules {
        /// The subscription's name.
        subscription: String,
        /// Only names behind this one in order; empty for all.
        after: String,
        /// Rules in the answer, at most [`crate::limits::LISTING_ENTRIES`]; 0 for that many.
        limit: u32,
    },
    /// Asks what the rules of a topic would say of a message.
    Explain {
        /// The topic's name.
        topic: String,
        /// The message, as it would be published.
        message: Bytes,
        /// Where the answer before this one ended.
        after: After,
        /// Rules in the answer, at most [`crate::limits::LISTING_ENTRIES`]; 0 for that many.
        limit: u32,
    },
    /// Looks at messages without touching them.
    Peek {
        /// The queue.
        address: String,
        /// The first sequence number to look at.
        from: u64,
        /// Messages in the answer, at most [`crate::limits::LISTING_ENTRIES`]; 0 for that many.
        limit: u32,
        /// Only messages in these states.
        states: States,
        /// Only messages that this SQL filter lets through; empty for none.
        filter: String,
    },
    /// Removes messages that nobody holds.
    Purge {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The queue.
        address: String,
        /// Which of the messages examined are removed.
        selection: Selection,
        /// The first sequence number to examine.
        from: u64,
        /// The number to stop before; 0 for no end.
        to: u64,
        /// Messages to examine at most; 0 for the broker's own bound.
        limit: u32,
    },
    /// Moves dead letters back to where they failed.
    Redrive {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The dead-letter queue.
        address: String,
        /// Which of the messages examined are moved.
        selection: Selection,
        /// The first sequence number to examine.
        from: u64,
        /// The number to stop before; 0 for no end.
        to: u64,
        /// Messages to examine at most; 0 for the broker's own bound.
        limit: u32,
        /// Count what would be moved, and move nothing.
        dry_run: bool,
    },
    /// Groups dead letters by why they are there.
    Causes {
        /// The dead-letter queue.
        address: String,
        /// The first sequence number to examine.
        from: u64,
        /// Messages to examine at most; 0 for the broker's own bound.
        limit: u32,
    },
    /// Asks for the sessions of a queue.
    ListSessions {
        /// The queue or subscription.
        address: String,
        /// Only ids behind this one in order; empty for all.
        after: String,
        /// Sessions in the answer, at most [`crate::limits::LISTING_ENTRIES`]; 0 for that many.
        limit: u32,
    },
    /// Asks who receives from a queue, and how its capacity is used.
    Consumers {
        /// The queue, subscription or dead-letter queue.
        address: String,
    },
    /// Asks what happened to the messages of an id.
    Trace {
        /// The id's text.
        message_id: String,
        /// Only in this queue, topic with its subscriptions, or subscription; empty for all.
        entity: String,
        /// Where to begin; the default is the beginning.
        from: TraceCursor,
        /// Steps in the answer, at most [`crate::limits::LISTING_ENTRIES`]; 0 for that many.
        limit: u32,
    },
    /// Asks how the broker is.
    Status,
    /// Makes a backup of the whole store where the broker was told to keep backups.
    Backup {
        /// Remove all but the newest so many backups then; 0: none.
        keep: u32,
    },
    /// Asks which backups there are.
    ListBackups,
}

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the topic's message with this number, or the first one behind it that is kept.
    Sequence(u64),
    /// At the first message that came at this moment or behind it, UTC milliseconds.
    Time(u64),
}

/// Opcodes of requests. Replies have the top bit set.
pub mod opcode {
    #![allow(missing_docs, reason = "each is the variant of `Request` of the same name")]
    pub const HELLO: u8 = 0x01;
    pub const PING: u8 = 0x02;
    pub const GOODBYE: u8 = 0x03;
    pub const OPEN_SENDER: u8 = 0x10;
    pub const PUBLISH: u8 = 0x11;
    pub const CLOSE_SENDER: u8 = 0x12;
    pub const SCHEDULED: u8 = 0x13;
    pub const PUT_SCHEDULE: u8 = 0x14;
    pub const DELETE_SCHEDULE: u8 = 0x15;
    pub const LIST_SCHEDULES: u8 = 0x16;
    pub const OPEN_RECEIVER: u8 = 0x20;
    pub const FLOW: u8 = 0x21;
    pub const SETTLE: u8 = 0x22;
    pub const CLOSE_RECEIVER: u8 = 0x23;
    pub const RENEW_SESSION: u8 = 0x24;
    pub const GET_SESSION_STATE: u8 = 0x25;
    pub const SET_SESSION_STATE: u8 = 0x26;
    pub const RECEIVE_DEFERRED: u8 = 0x27;
    pub const TRANSACT: u8 = 0x28;
    pub const CREATE: u8 = 0x30;
    pub const UPDATE: u8 = 0x31;
    pub const DELETE: u8 = 0x32;
    pub const GET: u8 = 0x33;
    pub const LIST: u8 = 0x34;
    pub const PUT_RULE: u8 = 0x35;
    pub const DELETE_RULE: u8 = 0x36;
    pub const PROMOTE_RULE: u8 = 0x37;
    pub const LIST_RULES: u8 = 0x38;
    pub const EXPLAIN: u8 = 0x39;
    pub const REPLAY: u8 = 0x3a;
    pub const PEEK: u8 = 0x40;
    pub const PURGE: u8 = 0x41;
    pub const REDRIVE: u8 = 0x42;
    pub const CAUSES: u8 = 0x43;
    pub const LIST_SESSIONS: u8 = 0x44;
    pub const CONSUMERS: u8 = 0x45;
    pub const TRACE: u8 = 0x46;
    pub const STATUS: u8 = 0x50;
    pub const BACKUP: u8 = 0x51;
    pub const LIST_BACKUPS: u8 = 0x52;
}
