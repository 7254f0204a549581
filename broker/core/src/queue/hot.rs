//! A page in the window: its messages, one by one.

use super::Slot;
use crate::damage::Damage;
use crate::key::TopicPage;
use crate::page::{Mark, NEVER_MS, Page, PageState};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A page in the window.
#[derive(Debug, Default)]
pub(super) struct HotPage {
    pub slots: Vec<Slot>,
    pub sizes: Vec<u32>,
    /// What deciding looks at; empty where no message differs from the rest.
    pub marks: Vec<Mark>,
    /// Properties that consumers have changed, by message.
    pub changed: BTreeMap<u32, Bytes>,
    /// When its first message came, UTC milliseconds.
    pub written_ms: u64,
    /// Messages that are not gone.
    pub live: u32,
    /// Of these, messages that are locked.
    pub locked: u32,
    /// Of these, messages that can be delivered.
    pub ready: u32,
    /// When the store will call for it, UTC milliseconds; [`NEVER_MS`] where it will not.
    pub alarm_ms: u64,
    /// Whether it was taken out of a cold range before its turn.
    pub warmed: bool,
    /// The page of its topic that it refers to.
    pub refers: Option<TopicPage>,
}

impl HotPage {
    /// An empty page that begins at a moment.
    pub fn new(written_ms: u64) -> Self {
        HotPage { written_ms, alarm_ms: NEVER_MS, ..HotPage::default() }
    }

    /// The page as it is in the store.
    pub fn open(bytes: Bytes, state: Option<Bytes>) -> Result<Self, Damage> {
        let page = Page::open(bytes)?;
        let state = PageState::of(&page, state)?;
        let mut slots: Vec<_> = state
            .attempts
            .iter()
            .map(|tried| tried.map_or(Slot::Gone, |tried| Slot::waiting(tried, 0)))
            .collect();
        for at in &state.deferred {
            let slot = &mut slots[*at as usize];
            *slot = Slot::Deferred { attempts: slot.attempts().unwrap_or(0) };
        }
        for (at, until_ms) in &state.delayed {
            let slot = &mut slots[*at as usize];
            *slot = Slot::waiting(slot.attempts().unwrap_or(0), *until_ms);
        }
        let mut hot = HotPage {
            sizes: (0..page.len()).map(|at| page.size(at)).collect(),
            marks: (0..page.len()).map_while(|at| page.mark(at)).collect(),
            live: slots.iter().filter(|slot| **slot != Slot::Gone).count() as u32,
            ready: slots.iter().filter(|slot| slot.is_ready()).count() as u32,
            changed: state.changed,
            slots,
            written_ms: page.written_ms(),
            refers: page.refers(),
            ..HotPage::default()
        };
        hot.alarm_ms = hot.next_alarm_ms(0);
        Ok(hot)
    }

    /// What is to be stored beside the page.
    pub fn state(&self) -> PageState {
        let mut state = PageState {
            attempts: self.slots.iter().map(|slot| slot.attempts()).collect(),
            changed: self.changed.clone(),
            ..PageState::default()
        };
        for (at, slot) in (0..).zip(&self.slots) {
            match slot {
                Slot::Deferred { .. } => state.deferred.push(at),
                Slot::Delayed { until_ms, .. } => state.delayed.push((at, *until_ms)),
                Slot::Ready { .. } | Slot::Locked { .. } | Slot::Gone => {}
            }
        }
        state
    }

    /// Appends a message that is ready.
    pub fn push(&mut self, attempts: u32, size: u32, mark: Mark) {
        if mark != Mark::default() || !self.marks.is_empty() {
            self.marks.resize(self.slots.len(), Mark::default());
            self.marks.push(mark);
        }
        self.slots.push(Slot::Ready { attempts });
        self.sizes.push(size);
        self.live += 1;
        self.ready += 1;
    }

    /// Appends holes until the page has `records`.
    pub fn pad(&mut self, records: usize) {
        self.slots.resize(records.max(self.slots.len()), Slot::Gone);
        self.sizes.resize(self.slots.len(), 0);
        if !self.marks.is_empty() {
            self.marks.resize(self.slots.len(), Mark::default());
        }
    }

    /// What deciding looks at in a message.
    pub fn mark(&self, index: usize) -> Mark {
        self.marks.get(index).copied().unwrap_or_default()
    }

    /// When something happens to one of its messages by itself, behind a moment.
    pub fn next_alarm_ms(&self, after_ms: u64) -> u64 {
        let alarm = |(at, slot): (usize, &Slot)| match slot {
            Slot::Gone => NEVER_MS,
            Slot::Delayed { until_ms, .. } => self.mark(at).expires_ms.min(*until_ms),
            Slot::Ready { .. } | Slot::Locked { .. } | Slot::Deferred { .. } => self.mark(at).expires_ms,
        };
        let is_timed = !self.marks.is_empty() || self.ready + self.locked < self.live;
        let alarms = self.slots.iter().enumerate().filter(|_| is_timed).map(alarm);
        alarms.filter(|alarm_ms| *alarm_ms > after_ms).min().unwrap_or(NEVER_MS)
    }

    /// Whether the counts are those of the messages.
    pub fn is_sound(&self) -> bool {
        let count = |what: fn(&Slot) -> bool| self.slots.iter().filter(|slot| what(slot)).count() as u32;
        let counted = (
            count(|slot| *slot != Slot::Gone),
            count(|slot| slot.is_locked()),
            count(|slot| slot.is_ready()),
        );
        counted == (self.live, self.locked, self.ready)
    }

    /// Bytes of the messages that `counts` is true of.
    pub fn bytes_where(&self, counts: impl Fn(Slot) -> bool) -> u64 {
        let messages = self.slots.iter().zip(&self.sizes).filter(|(slot, _)| counts(**slot));
        messages.map(|(_, size)| u64::from(*size)).sum()
    }
}
