//! Booking what is held of queues that do not share their messages the plain way.

use crate::key::QueueId;
use crate::lease::Lease;
use crate::settings::Settings;
use crate::shard::Shard;
use crate::share::Share;
use crate::verbs::settle::locks::Locked;
use postrider_protocol::name::Lane;
use std::collections::BTreeMap;

impl Shard {
    /// Takes over the options of an entity for how its queue shares messages.
    pub(crate) fn reshare(&mut self, entity: u64) {
        let id = QueueId::main(entity);
        let Some(settings) = self.catalog.get(entity).map(|entity| &entity.settings) else { return };
        let (plainly, keyed) = (settings.shares_plainly(), settings.is_keyed());
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.set_keyed(keyed);
        self.hungry.insert(id);
        let before = self.forget_share(id);
        if plainly {
            return;
        }
        let Share { turn, waiting, refilled, metered_ms, .. } = before.unwrap_or_default();
        self.shares.insert(id, Share { turn, waiting, refilled, metered_ms, ..Share::default() });
        let leases = self.leases.iter().filter(|(_, lease)| lease.queue == id);
        for lease in leases.map(|(lease, _)| *lease).collect::<Vec<_>>() {
            self.book_lease(id, lease);
        }
    }

    pub(crate) fn forget_share(&mut self, id: QueueId) -> Option<Share> {
        let share = self.shares.remove(&id)?;
        share.refill_ms.map(|moment| self.refills.remove(&(moment, id)));
        Some(share)
    }

    /// Books the locks of a lease: their keys are held, their units can get stuck.
    pub(crate) fn book_lease(&mut self, id: QueueId, lease: u64) {
        let overdue_ms = self.overdue_ms(lease);
        let (Some(queue), Some(share)) = (self.queues.get(&id), self.shares.get_mut(&id)) else { return };
        let Some(found) = self.leases.get_mut(&lease) else { return };
        found.overdue_ms = overdue_ms;
        for place in found.places.iter().filter(|place| place.held) {
            let mark = queue.mark(place.page, place.index);
            share.hold(mark.key, found.owner);
            share.written_off += if place.written_off { u64::from(mark.cost) } else { 0 };
        }
        share.held.insert((overdue_ms, lease));
        if share.refill_ms.is_none() {
            self.set_refill(id);
        }
    }

    /// From when on a lease's work counts as stuck: neither before the entity's lock duration is over nor before its
    /// own first one is.
    fn overdue_ms(&self, lease: u64) -> u64 {
        let Some(lease) = self.leases.get(&lease) else { return u64::MAX };
        let own = self.catalog.get(lease.queue.entity).map_or(0, |entity| entity.settings.lock_duration_ms);
        lease.delivered_ms.saturating_add(own.max(lease.duration_ms))
    }

    /// Books the end of a lock, before it ends.
    pub(crate) fn book_end(&mut self, locked: Locked) {
        let Some(share) = self.shares.get_mut(&locked.queue) else { return };
        let mark = self
            .queues
            .get(&locked.queue)
            .map_or_else(Default::default, |queue| queue.mark(locked.page, locked.index));
        share.let_go(mark.key);
        let place = self.leases.get_mut(&locked.lease).and_then(|lease| lease.places.get_mut(locked.place));
        if place.is_some_and(|place| std::mem::take(&mut place.written_off)) {
            share.written_off -= u64::from(mark.cost);
        }
    }

    pub(crate) fn forget_held(&mut self, id: u64, lease: &Lease) {
        if let Some(share) = self.shares.get_mut(&lease.queue) {
            share.held.remove(&(lease.overdue_ms, id));
        }
    }

    /// The settings of a queue that shares by them: dead letters are shared the plain way.
    pub(crate) fn sharing(&self, id: QueueId) -> Option<&Settings> {
        let entity = self.catalog.get(id.entity).filter(|_| id.lane == Lane::Main)?;
        Some(&entity.settings).filter(|settings| !settings.shares_plainly())
    }

    /// What is remembered of sharing is what the leases say.
    pub(crate) fn check_shares(&self) -> Result<(), String> {
        for (id, queue) in &self.queues {
            if self.sharing(*id).is_some() != self.shares.contains_key(id) {
                return Err(format!("queue {id:?} does not share as its options say"));
            }
            let Some(share) = self.shares.get(id) else { continue };
            let (mut keys, mut written_off) = (BTreeMap::<u32, u64>::new(), 0);
            let leases = self.leases.values().filter(|lease| lease.queue == *id);
            for place in leases.flat_map(|lease| &lease.places).filter(|place| place.held) {
                let mark = queue.mark(place.page, place.index);
                *keys.entry(mark.key).or_default() += 1;
                written_off += if place.written_off { u64::from(mark.cost) } else { 0 };
            }
            keys.remove(&0);
            if written_off != share.written_off
                || !keys.into_iter().eq(share.holders.iter().map(|(k, h)| (*k, h.1)))
            {
                return Err(format!("queue {id:?} is not shared as its leases say: {share:?}"));
            }
            if share.refill_ms.is_some_and(|moment| !self.refills.contains(&(moment, *id))) {
                return Err(format!("queue {id:?} has no timer for its refill: {share:?}"));
            }
        }
        Ok(())
    }
}
