//! Pages as they are now, to be read: nothing moves into the window.

use super::{HotPage, Queue, Slot};
use crate::damage::Damage;
use crate::page::Page;
use bytes::Bytes;
use std::collections::BTreeMap;

/// A page with what became of its messages.
#[derive(Debug)]
pub struct PageView {
    page: Page,
    slots: Vec<Slot>,
    changed: BTreeMap<u32, Bytes>,
}

impl PageView {
    /// Records in the page, gone ones and holes included.
    pub fn records(&self) -> usize {
        self.slots.len()
    }

    /// The first message from an index on that is there.
    pub fn live_from(&self, index: usize) -> Option<usize> {
        (index..self.records()).find(|at| self.slots[*at] != Slot::Gone)
    }

    /// The state of a message.
    pub fn slot(&self, index: usize) -> Slot {
        self.slots.get(index).copied().unwrap_or(Slot::Gone)
    }

    /// The record of a message as it was put.
    pub fn record(&self, index: usize) -> Option<Bytes> {
        self.page.record(index)
    }

    /// What consumers have changed in a message's properties.
    pub fn changes(&self, index: u32) -> Option<&Bytes> {
        self.changed.get(&index)
    }
}

impl Queue {
    /// A stored page as it is now: the window knows better than its stored `state`.
    pub fn view(
        &self,
        first: u64,
        page: Page,
        state: impl FnOnce() -> Result<Option<Bytes>, Damage>,
    ) -> Result<PageView, Damage> {
        let (slots, changed) = match self.window.get(&first) {
            Some(hot) => (hot.slots.clone(), hot.changed.clone()),
            None => {
                let opened = HotPage::open(page.bytes().clone(), state()?)?;
                (opened.slots, opened.changed)
            }
        };
        Ok(PageView { page, slots, changed })
    }

    /// The page in the window that a place is in.
    pub fn hot_page_at(&self, place: u64) -> Option<u64> {
        let (first, page) = self.window.range(..=place).next_back()?;
        (place - first < page.slots.len() as u64).then_some(*first)
    }
}
