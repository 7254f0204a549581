//! Removing everything that nobody holds.

use super::{Event, Queue};
use crate::fact::Fact;

impl Queue {
    /// Removes every message that nobody holds; returns how many. Says at once what must be remembered of the pages
    /// that this turn has filled, so that their removal comes behind it.
    pub fn purge(&mut self, facts: &mut Vec<Fact>) -> u64 {
        self.seal_pending(facts);
        let before = self.row.active;
        let in_window: Vec<(u64, u32)> = self
            .window
            .iter()
            .flat_map(|(first, page)| (0..).zip(&page.slots).map(move |(at, slot)| (*first, at, slot)))
            .filter(|(.., slot)| slot.is_free())
            .map(|(first, at, _)| (first, at))
            .collect();
        for (first, at) in in_window {
            self.change(first, at, Event::Drop);
        }
        for (first, _) in std::mem::take(&mut self.parked) {
            facts.push(Fact::PageGone(self.id, first));
        }
        for strand in &mut self.strands {
            facts.extend(strand.cold.drain(..).map(|(from, to)| Fact::PagesGone(self.id, from, to)));
            strand.forget_load();
        }
        let (locked, locked_bytes) = (self.locked, self.locked_bytes);
        let row = self.row_mut();
        (row.active, row.bytes, row.delayed, row.deferred) = (locked, locked_bytes, 0, 0);
        before - locked
    }
}
