//! Ready messages by key, in a queue that shares them out by their keys: deficit round robin.
//!
//! Keys take turns. In its turn a key may spend as many capacity units as the most costly message that came so far;
//! what it does not spend it keeps for its next turn, while it has messages ready. Where keys belong to receivers, the
//! keys of each have a round of their own, so that nobody looks at the keys of one that can take nothing.

use super::acquire::{Acquired, page_of};
use super::{Event, Queue, Strand, rank};
use crate::command::ReceiverKey;
use crate::limits::{KEYED_WINDOW, PRIORITY_AGING_MS};
use crate::page::Mark;
use std::collections::BTreeMap;

/// Keys that take turns: those of a receiver, or those that belong to nobody.
pub type Round = Option<ReceiverKey>;

/// The ready messages of a key.
#[derive(Debug)]
struct Waiting {
    /// Costs by place.
    places: BTreeMap<u64, u32>,
    /// Units it may still spend in its turn.
    deficit: u64,
    /// Whose round it is in: that of a receiver, or the one of all.
    round: Round,
    /// When it is its turn in it.
    turn: u64,
}

/// The ready messages in the window by key.
#[derive(Debug, Default)]
pub(super) struct Keyed {
    keys: BTreeMap<u32, Waiting>,
    /// Keys by round and turn.
    turns: BTreeMap<(Round, u64), u32>,
    /// The receivers that keys were given to.
    homes: Vec<ReceiverKey>,
    last_turn: u64,
    /// Units that a turn is worth.
    quantum: u64,
}

impl Keyed {
    pub fn insert(&mut self, place: u64, mark: Mark) {
        self.quantum = self.quantum.max(u64::from(mark.cost));
        let waiting = self.keys.entry(mark.key).or_insert_with(|| {
            self.last_turn += 1;
            self.turns.insert((None, self.last_turn), mark.key);
            Waiting { places: BTreeMap::new(), deficit: self.quantum, round: None, turn: self.last_turn }
        });
        waiting.places.insert(place, mark.cost);
    }

    pub fn remove(&mut self, place: u64, mark: Mark) {
        let Some(waiting) = self.keys.get_mut(&mark.key) else { return };
        waiting.places.remove(&place);
        if waiting.places.is_empty() {
            self.turns.remove(&(waiting.round, waiting.turn));
            self.keys.remove(&mark.key);
        }
    }

    /// The message that is next in a round.
    fn next(&mut self, round: Round) -> Option<u64> {
        loop {
            let (_, key) = self.turns.range((round, 0)..=(round, u64::MAX)).next()?;
            let waiting = self.keys.get_mut(key)?;
            let (place, cost) = waiting.places.first_key_value()?;
            if u64::from(*cost) <= waiting.deficit {
                return Some(*place);
            }
            waiting.deficit += self.quantum;
            self.pass(round);
        }
    }

    /// Ends the turn of the key whose turn it is.
    fn pass(&mut self, round: Round) {
        let first = self.turns.range((round, 0)..=(round, u64::MAX)).next();
        if let Some(key) = first.map(|(_, key)| *key) {
            self.last_turn += 1;
            self.put(key, round, self.last_turn);
        }
    }

    fn put(&mut self, key: u32, round: Round, turn: u64) {
        let Some(waiting) = self.keys.get_mut(&key) else { return };
        self.turns.remove(&(waiting.round, waiting.turn));
        (waiting.round, waiting.turn) = (round, turn);
        self.turns.insert((round, turn), key);
    }

    /// Gives the keys that belong to nobody yet to their receivers, as `home` says; all of them, where there are others
    /// than before.
    fn settle(&mut self, receivers: &[ReceiverKey], home: impl Fn(u32) -> Round) {
        let all = self.homes != receivers;
        let keys = self.turns.iter().take_while(|((round, _), _)| all || round.is_none());
        let moving: Vec<_> =
            keys.filter(|(_, key)| **key != 0).map(|((_, turn), key)| (*turn, *key)).collect();
        moving.into_iter().for_each(|(turn, key)| self.put(key, home(key), turn));
        if all {
            self.homes = receivers.to_vec();
        }
    }

    fn spend(&mut self, mark: Mark) {
        if let Some(waiting) = self.keys.get_mut(&mark.key) {
            waiting.deficit = waiting.deficit.saturating_sub(u64::from(mark.cost));
        }
    }
}

impl Queue {
    /// Begins, or ceases, to keep its ready messages by key. Such a queue has a larger window.
    pub fn set_keyed(&mut self, keyed: bool) {
        if let (true, Some(before)) = (keyed, &mut self.keyed) {
            before.settle(&[], |_| None);
        }
        if keyed == self.keyed.is_some() {
            return;
        }
        self.keyed = keyed.then(Keyed::default);
        self.bounds.messages =
            if keyed { self.bounds.messages * KEYED_WINDOW } else { self.bounds.messages / KEYED_WINDOW };
        let Some(keyed) = &mut self.keyed else { return };
        for (first, page) in &self.window {
            let ready = (0..).zip(&page.slots).filter(|(_, slot)| slot.is_ready());
            ready.for_each(|(at, _)| keyed.insert(first + at, page.mark(at as usize)));
        }
    }

    /// How many keys have ready messages in the window.
    pub fn keys(&self) -> usize {
        self.keyed.as_ref().map_or(0, |keyed| keyed.keys.len())
    }

    /// Lets every key take turns in the round of the receiver that `home` says it belongs to.
    pub fn settle_keys(&mut self, home: impl Fn(u32) -> Round) {
        if let Some(keyed) = &mut self.keyed {
            keyed.settle(&self.receivers, home);
        }
    }

    /// The message whose key's turn it is in a round.
    pub fn next_by_key(&mut self, round: Round) -> Option<u64> {
        self.keyed.as_mut()?.next(round)
    }

    /// Ends the turn of the key whose turn it is: it has nothing to give to anybody now.
    pub fn pass_key(&mut self, round: Round) {
        if let Some(keyed) = &mut self.keyed {
            keyed.pass(round);
        }
    }

    /// The message that is next in a queue without keys.
    pub fn head(&self) -> Option<u64> {
        let rank = self.next_strand()?;
        self.strands[rank].head().map(|(head, _)| head)
    }

    /// The message that has waited for longest, where that is longer than a message should for its turn.
    pub fn aged(&self, now_ms: u64) -> Option<u64> {
        let heads = self.strands.iter().filter_map(Strand::head);
        let since = |place| page_of(&self.window, place).1.written_ms;
        let oldest = heads.map(|(head, _)| (since(head), head)).min()?;
        (oldest.0.saturating_add(PRIORITY_AGING_MS) <= now_ms).then_some(oldest.1)
    }

    /// The first places that are ready.
    pub fn ready_places(&self, most: usize) -> Vec<u64> {
        let runs = self.strands.iter().flat_map(|strand| strand.ready.iter());
        runs.flat_map(|(from, to)| from..to).take(most).collect()
    }

    /// Size and mark of the message at a place, where it may be given out now.
    pub fn look_at(&self, place: u64) -> Option<(u32, Mark)> {
        let (first, hot) = self.window.range(..=place).next_back()?;
        let index = (place - first) as usize;
        let ready = hot.slots.get(index).is_some_and(|slot| slot.is_ready());
        let is_loaded =
            |rank: usize| self.strands[rank].head().is_some() || self.strands[rank].cold.is_empty();
        let rank = rank(place);
        let may = ready && place < self.strands[rank].barrier() && (0..rank).all(is_loaded);
        may.then(|| (hot.sizes[index], hot.mark(index)))
    }

    /// What deciding looks at in a message of the window.
    pub fn mark(&self, page: u64, index: u32) -> Mark {
        self.window.get(&page).map_or_else(Mark::default, |hot| hot.mark(index as usize))
    }

    /// Capacity units of the messages in the window that are ready.
    pub fn waiting_units(&self) -> u64 {
        let marks = |page: &super::HotPage| {
            let ready = page.slots.iter().enumerate().filter(|(_, slot)| slot.is_ready());
            ready.map(|(at, _)| u64::from(page.mark(at).cost)).sum::<u64>()
        };
        self.window.values().map(marks).sum()
    }

    /// Takes one message: locked under `lease`, or taken for good without one.
    pub fn take(&mut self, place: u64, lease: Option<u64>, acquired: &mut Acquired) {
        let (first, hot) = page_of(&self.window, place);
        let index = (place - first) as u32;
        let attempts = hot.slots[index as usize].attempts().unwrap_or(0);
        acquired.push(first, index, attempts, hot);
        let mark = hot.mark(index as usize);
        if let Some(keyed) = &mut self.keyed {
            keyed.spend(mark);
        }
        let event = lease.map_or(Event::Drop, |lease| Event::Lock { lease });
        self.change(first, index, event);
    }
}
