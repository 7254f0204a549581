//! What happens to one message, and the book-keeping that goes with it.

use super::{Event, Queue, Slot, rank};
use bytes::Bytes;

impl Queue {
    /// Lets `event` happen to a message in the window. Returns the state after it; `None` where it cannot happen.
    pub fn change(&mut self, page: u64, index: u32, event: Event) -> Option<Slot> {
        let hot = self.window.get_mut(&page)?;
        let slot = hot.slots.get_mut(index as usize)?;
        let before = *slot;
        let after = before.on(event)?;
        *slot = after;
        self.leave(page, index, before);
        self.enter(page, index, after);
        self.stirred.insert(page);
        if self.by_session && !after.is_locked() {
            self.moved.push((page, index, after));
        }
        // Locks are remembered by their leases.
        if before.attempts() != after.attempts() || !(is_plain(before) && is_plain(after)) {
            self.changed.insert(page);
        }
        Some(after)
    }

    /// Lets `event` happen to a message that `lease` holds.
    pub fn settle(&mut self, page: u64, index: u32, lease: u64, event: Event) -> Option<Slot> {
        self.slot(page, index).filter(|slot| slot.is_locked_by(lease))?;
        self.change(page, index, event)
    }

    /// What consumers have changed in a message's properties.
    pub fn changes(&self, page: u64, index: u32) -> Option<&Bytes> {
        self.window.get(&page)?.changed.get(&index)
    }

    /// Keeps changes of a message's properties beside it.
    pub fn set_changes(&mut self, page: u64, index: u32, changes: Bytes) {
        if let Some(hot) = self.window.get_mut(&page) {
            hot.changed.insert(index, changes);
            self.changed.insert(page);
        }
    }

    /// The messages of a page in the window: index, state, and when each expires, UTC milliseconds.
    pub fn messages_of(&self, page: u64) -> Vec<(u32, Slot, u64)> {
        let Some(hot) = self.window.get(&page) else { return Vec::new() };
        let slots = (0..).zip(&hot.slots);
        slots.map(|(at, slot)| (at, *slot, hot.mark(at as usize).expires_ms)).collect()
    }

    fn leave(&mut self, page: u64, index: u32, before: Slot) {
        let Some(hot) = self.window.get_mut(&page) else { return };
        match before {
            Slot::Ready { .. } => {
                hot.ready -= 1;
                let strand = &mut self.strands[rank(page)];
                strand.ready_bytes -= u64::from(hot.sizes[index as usize]);
                strand.ready.remove(page + u64::from(index));
                if let Some(keyed) = &mut self.keyed {
                    keyed.remove(page + u64::from(index), hot.mark(index as usize));
                }
            }
            Slot::Locked { .. } => {
                hot.locked -= 1;
                self.locked -= 1;
                self.locked_bytes -= u64::from(hot.sizes[index as usize]);
                self.units -= u64::from(hot.mark(index as usize).cost);
            }
            Slot::Delayed { .. } => self.row_mut().delayed -= 1,
            Slot::Deferred { .. } => self.row_mut().deferred -= 1,
            Slot::Gone => {}
        }
    }

    fn enter(&mut self, page: u64, index: u32, after: Slot) {
        let Some(hot) = self.window.get_mut(&page) else { return };
        let size = u64::from(hot.sizes[index as usize]);
        match after {
            Slot::Ready { .. } => {
                hot.ready += 1;
                let strand = &mut self.strands[rank(page)];
                strand.ready_bytes += size;
                strand.ready.insert(page + u64::from(index), page + u64::from(index) + 1);
                if let Some(keyed) = &mut self.keyed {
                    keyed.insert(page + u64::from(index), hot.mark(index as usize));
                }
            }
            Slot::Locked { .. } => {
                hot.locked += 1;
                self.locked += 1;
                self.locked_bytes += size;
                self.units += u64::from(hot.mark(index as usize).cost);
            }
            Slot::Delayed { .. } => self.row_mut().delayed += 1,
            Slot::Deferred { .. } => self.row_mut().deferred += 1,
            Slot::Gone => {
                hot.live -= 1;
                hot.changed.remove(&index);
                let row = self.row_mut();
                row.active -= 1;
                row.bytes -= size;
            }
        }
    }
}

/// Whether the page's state says nothing else of it than its attempts.
fn is_plain(slot: Slot) -> bool {
    matches!(slot, Slot::Ready { .. } | Slot::Locked { .. })
}
