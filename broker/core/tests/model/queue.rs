//! A queue as naive as it can be: all messages, one by one.

use bytes::Bytes;
use postrider_core::command::{Owner, ReceiverKey};
use postrider_core::context::Now;
use postrider_protocol::reply::PeekState;
use postrider_protocol::token::LockToken;
use std::collections::BTreeMap;

/// Somebody's lock on a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    pub token: LockToken,
    pub owner: Owner,
    /// The receiver, while it is open.
    pub receiver: Option<ReceiverKey>,
    pub until_ms: u64,
    pub deadline_ms: u64,
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub bytes: Bytes,
    pub attempts: u32,
    pub lock: Option<Lock>,
    /// Levels below the most urgent.
    pub rank: u64,
    /// The number that it got first, and when: on the wall clock, as all that follows.
    pub enqueued: (u64, u64),
    /// When it came into this queue, and when it expires.
    pub since_ms: u64,
    pub expires_ms: u64,
    /// Until when it waits for its next attempt.
    pub delayed_ms: Option<u64>,
    pub deferred: bool,
    /// Why it was dead-lettered.
    pub dead: Option<String>,
    pub redriven: u32,
    /// Units it takes while it is in flight, and what it shares with others.
    pub cost: u64,
    pub key: Option<String>,
    pub session: Option<String>,
    /// Bytes of its record, as it came into the queue.
    pub size: u64,
}

/// A queue.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    pub next: u64,
    pub messages: BTreeMap<u64, Message>,
}

impl Message {
    pub fn is_ready(&self) -> bool {
        self.state() == PeekState::Ready
    }

    pub fn state(&self) -> PeekState {
        match (&self.lock, self.delayed_ms, self.deferred) {
            (Some(_), ..) => PeekState::Locked,
            (None, Some(_), _) => PeekState::Delayed,
            (None, None, true) => PeekState::Deferred,
            (None, None, false) => PeekState::Ready,
        }
    }

    /// Until when it stays in its state; 0 where time does not decide that.
    pub fn until_ms(&self) -> u64 {
        self.lock.as_ref().map(|lock| lock.until_ms).or(self.delayed_ms).unwrap_or(0)
    }
}

impl Queue {
    pub fn new() -> Self {
        Queue { next: 1, messages: BTreeMap::new() }
    }

    pub fn append(&mut self, mut message: Message) -> u64 {
        let sequence = self.next;
        self.next += 1;
        message.enqueued.0 = if message.redriven == 0 { sequence } else { message.enqueued.0 };
        self.messages.insert(sequence, message);
        sequence
    }

    pub fn active(&self) -> u64 {
        self.messages.len() as u64
    }

    pub fn locked(&self) -> u64 {
        self.messages.values().filter(|message| message.lock.is_some()).count() as u64
    }

    /// The message that has to be delivered next: the oldest of its priority, and a level is worth a minute.
    pub fn head(&self) -> Option<u64> {
        let heads = (0..10).filter_map(|rank| {
            let ready = |message: &Message| message.rank == rank && message.is_ready();
            let (sequence, message) = self.messages.iter().find(|(_, message)| ready(message))?;
            Some((message.since_ms + rank * 60_000, rank, *sequence))
        });
        heads.min().map(|(.., sequence)| sequence)
    }

    /// Messages that wait for their next attempt.
    pub fn delayed(&self) -> u64 {
        self.messages.values().filter(|message| message.delayed_ms.is_some()).count() as u64
    }

    /// Messages that were set aside.
    pub fn deferred(&self) -> u64 {
        self.messages.values().filter(|message| message.deferred).count() as u64
    }

    /// Messages whose time is up and that nobody holds.
    pub fn expired(&self, now: Now) -> Vec<u64> {
        let expired = |message: &Message| message.lock.is_none() && message.expires_ms <= now.wall_ms;
        self.messages.iter().filter(|(_, message)| expired(message)).map(|(sequence, _)| *sequence).collect()
    }

    /// The message that a token's lock is on.
    pub fn locked_by(&self, token: LockToken) -> Option<u64> {
        let holds = |message: &Message| message.lock.as_ref().is_some_and(|lock| lock.token == token);
        self.messages.iter().find(|(_, message)| holds(message)).map(|(sequence, _)| *sequence)
    }

    /// Messages whose locks have run out.
    pub fn due(&self, now: Now) -> Vec<u64> {
        let due =
            |message: &Message| message.lock.as_ref().is_some_and(|lock| lock.deadline_ms <= now.mono_ms);
        self.messages.iter().filter(|(_, message)| due(message)).map(|(sequence, _)| *sequence).collect()
    }

    pub fn locks_mut(&mut self) -> impl Iterator<Item = &mut Lock> {
        self.messages.values_mut().filter_map(|message| message.lock.as_mut())
    }

    pub fn locks(&self) -> impl Iterator<Item = &Lock> {
        self.messages.values().filter_map(|message| message.lock.as_ref())
    }
}
