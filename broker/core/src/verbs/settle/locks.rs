//! Locks: finding them, letting go of them, letting them run out.

use crate::context::{Context, Damage, Now};
use crate::ends::End;
use crate::key::QueueId;
use crate::limits;
use crate::queue::Event;
use crate::shard::Shard;
use postrider_protocol::error::Refusal;
use postrider_protocol::retry::LOCK_EXPIRED;
use postrider_protocol::token::LockToken;

/// Where a locked message is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Locked {
    pub lease: u64,
    pub place: usize,
    pub queue: QueueId,
    pub page: u64,
    pub index: u32,
}

impl Shard {
    /// The message that a token's lock is on, while the lock lives.
    pub(crate) fn find_lock(&self, token: LockToken, offset: u16) -> Option<Locked> {
        let lease = self.leases.get(&token.lease)?;
        if lease.salt != token.salt || self.id != token.shard {
            return None;
        }
        self.locked_at(token.lease, usize::from(token.place) + usize::from(offset))
    }

    /// Why a token finds no lock: how it ended, if that is still known.
    pub(crate) fn lock_lost(&self, token: LockToken, offset: u16) -> Refusal {
        // A token of another shard is of no lease that is known here.
        let lease = if token.shard == self.id { token.lease } else { 0 };
        self.ends.lock_lost(lease, token.salt, usize::from(token.place) + usize::from(offset))
    }

    /// Lets `event` happen to a locked message, which ends the lock.
    pub(crate) fn end_lock(&mut self, cx: &Context<'_>, locked: Locked, event: Event, end: End) {
        self.touched.insert(locked.queue);
        self.judge(cx.now, locked, end);
        self.journal_end(locked, event, end);
        self.book_end(locked);
        let queue = self.queues.get_mut(&locked.queue);
        let after = queue.and_then(|queue| queue.settle(locked.page, locked.index, locked.lease, event));
        let after = after.expect("the lock was found before");
        // Where the message stays, its page does not show that the lock is gone: the lease's row has to.
        if after.attempts().is_some()
            && let Some(lease) = self.leases.get_mut(&locked.lease)
        {
            lease.dirty = true;
        }
        self.hungry.insert(locked.queue);
        if let Some(lease) = self.leases.get(&locked.lease) {
            self.ends.record(locked.lease, lease.salt, locked.place, end, cx.now.wall_ms);
        }
        self.unlock(locked, event != Event::Release);
    }

    /// Notes how a lock ended. Where the message moves, that is noted with the move.
    fn journal_end(&mut self, locked: Locked, event: Event, end: End) {
        let until_ms = match event {
            Event::Move => return,
            Event::Fail { until_ms } => until_ms,
            _ => 0,
        };
        self.journal_lock(locked, end, until_ms);
    }

    /// Notes what became of a delivery.
    pub(super) fn journal_lock(&mut self, locked: Locked, end: End, until_ms: u64) {
        self.journal.plain(end.step(), locked.queue, locked.at().sequence(), until_ms);
    }

    /// Books one lock less on the lease and its receiver, and how long it took where the work was `done`.
    fn unlock(&mut self, locked: Locked, done: bool) {
        let Some(lease) = self.leases.get_mut(&locked.lease) else { return };
        lease.let_go(locked.place);
        self.touched_leases.insert(locked.lease);
        if let Some(receiver) = lease.receiver.and_then(|key| self.receivers.get_mut(&key)) {
            receiver.outstanding -= 1;
            if done {
                receiver.settle_after(self.mono_ms.saturating_sub(lease.delivered_ms));
            }
        }
        if self.leases.get(&locked.lease).is_some_and(|lease| lease.live == 0) {
            self.remove_lease(locked.lease);
        }
    }

    /// Keeps a lock longer; returns until when, UTC milliseconds.
    pub(crate) fn renew(&mut self, cx: &Context<'_>, locked: Locked, duration_ms: u64) -> u64 {
        let lease = self.leases.get_mut(&locked.lease).expect("the lock was found before");
        let duration = if duration_ms == 0 { lease.duration_ms } else { duration_ms };
        self.touched_leases.insert(locked.lease);
        lease.renew(locked.place, cx.now, duration)
    }

    /// Moves a lease's timer to where its next lock runs out.
    pub(crate) fn retime(&mut self, id: u64) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        self.timers.remove(&(lease.timer_ms, id));
        lease.timer_ms = lease.deadline_ms();
        self.timers.insert((lease.timer_ms, id));
    }

    /// Remembers that what a lease still holds goes with its queue.
    pub(crate) fn end_deleted(&mut self, now: Now, id: u64) {
        let Some(lease) = self.leases.get(&id) else { return };
        for (place, _) in lease.places.iter().enumerate().filter(|(_, place)| place.held) {
            self.ends.record(id, lease.salt, place, End::Deleted, now.wall_ms);
        }
    }

    /// Forgets a lease, whatever it still holds.
    pub(crate) fn remove_lease(&mut self, id: u64) {
        let Some(lease) = self.leases.remove(&id) else { return };
        self.leases_by_owner.remove(&(lease.owner, id));
        self.forget_held(id, &lease);
        self.timers.remove(&(lease.timer_ms, id));
        self.touched_leases.insert(id);
        if let Some(receiver) = lease.receiver.and_then(|key| self.receivers.get_mut(&key)) {
            receiver.outstanding -= lease.live;
        }
    }

    /// Lets go of all that a lease still holds.
    pub(crate) fn release_lease(&mut self, cx: &Context<'_>, id: u64) -> Result<(), Damage> {
        self.held_by(id).into_iter().try_for_each(|locked| self.release(cx, locked))
    }

    /// All that a lease still holds has failed: its time is up.
    pub(crate) fn fail_lease(&mut self, cx: &Context<'_>, id: u64) -> Result<(), Damage> {
        self.run_out(cx, self.held_by(id))
    }

    /// The time of these locks is up.
    fn run_out(&mut self, cx: &Context<'_>, locks: Vec<Locked>) -> Result<(), Damage> {
        let mut locks = locks.into_iter();
        locks.try_for_each(|locked| self.fail(cx, locked, End::RanOut, Some(LOCK_EXPIRED), 0))
    }

    /// What a lease still holds.
    fn held_by(&self, id: u64) -> Vec<Locked> {
        let places = self.leases.get(&id).map_or(0, |lease| lease.places.len());
        (0..places).filter_map(|place| self.locked_at(id, place)).collect()
    }

    fn locked_at(&self, id: u64, place: usize) -> Option<Locked> {
        let lease = self.leases.get(&id)?;
        let found = lease.places.get(place).filter(|place| place.held)?;
        Some(Locked { lease: id, place, queue: lease.queue, page: found.page, index: found.index })
    }

    /// Lets locks run out whose time is up.
    pub(crate) fn expire_locks(&mut self, cx: &Context<'_>) -> Result<(), Damage> {
        let mut expired = 0;
        while let Some((deadline, id)) = self.timers.first().copied() {
            if deadline > cx.now.mono_ms || expired >= limits::EXPIRED_PER_TICK {
                break;
            }
            let due = self.leases.get(&id).map(|lease| lease.due(cx.now.mono_ms)).unwrap_or_default();
            expired += due.len();
            let locks = due.into_iter().filter_map(|place| self.locked_at(id, place)).collect();
            self.run_out(cx, locks)?;
            // What is left of the lease runs out later, so that this ends.
            self.retime(id);
        }
        Ok(())
    }
}
