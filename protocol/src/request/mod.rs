//! What a client asks for. One variant a frame; `docs/protocol.md` has the table of opcodes and layouts.

mod layout;

use crate::options::{EntityKind, Options};
use crate::rule::Rule;
use crate::token::LockToken;
use crate::value::Value;
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

/// How a receiver gets its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveMode {
    /// Locked until settled.
    PeekLock,
    /// Gone when handed to the connection.
    ReceiveAndDelete,
}

/// Opens a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReceiver {
    /// The receiver's number on this connection, chosen by the client.
    pub handle: u32,
    /// The queue, subscription or dead-letter queue.
    pub address: String,
    /// Peek-lock or receive-and-delete.
    pub mode: ReceiveMode,
    /// The lock's duration, or 0 for the entity's own.
    pub lock_duration_ms: u64,
    /// Whether locks are let go when the connection dies, instead of running out.
    pub release_on_disconnect: bool,
    /// Leases of this client and handle that it still holds messages of. The broker lets go of its other ones: their
    /// deliveries never arrived.
    pub held: Vec<u64>,
}

/// Grants credit to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The receiver.
    pub handle: u32,
    /// Messages the client has got on this receiver since it was opened.
    pub delivered: u64,
    /// Messages it can take beyond these; 0 means none.
    pub credit: u32,
    /// Give what is ready, take the rest of the credit back, and answer `Drained`.
    pub drain: bool,
}

/// What to do with a locked message.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// It is done with.
    Complete,
    /// Back to its place, one attempt more.
    Abandon {
        /// Milliseconds before it is delivered again.
        delay_ms: u64,
        /// Properties to change.
        properties: Vec<(String, Value)>,
    },
    /// To the dead-letter queue.
    DeadLetter {
        /// A name for the cause.
        reason: String,
        /// Details for a person.
        description: String,
        /// Properties to change.
        properties: Vec<(String, Value)>,
    },
    /// Set aside, to be received by its sequence number.
    Defer {
        /// Properties to change.
        properties: Vec<(String, Value)>,
    },
    /// Back to its place, and the attempt does not count.
    Release,
    /// Keep the lock longer.
    Renew {
        /// From now, in milliseconds; 0 for the receiver's own duration.
        duration_ms: u64,
    },
}

/// One settlement of a run of neighbouring messages of one delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct SettleItem {
    /// The lock of the first message.
    pub token: LockToken,
    /// How many messages, by place in the delivery, starting with the token's; at least 1.
    pub run: u16,
    /// What to do with them.
    pub settlement: Settlement,
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
    /// Entities in the answer, at most [`limits::LISTING_ENTRIES`]; 0 for that many.
    pub limit: u32,
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
    /// Closes a receiver and lets go of what it has not settled.
    CloseReceiver {
        /// The receiver.
        handle: u32,
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
    /// Looks at messages without touching them.
    Peek {
        /// The queue.
        address: String,
        /// The first sequence number to look at.
        from: u64,
        /// Messages in the answer, at most [`limits::LISTING_ENTRIES`]; 0 for that many.
        limit: u32,
    },
    /// Removes all messages that nobody holds.
    Purge {
        /// Makes the request repeatable.
        stamp: Stamp,
        /// The queue.
        address: String,
    },
    /// Asks how the broker is.
    Status,
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
    pub const OPEN_RECEIVER: u8 = 0x20;
    pub const FLOW: u8 = 0x21;
    pub const SETTLE: u8 = 0x22;
    pub const CLOSE_RECEIVER: u8 = 0x23;
    pub const CREATE: u8 = 0x30;
    pub const UPDATE: u8 = 0x31;
    pub const DELETE: u8 = 0x32;
    pub const GET: u8 = 0x33;
    pub const LIST: u8 = 0x34;
    pub const PUT_RULE: u8 = 0x35;
    pub const DELETE_RULE: u8 = 0x36;
    pub const PEEK: u8 = 0x40;
    pub const PURGE: u8 = 0x41;
    pub const STATUS: u8 = 0x50;
}
