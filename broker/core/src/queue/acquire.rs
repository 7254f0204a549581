//! Giving messages out.

use super::{Event, Queue, Slot};
use crate::effect::PageRun;

/// Messages taken off the head of a queue.
#[derive(Debug, Default)]
pub struct Acquired {
    /// Which ones, in order.
    pub runs: Vec<PageRun>,
    /// How many.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

impl Acquired {
    fn push(&mut self, page: u64, index: u32, attempts: u32, size: u32) {
        self.messages += 1;
        self.bytes += u64::from(size);
        match self.runs.last_mut() {
            Some(run) if run.page == page && run.index + run.count == index && run.attempts == attempts => {
                run.count += 1;
            }
            _ => self.runs.push(PageRun { page, index, count: 1, attempts }),
        }
    }
}

impl Queue {
    /// Whether a message can be given out now.
    pub fn has_next(&self) -> bool {
        self.ready.first_run().is_some_and(|(from, _)| from < self.barrier())
    }

    /// Takes up to `most` messages off the head: locked under `lease`, or taken for good without one. Stops before
    /// `bytes` are passed, but never before the first message.
    pub fn acquire(&mut self, most: u64, bytes: u64, lease: Option<u64>) -> Acquired {
        let event = lease.map_or(Event::Take, |lease| Event::Lock { lease });
        let mut acquired = Acquired::default();
        while acquired.messages < most && acquired.bytes < bytes && self.has_next() {
            let room = (self.barrier() - self.ready.first_run().map_or(0, |(from, _)| from))
                .min(most - acquired.messages);
            let Some((from, to)) = self.ready.pop(room) else { break };
            let reached = self.acquire_run(from, to, bytes, event, &mut acquired);
            self.ready.insert(reached, to);
            if reached < to {
                break;
            }
        }
        acquired
    }

    /// Acquires the neighbours `from..to`, page by page; returns the number it got to.
    fn acquire_run(&mut self, from: u64, to: u64, bytes: u64, event: Event, acquired: &mut Acquired) -> u64 {
        let mut sequence = from;
        while sequence < to {
            let (first, page) =
                self.window.range_mut(..=sequence).next_back().expect("a ready message is in a hot page");
            let (first, end) = (*first, to.min(first + page.slots.len() as u64));
            while sequence < end {
                let index = (sequence - first) as usize;
                let size = page.sizes[index];
                if acquired.messages > 0 && acquired.bytes + u64::from(size) > bytes {
                    return sequence;
                }
                let slot = &mut page.slots[index];
                let attempts = slot.attempts().unwrap_or(0);
                *slot = slot.on(event).expect("a number in the ready set has a ready slot");
                acquired.push(first, index as u32, attempts, size);
                self.ready_bytes -= u64::from(size);
                match slot {
                    Slot::Locked { .. } => {
                        page.locked += 1;
                        self.locked += 1;
                    }
                    _ => {
                        page.live -= 1;
                        self.active -= 1;
                        self.bytes -= u64::from(size);
                        self.changed.insert(first);
                        self.dirty = true;
                    }
                }
                sequence += 1;
            }
        }
        sequence
    }
}
