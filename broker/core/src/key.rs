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

/// Something that is to happen by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// When, UTC milliseconds.
    pub when_ms: u64,
    /// In which queue.
    pub queue: QueueId,
    /// To what.
    pub what: Wake,
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// A page: one of its messages expires, or has waited long enough.
    Page(u64),
    /// A scheduled message: it is due.
    Scheduled(u64),
    /// The ids of the entity: those of a generation are older than its window.
    Window,
    /// The schedules of a queue or topic: one is due.
    Occurrence,
    /// What a topic keeps for replays: the oldest of it has been kept for long enough.
    Kept,
}

impl Alarm {
    /// Bytes of an alarm.
    pub const BYTES: usize = 26;

    /// The alarm of a page.
    pub fn page(when_ms: u64, queue: QueueId, first: u64) -> Self {
        Alarm { when_ms, queue, what: Wake::Page(first) }
    }

    /// The alarm of a scheduled message.
    pub fn scheduled(when_ms: u64, queue: QueueId, number: u64) -> Self {
        Alarm { when_ms, queue, what: Wake::Scheduled(number) }
    }

    /// The alarm of an entity's window of duplicates.
    pub fn window(when_ms: u64, entity: u64) -> Self {
        Alarm { when_ms, queue: QueueId::main(entity), what: Wake::Window }
    }

    /// The alarm of a schedule.
    pub fn occurrence(when_ms: u64, queue: QueueId) -> Self {
        Alarm { when_ms, queue, what: Wake::Occurrence }
    }

    /// The alarm of what a topic keeps.
    pub fn kept(when_ms: u64, topic: u64) -> Self {
        Alarm { when_ms, queue: QueueId::main(topic), what: Wake::Kept }
    }

    /// Writes the alarm.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_u64(self.when_ms);
        out.put_u64(self.queue.entity);
        out.put_u8(self.queue.lane.code());
        let (kind, number) = match self.what {
            Wake::Page(first) => (0, first),
            Wake::Scheduled(number) => (1, number),
            Wake::Window => (2, 0),
            Wake::Occurrence => (3, 0),
            Wake::Kept => (4, 0),
        };
        out.put_u8(kind);
        out.put_u64(number);
    }

    /// Reads an alarm's bytes; `None` where they are not one's.
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        let when_ms = bytes.try_get_u64().ok()?;
        let queue = read_queue(bytes)?;
        let what = match (bytes.try_get_u8().ok()?, bytes.try_get_u64().ok()?) {
            (0, first) => Wake::Page(first),
            (1, number) => Wake::Scheduled(number),
            (2, 0) => Wake::Window,
            (3, 0) => Wake::Occurrence,
            (4, 0) => Wake::Kept,
            _ => return None,
        };
        Some(Alarm { when_ms, queue, what })
    }
}

/// Rows from one key's bytes up to, and without, another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key's bytes.
    pub from: Vec<u8>,
    /// The bytes behind the last key.
    pub to: Vec<u8>,
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

/// The kinds of rows that make up an entity's content and go with it.
const ENTITY_CONTENT: [u8; 14] = [
    RULE,
    SCHEDULE,
    REPLAY,
    QUEUE_STATE,
    PAGE,
    PAGE_STATE,
    REFERENCES,
    LEAVING,
    SCHEDULED,
    GENERATION,
    SEEN_ID,
    SESSION,
    SESSION_MESSAGE,
    SESSION_STATE,
];

/// The same without those that lead to pages of a topic.
const CONTENT_BUT_PAGES: [u8; 11] = [
    RULE,
    SCHEDULE,
    REPLAY,
    QUEUE_STATE,
    PAGE_STATE,
    SCHEDULED,
    GENERATION,
    SEEN_ID,
    SESSION,
    SESSION_MESSAGE,
    SESSION_STATE,
];

impl KeyRange {
    fn prefix(from: Vec<u8>) -> Self {
        let mut to = from.clone();
        while to.pop_if(|last| *last == u8::MAX).is_some() {}
        if let Some(last) = to.last_mut() {
            *last += 1;
        }
        KeyRange { from, to }
    }

    fn of_shard(kind: u8, shard: u16) -> Self {
        let mut from = Vec::new();
        put_shard(&mut from, kind, shard);
        KeyRange::prefix(from)
    }

    /// All entities of a shard.
    pub fn entities(shard: u16) -> Self {
        Self::of_shard(ENTITY, shard)
    }

    /// All rules of a shard.
    pub fn rules(shard: u16) -> Self {
        Self::of_shard(RULE, shard)
    }

    /// All queues' counters of a shard.
    pub fn queue_states(shard: u16) -> Self {
        Self::of_shard(QUEUE_STATE, shard)
    }

    /// All leases of a shard.
    pub fn leases(shard: u16) -> Self {
        Self::of_shard(LEASE, shard)
    }

    /// All schedules of a shard.
    pub fn schedules(shard: u16) -> Self {
        Self::of_shard(SCHEDULE, shard)
    }

    /// All alarms of a shard.
    pub fn alarms(shard: u16) -> Self {
        Self::of_shard(ALARM, shard)
    }

    /// The alarms of a shard from one on.
    pub fn alarms_from(shard: u16, first: Alarm) -> Self {
        KeyRange { from: Key::Alarm(shard, first).encode(), ..Self::alarms(shard) }
    }

    /// The scheduled messages of a queue or topic from a number on.
    pub fn scheduled(shard: u16, queue: QueueId, from: u64) -> Self {
        let mut all = Vec::new();
        put_queue(&mut all, SCHEDULED, shard, queue);
        KeyRange { from: Key::Scheduled(shard, queue, from).encode(), ..Self::prefix(all) }
    }

    /// The current generations of ids of a shard.
    pub fn generations(shard: u16) -> Self {
        Self::of_shard(GENERATION, shard)
    }

    /// The ids that an entity has seen in the generations before `to`.
    pub fn seen_ids(shard: u16, entity: u64, to: u64) -> Self {
        let key = |generation| Key::SeenId(shard, entity, generation, String::new()).encode();
        KeyRange { from: key(0), to: key(to) }
    }

    /// All sessions of a shard.
    pub fn sessions(shard: u16) -> Self {
        Self::of_shard(SESSION, shard)
    }

    /// Where the messages of a session are, from a number on.
    pub fn session_messages(shard: u16, entity: u64, session: u64, from: u64) -> Self {
        let key = |session, number| Key::SessionMessage(shard, entity, session, number).encode();
        KeyRange { from: key(session, from), to: key(session + 1, 0) }
    }

    /// Where the messages of all sessions of a queue are.
    pub fn all_session_messages(shard: u16, entity: u64) -> Self {
        let mut from = Vec::new();
        put_entity(&mut from, SESSION_MESSAGE, shard, entity);
        KeyRange::prefix(from)
    }

    /// All parcels of a shard that are on their way.
    pub fn all_parcels(shard: u16) -> Self {
        Self::of_shard(PARCEL, shard)
    }

    /// The parcels on their way to a shard, from a number up to another.
    pub fn parcels(shard: u16, to: u16, first: u64, last: u64) -> Self {
        let key = |number| Key::Parcel(shard, to, number).encode();
        KeyRange { from: key(first), to: key(last.saturating_add(1)) }
    }

    /// What a shard has taken from the others.
    pub fn taken(shard: u16) -> Self {
        Self::of_shard(TAKEN, shard)
    }

    /// The rows of a shard's journal from a number on.
    pub fn journal(shard: u16, from: u64) -> Self {
        KeyRange { from: Key::Journal(shard, from).encode(), ..Self::of_shard(JOURNAL, shard) }
    }

    /// The rows of a shard's journal from a number on and before another.
    pub fn journal_part(shard: u16, from: u64, to: u64) -> Self {
        KeyRange { from: Key::Journal(shard, from).encode(), to: Key::Journal(shard, to).encode() }
    }

    /// All recorded outcomes of a shard.
    pub fn outcomes(shard: u16) -> Self {
        Self::of_shard(OUTCOMES, shard)
    }

    /// The pages of a queue that begin at `from` or behind it and before `to`.
    pub fn pages(shard: u16, queue: QueueId, from: u64, to: u64) -> Self {
        KeyRange { from: Key::Page(shard, queue, from).encode(), to: Key::Page(shard, queue, to).encode() }
    }

    /// The states of the pages that begin at `from` or behind it and before `to`.
    pub fn page_states(shard: u16, queue: QueueId, from: u64, to: u64) -> Self {
        KeyRange {
            from: Key::PageState(shard, queue, from).encode(),
            to: Key::PageState(shard, queue, to).encode(),
        }
    }

    /// All replays of a shard.
    pub fn replays(shard: u16) -> Self {
        Self::of_shard(REPLAY, shard)
    }

    /// What refers to the pages of a topic that begin at `from` or behind it and before `to`.
    pub fn references(shard: u16, topic: u64, from: u64, to: u64) -> Self {
        let key = |first| Key::References(shard, TopicPage { topic, first }).encode();
        KeyRange { from: key(from), to: key(to) }
    }

    /// All pages of a shard that are on their way out.
    pub fn leaving(shard: u16) -> Self {
        Self::of_shard(LEAVING, shard)
    }

    /// Everything that an entity holds, in as many ranges as there are kinds of rows.
    pub fn content(shard: u16, entity: u64) -> impl Iterator<Item = Self> {
        Self::kinds(shard, entity, &ENTITY_CONTENT)
    }

    /// The same without the pages of its own queue, and what is on its way out of that.
    pub fn content_but_pages(shard: u16, entity: u64) -> impl Iterator<Item = Self> {
        let lanes = QueueId::all(entity).into_iter().filter(|queue| queue.lane != Lane::Main);
        let pages = lanes.map(move |queue| Self::pages(shard, queue, 0, u64::MAX));
        Self::kinds(shard, entity, &CONTENT_BUT_PAGES).chain(pages)
    }

    fn kinds(shard: u16, entity: u64, kinds: &'static [u8]) -> impl Iterator<Item = Self> {
        kinds.iter().map(move |kind| {
            let kind = *kind;
            let mut from = Vec::new();
            put_entity(&mut from, kind, shard, entity);
            KeyRange::prefix(from)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_queue() -> impl Strategy<Value = QueueId> {
        (any::<u64>(), 0..3usize).prop_map(|(entity, lane)| QueueId::all(entity)[lane])
    }

    fn any_key() -> impl Strategy<Value = Key> {
        prop_oneof![
            Just(Key::Store),
            any::<u16>().prop_map(Key::ShardState),
            any::<(u16, u64)>().prop_map(|(shard, entity)| Key::Entity(shard, entity)),
            (any::<(u16, u64)>(), "[a-z$.]{1,50}")
                .prop_map(|((shard, entity), name)| Key::Rule(shard, entity, name)),
            (any::<(u16, u64)>(), "[a-z.]{1,50}")
                .prop_map(|((shard, entity), name)| Key::Schedule(shard, entity, name)),
            (any::<u16>(), any_queue()).prop_map(|(shard, queue)| Key::QueueState(shard, queue)),
            (any::<(u16, u64)>(), any_queue())
                .prop_map(|((shard, when_ms), queue)| Key::Alarm(shard, Alarm::occurrence(when_ms, queue))),
            (any::<(u16, u64)>(), any_queue())
                .prop_map(|((shard, first), queue)| Key::Page(shard, queue, first)),
            (any::<(u16, u64)>(), any_queue())
                .prop_map(|((shard, first), queue)| Key::PageState(shard, queue, first)),
            (any::<(u16, u64)>(), any_queue())
                .prop_map(|((shard, number), queue)| Key::Scheduled(shard, queue, number)),
            any::<(u16, u64)>().prop_map(|(shard, entity)| Key::Replay(shard, entity)),
            any::<(u16, u64, u64)>()
                .prop_map(|(shard, topic, first)| Key::References(shard, TopicPage { topic, first })),
            (any::<(u16, u64)>(), any_queue())
                .prop_map(|((shard, from), queue)| Key::Leaving(shard, queue, from)),
            any::<(u16, u64)>()
                .prop_map(|(shard, entity)| Key::Alarm(shard, Alarm::kept(entity, shard.into()))),
            any::<(u16, u64)>().prop_map(|(shard, lease)| Key::Lease(shard, lease)),
            any::<(u16, u128, u64)>().prop_map(|(shard, client, first)| Key::Outcomes(shard, client, first)),
            (any::<(u16, u64)>(), ".{1,50}")
                .prop_map(|((shard, entity), id)| Key::Session(shard, entity, id)),
            any::<(u16, u64, u64, u64)>().prop_map(|(shard, entity, session, number)| Key::SessionMessage(
                shard, entity, session, number
            )),
            any::<(u16, u64, u64)>()
                .prop_map(|(shard, entity, session)| Key::SessionState(shard, entity, session)),
            (any::<(u16, u64, u64)>(), any_queue()).prop_map(|((shard, when_ms, first), queue)| Key::Alarm(
                shard,
                Alarm::page(when_ms, queue, first)
            )),
            (any::<(u16, u64, u64)>(), any_queue()).prop_map(|((shard, when_ms, number), queue)| Key::Alarm(
                shard,
                Alarm::scheduled(when_ms, queue, number)
            )),
            any::<(u16, u64, u64)>()
                .prop_map(|(shard, when_ms, entity)| Key::Alarm(shard, Alarm::window(when_ms, entity))),
            any::<(u16, u64)>().prop_map(|(shard, entity)| Key::Generation(shard, entity)),
            any::<(u16, u16, u64)>().prop_map(|(shard, to, number)| Key::Parcel(shard, to, number)),
            any::<(u16, u16)>().prop_map(|(shard, from)| Key::Taken(shard, from)),
            any::<(u16, u64)>().prop_map(|(shard, number)| Key::Journal(shard, number)),
            (any::<(u16, u64, u64)>(), ".{0,40}")
                .prop_map(|((shard, entity, number), id)| Key::SeenId(shard, entity, number, id)),
        ]
    }

    proptest! {
        #[test]
        fn every_key_survives_its_bytes(key in any_key()) {
            prop_assert_eq!(Key::decode(&key.encode()).unwrap(), key);
        }

        #[test]
        fn the_order_of_bytes_is_the_order_of_keys(a in any_key(), b in any_key()) {
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(key) = Key::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_range_holds_its_own_and_nothing_else() {
        let range = KeyRange::entities(u16::MAX);
        let inside = |key: Key| {
            let bytes = key.encode();
            range.from <= bytes && bytes < range.to
        };
        assert!(inside(Key::Entity(u16::MAX, 0)) && inside(Key::Entity(u16::MAX, u64::MAX)));
        assert!(!inside(Key::Entity(u16::MAX - 1, u64::MAX)) && !inside(Key::Rule(0, 0, "a".into())));
        let content: Vec<_> = KeyRange::content(1, 7).collect();
        let page = Key::Page(1, QueueId::dead_letter(7), 9).encode();
        assert_eq!(content.iter().filter(|range| range.from <= page && page < range.to).count(), 1);
    }
}
