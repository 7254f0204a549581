//! What happened to the messages of an id, from the shard's journal.
//!
//! The journal is read from its beginning: where an entry has the id's hash, its message is followed from there on, into
//! the queues it is copied and moved to. What a part of a trace showed before is read again and not shown again, so that
//! nothing has to be remembered from one part to the next.

use crate::context::{Damage, Rows};
use crate::journal::{self, Entry, Target};
use crate::key::{Key, KeyRange, QueueId};
use crate::limits::TRACED_MESSAGES;
use crate::shard::Shard;
use bytes::Bytes;
use postrider_protocol::limits::LISTING_ENTRIES;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::trace::{Step, StepKind};
use std::collections::BTreeMap;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceQuery {
    /// The id's text.
    pub message_id: String,
    /// Only what happened in this entity, and in a topic's subscriptions.
    pub entity: Option<EntityName>,
    /// Where to begin: the row, and the step in it.
    pub from: (u64, u32),
    /// Steps in the answer; 0 for as many as it may have.
    pub limit: u32,
}

/// A part of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// In the order they happened.
    pub steps: Vec<Step>,
    /// Where to go on: the row, and the step in it.
    pub next: Option<(u64, u32)>,
    /// Bytes of rows that were read.
    pub bytes: u64,
}

/// How a message that is followed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A topic's: it is nowhere itself.
    Passed,
    /// Nobody holds it.
    Free,
    /// A receiver holds it.
    Held,
}

/// A trace while it is made.
struct Search<'a> {
    shard: &'a Shard,
    query: &'a TraceQuery,
    id: u64,
    /// Where each message is that is followed.
    followed: BTreeMap<Target, State>,
    /// What was found, and of which message: addresses are known at the end only.
    found: Vec<(Step, Entry)>,
    /// Names of entities that are gone.
    gone: BTreeMap<u64, String>,
    /// The row, and how many of its steps were seen.
    at: (u64, u32),
    next: Option<(u64, u32)>,
    bytes: u64,
}

impl Shard {
    /// Keeps so many bytes of what the shard decides from now on; 0 for none. What was kept before can still be read.
    pub fn set_journal(&mut self, bytes: u64) {
        self.journal.set_limit(bytes);
    }

    /// What happened to the messages of an id, in the order it happened, as far as the journal goes back.
    pub fn trace(&self, rows: &dyn Rows, query: &TraceQuery) -> Result<Trace, Damage> {
        let mut search = Search::new(self, query);
        rows.scan(&KeyRange::journal(self.id, 0), &mut |key, value| {
            if let Key::Journal(_, row) = Key::decode(key)? {
                search.row(row, value)?;
            }
            Ok(true)
        })?;
        Ok(search.end())
    }
}

impl<'a> Search<'a> {
    fn new(shard: &'a Shard, query: &'a TraceQuery) -> Self {
        Search {
            shard,
            query,
            id: journal::hash(&query.message_id),
            followed: BTreeMap::new(),
            found: Vec::new(),
            gone: BTreeMap::new(),
            at: (0, 0),
            next: None,
            bytes: 0,
        }
    }

    fn row(&mut self, row: u64, value: &[u8]) -> Result<(), Damage> {
        self.at = (row, 0);
        self.bytes += value.len() as u64;
        let (when_ms, entries) = journal::read_row(Bytes::copy_from_slice(value))?;
        entries.iter().for_each(|entry| self.entry(when_ms, entry));
        Ok(())
    }

    fn entry(&mut self, when_ms: u64, entry: &Entry) {
        if entry.kind == StepKind::Deleted {
            return self.deleted(when_ms, entry);
        }
        for offset in self.by_id(entry) {
            self.step(when_ms, entry, offset);
        }
        if !self.followed.is_empty() {
            for offset in self.by_number(entry) {
                self.step(when_ms, entry, offset);
            }
        }
    }

    /// The messages of an entry that have the id.
    fn by_id(&self, entry: &Entry) -> Vec<u64> {
        (0..).zip(&entry.ids).filter(|(_, id)| **id == self.id).map(|(offset, _)| offset).collect()
    }

    /// The messages of an entry that are followed, and to which it can have happened.
    fn by_number(&self, entry: &Entry) -> Vec<u64> {
        let begins = matches!(entry.kind, StepKind::Accepted | StepKind::Arrived | StepKind::Scheduled);
        if begins || entry.kind == StepKind::Duplicate || entry.first == 0 {
            return Vec::new();
        }
        let at = |sequence| Target { queue: entry.queue, sequence };
        let followed = self.followed.range(at(entry.first)..at(entry.first.saturating_add(entry.count)));
        // All that nobody holds is purged at once.
        let happened = |state: State| entry.kind != StepKind::Purged || state != State::Held;
        followed.filter(|(_, state)| happened(**state)).map(|(at, _)| at.sequence - entry.first).collect()
    }

    /// Shows a step of the message at an offset, and follows it.
    fn step(&mut self, when_ms: u64, entry: &Entry, offset: u64) {
        let first = if entry.first == 0 { 0 } else { entry.first + offset };
        let to = entry.to.map(|to| Target { sequence: to.sequence + offset, ..to });
        let one = Entry { first, count: 1, ids: Vec::new(), to, ..entry.clone() };
        self.follow(&one);
        self.show(when_ms, one);
    }

    fn follow(&mut self, one: &Entry) {
        let from = Target { queue: one.queue, sequence: one.first };
        let state = match one.kind {
            StepKind::Duplicate => return,
            StepKind::Unmatched => State::Passed,
            StepKind::Delivered => State::Held,
            StepKind::Received
            | StepKind::Completed
            | StepKind::Expired
            | StepKind::Purged
            | StepKind::Removed
            | StepKind::Cancelled
            | StepKind::Due
            | StepKind::Forwarded => {
                self.followed.remove(&from);
                return;
            }
            _ => State::Free,
        };
        match one.to {
            // A copy: the topic's message is there for others too.
            Some(to) if to.queue.entity != from.queue.entity => _ = self.followed.insert(from, State::Passed),
            Some(_) => _ = self.followed.remove(&from),
            None => {}
        }
        if self.followed.len() < TRACED_MESSAGES || self.followed.contains_key(&one.target()) {
            self.followed.insert(one.target(), state);
        }
    }

    fn deleted(&mut self, when_ms: u64, entry: &Entry) {
        let entity = entry.queue.entity;
        self.gone.insert(entity, entry.reason.clone());
        for queue in QueueId::all(entity) {
            let at = |sequence| Target { queue, sequence };
            let found: Vec<_> =
                self.followed.range(at(0)..=at(u64::MAX)).map(|(at, state)| (*at, *state)).collect();
            for (at, state) in found {
                self.followed.remove(&at);
                if state != State::Passed {
                    self.show(when_ms, Entry::new(StepKind::Deleted, queue, at.sequence));
                }
            }
        }
    }

    /// Adds a step to the answer, if it was not shown before and has room.
    fn show(&mut self, when_ms: u64, one: Entry) {
        let at = self.at;
        self.at.1 += 1;
        if at < self.query.from || self.next.is_some() {
            return;
        }
        if self.found.len() >= bounded(self.query.limit) {
            self.next = Some(at);
            return;
        }
        self.found.push((step_of(when_ms, &one), one));
    }

    fn end(self) -> Trace {
        let shown = |(step, one): &(Step, Entry)| self.addressed(step.clone(), one);
        let steps = self.found.iter().filter(|(_, one)| self.is_wanted(one)).map(shown).collect();
        Trace { steps, next: self.next, bytes: self.bytes }
    }

    /// Whether a step is about the entity that was asked for.
    fn is_wanted(&self, one: &Entry) -> bool {
        let Some(wanted) = &self.query.entity else { return true };
        let wanted = wanted.as_str().to_ascii_lowercase();
        [one.queue, one.target().queue].into_iter().any(|queue| {
            let name = self.name(queue.entity).to_ascii_lowercase();
            let rest = name.strip_prefix(&wanted);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("/subscriptions/"))
        })
    }

    fn addressed(&self, step: Step, one: &Entry) -> Step {
        let [of, to] = [one.queue, one.target().queue].map(|queue| self.address(queue));
        match (one.kind, one.to) {
            (StepKind::Copied, Some(_)) => Step { address: to, to_address: of, ..step },
            (StepKind::DeadLettered, _) if one.first == 0 => Step { address: to, ..step },
            (_, Some(_)) => Step { address: of, to_address: to, ..step },
            (_, None) => Step { address: of, ..step },
        }
    }

    fn address(&self, queue: QueueId) -> String {
        let name = self.name(queue.entity);
        match EntityName::new(&name) {
            Ok(entity) => Address { entity, lane: queue.lane }.to_string(),
            Err(_) => name,
        }
    }

    fn name(&self, entity: u64) -> String {
        let known = self.shard.catalog.get(entity).map(|found| found.row.name.clone());
        known.or_else(|| self.gone.get(&entity).cloned()).unwrap_or_else(|| format!("#{entity}"))
    }
}

/// A step without its addresses.
fn step_of(when_ms: u64, one: &Entry) -> Step {
    let to = one.to.map_or(0, |to| to.sequence);
    let (sequence, to_sequence) = match one.kind {
        StepKind::Copied => (to, one.first),
        StepKind::Duplicate => (0, one.first),
        StepKind::DeadLettered if one.first == 0 => (to, 0),
        _ => (one.first, to),
    };
    let is_forward = one.kind == StepKind::Forwarded;
    let (client, handle) = one.owner.map_or((0, 0), |owner| (owner.client, owner.handle));
    Step {
        when_ms,
        kind: one.kind,
        address: String::new(),
        sequence,
        to_address: if is_forward { one.reason.clone() } else { String::new() },
        to_sequence,
        client,
        handle,
        attempt: one.attempt,
        until_ms: one.until_ms,
        reason: if is_forward { String::new() } else { one.reason.clone() },
        description: one.description.clone(),
    }
}

/// Steps of an answer: with the longest names and reasons they fit into a frame.
fn bounded(limit: u32) -> usize {
    (if limit == 0 { LISTING_ENTRIES } else { limit.min(LISTING_ENTRIES) }) as usize
}
