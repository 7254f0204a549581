//! Pages between memory and store: sealing a turn's, loading cold ones.

use super::{HotPage, Queue, Slot};
use crate::command::Loaded;
use crate::context::Damage;
use crate::effect::Load;
use crate::fact::Fact;
use crate::page::{Page, PageState};
use bytes::Bytes;

impl Queue {
    /// Ends the turn: what must be remembered of it.
    pub fn seal(&mut self, facts: &mut Vec<Fact>) {
        self.seal_pending(facts);
        for first in std::mem::take(&mut self.changed) {
            let Some(page) = self.window.get(&first) else { continue };
            if page.live == 0 {
                self.window.remove(&first);
                facts.push(Fact::PageGone(self.id, first));
            } else {
                facts.push(Fact::PageState(self.id, first, page.state().encode()));
            }
        }
        if std::mem::take(&mut self.dirty) {
            facts.push(Fact::QueueState(self.id, self.row()));
        }
    }

    pub(super) fn seal_pending(&mut self, facts: &mut Vec<Fact>) {
        for pending in self.pending.drain(..) {
            let records = pending.builder.len();
            facts.push(Fact::PageWritten(self.id, pending.first, pending.builder.build()));
            if !pending.tried.is_empty() {
                let mut state = PageState::fresh(records);
                pending
                    .tried
                    .iter()
                    .for_each(|(index, attempts)| state.attempts[*index as usize] = Some(*attempts));
                facts.push(Fact::PageState(self.id, pending.first, state.encode()));
            }
        }
    }

    /// What the engine should load, where the window runs low and `wanted` says that somebody waits.
    pub fn wants_load(&mut self, wanted: bool) -> Option<Load> {
        let (from, to) = *self.cold.front()?;
        let low = self.ready.len() < self.bounds.messages / 2 || !self.has_next();
        if self.loading || !wanted || !low {
            return None;
        }
        self.loading = true;
        let (messages, bytes) = (self.bounds.messages as usize / 2, self.bounds.bytes / 2);
        Some(Load { queue: self.id, generation: self.generation, from, to, messages, bytes })
    }

    /// Takes over pages that the engine has read.
    pub fn loaded(&mut self, loaded: &Loaded) -> Result<(), Damage> {
        let begins = self.cold.front().map(|(from, _)| *from);
        if loaded.generation != self.generation || !self.loading || begins != Some(loaded.from) {
            return Ok(());
        }
        self.loading = false;
        for (first, page, state) in &loaded.pages {
            self.load_page(*first, page.clone(), state.clone())?;
        }
        if let Some((from, to)) = self.cold.pop_front()
            && loaded.to < to
        {
            self.cold.push_front((loaded.to.max(from), to));
        }
        self.check_count()
    }

    /// Puts a stored page into the window.
    fn load_page(&mut self, first: u64, page: Bytes, state: Option<Bytes>) -> Result<(), Damage> {
        let page = Page::open(page)?;
        let state = state.map_or_else(|| Ok(PageState::fresh(page.len())), PageState::decode)?;
        if state.attempts.len() != page.len() {
            let (has, knows) = (page.len(), state.attempts.len());
            return Err(Damage::new(format!(
                "page {first} of {:?} has {has} records, its state {knows}",
                self.id
            )));
        }
        let slot = |attempts: &Option<u32>| attempts.map_or(Slot::Gone, |attempts| Slot::Ready { attempts });
        let hot = HotPage {
            slots: state.attempts.iter().map(slot).collect(),
            sizes: (0..page.len()).map(|at| page.size(at)).collect(),
            live: state.attempts.iter().flatten().count() as u32,
            locked: 0,
        };
        for (at, slot) in hot.slots.iter().enumerate().filter(|(_, slot)| **slot != Slot::Gone) {
            self.ready_bytes += u64::from(hot.sizes[at]);
            let sequence = first + at as u64;
            assert!(matches!(slot, Slot::Ready { .. }), "a page that is loaded has no locks yet");
            self.ready.insert(sequence, sequence + 1);
        }
        self.window.insert(first, hot);
        Ok(())
    }

    /// In recovery: makes the page that begins at `first` hot and takes it out of the cold range around it. Says how
    /// many records it has.
    pub fn recover_page(&mut self, first: u64, page: Bytes, state: Option<Bytes>) -> Result<(), Damage> {
        if self.window.contains_key(&first) {
            return Ok(());
        }
        self.load_page(first, page, state)?;
        let end = first + self.window.get(&first).map_or(0, |page| page.slots.len() as u64);
        let Some(at) = self.cold.iter().position(|(from, to)| *from <= first && first < *to) else {
            return Err(Damage::new(format!(
                "page {first} of {:?} is outside of what the queue holds",
                self.id
            )));
        };
        let (from, to) = self.cold[at];
        self.cold.remove(at);
        for range in [(end, to), (from, first)] {
            if range.0 < range.1 {
                self.cold.insert(at, range);
            }
        }
        Ok(())
    }

    /// In recovery: locks a message again, unless the page knows better: it is gone, or was returned since.
    pub fn recover_lock(&mut self, page: u64, index: u32, lease: u64, attempts: u32) -> bool {
        let Some(hot) = self.window.get_mut(&page) else { return false };
        let Some(slot) = hot.slots.get_mut(index as usize) else { return false };
        if *slot != (Slot::Ready { attempts }) {
            return false;
        }
        *slot = Slot::Locked { lease, attempts };
        self.ready_bytes -= u64::from(hot.sizes[index as usize]);
        hot.locked += 1;
        self.locked += 1;
        self.ready.remove(page + u64::from(index))
    }

    /// With nothing cold left, what is hot must be what the counters say.
    fn check_count(&self) -> Result<(), Damage> {
        let hot = self.ready.len() + self.locked;
        if !self.cold.is_empty() || hot == self.active {
            return Ok(());
        }
        let text = format!("{:?} holds {hot} messages, its counters say {}", self.id, self.active);
        Err(Damage::new(text))
    }
}

impl HotPage {
    fn state(&self) -> PageState {
        PageState { attempts: self.slots.iter().map(|slot| slot.attempts()).collect() }
    }
}
