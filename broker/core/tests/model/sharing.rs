//! Sharing by other rules than who holds least: the model does not say who gets a message, but what must hold.

use super::queue::{Message, Queue};
use super::reference::{Entity, Model, Receiver};
use super::run::Run;
use postrider_core::command::Owner;
use postrider_protocol::name::Lane;
use std::collections::{BTreeMap, BTreeSet};

/// What a turn gives out of a queue: how the queue was before, and which messages went.
#[derive(Debug)]
pub struct Shared {
    before: Queue,
    given: BTreeSet<u64>,
}

/// Messages whose order is kept: those of a key and a rank, or all.
type Group = Option<(Option<String>, u64)>;

impl Run {
    /// Books a message that is about to be given out.
    pub fn share(&mut self, at: &(String, Lane), number: u64) {
        let queue = self.model.queue(at).unwrap();
        assert!(queue.messages[&number].is_ready(), "{number} of {at:?} is not ready");
        let shared = || Shared { before: queue.clone(), given: BTreeSet::new() };
        self.shared.entry(at.clone()).or_insert_with(shared).given.insert(number);
    }

    /// What was given out came in order, fits the units, and keeps keys together.
    pub fn check_shared(&mut self) {
        for (at, shared) in std::mem::take(&mut self.shared) {
            let (entity, queue) = (&self.model.entities[&at.0], self.model.queue(&at).unwrap());
            if entity.units == u64::MAX && !entity.by_session {
                assert!(entity.keeps_order(&shared), "{at:?} is not in order: {:?}", shared.given);
            }
            let locked = |number: &u64| queue.messages.get(number).is_some_and(|it| it.lock.is_some());
            if shared.given.iter().any(locked) {
                let costs = queue.messages.values().filter(|message| message.lock.is_some());
                let in_flight: u64 = costs.map(|message| message.cost.min(entity.units)).sum();
                assert!(in_flight <= entity.units, "{in_flight} of {} units are taken", entity.units);
            }
            if entity.balance == "key-hash" && !entity.by_session {
                let given = shared.given.iter().filter_map(|number| queue.messages.get(number));
                given.for_each(|message| assert!(entity.is_held_by_one(message), "{message:?}"));
            }
        }
    }
}

impl Model {
    /// What a receiver could get now and has not got.
    pub fn could_get(&self, receiver: &Receiver) -> Option<u64> {
        let (at, deletes) = (&receiver.at, receiver.deletes);
        let (entity, queue) = (&self.entities[&at.0], self.queue(at).unwrap());
        if self.is_by_session(at) {
            let (session, _) = self.session_of(receiver)?;
            let next = entity.next_of(&session).filter(|_| entity.may_receive);
            return next.filter(|next| deletes || entity.has_units_for(*next));
        }
        let shares = at.1 == Lane::Main && !entity.shares_plainly();
        if !entity.may_receive || shares && entity.balance == "key-hash" {
            return None;
        }
        let held = queue.messages.values().filter(|message| message.lock.is_some());
        let free = entity.units.saturating_sub(held.map(|message| message.cost).sum());
        let is_too_much = |message: &Message| message.is_ready() && message.cost.min(entity.units) > free;
        // Where one waits for units, how many of the others may pass it is the core's to know.
        let waits = shares && !deletes && queue.messages.values().any(is_too_much);
        queue.head().filter(|_| !waits)
    }
}

impl Entity {
    pub fn shares_plainly(&self) -> bool {
        !self.by_session
            && self.balance == "least-outstanding"
            && self.fair_key.is_none()
            && self.units == u64::MAX
    }

    fn group(&self, message: &Message) -> Group {
        let is_keyed = self.fair_key.is_some() || self.balance == "key-hash";
        is_keyed.then(|| (message.key.clone(), message.rank))
    }

    /// Whether what went is the beginning of its group.
    fn keeps_order(&self, shared: &Shared) -> bool {
        let mut gone = BTreeMap::<Group, usize>::new();
        for number in &shared.given {
            *gone.entry(self.group(&shared.before.messages[number])).or_default() += 1;
        }
        gone.into_iter().all(|(group, count)| {
            let mut rest = shared.before.clone();
            rest.messages.retain(|_, message| self.group(message) == group);
            (0..count).all(|_| {
                let next = rest.head();
                next.is_some_and(|next| rest.messages.remove(&next).is_some() && shared.given.contains(&next))
            })
        })
    }

    /// Whether no two consumers hold messages of its key; where they did before, that has to end first.
    fn is_held_by_one(&self, message: &Message) -> bool {
        let Some(key) = message.key.as_ref().filter(|key| !self.mixed.contains(*key)) else { return true };
        self.holders().get(key).is_none_or(|owners| owners.len() == 1)
    }

    /// Who holds messages of each key.
    fn holders(&self) -> BTreeMap<String, BTreeSet<Owner>> {
        let mut holders = BTreeMap::<String, BTreeSet<Owner>>::new();
        for message in self.main.messages.values() {
            if let (Some(key), Some(lock)) = (&message.key, &message.lock) {
                holders.entry(key.clone()).or_default().insert(lock.owner);
            }
        }
        holders
    }

    /// Keys that several consumers hold, because they were given out by another rule or by number.
    pub fn note_mixed(&mut self) {
        let holders = self.holders();
        self.mixed.retain(|key| holders.contains_key(key));
        let several = holders.into_iter().filter(|(_, owners)| owners.len() > 1);
        self.mixed.extend(several.map(|(key, _)| key));
    }
}
