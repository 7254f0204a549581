//! Finding the oldest message that nobody holds.

use super::{Queue, Slot, place};

impl Queue {
    /// The first page of a strand from a place on that memory knows of and that has a message nobody holds.
    pub fn first_page(&self, rank: usize, from: u64) -> Option<u64> {
        let places = from..place(rank + 1, 0);
        let hot = self.window.range(places.clone()).find(|(_, page)| page.live > page.locked);
        let parked = self.parked.range(places.clone()).next().map(|(first, _)| *first);
        let pending = self.pending.iter().map(|pending| pending.first);
        let pending = pending.filter(|first| places.contains(first) && !self.is_hot(*first));
        hot.map(|(first, _)| *first).into_iter().chain(parked).chain(pending).min()
    }

    /// The cold ranges of a strand between two places.
    pub fn cold_between(&self, rank: usize, from: u64, to: u64) -> Vec<(u64, u64)> {
        let cold = self.strands[rank].cold.iter().map(|(first, end)| (from.max(*first), to.min(*end)));
        cold.filter(|(first, end)| first < end).collect()
    }

    /// Whether a page is one that this turn fills.
    pub fn is_pending(&self, first: u64) -> bool {
        self.pending.iter().any(|pending| pending.first == first)
    }

    /// The first message of a page in the window that nobody holds, and its state.
    pub fn first_free(&self, first: u64) -> Option<(u32, Slot)> {
        let slots = (0..).zip(&self.window.get(&first)?.slots);
        let mut free = slots.filter(|(_, slot)| slot.is_free());
        free.next().map(|(index, slot)| (index, *slot))
    }
}
