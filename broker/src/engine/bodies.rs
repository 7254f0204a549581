//! Pages that were written or read lately: where deliveries take their bodies from without asking the store.

use bytes::Bytes;
use postrider_core::context::{Damage, Rows, Visit};
use postrider_core::key::{Key, KeyRange, QueueId};
use postrider_core::page::Page;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Bytes of pages that are kept from turn to turn.
const KEPT_BYTES: usize = 32 * 1024 * 1024;

type PageKey = (u16, QueueId, u64);

/// The store's rows, with the latest pages in front.
pub struct Bodies {
    rows: Arc<dyn Rows + Send + Sync>,
    pages: HashMap<PageKey, Page>,
    order: VecDeque<(PageKey, usize)>,
    bytes: usize,
}

impl Bodies {
    /// No page kept yet.
    pub fn new(rows: Arc<dyn Rows + Send + Sync>) -> Self {
        Bodies { rows, pages: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// Keeps a page, at least until the turn is over: before its commit a page is nowhere else.
    pub fn keep(&mut self, shard: u16, queue: QueueId, first: u64, page: Page) -> Page {
        let size = page.bytes().len();
        if self.pages.insert((shard, queue, first), page.clone()).is_none() {
            self.order.push_back(((shard, queue, first), size));
            self.bytes += size;
        }
        page
    }

    /// A page is gone from the store, and must not be found here either: whoever asks for it later is to be told. Its bytes
    /// count until its turn to be let go of comes.
    pub fn forget(&mut self, shard: u16, queue: QueueId, first: u64) {
        self.pages.remove(&(shard, queue, first));
    }

    /// The same for all pages of a queue that begin in a range.
    pub fn forget_range(&mut self, shard: u16, queue: QueueId, from: u64, to: u64) {
        let is_gone = |page: &PageKey| (page.0, page.1) == (shard, queue) && (from..to).contains(&page.2);
        self.pages.retain(|page, _| !is_gone(page));
    }

    /// At the end of a turn: lets go of the oldest pages beyond what is to be kept.
    pub fn trim(&mut self) {
        while self.bytes > KEPT_BYTES
            && let Some((oldest, size)) = self.order.pop_front()
        {
            self.pages.remove(&oldest);
            self.bytes -= size;
        }
    }

    /// A page with the one of its topic that it refers to, from what is kept or from the store. The two are kept apart:
    /// else small pages would keep large ones.
    pub fn page(&mut self, shard: u16, queue: QueueId, first: u64) -> Result<Page, Damage> {
        let page = self.stored(shard, queue, first)?;
        match page.refers() {
            Some(of) => page.with_topic(self.stored(shard, QueueId::main(of.topic), of.first)?),
            None => Ok(page),
        }
    }

    fn stored(&mut self, shard: u16, queue: QueueId, first: u64) -> Result<Page, Damage> {
        if let Some(page) = self.pages.get(&(shard, queue, first)) {
            return Ok(page.clone());
        }
        let bytes = self.rows.get(&Key::Page(shard, queue, first))?;
        let bytes = bytes
            .ok_or_else(|| Damage::new(format!("page {first} of {queue:?} in shard {shard} is missing")))?;
        Ok(self.keep(shard, queue, first, Page::open(bytes)?))
    }

    /// Forgets everything, as if the process had started anew.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.order.clear();
        self.bytes = 0;
    }
}

impl Rows for Bodies {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Damage> {
        match key {
            Key::Page(shard, queue, first) => match self.pages.get(&(*shard, *queue, *first)) {
                Some(page) => Ok(Some(page.bytes().clone())),
                None => self.rows.get(key),
            },
            _ => self.rows.get(key),
        }
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), Damage> {
        self.rows.scan(range, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use postrider_core::page::{Body, Mark, PageBuilder};

    #[test]
    fn what_is_gone_from_the_store_is_not_found() {
        let mut bodies = Bodies::new(Arc::new(MemoryStore::new()));
        let queue = QueueId::main(1);
        for first in 1..=4 {
            let mut page = PageBuilder::default();
            page.push(0, first, Mark::default(), Body::own(b"body"));
            bodies.keep(0, queue, first, Page::fresh(page.build()).unwrap());
        }
        bodies.forget(0, queue, 1);
        bodies.forget_range(0, queue, 3, 4);
        let found = |first| bodies.get(&Key::Page(0, queue, first)).unwrap().is_some();
        assert_eq!([1, 2, 3, 4].map(found), [false, true, false, true]);
    }

    #[test]
    fn a_turn_keeps_all_its_pages_however_large_they_are() {
        let mut bodies = Bodies::new(Arc::new(MemoryStore::new()));
        let queue = QueueId::main(1);
        let pages = 2 * KEPT_BYTES as u64 / (1024 * 1024);
        for first in 0..pages {
            let mut page = PageBuilder::default();
            page.push(0, first, Mark::default(), Body::own(&[0; 1024 * 1024]));
            bodies.keep(0, queue, first, Page::fresh(page.build()).unwrap());
        }
        assert!(
            (0..pages).all(|first| bodies.page(0, queue, first).is_ok()),
            "nothing is let go before the turn ends"
        );
        bodies.trim();
        assert!(bodies.bytes <= KEPT_BYTES);
        assert!(bodies.page(0, queue, pages - 1).is_ok(), "the latest pages stay");
        assert!(bodies.page(0, queue, 0).is_err(), "the oldest ones went");
    }
}
