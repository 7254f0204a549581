//! What becomes of locked messages.

use super::{Event, HotPage, Queue, Slot};
use crate::fact::Fact;

impl Queue {
    /// Lets `event` happen to a message that `lease` holds. Returns its failed deliveries after that; `None` where the
    /// lease does not hold it any more.
    pub fn settle(&mut self, page: u64, index: u32, lease: u64, event: Event) -> Option<u32> {
        let hot = self.window.get_mut(&page)?;
        let slot = hot.slots.get_mut(index as usize).filter(|slot| slot.is_locked_by(lease))?;
        let attempts = slot.attempts()?;
        let size = u64::from(hot.sizes[index as usize]);
        *slot = slot.on(event)?;
        let after = *slot;
        hot.locked -= 1;
        self.locked -= 1;
        match after {
            Slot::Gone => self.remove(page, index),
            Slot::Ready { attempts: after } => {
                self.ready_bytes += size;
                self.ready.insert(page + u64::from(index), page + u64::from(index) + 1);
                if after != attempts {
                    self.changed.insert(page);
                }
            }
            Slot::Locked { .. } => {}
        }
        after.attempts().or(Some(attempts))
    }

    fn remove(&mut self, page: u64, index: u32) {
        let Some(hot) = self.window.get_mut(&page) else { return };
        let size = u64::from(hot.sizes[index as usize]);
        hot.live -= 1;
        self.active -= 1;
        self.bytes -= size;
        self.changed.insert(page);
        self.dirty = true;
    }

    /// Removes every message that nobody holds; returns how many. Says at once what must be remembered of the pages
    /// that this turn has filled, so that their removal comes behind it.
    pub fn purge(&mut self, facts: &mut Vec<Fact>) -> u64 {
        self.seal_pending(facts);
        let purged = self.active - self.locked;
        while let Some((from, to)) = self.ready.pop(u64::MAX) {
            for sequence in from..to {
                let page = self.window.range(..=sequence).next_back().map(|(first, _)| *first);
                let page = page.expect("a ready message is in a hot page");
                self.purge_slot(page, (sequence - page) as u32);
            }
        }
        for (from, to) in self.cold.drain(..) {
            facts.push(Fact::PagesGone(self.id, from, to));
        }
        self.generation += 1;
        self.loading = false;
        self.active = self.locked;
        self.ready_bytes = 0;
        self.bytes = self.window.values().map(HotPage::live_bytes).sum();
        self.dirty = true;
        purged
    }

    fn purge_slot(&mut self, page: u64, index: u32) {
        if let Some(slot) = self.window.get_mut(&page).and_then(|hot| hot.slots.get_mut(index as usize)) {
            *slot = slot.on(Event::Purge).expect("a number in the ready set has a ready slot");
        }
        self.remove(page, index);
    }
}

impl HotPage {
    fn live_bytes(&self) -> u64 {
        self.bytes_where(|slot| slot != Slot::Gone)
    }

    pub(super) fn ready_bytes(&self) -> u64 {
        self.bytes_where(|slot| matches!(slot, Slot::Ready { .. }))
    }

    fn bytes_where(&self, counts: impl Fn(Slot) -> bool) -> u64 {
        let messages = self.slots.iter().zip(&self.sizes).filter(|(slot, _)| counts(**slot));
        messages.map(|(_, size)| u64::from(*size)).sum()
    }
}
