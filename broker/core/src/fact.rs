//! What must be remembered.
//!
//! A fact is complete: [`crate::apply`] turns it into rows without looking at anything else, on the live road, in
//! recovery and, later, on every replica. The encoding is laid out by hand and versioned; `tests/golden/facts.txt`
//! pins its bytes.
//!
//! ```text
//! facts = u8 version 1 | u16 shard | list of (u8 kind, fields)
//! ```

use crate::context::Damage;
pub use crate::key::Alarm;
use crate::key::{QueueId, TopicPage};
use crate::lease::LeaseRow;
use crate::outbox::{Parcel, Taken};
pub use crate::page::ReferencesRow;
use crate::recorded::OutcomesRow;
pub use crate::replay::ReplayRow;
pub use crate::session::SessionRow;
use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::name::Lane;
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::rule::Rule;
use postrider_protocol::schedule::ScheduleInfo;
use postrider_protocol::wire::{self, Malformed, Read, Reader};

const VERSION: u8 = 1;

/// An entity as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityRow {
    /// The name as it was created.
    pub name: String,
    /// Queue, topic or subscription.
    pub kind: EntityKind,
    /// When it was created, UTC milliseconds.
    pub created_ms: u64,
    /// The options that were set.
    pub options: Options,
}

/// A queue's counters as they are stored; for a topic, those of the topic itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueRow {
    /// The sequence number that the next message gets.
    pub next: u64,
    /// No page begins below this number: where scans start.
    pub low: u64,
    /// Messages in the queue, locked ones included.
    pub active: u64,
    /// Bytes of these messages' records.
    pub bytes: u64,
    /// Messages that a topic accepted and no subscription wanted.
    pub unmatched: u64,
    /// Messages that a consumer has set aside.
    pub deferred: u64,
    /// Messages that wait for their next attempt.
    pub delayed: u64,
    /// Messages whose time to live ran out since the queue was created.
    pub expired: u64,
    /// Messages that are to be enqueued at a moment.
    pub scheduled: u64,
    /// Messages that were not stored because their id was seen within the window.
    pub duplicates: u64,
    /// Messages that made room in a full queue, or found no place in one.
    pub dropped: u64,
    /// Messages that a rule of the subscription failed on.
    pub filter_errors: u64,
}

/// A scheduled message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledRow {
    /// When it is due, UTC milliseconds.
    pub due_ms: u64,
    /// The message as its sender laid it out.
    pub message: Bytes,
}

/// Which generation of ids an entity is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationRow {
    /// Its number, from 1.
    pub number: u64,
    /// When it began, UTC milliseconds.
    pub begun_ms: u64,
}

/// Ids that an entity has seen in one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdsRow {
    /// The generation they belong to.
    pub generation: u64,
    /// When they were seen, UTC milliseconds.
    pub when_ms: u64,
    /// Each id's text and the number of its message, in the order of the texts.
    pub ids: Vec<(String, u64)>,
}

/// A shard's own counters. Numbers only rise and are never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardRow {
    /// Turns of the shard that had facts, from 1: the position of this batch.
    pub position: u64,
    /// The last lease that was given.
    pub last_lease: u64,
    /// The last entity that was created.
    pub last_entity: u64,
    /// The last parcel that left.
    pub last_parcel: u64,
}

/// One thing to be remembered.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// An entity was created, or its options changed.
    EntityPut(u64, EntityRow),
    /// An entity and all that it holds is gone.
    EntityGone(u64),
    /// A subscription's rule was added or replaced.
    RulePut(u64, Rule),
    /// A subscription's rule was removed.
    RuleGone(u64, String),
    /// A queue's counters.
    QueueState(QueueId, QueueRow),
    /// Messages were enqueued, the first under this number.
    PageWritten(QueueId, u64, Bytes),
    /// What became of a page's messages, as [`crate::page::PageState`] lays it out.
    PageState(QueueId, u64, Bytes),
    /// All messages of a page are settled.
    PageGone(QueueId, u64),
    /// All pages that begin in this range, its end not included, are gone.
    PagesGone(QueueId, u64, u64),
    /// The locks of a delivery, whole.
    Leased(u64, LeaseRow),
    /// No lock of the delivery is left.
    LeaseGone(u64),
    /// What a client was answered in this turn, under the first request's sequence.
    Outcomes(u128, u64, OutcomesRow),
    /// The client will not ask for these outcomes again.
    OutcomesGone(u128, u64),
    /// Something is to happen by itself.
    AlarmSet(Alarm),
    /// It has happened, or will not.
    AlarmGone(Alarm),
    /// A message is to be enqueued at a moment, and an alarm says when.
    Scheduled(QueueId, u64, ScheduledRow),
    /// The scheduled message was due at this moment; it and its alarm are gone.
    ScheduledGone(QueueId, u64, u64),
    /// A generation of ids begins; those before the last one are gone.
    Generation(u64, GenerationRow),
    /// An entity has seen ids.
    IdsSeen(u64, IdsRow),
    /// An entity forgets all ids.
    IdsGone(u64),
    /// A schedule was added or replaced, or its next moment changed.
    SchedulePut(u64, ScheduleInfo),
    /// A schedule was removed.
    ScheduleGone(u64, String),
    /// A session of an entity's queue, by its id.
    SessionPut(u64, String, SessionRow),
    /// Nothing is left of a session.
    SessionGone(u64, String),
    /// Where a message of a session is: entity, session, number, the page's place, and when it came, UTC milliseconds.
    SessionMessage(u64, u64, u64, u64, u64),
    /// The message is gone.
    SessionMessageGone(u64, u64, u64),
    /// All messages of all sessions of an entity are gone.
    SessionMessagesGone(u64),
    /// What is kept with a session: entity, session, state.
    SessionState(u64, u64, Bytes),
    /// Nothing is kept with it any more.
    SessionStateGone(u64, u64),
    /// Messages are on their way to a shard, under this number.
    Parcel(u16, u64, Parcel),
    /// The other shard has said that it took the parcel.
    ParcelGone(u16, u64),
    /// What was taken from a shard.
    Taken(u16, Taken),
    /// So many pages refer to a page of a topic.
    References(TopicPage, ReferencesRow),
    /// Nothing refers to it any more.
    ReferencesGone(TopicPage),
    /// A subscription and all that it holds is gone, but for the pages of its queue, which are leaving.
    EntityLeft(u64),
    /// The pages that begin in this range, its end not included, are no queue's any more.
    Leaving(QueueId, u64, u64),
    /// None of the pages that were leaving from a number on is left.
    LeavingGone(QueueId, u64),
    /// What is still to be replayed to a subscription.
    Replay(u64, ReplayRow),
    /// All of it was replayed.
    ReplayGone(u64),
    /// What this turn decided about its messages, under the row's number in the journal.
    Journal(u64, Bytes),
    /// The rows of the journal from a number on and before another are gone.
    JournalGone(u64, u64),
    /// The shard's counters; the last fact of every turn.
    ShardState(ShardRow),
}

/// The facts of a shard's turn as bytes.
pub fn encode(shard: u16, facts: &[Fact]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    out.put_u16(shard);
    wire::put_list(&mut out, facts, |out, fact| fact.put(out));
    out.freeze()
}

/// Reads the facts of a turn: the shard, and what happened in it.
pub fn decode(bytes: Bytes) -> Result<(u16, Vec<Fact>), Damage> {
    let read = |bytes| {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(Malformed::new("version", format!("is {version}, this version reads {VERSION}")));
        }
        let shard = reader.u16("shard")?;
        let facts = reader.list("facts", 9, usize::MAX, Fact::read)?;
        reader.finish()?;
        Ok((shard, facts))
    };
    read(bytes).map_err(|malformed: Malformed| Damage::new(format!("facts: {malformed}")))
}

impl Fact {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.kind());
        match self {
            Fact::EntityPut(entity, row) => {
                out.put_u64(*entity);
                row.put(out);
            }
            Fact::EntityGone(number)
            | Fact::EntityLeft(number)
            | Fact::LeaseGone(number)
            | Fact::IdsGone(number)
            | Fact::ReplayGone(number) => {
                out.put_u64(*number);
            }
            Fact::RulePut(entity, rule) => {
                out.put_u64(*entity);
                rule.put(out);
            }
            Fact::SchedulePut(entity, info) => {
                out.put_u64(*entity);
                info.put(out);
            }
            Fact::RuleGone(entity, name) | Fact::ScheduleGone(entity, name) => {
                out.put_u64(*entity);
                wire::put_text(out, name);
            }
            Fact::QueueState(queue, row) => {
                put_queue(out, *queue);
                row.put(out);
            }
            Fact::PageWritten(queue, first, bytes) | Fact::PageState(queue, first, bytes) => {
                put_queue(out, *queue);
                out.put_u64(*first);
                wire::put_blob(out, bytes);
            }
            Fact::PageGone(queue, first) | Fact::LeavingGone(queue, first) => {
                put_queue(out, *queue);
                out.put_u64(*first);
            }
            Fact::References(page, row) => {
                put_topic_page(out, *page);
                row.put(out);
            }
            Fact::ReferencesGone(page) => put_topic_page(out, *page),
            Fact::Replay(entity, row) => {
                out.put_u64(*entity);
                row.put(out);
            }
            Fact::PagesGone(queue, from, to) | Fact::Leaving(queue, from, to) => {
                put_queue(out, *queue);
                out.put_u64(*from);
                out.put_u64(*to);
            }
            Fact::Leased(lease, row) => {
                out.put_u64(*lease);
                row.put(out);
            }
            Fact::Outcomes(client, first, row) => {
                out.put_u128(*client);
                out.put_u64(*first);
                row.put(out);
            }
            Fact::OutcomesGone(client, first) => {
                out.put_u128(*client);
                out.put_u64(*first);
            }
            Fact::AlarmSet(alarm) | Fact::AlarmGone(alarm) => alarm.put(out),
            Fact::Scheduled(queue, number, row) => {
                put_queue(out, *queue);
                out.put_u64(*number);
                row.put(out);
            }
            Fact::ScheduledGone(queue, number, due_ms) => {
                put_queue(out, *queue);
                out.put_u64(*number);
                out.put_u64(*due_ms);
            }
            Fact::Generation(entity, row) => {
                out.put_u64(*entity);
                row.put(out);
            }
            Fact::IdsSeen(entity, row) => {
                out.put_u64(*entity);
                row.put(out);
            }
            Fact::SessionPut(entity, id, row) => {
                out.put_u64(*entity);
                wire::put_text(out, id);
                row.put(out);
            }
            Fact::SessionGone(entity, id) => {
                out.put_u64(*entity);
                wire::put_text(out, id);
            }
            Fact::SessionMessage(entity, session, number, page, enqueued_ms) => {
                for field in [entity, session, number, page, enqueued_ms] {
                    out.put_u64(*field);
                }
            }
            Fact::SessionMessageGone(entity, session, number) => {
                for field in [entity, session, number] {
                    out.put_u64(*field);
                }
            }
            Fact::SessionMessagesGone(entity) => out.put_u64(*entity),
            Fact::SessionState(entity, session, state) => {
                out.put_u64(*entity);
                out.put_u64(*session);
                wire::put_blob(out, state);
            }
            Fact::SessionStateGone(entity, session) => {
                out.put_u64(*entity);
                out.put_u64(*session);
            }
            Fact::Parcel(to, number, parcel) => {
                out.put_u16(*to);
                out.put_u64(*number);
                parcel.put(out);
            }
            Fact::ParcelGone(to, number) => {
                out.put_u16(*to);
                out.put_u64(*number);
            }
            Fact::Taken(from, taken) => {
                out.put_u16(*from);
                taken.put(out);
            }
            Fact::Journal(number, row) => {
                out.put_u64(*number);
                wire::put_blob(out, row);
            }
            Fact::JournalGone(from, to) => {
                out.put_u64(*from);
                out.put_u64(*to);
            }
            Fact::ShardState(row) => row.put(out),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Fact::EntityPut(..) => 1,
            Fact::EntityGone(..) => 2,
            Fact::RulePut(..) => 3,
            Fact::RuleGone(..) => 4,
            Fact::QueueState(..) => 5,
            Fact::PageWritten(..) => 6,
            Fact::PageState(..) => 7,
            Fact::PageGone(..) => 8,
            Fact::PagesGone(..) => 9,
            Fact::Leased(..) => 10,
            Fact::LeaseGone(..) => 11,
            Fact::Outcomes(..) => 12,
            Fact::OutcomesGone(..) => 13,
            Fact::ShardState(..) => 14,
            Fact::AlarmSet(..) => 15,
            Fact::AlarmGone(..) => 16,
            Fact::Scheduled(..) => 17,
            Fact::ScheduledGone(..) => 18,
            Fact::Generation(..) => 19,
            Fact::IdsSeen(..) => 20,
            Fact::IdsGone(..) => 21,
            Fact::SchedulePut(..) => 22,
            Fact::ScheduleGone(..) => 23,
            Fact::SessionPut(..) => 24,
            Fact::SessionGone(..) => 25,
            Fact::SessionMessage(..) => 26,
            Fact::SessionMessageGone(..) => 27,
            Fact::SessionMessagesGone(..) => 28,
            Fact::SessionState(..) => 29,
            Fact::SessionStateGone(..) => 30,
            Fact::Parcel(..) => 31,
            Fact::ParcelGone(..) => 32,
            Fact::Taken(..) => 33,
            Fact::References(..) => 34,
            Fact::ReferencesGone(..) => 35,
            Fact::EntityLeft(..) => 36,
            Fact::Leaving(..) => 37,
            Fact::LeavingGone(..) => 38,
            Fact::Replay(..) => 39,
            Fact::Journal(..) => 40,
            Fact::JournalGone(..) => 41,
            Fact::ReplayGone(..) => 42,
        }
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(match reader.u8("fact")? {
            1 => Fact::EntityPut(reader.u64("entity")?, EntityRow::read(reader)?),
            2 => Fact::EntityGone(reader.u64("entity")?),
            3 => Fact::RulePut(reader.u64("entity")?, Rule::read(reader)?),
            4 => Fact::RuleGone(reader.u64("entity")?, reader.text("rule")?),
            5 => Fact::QueueState(read_queue(reader)?, QueueRow::read(reader)?),
            6 => Fact::PageWritten(read_queue(reader)?, reader.u64("first")?, reader.blob("page")?),
            7 => Fact::PageState(read_queue(reader)?, reader.u64("first")?, reader.blob("state")?),
            8 => Fact::PageGone(read_queue(reader)?, reader.u64("first")?),
            9 => Fact::PagesGone(read_queue(reader)?, reader.u64("from")?, reader.u64("to")?),
            10 => Fact::Leased(reader.u64("lease")?, LeaseRow::read(reader)?),
            11 => Fact::LeaseGone(reader.u64("lease")?),
            12 => Fact::Outcomes(reader.u128("client")?, reader.u64("first")?, OutcomesRow::read(reader)?),
            13 => Fact::OutcomesGone(reader.u128("client")?, reader.u64("first")?),
            14 => Fact::ShardState(ShardRow::read(reader)?),
            15 => Fact::AlarmSet(read_alarm(reader)?),
            16 => Fact::AlarmGone(read_alarm(reader)?),
            17 => Fact::Scheduled(read_queue(reader)?, reader.u64("number")?, ScheduledRow::read(reader)?),
            18 => Fact::ScheduledGone(read_queue(reader)?, reader.u64("number")?, reader.u64("due_ms")?),
            19 => Fact::Generation(reader.u64("entity")?, GenerationRow::read(reader)?),
            20 => Fact::IdsSeen(reader.u64("entity")?, IdsRow::read(reader)?),
            21 => Fact::IdsGone(reader.u64("entity")?),
            22 => Fact::SchedulePut(reader.u64("entity")?, ScheduleInfo::read(reader)?),
            23 => Fact::ScheduleGone(reader.u64("entity")?, reader.text("schedule")?),
            24 => Fact::SessionPut(reader.u64("entity")?, reader.text("session")?, SessionRow::read(reader)?),
            25 => Fact::SessionGone(reader.u64("entity")?, reader.text("session")?),
            26 => Fact::SessionMessage(
                reader.u64("entity")?,
                reader.u64("session")?,
                reader.u64("number")?,
                reader.u64("page")?,
                reader.u64("enqueued_ms")?,
            ),
            27 => {
                Fact::SessionMessageGone(reader.u64("entity")?, reader.u64("session")?, reader.u64("number")?)
            }
            28 => Fact::SessionMessagesGone(reader.u64("entity")?),
            29 => Fact::SessionState(reader.u64("entity")?, reader.u64("session")?, reader.blob("state")?),
            30 => Fact::SessionStateGone(reader.u64("entity")?, reader.u64("session")?),
            31 => Fact::Parcel(reader.u16("to")?, reader.u64("number")?, Parcel::read(reader)?),
            32 => Fact::ParcelGone(reader.u16("to")?, reader.u64("number")?),
            33 => Fact::Taken(reader.u16("from")?, Taken::read(reader)?),
            34 => Fact::References(read_topic_page(reader)?, ReferencesRow::read(reader)?),
            35 => Fact::ReferencesGone(read_topic_page(reader)?),
            36 => Fact::EntityLeft(reader.u64("entity")?),
            37 => Fact::Leaving(read_queue(reader)?, reader.u64("from")?, reader.u64("to")?),
            38 => Fact::LeavingGone(read_queue(reader)?, reader.u64("from")?),
            39 => Fact::Replay(reader.u64("entity")?, ReplayRow::read(reader)?),
            40 => Fact::Journal(reader.u64("number")?, reader.blob("row")?),
            41 => Fact::JournalGone(reader.u64("from")?, reader.u64("to")?),
            42 => Fact::ReplayGone(reader.u64("entity")?),
            other => {
                return Err(Malformed::new("fact", format!("found kind {other}, kinds are 1 to 42")));
            }
        })
    }
}

fn put_queue(out: &mut BytesMut, queue: QueueId) {
    out.put_u64(queue.entity);
    out.put_u8(queue.lane.code());
}

fn put_topic_page(out: &mut BytesMut, page: TopicPage) {
    out.put_u64(page.topic);
    out.put_u64(page.first);
}

fn read_topic_page(reader: &mut Reader) -> Read<TopicPage> {
    Ok(TopicPage { topic: reader.u64("topic")?, first: reader.u64("first")? })
}

fn read_queue(reader: &mut Reader) -> Read<QueueId> {
    let entity = reader.u64("entity")?;
    let code = reader.u8("lane")?;
    let lane = Lane::from_code(code)
        .ok_or_else(|| Malformed::new("lane", format!("found {code}, lanes are 0 to 2")))?;
    Ok(QueueId { entity, lane })
}

fn read_alarm(reader: &mut Reader) -> Read<Alarm> {
    let bytes = reader.take("alarm", Alarm::BYTES)?;
    Alarm::read(&mut &bytes[..]).ok_or_else(|| Malformed::new("alarm", "is not an alarm"))
}

impl EntityRow {
    /// Writes the row.
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.name);
        out.put_u8(self.kind.code());
        out.put_u64(self.created_ms);
        self.options.put(out);
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(EntityRow {
            name: reader.text("name")?,
            kind: EntityKind::read(reader)?,
            created_ms: reader.u64("created_ms")?,
            options: Options::read(reader)?,
        })
    }
}

impl QueueRow {
    /// Writes the row.
    pub fn put(&self, out: &mut BytesMut) {
        let row = [self.next, self.low, self.active, self.bytes, self.unmatched];
        let waiting = [self.deferred, self.delayed, self.expired, self.scheduled];
        let past = [self.duplicates, self.dropped, self.filter_errors];
        for number in row.into_iter().chain(waiting).chain(past) {
            out.put_u64(number);
        }
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(QueueRow {
            next: reader.u64("next")?,
            low: reader.u64("low")?,
            active: reader.u64("active")?,
            bytes: reader.u64("bytes")?,
            unmatched: reader.u64("unmatched")?,
            deferred: reader.u64("deferred")?,
            delayed: reader.u64("delayed")?,
            expired: reader.u64("expired")?,
            scheduled: reader.u64("scheduled")?,
            duplicates: reader.u64("duplicates")?,
            dropped: reader.u64("dropped")?,
            filter_errors: reader.u64("filter_errors")?,
        })
    }
}

impl QueueRow {
    /// Gives the next number away. A topic that keeps nothing keeps nothing from behind it on, either.
    pub fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        if self.low == number {
            self.low = self.next;
        }
        number
    }
}

impl GenerationRow {
    /// Writes the row.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.number);
        out.put_u64(self.begun_ms);
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(GenerationRow { number: reader.u64("number")?, begun_ms: reader.u64("begun_ms")? })
    }
}

impl IdsRow {
    /// Writes the row.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.generation);
        out.put_u64(self.when_ms);
        wire::put_list(out, &self.ids, |out, (id, number)| {
            wire::put_text(out, id);
            out.put_u64(*number);
        });
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(IdsRow {
            generation: reader.u64("generation")?,
            when_ms: reader.u64("when_ms")?,
            ids: reader
                .list("ids", 10, usize::MAX, |reader| Ok((reader.text("id")?, reader.u64("number")?)))?,
        })
    }
}

impl ScheduledRow {
    /// Writes the row.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.due_ms);
        wire::put_blob(out, &self.message);
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(ScheduledRow { due_ms: reader.u64("due_ms")?, message: reader.blob("message")? })
    }
}

impl ShardRow {
    /// Writes the row.
    pub fn put(&self, out: &mut BytesMut) {
        for number in [self.position, self.last_lease, self.last_entity, self.last_parcel] {
            out.put_u64(number);
        }
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(ShardRow {
            position: reader.u64("position")?,
            last_lease: reader.u64("last_lease")?,
            last_entity: reader.u64("last_entity")?,
            last_parcel: reader.u64("last_parcel")?,
        })
    }
}
