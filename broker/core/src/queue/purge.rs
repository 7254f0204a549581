//! Removing everything that nobody holds.

use super::{Event, Queue, rank};
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
        let parked = std::mem::take(&mut self.parked);
        let mut gone: Vec<_> = parked.into_keys().map(|first| (first, first + 1)).collect();
        for strand in &mut self.strands {
            gone.extend(strand.cold.drain(..));
            strand.forget_load();
        }
        self.let_go(gone, facts);
        let (locked, locked_bytes) = (self.locked, self.locked_bytes);
        let row = self.row_mut();
        (row.active, row.bytes, row.delayed, row.deferred) = (locked, locked_bytes, 0, 0);
        before - locked
    }

    /// Removes the pages that begin in these ranges. Those that may refer to a topic's pages have to be looked at: they
    /// leave the queue now, and the store later.
    fn let_go(&self, mut ranges: Vec<(u64, u64)>, facts: &mut Vec<Fact>) {
        ranges.sort_unstable();
        ranges.dedup_by(|next, last| {
            let is_one = rank(last.0) == rank(next.0) && self.window.range(last.1..next.0).next().is_none();
            if is_one {
                last.1 = next.1;
            }
            is_one
        });
        let gone = |(from, to)| match self.may_refer {
            true => Fact::Leaving(self.id, from, to),
            false => Fact::PagesGone(self.id, from, to),
        };
        facts.extend(ranges.into_iter().map(gone));
    }
}
