//! The key space: every kind of row there is, and how its key is laid out.
//!
//! ```text
//! kind  row            key behind the kind byte
//! 0x01  Store          -
//! 0x10  ShardState     u16 shard
//! 0x20  Entity         u16 shard | u64 entity
//! 0x21  Rule           u16 shard | u64 entity | name
//! 0x22  Schedule       u16 shard | u64 entity | name
//! 0x23  Replay         u16 shard | u64 entity
//! 0x30  QueueState     u16 shard | u64 entity | u8 lane
//! 0x40  Page           u16 shard | u64 entity | u8 lane | u64 first sequence number
//! 0x41  PageState      u16 shard | u64 entity | u8 lane | u64 first sequence number
//! 0x42  References     u16 shard | u64 topic | u64 first sequence number
//! 0x43  Leaving        u16 shard | u64 entity | u8 lane | u64 from
//! 0x48  Scheduled      u16 shard | u64 entity | u8 lane | u64 sequence number
//! 0x50  Lease          u16 shard | u64 lease
//! 0x60  Outcomes       u16 shard | u128 client | u64 first request sequence
//! 0x70  Alarm          u16 shard | u64 when_ms | u64 entity | u8 lane | u8 what | u64 number
//! 0x80  Generation     u16 shard | u64 entity
//! 0x81  SeenId         u16 shard | u64 entity | u64 generation | text of the id
//! 0x88  Session        u16 shard | u64 entity | text of the session's id
//! 0x89  SessionMessage u16 shard | u64 entity | u64 session | u64 sequence number
//! 0x8a  SessionState   u16 shard | u64 entity | u64 session
//! 0x90  Parcel         u16 shard | u16 to shard | u64 number
//! 0x91  Taken          u16 shard | u16 from shard
//! 0x98  Journal        u16 shard | u64 number
//! ```
//!
//! All integers are big-endian, so that the order of the bytes is the order of the numbers.

mod alarm;
mod range;
#[cfg(test)]
mod tests;

pub use alarm::{Alarm, Wake};
pub use range::KeyRange;

use crate::damage::Damage;
use bytes::{Buf, BufMut};
use postrider_protocol::name::Lane;

/// A queue: one lane of one entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId {
    /// The entity, numbered within its shard from 1.
    pub entity: u64,
    /// Which of its queues.
    pub lane: Lane,
}

impl QueueId {
    /// The entity's queue itself.
    pub fn main(entity: u64) -> Self {
        QueueId { entity, lane: Lane::Main }
    }

    /// The entity's dead-letter queue.
    pub fn dead_letter(entity: u64) -> Self {
        QueueId { entity, lane: Lane::DeadLetter }
    }

    /// The entity's queue of what could not be passed on.
    pub fn transfer(entity: u64) -> Self {
        QueueId { entity, lane: Lane::Transfer }
    }

    /// All queues of an entity.
    pub fn all(entity: u64) -> [Self; 3] {
        Lane::ALL.map(|lane| QueueId { entity, lane })
    }
}

/// A page of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPage {
    /// The topic, numbered within its shard.
    pub topic: u64,
    /// The first number in the page.
    pub first: u64,
}

impl TopicPage {
    /// The key of its row.
    pub fn key(self, shard: u16) -> Key {
        Key::Page(shard, QueueId::main(self.topic), self.first)
    }
}

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// What the store is: format, cluster, node, shards.
    Store,
    /// A shard's position and counters.
    ShardState(u16),
    /// An entity: name, kind, options.
    Entity(u16, u64),
    /// A rule of a subscription.
    Rule(u16, u64, String),
    /// A schedule of a queue or topic.
    Schedule(u16, u64, String),
    /// What is still to be replayed to a subscription.
    Replay(u16, u64),
    /// A queue's counters.
    QueueState(u16, QueueId),
    /// Messages that came in one turn.
    Page(u16, QueueId, u64),
    /// What became of a page's messages.
    PageState(u16, QueueId, u64),
    /// How many pages refer to a topic's page.
    References(u16, TopicPage),
    /// Pages that are on their way out.
    Leaving(u16, QueueId, u64),
    /// A message that is to be enqueued at a moment.
    Scheduled(u16, QueueId, u64),
    /// The locks of one delivery.
    Lease(u16, u64),
    /// Answers that a client may ask for again.
    Outcomes(u16, u128, u64),
    /// Something is to happen by itself: in the order of when.
    Alarm(u16, Alarm),
    /// The generation of ids that an entity remembers now.
    Generation(u16, u64),
    /// An id that an entity has seen, in a generation.
    SeenId(u16, u64, u64, String),
    /// A session of a queue: counts, lock.
    Session(u16, u64, String),
    /// Where a session's message is.
    SessionMessage(u16, u64, u64, u64),
    /// What a session's consumers keep with it.
    SessionState(u16, u64, u64),
    /// Messages on their way to another shard.
    Parcel(u16, u16, u64),
    /// What was taken from another shard.
    Taken(u16, u16),
    /// What a turn decided about its messages.
    Journal(u16, u64),
}

const STORE: u8 = 0x01;
const SHARD_STATE: u8 = 0x10;
const ENTITY: u8 = 0x20;
const RULE: u8 = 0x21;
const SCHEDULE: u8 = 0x22;
const REPLAY: u8 = 0x23;
const QUEUE_STATE: u8 = 0x30;
const PAGE: u8 = 0x40;
const PAGE_STATE: u8 = 0x41;
const REFERENCES: u8 = 0x42;
const LEAVING: u8 = 0x43;
const SCHEDULED: u8 = 0x48;
const LEASE: u8 = 0x50;
const OUTCOMES: u8 = 0x60;
const ALARM: u8 = 0x70;
const GENERATION: u8 = 0x80;
const SEEN_ID: u8 = 0x81;
const SESSION: u8 = 0x88;
const SESSION_MESSAGE: u8 = 0x89;
const SESSION_STATE: u8 = 0x8a;
const PARCEL: u8 = 0x90;
const TAKEN: u8 = 0x91;
const JOURNAL: u8 = 0x98;

impl Key {
    /// The key's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(28);
        match self {
            Key::Store => out.put_u8(STORE),
            Key::ShardState(shard) => put_shard(&mut out, SHARD_STATE, *shard),
            Key::Entity(shard, entity) => put_entity(&mut out, ENTITY, *shard, *entity),
            Key::Rule(shard, entity, name) => {
                put_entity(&mut out, RULE, *shard, *entity);
                out.put_slice(name.as_bytes());
            }
            Key::Schedule(shard, entity, name) => {
                put_entity(&mut out, SCHEDULE, *shard, *entity);
                out.put_slice(name.as_bytes());
            }
            Key::Replay(shard, entity) => put_entity(&mut out, REPLAY, *shard, *entity),
            Key::QueueState(shard, queue) => put_queue(&mut out, QUEUE_STATE, *shard, *queue),
            Key::Page(shard, queue, first) => {
                put_queue(&mut out, PAGE, *shard, *queue);
                out.put_u64(*first);
            }
            Key::PageState(shard, queue, first) => {
                put_queue(&mut out, PAGE_STATE, *shard, *queue);
                out.put_u64(*first);
            }
            Key::References(shard, page) => {
                put_entity(&mut out, REFERENCES, *shard, page.topic);
                out.put_u64(page.first);
            }
            Key::Leaving(shard, queue, from) => {
                put_queue(&mut out, LEAVING, *shard, *queue);
                out.put_u64(*from);
            }
            Key::Scheduled(shard, queue, number) => {
                put_queue(&mut out, SCHEDULED, *shard, *queue);
                out.put_u64(*number);
            }
            Key::Lease(shard, lease) => {
                put_shard(&mut out, LEASE, *shard);
                out.put_u64(*lease);
            }
            Key::Outcomes(shard, client, first) => {
                put_shard(&mut out, OUTCOMES, *shard);
                out.put_u128(*client);
                out.put_u64(*first);
            }
            Key::Alarm(shard, alarm) => {
                put_shard(&mut out, ALARM, *shard);
                alarm.put(&mut out);
            }
            Key::Generation(shard, entity) => put_entity(&mut out, GENERATION, *shard, *entity),
            Key::SeenId(shard, entity, generation, id) => {
                out.reserve(id.len());
                put_entity(&mut out, SEEN_ID, *shard, *entity);
                out.put_u64(*generation);
                out.put_slice(id.as_bytes());
            }
            Key::Session(shard, entity, id) => {
                put_entity(&mut out, SESSION, *shard, *entity);
                out.put_slice(id.as_bytes());
            }
            Key::SessionMessage(shard, entity, session, number) => {
                put_entity(&mut out, SESSION_MESSAGE, *shard, *entity);
                out.put_u64(*session);
                out.put_u64(*number);
            }
            Key::SessionState(shard, entity, session) => {
                put_entity(&mut out, SESSION_STATE, *shard, *entity);
                out.put_u64(*session);
            }
            Key::Parcel(shard, to, number) => {
                put_shard(&mut out, PARCEL, *shard);
                out.put_u16(*to);
                out.put_u64(*number);
            }
            Key::Taken(shard, from) => {
                put_shard(&mut out, TAKEN, *shard);
                out.put_u16(*from);
            }
            Key::Journal(shard, number) => {
                put_shard(&mut out, JOURNAL, *shard);
                out.put_u64(*number);
            }
        }
        out
    }

    /// Reads a key's bytes. What no key encodes to is damage.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        Self::read(bytes)
            .ok_or_else(|| Damage::new(format!("{bytes:02x?} is not a key of this store's format")))
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let kind = bytes.try_get_u8().ok()?;
        if kind == STORE {
            return bytes.is_empty().then_some(Key::Store);
        }
        let shard = bytes.try_get_u16().ok()?;
        let key = match kind {
            SHARD_STATE => Key::ShardState(shard),
            ENTITY => Key::Entity(shard, bytes.try_get_u64().ok()?),
            RULE => Key::Rule(shard, bytes.try_get_u64().ok()?, read_text(&mut bytes)?),
            SCHEDULE => Key::Schedule(shard, bytes.try_get_u64().ok()?, read_text(&mut bytes)?),
            REPLAY => Key::Replay(shard, bytes.try_get_u64().ok()?),
            QUEUE_STATE => Key::QueueState(shard, read_queue(&mut bytes)?),
            PAGE => Key::Page(shard, read_queue(&mut bytes)?, bytes.try_get_u64().ok()?),
            PAGE_STATE => Key::PageState(shard, read_queue(&mut bytes)?, bytes.try_get_u64().ok()?),
            REFERENCES => {
                let (topic, first) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
                Key::References(shard, TopicPage { topic, first })
            }
            LEAVING => Key::Leaving(shard, read_queue(&mut bytes)?, bytes.try_get_u64().ok()?),
            SCHEDULED => Key::Scheduled(shard, read_queue(&mut bytes)?, bytes.try_get_u64().ok()?),
            LEASE => Key::Lease(shard, bytes.try_get_u64().ok()?),
            OUTCOMES => Key::Outcomes(shard, bytes.try_get_u128().ok()?, bytes.try_get_u64().ok()?),
            ALARM => Key::Alarm(shard, Alarm::read(&mut bytes)?),
            GENERATION => Key::Generation(shard, bytes.try_get_u64().ok()?),
            SEEN_ID => {
                let (entity, generation) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
                Key::SeenId(shard, entity, generation, read_text(&mut bytes)?)
            }
            SESSION => Key::Session(shard, bytes.try_get_u64().ok()?, read_text(&mut bytes)?),
            SESSION_MESSAGE => {
                let (entity, session) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
                Key::SessionMessage(shard, entity, session, bytes.try_get_u64().ok()?)
            }
            SESSION_STATE => Key::SessionState(shard, bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?),
            PARCEL => Key::Parcel(shard, bytes.try_get_u16().ok()?, bytes.try_get_u64().ok()?),
            TAKEN => Key::Taken(shard, bytes.try_get_u16().ok()?),
            JOURNAL => Key::Journal(shard, bytes.try_get_u64().ok()?),
            _ => return None,
        };
        bytes.is_empty().then_some(key)
    }
}

fn put_shard(out: &mut Vec<u8>, kind: u8, shard: u16) {
    out.put_u8(kind);
    out.put_u16(shard);
}

fn put_entity(out: &mut Vec<u8>, kind: u8, shard: u16, entity: u64) {
    put_shard(out, kind, shard);
    out.put_u64(entity);
}

fn put_queue(out: &mut Vec<u8>, kind: u8, shard: u16, queue: QueueId) {
    put_entity(out, kind, shard, queue.entity);
    out.put_u8(queue.lane.code());
}

fn read_queue(bytes: &mut &[u8]) -> Option<QueueId> {
    let entity = bytes.try_get_u64().ok()?;
    Some(QueueId { entity, lane: Lane::from_code(bytes.try_get_u8().ok()?)? })
}

/// The text that a key ends with.
fn read_text(bytes: &mut &[u8]) -> Option<String> {
    String::from_utf8(std::mem::take(bytes).to_vec()).ok()
}
