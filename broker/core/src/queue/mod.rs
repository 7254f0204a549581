//! A queue: messages in the order of their numbers.
//!
//! Only the *window* is in memory, message by message: pages near the head, and every page with a locked message.
//! What is behind it is *cold*: ranges of sequence numbers whose pages are in the store. Memory does so not grow with
//! the backlog.
//!
//! ```text
//!   low                                                              next
//!    |  hot page | hot page |  cold range  | hot page  |  cold range  |
//!                            ^ barrier: nothing behind it is delivered before it is loaded
//! ```

mod accept;
mod acquire;
mod pages;
mod settle;
mod slot;

pub use acquire::Acquired;
pub use slot::{Event, Slot};

use crate::command::ReceiverKey;
use crate::fact::QueueRow;
use crate::key::QueueId;
use crate::limits::Window;
use crate::page::PageBuilder;
use crate::ranges::Ranges;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A page in the window.
#[derive(Debug)]
struct HotPage {
    slots: Vec<Slot>,
    sizes: Vec<u32>,
    live: u32,
    locked: u32,
}

/// A page that this turn fills.
#[derive(Debug)]
struct Pending {
    first: u64,
    builder: PageBuilder,
    /// Messages that come with failed deliveries: index in the page, and how many.
    tried: Vec<(u64, u32)>,
}

/// One lane of a queue or subscription.
#[derive(Debug)]
pub struct Queue {
    id: QueueId,
    next: u64,
    active: u64,
    bytes: u64,
    locked: u64,
    bounds: Window,
    window: BTreeMap<u64, HotPage>,
    /// Bytes of the messages in the window that are ready. Locked ones do not count: they say nothing about how much
    /// there is to give out, and with large messages in work they would keep all new ones out of the window.
    ready_bytes: u64,
    ready: Ranges,
    cold: VecDeque<(u64, u64)>,
    generation: u64,
    loading: bool,
    pending: Vec<Pending>,
    changed: BTreeSet<u64>,
    dirty: bool,
    /// The receivers that are open on it, in the order they came.
    pub receivers: Vec<ReceiverKey>,
}

impl Queue {
    /// A queue without messages; its counters are to be stored.
    pub fn new(id: QueueId, bounds: Window) -> Self {
        let row = QueueRow { next: 1, low: 1, ..QueueRow::default() };
        Queue { dirty: true, ..Queue::load(id, row, bounds) }
    }

    /// A queue as it was stored, all of it cold.
    pub fn load(id: QueueId, row: QueueRow, bounds: Window) -> Self {
        let cold = if row.active > 0 && row.low < row.next {
            VecDeque::from([(row.low, row.next)])
        } else {
            VecDeque::new()
        };
        Queue {
            id,
            next: row.next,
            active: row.active,
            bytes: row.bytes,
            locked: 0,
            bounds,
            window: BTreeMap::new(),
            ready_bytes: 0,
            ready: Ranges::default(),
            cold,
            generation: 0,
            loading: false,
            pending: Vec::new(),
            changed: BTreeSet::new(),
            dirty: false,
            receivers: Vec::new(),
        }
    }

    /// The counters as they are stored.
    pub fn row(&self) -> QueueRow {
        QueueRow { next: self.next, low: self.low(), active: self.active, bytes: self.bytes, unmatched: 0 }
    }

    /// No page begins below.
    pub fn low(&self) -> u64 {
        let hot = self.window.first_key_value().map(|(first, _)| *first);
        let cold = self.cold.front().map(|(from, _)| *from);
        hot.into_iter().chain(cold).min().unwrap_or(self.next)
    }

    /// The number the next message gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Messages in the queue, locked ones included.
    pub fn active(&self) -> u64 {
        self.active
    }

    /// Messages that are locked.
    pub fn locked(&self) -> u64 {
        self.locked
    }

    /// Bytes of all messages.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages in the window that can be delivered.
    pub fn ready(&self) -> u64 {
        self.ready.len()
    }

    /// Whether all that could be delivered is in the window.
    pub fn is_all_hot(&self) -> bool {
        self.cold.is_empty()
    }

    /// The state of a message, where it is in the window.
    pub fn slot(&self, page: u64, index: u32) -> Option<Slot> {
        self.window.get(&page)?.slots.get(index as usize).copied()
    }

    fn is_window_full(&self) -> bool {
        self.ready.len() >= self.bounds.messages || self.ready_bytes >= self.bounds.bytes
    }

    /// Nothing from this number on may be delivered before it is loaded.
    fn barrier(&self) -> u64 {
        self.cold.front().map_or(u64::MAX, |(from, _)| *from)
    }

    /// Checks what must always be true; says what is not.
    pub fn check(&self) -> Result<(), String> {
        let slots = || self.window.values().flat_map(|page| page.slots.iter());
        let count = |what: fn(&Slot) -> bool| slots().filter(|slot| what(slot)).count() as u64;
        let ready = count(|slot| matches!(slot, Slot::Ready { .. }));
        let locked = count(|slot| matches!(slot, Slot::Locked { .. }));
        let claims = [
            (
                "the bytes of ready messages are counted",
                self.window.values().map(HotPage::ready_bytes).sum::<u64>() == self.ready_bytes,
            ),
            ("ready slots are the ready numbers", ready == self.ready.len()),
            ("locked slots are counted", locked == self.locked),
            ("hot messages are not more than all", ready + locked <= self.active),
            ("without cold ranges all are hot", !self.cold.is_empty() || ready + locked == self.active),
            ("an empty queue has no bytes", self.active > 0 || self.bytes == 0),
            (
                "cold ranges are in order",
                self.cold.iter().zip(self.cold.iter().skip(1)).all(|(a, b)| a.1 <= b.0),
            ),
            ("cold ranges are not empty", self.cold.iter().all(|(from, to)| from < to)),
        ];
        let page_is_sound = |page: &HotPage| {
            let live = page.slots.iter().filter(|slot| **slot != Slot::Gone).count() as u32;
            let locked = page.slots.iter().filter(|slot| matches!(slot, Slot::Locked { .. })).count() as u32;
            (live, locked) == (page.live, page.locked)
        };
        if !self.window.values().all(page_is_sound) {
            return Err(format!("queue {:?}: a page's counts are wrong", self.id));
        }
        match claims.iter().find(|(_, holds)| !holds) {
            None => Ok(()),
            Some((claim, _)) => Err(format!("queue {:?}: not true: {claim}: {self:?}", self.id)),
        }
    }
}
