//! Giving messages out.

use super::{Event, HotPage, Queue, rank};
use crate::effect::PageRun;
use crate::limits::PRIORITY_AGING_MS;
use std::collections::BTreeMap;

/// How much may be acquired.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Messages.
    pub messages: u64,
    /// Bytes of their records; the first message may pass them.
    pub bytes: u64,
    /// Capacity units.
    pub units: u64,
}

/// Messages taken off the head of a queue.
#[derive(Debug, Default)]
pub struct Acquired {
    /// Which ones, in order.
    pub runs: Vec<PageRun>,
    /// How many.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Their capacity units.
    pub units: u64,
}

impl Acquired {
    /// Adds a message.
    pub(super) fn push(&mut self, page: u64, index: u32, attempts: u32, hot: &HotPage) {
        self.messages += 1;
        self.bytes += u64::from(hot.sizes[index as usize]);
        self.units += u64::from(hot.mark(index as usize).cost);
        let changes = hot.changed.get(&index).cloned();
        match self.runs.last_mut() {
            Some(run) if run.goes_on_with(page, index, attempts) && changes.is_none() => run.count += 1,
            _ => self.runs.push(PageRun { page, index, count: 1, attempts, changes }),
        }
    }

    fn has_room(&self, most: &Most, size: u32, cost: u32) -> bool {
        self.messages < most.messages
            && (self.messages == 0 || self.bytes + u64::from(size) <= most.bytes)
            && self.units + u64::from(cost) <= most.units
    }
}

impl PageRun {
    fn goes_on_with(&self, page: u64, index: u32, attempts: u32) -> bool {
        self.changes.is_none()
            && (self.page, self.index + self.count, self.attempts) == (page, index, attempts)
    }
}

impl Queue {
    /// Whether a message can be given out now, if it is not too costly.
    pub fn has_next(&self) -> bool {
        self.next_strand().is_some()
    }

    /// The strand whose head is next: a more urgent one goes before one that has not waited so much longer. As long as
    /// the head of one is not loaded, nobody knows.
    pub(super) fn next_strand(&self) -> Option<usize> {
        let mut next: Option<(u64, usize)> = None;
        for (rank, strand) in self.strands.iter().enumerate() {
            match strand.head() {
                Some((head, _)) => {
                    let since = page_of(&self.window, head).1.written_ms;
                    let turn = since.saturating_add(rank as u64 * PRIORITY_AGING_MS);
                    next = Some(next.map_or((turn, rank), |next| next.min((turn, rank))));
                }
                None if !strand.cold.is_empty() => return None,
                None => {}
            }
        }
        next.map(|(_, rank)| rank)
    }

    /// Takes messages off the head: locked under `lease`, or taken for good without one. Stops before a message whose
    /// time is up at `now_ms` UTC: its alarm is due.
    pub fn acquire(&mut self, most: Most, lease: Option<u64>, now_ms: u64) -> Acquired {
        let event = lease.map_or(Event::Drop, |lease| Event::Lock { lease });
        let mut acquired = Acquired::default();
        while let Some((from, to)) = self.next_strand().and_then(|rank| self.strands[rank].head()) {
            let (first, hot) = page_of(&self.window, from);
            let end = to.min(first + hot.slots.len() as u64);
            let indices = (from - first) as u32..(end - first) as u32;
            let reached = self.acquire_run(first, indices.clone(), event, &most, now_ms, &mut acquired);
            if reached < indices.end {
                break;
            }
        }
        acquired
    }

    /// Takes one message of the window, whatever stands before it: `event` happens to it, which it must be able to.
    pub fn acquire_one(&mut self, page: u64, index: u32, event: Event, acquired: &mut Acquired) {
        let Some(hot) = self.window.get(&page) else { return };
        let Some(attempts) = hot.slots.get(index as usize).and_then(|slot| slot.attempts()) else { return };
        acquired.push(page, index, attempts, hot);
        self.change(page, index, event);
    }

    /// Takes a message of the window as above, where that is not more than `most`; says whether it did.
    pub fn acquire_within(
        &mut self,
        page: u64,
        index: u32,
        event: Event,
        most: &Most,
        acquired: &mut Acquired,
    ) -> bool {
        let Some(hot) = self.window.get(&page) else { return false };
        let Some(size) = hot.sizes.get(index as usize).copied() else { return false };
        let fits = acquired.has_room(most, size, hot.mark(index as usize).cost);
        if fits {
            self.acquire_one(page, index, event, acquired);
        }
        fits
    }

    /// Acquires neighbours of one page from the first of `indices` on, as long as they fit.
    fn acquire_run(
        &mut self,
        page: u64,
        indices: std::ops::Range<u32>,
        event: Event,
        most: &Most,
        now_ms: u64,
        acquired: &mut Acquired,
    ) -> u32 {
        let hot = self.window.get_mut(&page).expect("a ready message is in a hot page");
        let before = (acquired.messages, acquired.bytes, acquired.units);
        let mut index = indices.start;
        while index < indices.end {
            let (size, mark) = (hot.sizes[index as usize], hot.mark(index as usize));
            if mark.expires_ms <= now_ms || !acquired.has_room(most, size, mark.cost) {
                break;
            }
            let slot = hot.slots[index as usize];
            acquired.push(page, index, slot.attempts().unwrap_or(0), hot);
            hot.slots[index as usize] = slot.on(event).expect("a place in the ready set has a ready slot");
            if event == Event::Drop {
                hot.changed.remove(&index);
            }
            index += 1;
        }
        if let Some(keyed) = &mut self.keyed {
            let taken = indices.start..index;
            taken.for_each(|at| keyed.remove(page + u64::from(at), hot.mark(at as usize)));
        }
        let (messages, bytes, units) =
            (acquired.messages - before.0, acquired.bytes - before.1, acquired.units - before.2);
        hot.ready -= messages as u32;
        self.strands[rank(page)].take_head(messages, bytes);
        if matches!(event, Event::Lock { .. }) {
            hot.locked += messages as u32;
            self.locked += messages;
            self.locked_bytes += bytes;
            self.units += units;
        } else if messages > 0 {
            hot.live -= messages as u32;
            self.changed.insert(page);
            let row = self.row_mut();
            row.active -= messages;
            row.bytes -= bytes;
        }
        self.stirred.insert(page);
        index
    }
}

/// The page in the window that a place is in.
pub(super) fn page_of(window: &BTreeMap<u64, HotPage>, place: u64) -> (u64, &HotPage) {
    let (first, page) = window.range(..=place).next_back().expect("a ready message is in a hot page");
    (*first, page)
}
