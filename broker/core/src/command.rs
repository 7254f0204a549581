//! What a door asks for.

use crate::key::QueueId;
use bytes::Bytes;
use postrider_protocol::error::Refusal;
use postrider_protocol::message::Incoming;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::request::{Flow, ReceiveMode, SettleItem, Stamp};
use postrider_protocol::rule::Rule;

/// Where an answer goes: a connection, and the request it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The connection, numbered by the engine.
    pub connection: u64,
    /// The request's number on that connection.
    pub request: u32,
}

/// A receiver on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiverKey {
    /// The connection.
    pub connection: u64,
    /// The receiver's number on it.
    pub handle: u32,
}

/// Whose locks they are: survives the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The client.
    pub client: u128,
    /// The client's receiver.
    pub handle: u32,
}

/// A command that has an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Opens a sender: does the entity take messages, and how large?
    OpenSender {
        /// Who waits for the answer.
        ticket: Ticket,
        /// The queue or topic.
        entity: EntityName,
    },
    /// Opens a receiver.
    OpenReceiver(OpenReceiver),
    /// Grants credit.
    Flow {
        /// Who waits for `Drained`, where asked for.
        ticket: Ticket,
        /// Credit and receiver.
        flow: Flow,
    },
    /// The connection took bytes of deliveries off the receiver's outbox.
    Taken {
        /// The receiver.
        receiver: ReceiverKey,
        /// How many bytes.
        bytes: u64,
    },
    /// Closes a receiver and lets go of its locks.
    CloseReceiver {
        /// Who waits for the answer.
        ticket: Ticket,
        /// The receiver's number.
        handle: u32,
    },
    /// A connection ended: its receivers are gone, their locks run out.
    Disconnected {
        /// The connection.
        connection: u64,
    },
    /// A client said goodbye and will not ask for outcomes again.
    Farewell {
        /// The client.
        client: u128,
    },
    /// Rows of a queue's cold range, as [`crate::effect::Load`] asked for.
    Loaded(Loaded),
    /// A change that must not happen twice.
    Once {
        /// Who waits for the answer.
        ticket: Ticket,
        /// The client.
        client: u128,
        /// Its number for the request.
        stamp: Stamp,
        /// What to change.
        change: Change,
    },
}

/// Opens a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReceiver {
    /// Who waits for the answer.
    pub ticket: Ticket,
    /// Whose locks they will be.
    pub owner: Owner,
    /// What to receive from.
    pub address: Address,
    /// Peek-lock or receive-and-delete.
    pub mode: ReceiveMode,
    /// The lock's duration, or 0 for the entity's own.
    pub lock_duration_ms: u64,
    /// Whether locks are let go when the connection dies.
    pub release_on_disconnect: bool,
    /// Leases that the client still holds messages of.
    pub held: Vec<u64>,
}

/// Rows of a cold range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The queue.
    pub queue: QueueId,
    /// Which life of the cold range was read; another one makes the rows worthless.
    pub generation: u64,
    /// Where reading began.
    pub from: u64,
    /// All pages that begin before this number were read.
    pub to: u64,
    /// First number, page, and state where there is one; in order.
    pub pages: Vec<(u64, Bytes, Option<Bytes>)>,
}

/// A change whose outcome is recorded under the client's stamp.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Sends messages to a queue or topic.
    Publish {
        /// The queue or topic.
        entity: EntityName,
        /// Whether one refused message refuses all.
        atomic: bool,
        /// The messages, or why the door refused them.
        messages: Vec<Result<Incoming, Refusal>>,
    },
    /// Settles locked messages.
    Settle(Vec<SettleItem>),
    /// Creates an entity.
    Create {
        /// Its name.
        name: EntityName,
        /// Its kind.
        kind: EntityKind,
        /// What differs from the defaults.
        options: Options,
        /// A subscription's rules; empty for the default rule.
        rules: Vec<Rule>,
    },
    /// Changes an entity's options.
    Update {
        /// Its name.
        name: EntityName,
        /// What to change.
        options: Options,
    },
    /// Deletes an entity.
    Delete {
        /// Its name.
        name: EntityName,
    },
    /// Adds or replaces a subscription's rule.
    PutRule {
        /// The subscription.
        subscription: EntityName,
        /// Whether the rule must exist or must not.
        replace: bool,
        /// The rule.
        rule: Rule,
    },
    /// Removes a subscription's rule.
    DeleteRule {
        /// The subscription.
        subscription: EntityName,
        /// The rule's name.
        rule: String,
    },
    /// Removes all messages that nobody holds.
    Purge {
        /// The queue.
        address: Address,
    },
}
