//! Ranges of rows that belong together.

use super::*;

/// Rows from one key's bytes up to, and without, another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key's bytes.
    pub from: Vec<u8>,
    /// The bytes behind the last key.
    pub to: Vec<u8>,
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

/// Those of them that are a queue's pages, or lead to pages of a topic.
const PAGES: [u8; 3] = [PAGE, REFERENCES, LEAVING];

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

    fn of_entity(kind: u8, shard: u16, entity: u64) -> Self {
        let mut from = Vec::new();
        put_entity(&mut from, kind, shard, entity);
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
        Self::of_entity(SESSION_MESSAGE, shard, entity)
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
        ENTITY_CONTENT.into_iter().map(move |kind| Self::of_entity(kind, shard, entity))
    }

    /// The same without the pages of its own queue, and what is on its way out of that.
    pub fn content_but_pages(shard: u16, entity: u64) -> impl Iterator<Item = Self> {
        let lanes = QueueId::all(entity).into_iter().filter(|queue| queue.lane != Lane::Main);
        let pages = lanes.map(move |queue| Self::pages(shard, queue, 0, u64::MAX));
        let others = ENTITY_CONTENT.into_iter().filter(|kind| !PAGES.contains(kind));
        others.map(move |kind| Self::of_entity(kind, shard, entity)).chain(pages)
    }
}
