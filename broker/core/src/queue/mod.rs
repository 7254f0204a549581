//! A queue: messages in the order of their numbers, and of their priorities before that.
//!
//! Only the *window* is in memory, message by message: pages near the head, and every page with a locked message.
//! What is behind it is *cold*: ranges of places whose pages are in the store. A page that has nothing to give out and
//! nothing locked, only messages that wait for a moment or for somebody who knows their number, is *parked*: it is in
//! the store, and nothing but its place and a count is in memory. Memory does so not grow with the backlog.
//!
//! ```text
//!   low                                                              next
//!    |  hot page | hot page |  cold range  | hot page  |  cold range  |
//!                            ^ barrier: nothing behind it is delivered before it is loaded
//! ```
//!
//! Each [`strand`] has ranges and a barrier of its own.

mod accept;
mod acquire;
mod change;
mod hot;
mod keyed;
mod oldest;
mod pages;
mod purge;
mod slot;
mod strand;
mod view;

pub use acquire::{Acquired, Most};
pub use slot::{Event, Slot};
pub use strand::{number, place, rank};
pub use view::PageView;

use crate::command::ReceiverKey;
use crate::fact::QueueRow;
use crate::key::{QueueId, TopicPage};
use crate::limits::Window;
use crate::page::PageBuilder;
use hot::HotPage;
use keyed::Keyed;
use std::collections::{BTreeMap, BTreeSet};
use strand::Strand;

/// A page that this turn fills.
#[derive(Debug)]
struct Pending {
    first: u64,
    builder: PageBuilder,
    /// Messages that come with failed deliveries: index in the page, and how many.
    tried: Vec<(u32, u32)>,
    /// When the first of its messages expires, UTC milliseconds.
    alarm_ms: u64,
}

/// One lane of a queue or subscription.
#[derive(Debug)]
pub struct Queue {
    id: QueueId,
    /// The counters as they are stored, but for `low`.
    row: QueueRow,
    locked: u64,
    /// Bytes of the locked messages.
    locked_bytes: u64,
    /// Capacity units of the locked messages.
    units: u64,
    bounds: Window,
    window: BTreeMap<u64, HotPage>,
    /// Pages that have nothing to give out, and how many messages they have.
    parked: BTreeMap<u64, u32>,
    /// By rank, the most urgent first.
    strands: Vec<Strand>,
    /// What is ready by key, where the queue shares by keys.
    keyed: Option<Keyed>,
    pending: Vec<Pending>,
    /// Pages whose state has to be stored.
    changed: BTreeSet<u64>,
    /// Pages whose place in memory or whose alarm has to be looked at.
    stirred: BTreeSet<u64>,
    dirty: bool,
    /// Whether its messages are given out by session: then no page stays in the window without a locked message.
    by_session: bool,
    /// Of such a queue, the messages that left a lock or are gone, and what they are now.
    moved: Vec<(u64, u32, Slot)>,
    /// Whether its pages may refer to pages of a topic.
    may_refer: bool,
    /// What this turn did to pages of the topic: one page more that refers to it, or one less.
    references: Vec<(TopicPage, i64)>,
    /// The receivers that are open on it, in the order they came.
    pub receivers: Vec<ReceiverKey>,
}

impl Queue {
    /// A queue without messages; its counters are to be stored.
    pub fn new(id: QueueId, levels: usize, bounds: Window) -> Self {
        let row = QueueRow { next: 1, low: 1, ..QueueRow::default() };
        Queue { dirty: true, ..Queue::load(id, row, levels, bounds) }
    }

    /// A queue as it was stored, all of it cold.
    pub fn load(id: QueueId, row: QueueRow, levels: usize, bounds: Window) -> Self {
        let low = if row.active > 0 { row.low } else { row.next };
        Queue {
            id,
            row,
            locked: 0,
            locked_bytes: 0,
            units: 0,
            bounds,
            window: BTreeMap::new(),
            parked: BTreeMap::new(),
            strands: (0..levels).map(|rank| Strand::cold(rank, low, row.next)).collect(),
            keyed: None,
            pending: Vec::new(),
            changed: BTreeSet::new(),
            stirred: BTreeSet::new(),
            dirty: false,
            by_session: false,
            moved: Vec::new(),
            may_refer: false,
            references: Vec::new(),
            receivers: Vec::new(),
        }
    }

    /// Lets its messages be given out by session.
    pub fn set_by_session(&mut self) {
        self.by_session = true;
    }

    /// Lets its pages refer to pages of a topic.
    pub fn set_may_refer(&mut self) {
        self.may_refer = true;
    }

    /// How many pages more or less refer to pages of the topic since this was asked last.
    pub fn take_references(&mut self) -> Vec<(TopicPage, i64)> {
        std::mem::take(&mut self.references)
    }

    /// Whether its messages are given out by session.
    pub fn is_by_session(&self) -> bool {
        self.by_session
    }

    /// The messages that left a lock or are gone since this was asked last: page, index, and what they are now.
    pub fn take_moved(&mut self) -> Vec<(u64, u32, Slot)> {
        std::mem::take(&mut self.moved)
    }

    /// The page that the last message of this turn went into.
    pub fn last_page(&self) -> Option<u64> {
        self.pending.last().map(|pending| pending.first)
    }

    /// The counters as they are stored.
    pub fn row(&self) -> QueueRow {
        QueueRow { low: self.low(), ..self.row }
    }

    /// The counters, to be changed.
    pub fn row_mut(&mut self) -> &mut QueueRow {
        self.dirty = true;
        &mut self.row
    }

    /// No page begins below this number.
    pub fn low(&self) -> u64 {
        let of_rank = |rank: usize| {
            let places = place(rank, 0)..place(rank + 1, 0);
            let hot = self.window.range(places.clone()).next().map(|(first, _)| *first);
            let parked = self.parked.range(places).next().map(|(first, _)| *first);
            let cold = self.strands[rank].cold.front().map(|(from, _)| *from);
            hot.into_iter().chain(parked).chain(cold).map(number).min()
        };
        (0..self.strands.len()).filter_map(of_rank).min().unwrap_or(self.row.next)
    }

    /// The number the next message gets.
    pub fn next(&self) -> u64 {
        self.row.next
    }

    /// Messages in the queue, those that are locked, delayed or deferred included.
    pub fn active(&self) -> u64 {
        self.row.active
    }

    /// Messages that are locked.
    pub fn locked(&self) -> u64 {
        self.locked
    }

    /// Bytes of the messages that are locked.
    pub fn locked_bytes(&self) -> u64 {
        self.locked_bytes
    }

    /// Capacity units of the messages that are locked.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Bytes of all messages.
    pub fn bytes(&self) -> u64 {
        self.row.bytes
    }

    /// How many strands there are.
    pub fn levels(&self) -> usize {
        self.strands.len()
    }

    /// Messages in the window that can be delivered.
    pub fn ready(&self) -> u64 {
        self.strands.iter().map(|strand| strand.ready.len()).sum()
    }

    /// Whether all that could be delivered is in the window.
    pub fn is_all_hot(&self) -> bool {
        self.strands.iter().all(|strand| strand.cold.is_empty())
    }

    /// The state of a message, where it is in the window.
    pub fn slot(&self, page: u64, index: u32) -> Option<Slot> {
        self.window.get(&page)?.slots.get(index as usize).copied()
    }

    /// When a message in the window expires, UTC milliseconds.
    pub fn expires_ms(&self, page: u64, index: u32) -> u64 {
        self.window.get(&page).map_or(crate::page::NEVER_MS, |hot| hot.mark(index as usize).expires_ms)
    }

    /// Checks what must always be true between turns; says what is not.
    pub fn check(&self) -> Result<(), String> {
        if !self.window.values().all(HotPage::is_sound) {
            return Err(format!("queue {:?}: a page's counts are wrong", self.id));
        }
        let claims = self.claims();
        match claims.iter().find(|(_, holds)| !holds) {
            None => Ok(()),
            Some((claim, _)) => Err(format!("queue {:?}: not true: {claim}: {self:?}", self.id)),
        }
    }

    fn claims(&self) -> [(&'static str, bool); 9] {
        let slots = || self.window.values().flat_map(|page| page.slots.iter());
        let count = |what: fn(&Slot) -> bool| slots().filter(|slot| what(slot)).count() as u64;
        let live = count(|slot| *slot != Slot::Gone);
        let parked: u64 = self.parked.values().map(|live| u64::from(*live)).sum();
        let ready_bytes = |rank: usize| -> u64 {
            let pages = self.window.range(place(rank, 0)..place(rank + 1, 0));
            pages.map(|(_, page)| page.bytes_where(Slot::is_ready)).sum()
        };
        let locked_bytes: u64 = self.window.values().map(|page| page.bytes_where(Slot::is_locked)).sum();
        let in_order = |strand: &Strand| {
            let pairs = strand.cold.iter().zip(strand.cold.iter().skip(1));
            pairs.into_iter().all(|(a, b)| a.1 < b.0) && strand.cold.iter().all(|(from, to)| from < to)
        };
        [
            (
                "the bytes of ready messages are counted",
                self.strands.iter().enumerate().all(|(rank, strand)| ready_bytes(rank) == strand.ready_bytes),
            ),
            ("ready slots are the ready places", count(|slot| slot.is_ready()) == self.ready()),
            ("locked slots are counted", count(|slot| slot.is_locked()) == self.locked),
            ("the bytes of locked messages are counted", locked_bytes == self.locked_bytes),
            ("messages in memory are not more than all", live + parked <= self.row.active),
            ("without cold ranges all are in memory", !self.is_all_hot() || live + parked == self.row.active),
            ("an empty queue has no bytes", self.row.active > 0 || self.row.bytes == 0),
            ("cold ranges are in order and do not touch", self.strands.iter().all(in_order)),
            ("nothing is left to be sealed", self.pending.is_empty() && self.changed.is_empty()),
        ]
    }
}
