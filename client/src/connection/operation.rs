//! What handles ask of the connection, and who waits for the answer.

use super::links::{Event, LinkCell};
use crate::error::Error;
use bytes::Bytes;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{OpenReceiver, Request, Settlement};
use postrider_protocol::token::LockToken;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Where one answer goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Error>>;
/// Where the answers to many items go; the outer error is about all of them.
pub(crate) type Answers<T> = Answer<Vec<Result<T, Error>>>;

/// What became of a message that was sent: it is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOutcome {
    /// The message's sequence number; that of the first one for a duplicate; 0 where a transaction has sent it on its way
    /// to an entity that will give it a number.
    pub sequence: u64,
    /// Its `message_id` was seen within the entity's window; nothing new was stored.
    pub duplicate: bool,
}

/// What the broker says of a link that it opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    /// 0 for a receiver.
    pub max_message_bytes: u64,
    /// 0 for a sender.
    pub lock_duration_ms: u64,
    /// The session that was locked; empty for none.
    pub session_id: String,
    /// UTC milliseconds until when the session's lock holds; 0 without one.
    pub locked_until_ms: u64,
}

/// Who waits for the outcomes of items of a frame, in the frame's order.
pub(crate) enum Waiter<T> {
    One(Answer<T>),
    Many(usize, Answers<T>),
}

impl<T> Waiter<T> {
    /// Takes this waiter's share of the outcomes. Nobody listening any more is fine.
    pub fn resolve(self, outcomes: &mut impl Iterator<Item = Result<T, Error>>) {
        match self {
            Waiter::One(answer) => drop(outcomes.next().map(|outcome| answer.send(outcome))),
            Waiter::Many(items, answer) => drop(answer.send(Ok(outcomes.take(items).collect()))),
        }
    }

    pub fn fail(self, error: Error) {
        match self {
            Waiter::One(answer) => drop(answer.send(Err(error))),
            Waiter::Many(_, answer) => drop(answer.send(Err(error))),
        }
    }
}

/// What a handle asks of the connection.
pub(crate) enum Operation {
    Publish {
        sender: u32,
        message: Bytes,
        weight: usize,
        answer: Answer<SendOutcome>,
    },
    PublishMany {
        sender: u32,
        messages: Vec<Bytes>,
        weight: usize,
        atomic: bool,
        answer: Answers<SendOutcome>,
    },
    Settle {
        token: LockToken,
        settlement: Settlement,
        answer: Answer<Option<u64>>,
    },
    /// At most one frame's worth, all of one shard.
    SettleMany {
        items: Vec<(LockToken, Settlement)>,
        answer: Answers<Option<u64>>,
    },
    /// Anything that is answered by one reply; the connection stamps what is to be stamped.
    Ask {
        request: Box<Request>,
        answer: Answer<Reply>,
    },
    OpenSender {
        handle: u32,
        address: String,
        cell: Arc<LinkCell>,
        answer: Answer<Opened>,
    },
    OpenReceiver {
        open: Box<OpenReceiver>,
        cell: Arc<LinkCell>,
        events: mpsc::Sender<Event>,
        answer: Answer<Opened>,
    },
    /// A request about a receiver that is open.
    AskReceiver {
        handle: u32,
        request: Box<Request>,
        answer: Answer<Reply>,
    },
    /// At most one frame's worth. What is locked goes to the receiver as an event before the answer.
    ReceiveDeferred {
        handle: u32,
        sequences: Vec<u64>,
        answer: Answer<Reply>,
    },
    CloseLink {
        handle: u32,
        answer: Answer<()>,
    },
    Close {
        answer: Answer<()>,
    },
}

impl Operation {
    /// Tells whoever asked that it will not be done.
    pub fn fail(self, error: Error) {
        match self {
            Operation::Publish { answer, .. } => drop(answer.send(Err(error))),
            Operation::PublishMany { answer, .. } => drop(answer.send(Err(error))),
            Operation::Settle { answer, .. } => drop(answer.send(Err(error))),
            Operation::SettleMany { answer, .. } => drop(answer.send(Err(error))),
            Operation::Ask { answer, .. }
            | Operation::AskReceiver { answer, .. }
            | Operation::ReceiveDeferred { answer, .. } => drop(answer.send(Err(error))),
            Operation::OpenSender { answer, .. } | Operation::OpenReceiver { answer, .. } => {
                drop(answer.send(Err(error)));
            }
            Operation::CloseLink { answer, .. } | Operation::Close { answer } => {
                drop(answer.send(Err(error)));
            }
        }
    }
}
