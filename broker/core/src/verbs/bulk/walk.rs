//! Walking a queue's messages in the order of their numbers, whatever strand or state they are in.
//!
//! Each strand is a source of messages in order, read page by page, and so are the scheduled messages; a walk takes
//! the lowest number of all sources next. At most a page of each is in memory.

use crate::context::{Damage, Rows};
use crate::fact::ScheduledRow;
use crate::key::{Key, KeyRange, QueueId};
use crate::limits::{EXAMINED_BYTES, EXAMINED_MESSAGES, PAGE_MESSAGES};
use crate::page::Page;
use crate::queue::{PageView, Queue, Slot, number, place, rank};
use crate::shard::Shard;
use crate::verbs::settle::moves::changed_record;
use bytes::Bytes;
use postrider_protocol::message::Record;
use postrider_protocol::name::Lane;
use postrider_protocol::reply::PeekState;
use std::collections::VecDeque;

/// Scheduled messages that are read in one go.
const SCHEDULED_MESSAGES: usize = 64;
/// Bytes of scheduled messages after which no more are read.
const SCHEDULED_BYTES: u64 = 256 * 1024;

/// A message that a walk came to.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its number.
    pub number: u64,
    /// Where it is.
    pub at: Where,
    bytes: Bytes,
    changes: Option<Bytes>,
}

/// Where a walk found a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Where {
    /// In a page of the queue, in this state.
    Stored { page: u64, index: u32, slot: Slot },
    /// Among those that are not enqueued yet.
    Scheduled { due_ms: u64 },
}

impl Found {
    /// Its state, as users see it.
    pub fn state(&self) -> PeekState {
        match self.at {
            Where::Scheduled { .. } => PeekState::Scheduled,
            Where::Stored { slot, .. } => match slot {
                Slot::Locked { .. } => PeekState::Locked,
                Slot::Deferred { .. } => PeekState::Deferred,
                Slot::Delayed { .. } => PeekState::Delayed,
                Slot::Ready { .. } | Slot::Gone => PeekState::Ready,
            },
        }
    }

    /// Its failed deliveries.
    pub fn attempts(&self) -> u32 {
        match self.at {
            Where::Scheduled { .. } => 0,
            Where::Stored { slot, .. } => slot.attempts().unwrap_or(0),
        }
    }

    /// Its record, with what consumers have changed. A scheduled message has not been enqueued yet.
    pub fn record(&self) -> Result<Record, Damage> {
        match self.at {
            Where::Stored { .. } => changed_record(self.bytes.clone(), self.changes.as_ref()),
            Where::Scheduled { .. } => Ok(Record {
                enqueued_sequence: self.number,
                message: self.bytes.clone(),
                ..Record::default()
            }),
        }
    }
}

/// What a request about many messages looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'a> {
    /// The first number.
    pub from: u64,
    /// The number to stop before; 0 for none.
    pub to: u64,
    /// Messages; 0 for as many as one request should.
    pub limit: u64,
    /// Only these numbers; empty for all.
    pub numbers: &'a [u64],
}

/// How far that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Examined {
    /// Messages that were looked at.
    pub messages: u64,
    /// The number to go on from; 0 where nothing is left.
    pub next: u64,
}

impl Shard {
    /// Hands the messages of a span on, in order, until `visit` does not take one or a request's bounds are reached.
    pub(crate) fn examine(
        &self,
        rows: &dyn Rows,
        queue: QueueId,
        span: Span<'_>,
        visit: &mut dyn FnMut(Found) -> Result<bool, Damage>,
    ) -> Result<Examined, Damage> {
        let most = if span.limit == 0 { EXAMINED_MESSAGES } else { span.limit.min(EXAMINED_MESSAGES) };
        let mut numbers = span.numbers.to_vec();
        numbers.sort_unstable();
        let mut walk = Walk::new(self, rows, queue);
        let (mut messages, mut at) = (0, span.from);
        let done = |messages, next| Ok(Examined { messages, next });
        walk.seek(at);
        for looks in 0.. {
            if !numbers.is_empty() {
                match numbers.get(numbers.partition_point(|wanted| *wanted < at)) {
                    Some(wanted) => at = *wanted,
                    None => return done(messages, 0),
                }
                walk.seek(at);
            }
            // At least one look, so that whoever goes on comes to the end.
            if looks > 0 && walk.read_bytes() >= EXAMINED_BYTES {
                return done(messages, at);
            }
            match walk.next_number()? {
                Some(found) if span.to == 0 || found < span.to => {
                    let is_wanted = numbers.is_empty() || found == at;
                    at = found;
                    if !is_wanted {
                        continue;
                    }
                }
                _ => return done(messages, 0),
            }
            let Some(found) = walk.take().filter(|_| messages < most) else { return done(messages, at) };
            if !visit(found)? {
                return done(messages, at);
            }
            messages += 1;
            at += 1;
        }
        done(messages, 0)
    }

    /// The stored page that the message with a place is in, if there is one.
    pub(crate) fn page_at(&self, rows: &dyn Rows, id: QueueId, place: u64) -> Result<Option<u64>, Damage> {
        if let Some(hot) = self.queue(id).and_then(|queue| queue.hot_page_at(place)) {
            return Ok(Some(hot));
        }
        let first = Pages { shard: self, queue: id, rows }.last_at(place)?;
        Ok(Some(first).filter(|first| *first <= place))
    }
}

/// A queue's messages, one after the other.
struct Walk<'a> {
    sources: Vec<Source<'a>>,
    /// The source of the next message, if that is known.
    next: Option<usize>,
    /// The numbers end here.
    end: u64,
}

/// Messages in the order of their numbers.
enum Source<'a> {
    Strand(Strand<'a>),
    Scheduled(Scheduled<'a>),
}

impl<'a> Walk<'a> {
    fn new(shard: &'a Shard, rows: &'a dyn Rows, id: QueueId) -> Self {
        let queue = shard.queue(id);
        let topic = shard.catalog.get(id.entity).map_or(0, |entity| entity.topic.next);
        let pages = Pages { shard, queue: id, rows };
        let strands = queue.into_iter().flat_map(|queue| {
            (0..queue.levels()).map(move |rank| Source::Strand(Strand::new(pages, queue, rank)))
        });
        let scheduled = (id.lane == Lane::Main).then(|| Source::Scheduled(Scheduled::new(shard, rows, id)));
        Walk {
            sources: strands.chain(scheduled).collect(),
            next: None,
            end: queue.map_or(topic, Queue::next),
        }
    }

    /// Goes on from a number, which is not lower than those before.
    fn seek(&mut self, number: u64) {
        let number = number.min(self.end);
        self.next = None;
        for source in &mut self.sources {
            match source {
                Source::Strand(strand) => strand.seek(number),
                Source::Scheduled(scheduled) => scheduled.seek(number),
            }
        }
    }

    /// The number of the next message.
    fn next_number(&mut self) -> Result<Option<u64>, Damage> {
        let mut next: Option<(u64, usize)> = None;
        for (at, source) in self.sources.iter_mut().enumerate() {
            let number = match source {
                Source::Strand(strand) => strand.next_number()?,
                Source::Scheduled(scheduled) => scheduled.next_number()?,
            };
            if let Some(number) = number {
                next = Some(next.map_or((number, at), |next| next.min((number, at))));
            }
        }
        self.next = next.map(|(_, at)| at);
        Ok(next.map(|(number, _)| number))
    }

    /// The message whose number was said last.
    fn take(&mut self) -> Option<Found> {
        match &mut self.sources[self.next.take()?] {
            Source::Strand(strand) => strand.take(),
            Source::Scheduled(scheduled) => scheduled.take(),
        }
    }

    /// Bytes that were read so far.
    fn read_bytes(&self) -> u64 {
        let read = |source: &Source<'_>| match source {
            Source::Strand(strand) => strand.read_bytes,
            Source::Scheduled(scheduled) => scheduled.read_bytes,
        };
        self.sources.iter().map(read).sum()
    }
}

/// The stored pages of a queue, without those that are leaving it.
#[derive(Clone, Copy)]
struct Pages<'a> {
    shard: &'a Shard,
    queue: QueueId,
    rows: &'a dyn Rows,
}

impl Pages<'_> {
    /// The first page that begins at `from` or behind it and before `to`.
    fn first(&self, from: u64, to: u64) -> Result<Option<u64>, Damage> {
        Ok(self.read(from, to, |_| ())?.map(|(first, ())| first))
    }

    fn read<T>(&self, mut from: u64, to: u64, read: impl Fn(&[u8]) -> T) -> Result<Option<(u64, T)>, Damage> {
        let (mut found, mut leaves) = (None, None);
        loop {
            let pages = KeyRange::pages(self.shard.id, self.queue, from, to);
            self.rows.scan(&pages, &mut |key, value| {
                if let Key::Page(_, _, first) = Key::decode(key)? {
                    leaves = self.shard.leaves(self.queue, first);
                    found = leaves.is_none().then(|| (first, read(value)));
                }
                Ok(false)
            })?;
            match leaves.take() {
                Some(end) if end < to => from = end,
                _ => return Ok(found),
            }
        }
    }

    /// Where the page with a place would begin: at the last page that begins there or before, as far as a page can
    /// reach; else at the place itself. Looks back in strides that double, then halves the last one.
    fn last_at(&self, at: u64) -> Result<u64, Damage> {
        let least = place(rank(at), (number(at) + 1).saturating_sub(PAGE_MESSAGES as u64));
        let (mut from, mut to, mut stride) = (at, at + 1, 1);
        while from >= least {
            if let Some(mut first) = self.first(from, to)? {
                while first + 1 < to {
                    let middle = first + 1 + (to - first - 1) / 2;
                    match self.first(middle, to)? {
                        Some(later) => first = later,
                        None => to = middle,
                    }
                }
                return Ok(first);
            }
            if from == least {
                break;
            }
            (from, to, stride) = (from.saturating_sub(stride).max(least), from, stride * 2);
        }
        Ok(at)
    }
}

/// The messages of a strand.
struct Strand<'a> {
    pages: Pages<'a>,
    queue: &'a Queue,
    rank: usize,
    /// The place to go on from.
    at: u64,
    /// Whether a page that begins before that place may reach it.
    may_be_inside: bool,
    open: Option<(u64, PageView)>,
    ended: bool,
    read_bytes: u64,
}

impl<'a> Strand<'a> {
    fn new(pages: Pages<'a>, queue: &'a Queue, rank: usize) -> Self {
        let at = place(rank, 0);
        let (may_be_inside, open, ended, read_bytes) = (false, None, false, 0);
        Strand { pages, queue, rank, at, may_be_inside, open, ended, read_bytes }
    }

    fn seek(&mut self, number: u64) {
        let at = place(self.rank, number);
        if at <= self.at {
            return;
        }
        self.at = at;
        if self.open.as_ref().is_some_and(|(first, view)| first + view.records() as u64 <= at) {
            self.open = None;
        }
        self.may_be_inside = self.open.is_none();
    }

    fn next_number(&mut self) -> Result<Option<u64>, Damage> {
        while !self.ended {
            if self.open.is_none() {
                self.open_next()?;
            }
            let Some((first, view)) = &self.open else { continue };
            match view.live_from(self.at.saturating_sub(*first) as usize) {
                Some(index) => {
                    self.at = first + index as u64;
                    return Ok(Some(number(self.at)));
                }
                None => {
                    self.at = self.at.max(first + view.records() as u64);
                    self.open = None;
                }
            }
        }
        Ok(None)
    }

    fn open_next(&mut self) -> Result<(), Damage> {
        let low = place(self.rank, self.queue.low());
        if self.at < low {
            (self.at, self.may_be_inside) = (low, false);
        }
        let inside = std::mem::take(&mut self.may_be_inside);
        let from = if inside { self.pages.last_at(self.at)? } else { self.at };
        match self.pages.read(from, place(self.rank + 1, 0), Bytes::copy_from_slice)? {
            None => self.ended = true,
            Some((first, page)) => {
                self.read_bytes += page.len() as u64;
                let Pages { shard, queue, rows } = self.pages;
                let state = Key::PageState(shard.id, queue, first);
                let page = Page::resolve(rows, shard.id, page)?;
                self.open = Some((first, self.queue.view(first, page, || rows.get(&state))?));
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<Found> {
        let (first, view) = self.open.as_ref()?;
        let index = (self.at - first) as u32;
        let found = Found {
            number: number(self.at),
            at: Where::Stored { page: *first, index, slot: view.slot(index as usize) },
            bytes: view.record(index as usize)?,
            changes: view.changes(index).cloned(),
        };
        self.at += 1;
        Some(found)
    }
}

/// The scheduled messages of a queue or topic.
struct Scheduled<'a> {
    shard: &'a Shard,
    rows: &'a dyn Rows,
    queue: QueueId,
    /// The number to read on from.
    at: u64,
    read: VecDeque<(u64, ScheduledRow)>,
    ended: bool,
    read_bytes: u64,
}

impl<'a> Scheduled<'a> {
    fn new(shard: &'a Shard, rows: &'a dyn Rows, queue: QueueId) -> Self {
        Scheduled { shard, rows, queue, at: 0, read: VecDeque::new(), ended: false, read_bytes: 0 }
    }

    fn seek(&mut self, number: u64) {
        self.read.drain(..self.read.partition_point(|(read, _)| *read < number));
        self.at = self.at.max(number);
    }

    fn next_number(&mut self) -> Result<Option<u64>, Damage> {
        if self.read.is_empty() && !self.ended {
            self.read_on()?;
        }
        Ok(self.read.front().map(|(number, _)| *number))
    }

    fn read_on(&mut self) -> Result<(), Damage> {
        let (read, mut bytes) = (&mut self.read, 0);
        self.ended = true;
        let (ended, at) = (&mut self.ended, &mut self.at);
        self.shard.each_scheduled(self.rows, self.queue, *at, &mut |number, row| {
            bytes += row.message.len() as u64;
            read.push_back((number, row));
            *ended = read.len() < SCHEDULED_MESSAGES && bytes < SCHEDULED_BYTES;
            Ok(*ended)
        })?;
        if let Some((last, _)) = read.back() {
            *at = last + 1;
        }
        self.read_bytes += bytes;
        Ok(())
    }

    fn take(&mut self) -> Option<Found> {
        let (number, row) = self.read.pop_front()?;
        let at = Where::Scheduled { due_ms: row.due_ms };
        Some(Found { number, at, bytes: row.message, changes: None })
    }
}
