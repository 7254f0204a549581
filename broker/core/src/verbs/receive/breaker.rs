//! What a queue gives out at the moment: everything, nothing, or one message that shows how consumers are.

use crate::breaker::{Breaker, Gives, Policy, Verdict};
use crate::context::Now;
use crate::ends::End;
use crate::key::QueueId;
use crate::receiver::Receiver;
use crate::shard::Shard;
use crate::verbs::settle::locks::Locked;
use postrider_protocol::name::Lane;
use postrider_protocol::request::ReceiveMode;

/// How much a queue still gives out, and to whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Giving {
    /// Messages.
    pub left: u64,
    /// Whether it is a probe, which only those can have that lock it: nobody hears what becomes of the others.
    probe: bool,
}

impl Giving {
    /// Whether a receiver may have something.
    pub fn is_to(self, receiver: &Receiver) -> bool {
        self.left > 0 && (!self.probe || receiver.mode == ReceiveMode::PeekLock)
    }
}

impl Shard {
    /// How much a queue gives out at the moment.
    pub(crate) fn giving(&self, id: QueueId) -> Giving {
        let all = Giving { left: u64::MAX, probe: false };
        let nothing = Giving { left: 0, ..all };
        if !self.catalog.get(id.entity).is_some_and(|entity| entity.settings.may_receive) {
            return nothing;
        }
        match self.breakers.get(&id).map_or(Gives::All, Breaker::gives) {
            Gives::Nothing => nothing,
            Gives::Probe if self.is_locked_by_anyone(id) => Giving { left: 1, probe: true },
            Gives::Probe | Gives::All => all,
        }
    }

    /// Whether one of the queue's receivers locks what it gets. Without one there is nothing to try.
    fn is_locked_by_anyone(&self, id: QueueId) -> bool {
        let keys = self.queues.get(&id).map_or(&[][..], |queue| &queue.receivers);
        let mut receivers = keys.iter().filter_map(|key| self.receivers.get(key));
        receivers.any(|receiver| receiver.mode == ReceiveMode::PeekLock)
    }

    /// Books what was given out: a probe has the last lease there is.
    pub(crate) fn gave(&mut self, id: QueueId, giving: Giving) {
        if giving.probe
            && giving.left == 0
            && let Some(breaker) = self.breakers.get_mut(&id)
        {
            breaker.probe_went(self.row.last_lease);
        }
    }

    /// Takes over the options of an entity for the breaker of its queue.
    pub(crate) fn set_breaker(&mut self, entity: u64) {
        let id = QueueId::main(entity);
        match self.breaker_policy(id) {
            Some(_) => _ = self.breakers.entry(id).or_insert_with(Breaker::new),
            None => self.forget_breaker(id),
        }
    }

    pub(crate) fn forget_breaker(&mut self, id: QueueId) {
        let removed = self.breakers.remove(&id);
        if let Some(until) = removed.and_then(|breaker| breaker.until()) {
            self.pauses.remove(&(until.mono_ms, id));
        }
    }

    /// Dead letters have no breaker.
    fn breaker_policy(&self, id: QueueId) -> Option<Policy> {
        self.catalog.get(id.entity).filter(|_| id.lane == Lane::Main)?.settings.breaker
    }

    /// Tells the breaker how a lock ends, before it does.
    pub(crate) fn judge(&mut self, now: Now, locked: Locked, end: End) {
        if !self.breakers.contains_key(&locked.queue) {
            return;
        }
        let Some(policy) = self.breaker_policy(locked.queue) else { return };
        let delivered_ms = self.leases.get(&locked.lease).map_or(u64::MAX, |lease| lease.delivered_ms);
        let late = now.mono_ms.saturating_sub(delivered_ms) > policy.latency_ms;
        let verdict = match end {
            End::Completed | End::Deferred if !late => Verdict::Good,
            End::Completed | End::Deferred | End::Abandoned | End::DeadLettered | End::RanOut => {
                Verdict::Failed
            }
            End::Released | End::Expired | End::Deleted => Verdict::Unknown,
        };
        self.change_breaker(locked.queue, |breaker| breaker.ended(&policy, now, locked.lease, verdict));
    }

    /// Lets the pauses end that are over.
    pub(crate) fn end_pauses(&mut self) {
        while let Some((_, id)) = self.pauses.first().copied().filter(|pause| pause.0 <= self.mono_ms) {
            self.change_breaker(id, Breaker::pause_over);
        }
    }

    /// Changes a breaker, and what hangs on it: its timer, and whether the queue is looked at when the turn ends.
    fn change_breaker(&mut self, id: QueueId, change: impl FnOnce(&mut Breaker)) {
        let Some(breaker) = self.breakers.get_mut(&id) else { return };
        let (gave, paused) = (breaker.gives(), breaker.until());
        change(breaker);
        let (gives, pauses) = (breaker.gives(), breaker.until());
        paused.map(|until| self.pauses.remove(&(until.mono_ms, id)));
        pauses.map(|until| self.pauses.insert((until.mono_ms, id)));
        if gives != gave {
            self.hungry.insert(id);
            self.stir_sessions(id);
        }
    }

    /// Each queue has a breaker whose options say so, each pause its timer, each probe its lease.
    pub(crate) fn check_breakers(&self) -> Result<(), String> {
        if let Some(id) = self
            .queues
            .keys()
            .find(|id| self.breaker_policy(**id).is_some() != self.breakers.contains_key(id))
        {
            return Err(format!("queue {id:?} has no breaker, or one that its options do not want"));
        }
        let pauses = self.breakers.iter().filter_map(|(id, breaker)| Some((breaker.until()?.mono_ms, *id)));
        if pauses.clone().count() != self.pauses.len() || !pauses.clone().all(|it| self.pauses.contains(&it))
        {
            return Err(format!("the pauses of breakers are not those of {:?}", self.pauses));
        }
        let held = |id, probe| self.leases.get(&probe).is_some_and(|lease| lease.queue == id);
        match self.breakers.iter().find(|(id, it)| it.probe().is_some_and(|probe| !held(**id, probe))) {
            Some((id, breaker)) => Err(format!("the probe of {id:?} is gone: {breaker:?}")),
            None => Ok(()),
        }
    }
}
