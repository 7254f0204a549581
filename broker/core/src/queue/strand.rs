//! Strands: the priorities of a queue. A plain queue has one.
//!
//! A message's *place* is its number with the rank of its strand in the top byte: places of the more urgent strand come
//! first, in memory and in the store, and in one strand the older message comes first. With one strand a place is a
//! number.

use crate::ranges::Ranges;
use std::collections::VecDeque;

const RANK_SHIFT: u32 = 56;

/// The sequence number of the message at `place`.
pub fn number(place: u64) -> u64 {
    place & ((1 << RANK_SHIFT) - 1)
}

/// The place of a message in the strand of a rank; 0 is the most urgent one.
pub fn place(rank: usize, number: u64) -> u64 {
    (rank as u64) << RANK_SHIFT | number
}

/// The rank of the strand that a place is in.
pub fn rank(place: u64) -> usize {
    (place >> RANK_SHIFT) as usize
}

/// What one priority has to give out.
#[derive(Debug, Default)]
pub(super) struct Strand {
    /// Places in the window that are ready.
    pub ready: Ranges,
    /// Bytes of the messages there. Locked ones do not count: they say nothing about how much there is to give out, and
    /// with large messages in work they would keep all new ones out of the window.
    pub ready_bytes: u64,
    /// Ranges of places that only the store has.
    pub cold: VecDeque<(u64, u64)>,
    /// The life of the cold ranges: what was read in another one is worthless.
    pub generation: u64,
    /// Whether pages were asked for.
    pub loading: bool,
}

impl Strand {
    /// A strand of which only the store has anything, between two numbers.
    pub fn cold(rank: usize, from: u64, to: u64) -> Self {
        let cold =
            if from < to { VecDeque::from([(place(rank, from), place(rank, to))]) } else { VecDeque::new() };
        Strand { cold, ..Strand::default() }
    }

    /// Nothing from this place on may be delivered before it is loaded.
    pub fn barrier(&self) -> u64 {
        self.cold.front().map_or(u64::MAX, |(from, _)| *from)
    }

    /// The first run of places that can be given out.
    pub fn head(&self) -> Option<(u64, u64)> {
        let (from, to) = self.ready.first_run()?;
        let to = to.min(self.barrier());
        (from < to).then_some((from, to))
    }

    /// Takes so many messages off the first run.
    pub fn take_head(&mut self, messages: u64, bytes: u64) {
        self.ready.pop(messages);
        self.ready_bytes -= bytes;
    }

    /// Adds the place behind all others to what is cold; `is_next` says whether it goes on with a range that ends
    /// somewhere.
    pub fn extend_cold(&mut self, place: u64, is_next: impl Fn(u64) -> bool) {
        match self.cold.back_mut() {
            Some((_, to)) if is_next(*to) => *to = place + 1,
            _ => self.cold.push_back((place, place + 1)),
        }
    }

    /// Takes `from..to` out of all cold ranges.
    pub fn leave_out(&mut self, from: u64, to: u64) {
        let rest = |(begin, end): (u64, u64)| [(begin, end.min(from)), (begin.max(to), end)];
        let cold = std::mem::take(&mut self.cold);
        self.cold = cold.into_iter().flat_map(rest).filter(|(begin, end)| begin < end).collect();
    }

    /// Takes `from..to` out of the cold range around it; says whether it was cold.
    pub fn warm(&mut self, from: u64, to: u64) -> bool {
        let Some(at) = self.cold.partition_point(|(first, _)| *first <= from).checked_sub(1) else {
            return false;
        };
        let (first, end) = self.cold[at];
        if end <= from {
            return false;
        }
        self.cold.remove(at);
        for range in [(to, end), (first, from)] {
            if range.0 < range.1 {
                self.cold.insert(at, range);
            }
        }
        self.forget_load();
        true
    }

    /// Puts `from..to` back into what is cold.
    pub fn cool(&mut self, mut from: u64, mut to: u64) {
        let mut at = self.cold.partition_point(|(first, _)| *first < from);
        if self.cold.get(at).is_some_and(|(first, _)| *first <= to) {
            to = self.cold.remove(at).map_or(to, |(_, end)| end.max(to));
        }
        if at > 0 && self.cold[at - 1].1 >= from {
            at -= 1;
            from = self.cold.remove(at).map_or(from, |(first, _)| first);
        }
        self.cold.insert(at, (from, to));
        self.forget_load();
    }

    /// What is being read is not what is in the store any more.
    pub fn forget_load(&mut self) {
        self.generation += 1;
        self.loading = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_and_the_oldest_come_first() {
        assert!(place(0, u64::MAX >> 8) < place(1, 1) && place(1, 1) < place(1, 2));
        assert_eq!((rank(place(9, 77)), number(place(9, 77)), place(0, 5)), (9, 77, 5));
    }

    #[test]
    fn what_is_warmed_can_cool_again() {
        let mut strand = Strand::cold(0, 1, 100);
        assert!(strand.warm(10, 20) && strand.warm(20, 30) && !strand.warm(15, 20));
        assert_eq!(strand.cold, [(1, 10), (30, 100)]);
        strand.cool(20, 30);
        assert_eq!(strand.cold, [(1, 10), (20, 100)]);
        strand.cool(10, 20);
        assert_eq!(strand.cold, [(1, 100)]);
        assert!(strand.warm(1, 100) && strand.cold.is_empty());
        strand.cool(5, 6);
        assert_eq!(strand.cold, [(5, 6)]);
    }
}
