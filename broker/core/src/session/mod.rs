//! What is known of sessions: messages of one id, in order, for one receiver at a time. What is done with them is in
//! `crate::verbs::sessions`.
//!
//! The messages stay in their pages. Beside them is an index row for each, by session and number, and a header row for
//! each session. In memory is one [`Session`] for each that has messages, a state or a lock, some 200 bytes, and the
//! numbers of the messages that are locked: never the backlog.

mod row;
mod waits;

pub use row::SessionRow;
pub(crate) use waits::{Waiting, Waits};

use crate::command::Owner;
use postrider_protocol::request::SessionWish;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who holds a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lock {
    pub owner: Owner,
    /// Until when, UTC milliseconds: what is stored and told.
    pub until_ms: u64,
    /// The same on the monotonic clock, on which it runs.
    pub deadline_ms: u64,
    /// How long it lasts from a renewal on, in milliseconds.
    pub duration_ms: u64,
}

/// A session with messages, a state or a lock.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub id: Arc<str>,
    pub messages: u64,
    /// The number of its oldest message, and when that came, UTC milliseconds; 0 without messages.
    pub oldest: (u64, u64),
    pub lock: Option<Lock>,
    /// No message below this number can be given out.
    pub cursor: u64,
    /// Whether it was found to have nothing that can be given out, and nothing has happened in it since.
    pub idle: bool,
    /// Bytes of its state, where it has one.
    pub state_bytes: Option<u64>,
    /// UTC milliseconds; 0 for never.
    pub state_changed_ms: u64,
}

/// What a moment on the monotonic clock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A session's lock runs out.
    Lock(u64),
    /// Somebody has waited long enough.
    Wait(u64),
}

impl Session {
    fn is_free(&self) -> bool {
        self.lock.is_none() && self.messages > 0 && !self.idle
    }

    /// Whether nothing is left that has to be kept.
    pub fn is_over(&self) -> bool {
        self.messages == 0 && self.lock.is_none() && self.state_bytes.is_none()
    }
}

/// The sessions of a queue, numbered from 1.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    pub by_id: BTreeMap<Arc<str>, u64>,
    pub all: BTreeMap<u64, Session>,
    /// Sessions that nobody holds and that may have something to give out, by the number of their oldest message.
    pub free: BTreeSet<(u64, u64)>,
    pub by_owner: BTreeMap<Owner, u64>,
    /// The session of each locked message, by number.
    pub locked: BTreeMap<u64, u64>,
    /// The same of the messages that came in this turn.
    pub fresh: BTreeMap<u64, u64>,
    /// Sessions where something has happened in this turn: a message may go, or the session itself.
    pub stirred: BTreeSet<u64>,
    /// Sessions whose lock has ended, which go to those who wait for them by name.
    pub freed: BTreeSet<u64>,
    /// Sessions whose next message waits for capacity units.
    pub starved: BTreeSet<u64>,
    /// In the order they came.
    pub waiting: BTreeMap<u64, Waiting>,
    /// The same by what they wait for: an id, or any session.
    pub lines: BTreeSet<(Option<String>, u64)>,
    /// Sessions whose header has to be stored.
    pub dirty: BTreeSet<u64>,
    last: u64,
    last_waiting: u64,
}

impl Sessions {
    /// The number of a session, which is made where there is none.
    pub fn open(&mut self, id: &str) -> u64 {
        if let Some(number) = self.by_id.get(id) {
            return *number;
        }
        self.last += 1;
        let empty = SessionRow { session: self.last, ..SessionRow::default() };
        self.insert(id, &empty, None);
        self.dirty.insert(self.last);
        self.last
    }

    /// Takes over a session that was stored.
    pub fn insert(&mut self, id: &str, row: &SessionRow, lock: Option<Lock>) {
        let id: Arc<str> = id.into();
        self.last = self.last.max(row.session);
        self.by_id.insert(id.clone(), row.session);
        let session = Session {
            id,
            messages: row.messages,
            oldest: (row.oldest, row.oldest_ms),
            lock,
            cursor: 0,
            idle: row.idle,
            state_bytes: row.state_bytes,
            state_changed_ms: row.state_changed_ms,
        };
        if let Some(lock) = lock {
            self.by_owner.insert(lock.owner, row.session);
        } else if session.is_free() {
            self.free.insert((session.oldest.0, row.session));
        }
        self.all.insert(row.session, session);
    }

    /// Changes a session, and where it stands among the free ones.
    pub fn update(&mut self, number: u64, change: impl FnOnce(&mut Session)) {
        let Some(session) = self.all.get_mut(&number) else { return };
        self.free.remove(&(session.oldest.0, number));
        if let Some(lock) = session.lock {
            self.by_owner.remove(&lock.owner);
        }
        change(session);
        match session.lock {
            Some(lock) => _ = self.by_owner.insert(lock.owner, number),
            None if session.is_free() => _ = self.free.insert((session.oldest.0, number)),
            None => {}
        }
        self.dirty.insert(number);
    }

    /// The lock that an owner holds, and on which session.
    pub fn held_by(&self, owner: Owner) -> Option<(u64, Lock)> {
        let number = *self.by_owner.get(&owner)?;
        Some((number, self.all.get(&number)?.lock?))
    }

    /// Something has happened in a session: it is looked at when the turn ends.
    pub fn stir(&mut self, number: u64) {
        self.stirred.insert(number);
        if self.all.get(&number).is_some_and(|session| session.idle) {
            self.update(number, |session| session.idle = false);
        }
    }

    /// Lets somebody wait; returns the number to find them by.
    pub fn park(&mut self, waiting: Waiting) -> u64 {
        self.last_waiting += 1;
        self.lines.insert((wanted(&waiting.open.session), self.last_waiting));
        self.waiting.insert(self.last_waiting, waiting);
        self.last_waiting
    }

    /// Lets somebody wait no more.
    pub fn unpark(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        self.lines.remove(&(wanted(&waiting.open.session), number));
        Some(waiting)
    }

    /// Who waits for longest for a session of this id, or for any.
    pub fn first_waiting(&self, id: Option<&str>) -> Option<u64> {
        let line = |number| (id.map(str::to_owned), number);
        self.lines.range(line(0)..=line(u64::MAX)).next().map(|(_, number)| *number)
    }

    /// Checks what must always be true between turns; says what is not.
    pub fn check(&self, active: u64, locked: u64) -> Result<(), String> {
        let messages: u64 = self.all.values().map(|session| session.messages).sum();
        let claims = [
            ("the messages of the sessions are those of the queue", messages == active),
            ("the locked messages are those of the queue", self.locked.len() as u64 == locked),
            (
                "what is free can be accepted",
                self.all.values().filter(|session| session.is_free()).count() == self.free.len(),
            ),
            ("who waits stands in a line", self.lines.len() == self.waiting.len()),
            (
                "who can have a session does not wait",
                self.free.is_empty() || self.first_waiting(None).is_none(),
            ),
            ("an owner holds one session", {
                self.all.values().filter(|session| session.lock.is_some()).count() == self.by_owner.len()
            }),
            ("every session has an id", self.by_id.len() == self.all.len()),
            ("nothing is left to be sealed", {
                self.dirty.is_empty()
                    && self.fresh.is_empty()
                    && self.stirred.is_empty()
                    && self.freed.is_empty()
            }),
        ];
        match claims.iter().find(|(_, holds)| !holds) {
            None => Ok(()),
            Some((claim, _)) => Err(format!("sessions: not true: {claim}: {self:?}")),
        }
    }
}

/// The id that is waited for; `None` for any.
fn wanted(wish: &SessionWish) -> Option<String> {
    match wish {
        SessionWish::Named(id) => Some(id.clone()),
        _ => None,
    }
}
