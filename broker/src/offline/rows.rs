//! Every row of a store, one after the other: whether it can be read, and what it counts for.

use bytes::Bytes;
use postrider_core::context::{Damage, Rows};
use postrider_core::fact::{EntityRow, QueueRow, ReferencesRow, ScheduledRow};
use postrider_core::journal;
use postrider_core::key::{Key, KeyRange, QueueId, TopicPage};
use postrider_core::outbox::Parcel;
use postrider_core::page::{Page, PageState};
use postrider_protocol::message::Record;
use postrider_protocol::name::Lane;
use postrider_protocol::options::EntityKind;
use postrider_protocol::wire::{Read, Reader};
use std::collections::{BTreeMap, BTreeSet};

/// What a queue says of itself, and what was found in it.
#[derive(Default)]
struct Counted {
    says: QueueRow,
    active: u64,
    deferred: u64,
    scheduled: u64,
}

/// How many pages refer to a page of a topic, as its row says and as were found.
#[derive(Default)]
struct Referred {
    says: u32,
    found: u32,
}

/// What was found so far. Keys come in their order, so that a queue's counters come before its pages.
pub struct Tally<'a> {
    rows: &'a dyn Rows,
    shards: u16,
    queues: BTreeMap<(u16, QueueId), Counted>,
    /// Topics, whose pages are there to be referred to.
    topics: BTreeSet<(u16, u64)>,
    references: BTreeMap<(u16, TopicPage), Referred>,
    /// Where pages begin that are no queue's any more, and where each range of them ends.
    leaving: BTreeMap<(u16, QueueId, u64), u64>,
    /// Queues, topics and subscriptions.
    pub entities: u64,
    /// Messages in queues.
    pub messages: u64,
}

impl<'a> Tally<'a> {
    /// Nothing found yet in a store of so many shards.
    pub fn new(rows: &'a dyn Rows, shards: u16) -> Result<Self, Damage> {
        let mut leaving = BTreeMap::new();
        for shard in 0..shards {
            rows.scan(&KeyRange::leaving(shard), &mut |key, value| {
                if let Key::Leaving(_, queue, from) = Key::decode(key)? {
                    leaving.insert(
                        (shard, queue, from),
                        whole(Bytes::copy_from_slice(value), |row| row.u64("to"))?,
                    );
                }
                Ok(true)
            })?;
        }
        let (queues, references, topics) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Ok(Tally { rows, shards, queues, topics, references, leaving, entities: 0, messages: 0 })
    }

    /// Reads a row and counts what it stands for. What a shard reads when it is loaded is left to that.
    pub fn add(&mut self, key: &Key, shard: Option<u16>, value: Bytes) -> Result<(), Damage> {
        if shard.is_some_and(|shard| shard >= self.shards) {
            return Err(Damage::new(format!("the store has {} shards", self.shards)));
        }
        match key {
            Key::Entity(shard, entity) => {
                self.entities += 1;
                if whole(value, EntityRow::read)?.kind == EntityKind::Topic {
                    self.topics.insert((*shard, *entity));
                }
            }
            Key::References(shard, page) => {
                let says = whole(value, ReferencesRow::read)?.pages;
                self.references.entry((*shard, *page)).or_default().says = says;
            }
            Key::QueueState(shard, queue) => {
                let says = whole(value, QueueRow::read)?;
                self.queues.insert((*shard, *queue), Counted { says, ..Counted::default() });
            }
            Key::Page(shard, queue, first) => self.page(*shard, *queue, *first, value)?,
            Key::PageState(shard, queue, first) => self.page_state(*shard, *queue, *first)?,
            Key::Scheduled(shard, queue, _) => {
                whole(value, ScheduledRow::read)?;
                self.counted(*shard, *queue)?.scheduled += 1;
            }
            Key::SeenId(..) | Key::SessionMessage(..) if value.len() != 16 => {
                return Err(Damage::new(format!("has {} bytes instead of 16", value.len())));
            }
            Key::Parcel(..) => _ = whole(value, Parcel::read)?,
            Key::Journal(..) => _ = journal::read_row(value)?,
            _ => {}
        }
        Ok(())
    }

    fn page(&mut self, shard: u16, queue: QueueId, first: u64, value: Bytes) -> Result<(), Damage> {
        let page = Page::open(value.clone())?;
        let topic = page.refers().filter(|page| self.topics.contains(&(shard, page.topic)));
        if let Some(topic) = topic {
            self.references.entry((shard, topic)).or_default().found += 1;
        }
        if self.is_leaving(shard, queue, first) {
            return Ok(());
        }
        let page = Page::resolve(self.rows, shard, value)?;
        let state = PageState::of(&page, self.rows.get(&Key::PageState(shard, queue, first))?)?;
        for record in (0..page.len()).filter_map(|at| page.record(at)) {
            Record::decode(record).map_err(|malformed| Damage::new(malformed.to_string()))?;
        }
        if queue.lane == Lane::Main && self.topics.contains(&(shard, queue.entity)) {
            return Ok(());
        }
        let active = state.attempts.iter().flatten().count() as u64;
        let counted = self.counted(shard, queue)?;
        counted.active += active;
        counted.deferred += state.deferred.len() as u64;
        self.messages += active;
        Ok(())
    }

    fn is_leaving(&self, shard: u16, queue: QueueId, first: u64) -> bool {
        let before = self.leaving.range((shard, queue, 0)..=(shard, queue, first)).next_back();
        before.is_some_and(|(_, to)| first < *to)
    }

    /// The state itself was read with its page.
    fn page_state(&self, shard: u16, queue: QueueId, first: u64) -> Result<(), Damage> {
        match self.rows.get(&Key::Page(shard, queue, first))? {
            Some(_) => Ok(()),
            None => Err(Damage::new("its page is missing")),
        }
    }

    fn counted(&mut self, shard: u16, queue: QueueId) -> Result<&mut Counted, Damage> {
        self.queues.get_mut(&(shard, queue)).ok_or_else(|| Damage::new("its queue has no counters"))
    }

    /// Queues and pages of topics whose counters say something else than was found.
    pub fn wrong_counters(&self) -> impl Iterator<Item = String> {
        let wrong = self.references.iter().filter(|(_, it)| it.says != it.found);
        let references = wrong.map(|((shard, page), it)| {
            let (says, found) = (it.says, it.found);
            format!("shard {shard}, {page:?}: {says} pages are said to refer to it, found are {found}")
        });
        self.wrong_queues().chain(references)
    }

    fn wrong_queues(&self) -> impl Iterator<Item = String> {
        self.queues.iter().flat_map(|((shard, queue), counted)| {
            let says = &counted.says;
            let compared = [
                ("messages", says.active, counted.active),
                ("deferred messages", says.deferred, counted.deferred),
                ("scheduled messages", says.scheduled, counted.scheduled),
            ];
            let wrong = compared.into_iter().filter(|(_, says, found)| says != found);
            wrong.map(move |(what, says, found)| {
                format!("shard {shard}, {queue:?}: its counters say {says} {what}, found are {found}")
            })
        })
    }
}

fn whole<T>(value: Bytes, read: impl Fn(&mut Reader) -> Read<T>) -> Result<T, Damage> {
    let mut reader = Reader::new(value);
    let row = read(&mut reader).and_then(|row| reader.finish().map(|()| row));
    row.map_err(|malformed| Damage::new(malformed.to_string()))
}
