//! What clients saw: one entry when something was asked for, one when it was answered. Never the broker's own word.

use bytes::Bytes;
use postrider_client::{Delivery, Id, Message, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Messages that one producer sends at most.
pub const PER_PRODUCER: u64 = 1 << 32;

/// What a consumer does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Done with it.
    Complete,
    /// Once more.
    Abandon,
    /// To the dead letters.
    DeadLetter,
    /// Back, as if it had not been delivered.
    Release,
    /// Keep it for longer.
    Renew,
}

/// A delivery as the checker needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The lease: rises within an entity.
    pub epoch: u64,
    /// Which delivery it is said to be, from 1.
    pub count: u32,
    /// The number in the queue.
    pub sequence: u64,
    /// When it was written down, UTC milliseconds.
    pub when_ms: u64,
    /// Until when it is locked, UTC milliseconds; 0 where that is not to be checked.
    pub until_ms: u64,
    /// Why it is a dead letter.
    pub reason: Option<String>,
}

/// A message that is about to be sent for the first time. A producer's ids rise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// The message.
    pub id: u64,
    /// The queue or topic.
    pub to: String,
    /// It lives until then at least and, once that has passed, need not be there; UTC milliseconds.
    pub expires_ms: Option<u64>,
    /// The session it belongs to.
    pub session: Option<u64>,
}

/// How many messages an address holds, dead letters aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All of them.
    pub active: u64,
    /// Those that a consumer holds.
    pub locked: u64,
    /// Those among its dead letters.
    pub dead_letters: u64,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message is about to be sent.
    Sending(Sending),
    /// It is about to be sent once more, into a window of duplicates.
    SendingAgain {
        /// The message.
        id: u64,
    },
    /// The broker said that it is stored.
    Stored {
        /// The message.
        id: u64,
        /// Its number there.
        sequence: u64,
        /// It was there before.
        duplicate: bool,
    },
    /// The broker said that it does not take it.
    Refused {
        /// The message.
        id: u64,
    },
    /// A message came.
    Delivered {
        /// The message; `None` where it is none that could have been sent, or not as it was sent.
        id: Option<u64>,
        /// Where it was received.
        at: String,
        /// How it was delivered.
        seen: Seen,
    },
    /// A settlement is about to be asked for.
    Settling(Settling),
    /// The broker said that it is done.
    Settled(Settling),
    /// The broker said that it is not, and will not be.
    NotSettled(Settling),
    /// Nothing happened while the broker was asked for its counters and looked through.
    Counted {
        /// Where.
        at: String,
        /// What the broker's counters say.
        counted: Counts,
        /// What a look at all messages found.
        scanned: Counts,
    },
}

/// A settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settling {
    /// The message.
    pub id: u64,
    /// Where it was received.
    pub at: String,
    /// Under which lock.
    pub epoch: u64,
    /// What to do with it.
    pub verb: Verb,
}

/// Entries in the order in which they happened. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct History {
    events: Arc<Mutex<Vec<Event>>>,
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds entries, next to each other.
    pub fn add(&self, events: impl IntoIterator<Item = Event>) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
    }

    /// All entries so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes all entries out.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds deliveries that came from `at`; `read` says which message each one is.
    pub fn delivered(&self, at: &str, deliveries: &[Delivery], read: fn(&Message) -> Option<u64>) {
        let when_ms = now_ms();
        self.add(deliveries.iter().map(|delivery| Event::Delivered {
            id: read(delivery.message()),
            at: at.to_owned(),
            seen: Seen {
                epoch: delivery.epoch(),
                count: delivery.delivery_count(),
                sequence: delivery.sequence(),
                when_ms,
                until_ms: utc_ms(delivery.locked_until()),
                reason: delivery.dead_letter().map(|info| info.reason.clone()),
            },
        }));
    }
}

/// The wall clock, UTC milliseconds.
pub fn now_ms() -> u64 {
    utc_ms(SystemTime::now())
}

fn utc_ms(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).expect("it is not before 1970").as_millis() as u64
}

/// The number of a producer's message.
pub fn id(producer: u64, number: u64) -> u64 {
    producer * PER_PRODUCER + number
}

/// The message of an id: everything in it follows from the id, so that a changed byte shows.
pub fn message(id: u64) -> Message {
    let mut random = fastrand::Rng::with_seed(id);
    let size = random.usize(10..400);
    let body: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size).collect();
    let message = Message::new(Bytes::from(body)).with_id(id).with_subject(format!("s{}", random.u32(..)));
    message.with_property("n", random.i64(..)).with_property("priority", ["high", "low"][random.usize(..2)])
}

/// The id of a message that is just as it was sent.
pub fn read(message: &Message) -> Option<u64> {
    match &message.message_id {
        Some(Id::Number(id)) if self::message(*id) == *message => Some(*id),
        _ => None,
    }
}

/// Whether the message has this value as its priority.
pub fn has_priority(id: u64, priority: &str) -> bool {
    message(id).property("priority") == Some(&Value::from(priority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_shows() {
        let sent = message(id(3, 4));
        assert_eq!(read(&sent), Some(id(3, 4)));
        let mut body = sent.body.to_vec();
        body[5] ^= 1;
        assert_eq!(read(&Message { body: body.into(), ..sent.clone() }), None);
        assert_eq!(read(&Message { subject: None, ..sent.clone() }), None);
        assert_eq!(read(&sent.with_property("more", 1i64)), None);
    }
}
