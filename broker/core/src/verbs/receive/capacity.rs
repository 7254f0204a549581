//! Capacity units: how much may be in flight, and how the clock gives back what is stuck.
//!
//! Work that is held for longer than a lock lasts, renewed on and on, is *written off*, the longest held first, message by
//! message, at so many units a second. Its units are free from then on, and not freed again when it ends at last.

use crate::key::QueueId;
use crate::queue::Queue;
use crate::shard::Shard;

/// A lock whose units the clock may give back.
struct Stuck {
    lease: u64,
    place: usize,
    cost: u64,
    overdue_ms: u64,
}

impl Shard {
    /// Units that may still go in flight.
    pub(crate) fn free_units(&self, id: QueueId) -> u64 {
        let units = self.sharing(id).map_or(u64::MAX, |settings| settings.capacity_units);
        let in_use = self.queues.get(&id).map_or(0, Queue::units);
        let written_off = self.shares.get(&id).map_or(0, |share| share.written_off);
        units.saturating_sub(in_use - written_off)
    }

    /// Gives back what is due.
    pub(crate) fn refill(&mut self) {
        while let Some((moment, id)) = self.refills.first().copied().filter(|due| due.0 <= self.mono_ms) {
            self.refills.remove(&(moment, id));
            while let Some((stuck, moment)) = self.next_refill(id).filter(|due| due.1 <= self.mono_ms) {
                self.write_off(id, &stuck, moment);
            }
            self.set_refill(id);
        }
    }

    fn write_off(&mut self, id: QueueId, stuck: &Stuck, moment: u64) {
        let lease = self.leases.get_mut(&stuck.lease);
        if let Some(place) = lease.and_then(|lease| lease.places.get_mut(stuck.place)) {
            place.written_off = true;
        }
        if let Some(share) = self.shares.get_mut(&id) {
            share.written_off += stuck.cost;
            share.refilled += stuck.cost;
            share.metered_ms = moment;
        }
        self.hungry.insert(id);
    }

    /// Sets the moment at which the queue is looked at again.
    pub(crate) fn set_refill(&mut self, id: QueueId) {
        let moment = self.next_refill(id).map(|(_, moment)| moment);
        let Some(share) = self.shares.get_mut(&id) else { return };
        let before = std::mem::replace(&mut share.refill_ms, moment);
        before.map(|moment| self.refills.remove(&(moment, id)));
        moment.map(|moment| self.refills.insert((moment, id)));
    }

    /// What the clock gives back next, and when.
    fn next_refill(&mut self, id: QueueId) -> Option<(Stuck, u64)> {
        let settings = self.sharing(id).filter(|settings| settings.capacity_units < u64::MAX)?;
        if settings.capacity_refill_percent == 0 {
            return None;
        }
        let a_second =
            u128::from(settings.capacity_units) * u128::from(settings.capacity_refill_percent) / 100;
        let stuck = self.longest_held(id)?;
        let since = self.shares.get(&id)?.metered_ms.max(stuck.overdue_ms);
        let takes_ms = (u128::from(stuck.cost) * 1_000).div_ceil(a_second.max(1));
        let moment = since.saturating_add(u64::try_from(takes_ms).unwrap_or(u64::MAX));
        Some((stuck, moment))
    }

    /// The lock that is held for longest beyond its time and not written off yet. Leases without such a lock are not
    /// looked at again.
    fn longest_held(&mut self, id: QueueId) -> Option<Stuck> {
        loop {
            let (overdue_ms, lease) = self.shares.get(&id)?.held.first().copied()?;
            let places = self.leases.get(&lease).map_or(&[][..], |lease| &lease.places);
            let at = places.iter().position(|place| place.held && !place.written_off);
            if let Some(place) = at {
                let cost = self.queues.get(&id)?.mark(places[place].page, places[place].index).cost;
                return Some(Stuck { lease, place, cost: u64::from(cost), overdue_ms });
            }
            self.shares.get_mut(&id)?.held.remove(&(overdue_ms, lease));
        }
    }
}
