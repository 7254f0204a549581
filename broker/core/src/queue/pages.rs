//! Pages between memory and store: sealing a turn's, loading cold ones, fetching one out of its turn.

use super::{HotPage, Queue, Slot, Strand, place, rank};
use crate::command::Loaded;
use crate::damage::Damage;
use crate::effect::Load;
use crate::fact::{Alarm, Fact};
use crate::page::{NEVER_MS, PageState};
use bytes::Bytes;

impl Queue {
    /// Ends the turn at `now_ms` UTC: what must be remembered of it.
    pub fn seal(&mut self, now_ms: u64, facts: &mut Vec<Fact>) {
        self.seal_pending(facts);
        for first in std::mem::take(&mut self.changed) {
            let Some(page) = self.window.get(&first) else { continue };
            if page.live > 0 {
                facts.push(Fact::PageState(self.id, first, page.state().encode()));
            }
        }
        for first in std::mem::take(&mut self.stirred) {
            self.set_alarm(first, now_ms, facts);
            self.settle_page(first, facts);
        }
        if std::mem::take(&mut self.dirty) {
            facts.push(Fact::QueueState(self.id, self.row()));
        }
    }

    /// Says what must be remembered of the pages that this turn has filled so far.
    pub fn seal_pending(&mut self, facts: &mut Vec<Fact>) {
        for pending in std::mem::take(&mut self.pending) {
            let records = pending.builder.len();
            if let Some(page) = pending.builder.refers() {
                self.references.push((page, 1));
                if let Some(hot) = self.window.get_mut(&pending.first) {
                    hot.refers = Some(page);
                }
            }
            facts.push(Fact::PageWritten(self.id, pending.first, pending.builder.build()));
            if !pending.tried.is_empty() {
                let mut state = PageState::fresh(records);
                let tried = pending.tried.iter();
                tried.for_each(|(index, attempts)| state.attempts[*index as usize] = Some(*attempts));
                facts.push(Fact::PageState(self.id, pending.first, state.encode()));
            }
            if pending.alarm_ms != NEVER_MS {
                facts.push(Fact::AlarmSet(Alarm::page(pending.alarm_ms, self.id, pending.first)));
                if let Some(page) = self.window.get_mut(&pending.first) {
                    page.alarm_ms = pending.alarm_ms;
                }
            }
        }
    }

    /// Lets the store call for a page when something is to happen to one of its messages by itself.
    fn set_alarm(&mut self, first: u64, now_ms: u64, facts: &mut Vec<Fact>) {
        let Some(page) = self.window.get_mut(&first) else { return };
        let alarm_ms = if page.live == 0 { NEVER_MS } else { page.next_alarm_ms(now_ms) };
        if alarm_ms == page.alarm_ms {
            return;
        }
        if page.alarm_ms != NEVER_MS {
            facts.push(Fact::AlarmGone(Alarm::page(page.alarm_ms, self.id, first)));
        }
        if alarm_ms != NEVER_MS {
            facts.push(Fact::AlarmSet(Alarm::page(alarm_ms, self.id, first)));
        }
        page.alarm_ms = alarm_ms;
    }

    /// The store has called for a page, and will not do so again.
    pub fn forget_alarm(&mut self, first: u64) {
        if let Some(page) = self.window.get_mut(&first) {
            page.alarm_ms = NEVER_MS;
            self.stirred.insert(first);
        }
    }

    /// Decides where a page belongs after a turn that did something to it: a page with nothing left is gone, one with
    /// nothing to give out is parked, one that was fetched out of a cold range goes back there.
    fn settle_page(&mut self, first: u64, facts: &mut Vec<Fact>) {
        let Some(page) = self.window.get(&first) else { return };
        if page.live > 0 && (page.locked > 0 || (page.ready > 0 && !page.warmed && !self.by_session)) {
            return;
        }
        let Some(page) = self.window.remove(&first) else { return };
        if page.live == 0 {
            self.references.extend(page.refers.map(|refers| (refers, -1)));
            facts.push(Fact::PageGone(self.id, first));
        } else if page.ready == 0 {
            self.parked.insert(first, page.live);
        } else {
            self.cool(first, &page);
        }
    }

    fn cool(&mut self, first: u64, page: &HotPage) {
        let strand = &mut self.strands[rank(first)];
        for (at, slot) in (0..).zip(&page.slots) {
            if slot.is_ready() {
                strand.ready.remove(first + at);
                if let Some(keyed) = &mut self.keyed {
                    keyed.remove(first + at, page.mark(at as usize));
                }
            }
        }
        strand.ready_bytes -= page.bytes_where(Slot::is_ready);
        strand.cool(first, first + page.slots.len() as u64);
    }

    /// What the engine should load, where the window runs low and `wanted` says that somebody waits.
    pub fn wants_load(&mut self, wanted: bool) -> Vec<Load> {
        let (id, bounds) = (self.id, self.bounds);
        let wanted = wanted && !self.by_session;
        let wants = |strand: &mut Strand| {
            let (from, to) = *strand.cold.front()?;
            let low = strand.ready.len() < bounds.messages / 2 || strand.head().is_none();
            if strand.loading || !wanted || !low {
                return None;
            }
            strand.loading = true;
            let (messages, bytes) = (bounds.messages as usize / 2, bounds.bytes / 2);
            Some(Load { queue: id, generation: strand.generation, from, to, messages, bytes })
        };
        self.strands.iter_mut().filter_map(wants).collect()
    }

    /// Takes over pages that the engine has read.
    pub fn loaded(&mut self, loaded: &Loaded) -> Result<(), Damage> {
        let Some(strand) = self.strands.get_mut(rank(loaded.from)) else { return Ok(()) };
        let begins = strand.cold.front().map(|(from, _)| *from);
        if loaded.generation != strand.generation || !strand.loading || begins != Some(loaded.from) {
            return Ok(());
        }
        strand.loading = false;
        if let Some((from, to)) = strand.cold.pop_front()
            && loaded.to < to
        {
            strand.cold.push_front((loaded.to.max(from), to));
        }
        for (first, page, state) in &loaded.pages {
            self.insert_page(*first, page.clone(), state.clone())?;
            self.stirred.insert(*first);
        }
        self.check_count()
    }

    /// Puts a stored page into the window.
    fn insert_page(&mut self, first: u64, page: Bytes, state: Option<Bytes>) -> Result<(), Damage> {
        let hot = HotPage::open(page, state)
            .map_err(|damage| Damage::new(format!("page {first} of {:?}: {damage}", self.id)))?;
        let strand = &mut self.strands[rank(first)];
        strand.ready_bytes += hot.bytes_where(Slot::is_ready);
        for (at, _) in (0..).zip(&hot.slots).filter(|(_, slot)| slot.is_ready()) {
            strand.ready.insert(first + at, first + at + 1);
            if let Some(keyed) = &mut self.keyed {
                keyed.insert(first + at, hot.mark(at as usize));
            }
        }
        self.window.insert(first, hot);
        Ok(())
    }

    /// Whether a page is in the window.
    pub fn is_hot(&self, first: u64) -> bool {
        self.window.contains_key(&first)
    }

    /// Brings a page into the window out of its turn, from where it is parked or cold. It goes back at the end of the
    /// turn, unless somebody holds a message of it then.
    pub fn fetch(&mut self, first: u64, page: Bytes, state: Option<Bytes>) -> Result<(), Damage> {
        if self.is_hot(first) {
            return Ok(());
        }
        self.insert_page(first, page, state)?;
        self.stirred.insert(first);
        if self.parked.remove(&first).is_some() {
            return Ok(());
        }
        let end = self.window.get(&first).map_or(first, |page| first + page.slots.len() as u64);
        if !self.strands[rank(first)].warm(first, end) {
            let text = format!("page {first} of {:?} is outside of what the queue holds", self.id);
            return Err(Damage::new(text));
        }
        if let Some(page) = self.window.get_mut(&first) {
            page.warmed = true;
        }
        Ok(())
    }

    /// In recovery: locks a message again, unless the page knows better: it is gone, or was returned since.
    pub fn recover_lock(&mut self, page: u64, index: u32, lease: u64, attempts: u32) -> bool {
        if self.slot(page, index) != Some(Slot::Ready { attempts }) {
            return false;
        }
        self.change(page, index, super::Event::Lock { lease }).is_some()
    }

    /// In recovery: nothing that was done has to be stored. Whether the store still calls for a page with locks is not
    /// known: it will be told again when a lock ends.
    pub fn recovered(&mut self) {
        for first in std::mem::take(&mut self.stirred) {
            if let Some(page) = self.window.get_mut(&first) {
                page.alarm_ms = NEVER_MS;
            }
        }
        self.changed.clear();
    }

    /// In recovery: what begins in this range is on its way out, and not the queue's any more.
    pub fn leave_out(&mut self, from: u64, to: u64) {
        if let Some(strand) = self.strands.get_mut(rank(from)) {
            strand.leave_out(from, to);
        }
    }

    /// With nothing cold left, what is in memory must be what the counters say.
    fn check_count(&self) -> Result<(), Damage> {
        let hot: u64 = self.window.values().map(|page| u64::from(page.live)).sum();
        let parked: u64 = self.parked.values().map(|live| u64::from(*live)).sum();
        if !self.is_all_hot() || hot + parked == self.row.active {
            return Ok(());
        }
        let text =
            format!("{:?} holds {} messages, its counters say {}", self.id, hot + parked, self.row.active);
        Err(Damage::new(text))
    }

    /// The places in the store where the page with a number may begin, in every strand.
    pub fn places_of(&self, number: u64) -> impl Iterator<Item = (u64, u64)> + use<> {
        let from = (number + 1).saturating_sub(crate::limits::PAGE_MESSAGES as u64);
        (0..self.strands.len()).map(move |rank| (place(rank, from), place(rank, number + 1)))
    }
}
