//! Answers without the words for people: what the model can know.

use bytes::Bytes;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::reply::{Published, Reply, Settled};

/// An answer without the words for people.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Done,
    /// The session is empty where there is none.
    Opened {
        lock_ms: u64,
        session: String,
        until_ms: u64,
    },
    Renewed {
        until_ms: u64,
    },
    State {
        state: Option<Bytes>,
        changed_ms: u64,
    },
    Published(Vec<Result<Taken, Why>>),
    Settled(Vec<Result<Option<u64>, Why>>),
    Worked {
        done: u64,
        examined: u64,
        next: u64,
    },
    Refused(Why),
}

/// A message that was taken in under a number, or that one of that number was before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Taken {
    New(u64),
    Duplicate(u64),
}

/// A refusal without the words for people.
pub type Why = (ErrorCode, String);

/// A refusal of this kind.
pub fn why(code: ErrorCode) -> Why {
    (code, String::new())
}

/// A refusal of a field.
pub fn invalid(field: &str) -> Why {
    (ErrorCode::InvalidArgument, field.to_owned())
}

/// What a refusal says.
pub fn why_of(refusal: &Refusal) -> Why {
    (refusal.code, refusal.field.clone())
}

impl Answer {
    /// What a reply says.
    pub fn of(reply: &Reply) -> Self {
        match reply {
            Reply::Done => Answer::Done,
            Reply::Opened { lock_duration_ms, session_id, locked_until_ms, .. } => Answer::Opened {
                lock_ms: *lock_duration_ms,
                session: session_id.clone(),
                until_ms: *locked_until_ms,
            },
            Reply::SessionRenewed { locked_until_ms } => Answer::Renewed { until_ms: *locked_until_ms },
            Reply::SessionState { state, changed_ms } => {
                Answer::State { state: state.clone(), changed_ms: *changed_ms }
            }
            Reply::Published(runs) => {
                let items = runs.iter().flat_map(|(count, first)| (0..*count).map(|at| first.at(at)));
                Answer::Published(items.map(published).collect())
            }
            Reply::Settled(runs) => {
                let items = runs.iter().flat_map(|(count, item)| (0..*count).map(move |_| item));
                Answer::Settled(items.map(settled).collect())
            }
            Reply::Worked { done, examined, next } => {
                Answer::Worked { done: *done, examined: *examined, next: *next }
            }
            Reply::Refused(refusal) => Answer::Refused(why_of(refusal)),
            other => panic!("{other:?} answers no command"),
        }
    }
}

fn published(item: Published) -> Result<Taken, Why> {
    match item {
        Published::Accepted(sequence) => Ok(Taken::New(sequence)),
        Published::Refused(refusal) => Err(why_of(&refusal)),
        Published::Duplicate(first) => Ok(Taken::Duplicate(first)),
        Published::Underway => panic!("nothing is sent to another shard"),
    }
}

fn settled(item: &Settled) -> Result<Option<u64>, Why> {
    match item {
        Settled::Done => Ok(None),
        Settled::Renewed(until) => Ok(Some(*until)),
        Settled::Refused(refusal) => Err(why_of(refusal)),
    }
}
