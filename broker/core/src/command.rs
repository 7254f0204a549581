//! What a door asks for.

use crate::key::QueueId;
use crate::outbox::{Parcel, Taken};
use bytes::Bytes;
use postrider_protocol::error::Refusal;
use postrider_protocol::explain::After;
use postrider_protocol::message::Incoming;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::request::{
    Flow, ReceiveMode, ScheduledAction, Selection, SessionWish, SettleItem, Stamp, Start, States,
};
use postrider_protocol::rule::Rule;
use postrider_protocol::schedule::Schedule;

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
    /// Keeps the lock of a receiver's session longer.
    RenewSession {
        /// Who waits for the answer.
        ticket: Ticket,
        /// The receiver's number.
        handle: u32,
    },
    /// Asks for the state of the session that a receiver holds.
    GetSessionState {
        /// Who waits for the answer.
        ticket: Ticket,
        /// The receiver's number.
        handle: u32,
    },
    /// Rows of a queue's cold range, as [`crate::effect::Load`] asked for.
    Loaded(Loaded),
    /// Messages from another shard, as [`crate::effect::Effect::Send`] sent them.
    Take {
        /// The shard they come from.
        from: u16,
        /// Numbers and parcels, in order.
        parcels: Vec<(u64, Parcel)>,
    },
    /// What another shard has taken, as [`crate::effect::Effect::Receipt`] says.
    Receipt {
        /// The shard.
        from: u16,
        /// What it has taken.
        taken: Taken,
    },
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
    /// Its share of the work, where the entity shares it by weight.
    pub weight: u32,
    /// The session it wants.
    pub session: SessionWish,
    /// How long it waits for such a session, in milliseconds.
    pub wait_ms: u64,
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
    /// Does several things, all or nothing.
    Transact(Vec<Operation>),
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
    /// Makes a shadow rule a real one.
    PromoteRule {
        /// The subscription.
        subscription: EntityName,
        /// The rule's name.
        rule: String,
    },
    /// Copies what a topic keeps to one of its subscriptions once more.
    Replay {
        /// The subscription.
        subscription: EntityName,
        /// Where to begin.
        start: Start,
        /// A filter beside its rules; empty for none.
        filter: String,
    },
    /// Cancels scheduled messages, or delivers them now.
    Scheduled {
        /// The queue or topic they were sent to.
        entity: EntityName,
        /// What to do.
        action: ScheduledAction,
        /// Their numbers.
        sequences: Vec<u64>,
    },
    /// Adds a schedule to a queue or topic, or replaces one.
    PutSchedule {
        /// The queue or topic.
        entity: EntityName,
        /// The schedule.
        schedule: Schedule,
    },
    /// Removes a schedule.
    DeleteSchedule {
        /// The queue or topic.
        entity: EntityName,
        /// The schedule's name.
        schedule: String,
    },
    /// Locks deferred messages for a receiver of the same connection.
    ReceiveDeferred {
        /// The receiver's number.
        handle: u32,
        /// The messages' numbers.
        sequences: Vec<u64>,
    },
    /// Sets or clears the state of the session that a receiver of the same connection holds.
    SetSessionState {
        /// The receiver's number.
        handle: u32,
        /// The state; `None` clears it.
        state: Option<Bytes>,
    },
    /// Removes messages that nobody holds.
    Purge {
        /// The queue.
        address: Address,
        /// Which ones, and how many to look at.
        portion: Portion,
    },
    /// Moves dead letters back to where they failed.
    Redrive {
        /// The dead-letter queue.
        address: Address,
        /// Which ones, and how many to look at.
        portion: Portion,
        /// Whether to count only.
        dry_run: bool,
    },
}

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Sends messages.
    Send {
        /// The queue or topic.
        entity: EntityName,
        /// The messages.
        messages: Vec<Incoming>,
    },
    /// Settles locked messages.
    Settle(SettleItem),
    /// Removes a message that nobody holds.
    Remove {
        /// The queue.
        address: Address,
        /// The message's number.
        sequence: u64,
    },
}

/// A part of a queue that bulk work is done on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Portion {
    /// Which messages.
    pub selection: Selection,
    /// The first number to look at.
    pub from: u64,
    /// The number to stop before; 0 for none.
    pub to: u64,
    /// Messages to look at; 0 for as many as one request should.
    pub limit: u32,
}

/// A question about a queue or topic, which changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Which messages are there?
    Peek {
        /// The first number to look at.
        from: u64,
        /// Messages in the answer; 0 for as many as it may have.
        limit: u32,
        /// Only messages in these states.
        states: States,
        /// Only messages that this SQL filter lets through; empty for none.
        filter: String,
    },
    /// Why are dead letters there?
    Causes {
        /// The first number to look at.
        from: u64,
        /// Messages to look at; 0 for as many as one request should.
        limit: u32,
    },
    /// Which sessions are there?
    Sessions {
        /// Only ids behind this one.
        after: String,
        /// Sessions in the answer; 0 for as many as it may have.
        limit: u32,
    },
    /// Which schedules are there, of the queue or topic itself?
    Schedules {
        /// Only names behind this one.
        after: String,
        /// Schedules in the answer; 0 for as many as it may have.
        limit: u32,
    },
    /// Which rules are there, of the subscription itself?
    Rules {
        /// Only names behind this one.
        after: String,
        /// Rules in the answer; 0 for as many as it may have.
        limit: u32,
    },
    /// What would the rules do with a message, of the topic itself?
    Explain {
        /// The message, checked as one that is published.
        message: Box<Incoming>,
        /// Where the answer before this one ended.
        after: After,
        /// Rules in the answer; 0 for as many as it may have.
        limit: u32,
    },
    /// Who receives, and how much do they hold?
    Consumers,
}
