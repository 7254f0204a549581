//! Settling locked messages, by their holders or by time.

use crate::catalog::Entity;
use crate::context::{Context, Damage};
use crate::key::{Key, QueueId};
use crate::limits;
use crate::page::Page;
use crate::queue::{Event, Slot};
use crate::shard::{Shard, lock_lost, not_available};
use postrider_protocol::error::Refusal;
use postrider_protocol::limits::{LOCK_DURATION_MS, REASON_BYTES};
use postrider_protocol::message::{DeadLetterInfo, Record};
use postrider_protocol::name::Lane;
use postrider_protocol::reply::{Runs, Settled};
use postrider_protocol::request::{SettleItem, Settlement};
use postrider_protocol::token::LockToken;

/// Where a locked message is.
#[derive(Debug, Clone, Copy)]
struct Locked {
    lease: u64,
    place: usize,
    queue: QueueId,
    page: u64,
    index: u32,
}

impl Shard {
    pub(crate) fn settle(
        &mut self,
        cx: &Context<'_>,
        items: Vec<SettleItem>,
    ) -> Result<Runs<Settled>, Damage> {
        let mut results = Runs::new();
        for item in items {
            let checked = check_settlement(&item.settlement);
            for offset in 0..item.run {
                let settled = match &checked {
                    Err(refusal) => Settled::Refused(refusal.clone()),
                    Ok(()) => self.settle_one(cx, item.token, offset, &item.settlement)?,
                };
                match results.last_mut() {
                    Some((count, last)) if *last == settled => *count += 1,
                    _ => results.push((1, settled)),
                }
            }
        }
        Ok(results)
    }

    fn settle_one(
        &mut self,
        cx: &Context<'_>,
        token: LockToken,
        offset: u16,
        what: &Settlement,
    ) -> Result<Settled, Damage> {
        let Some(locked) = self.find_lock(token, offset) else {
            return Ok(Settled::Refused(lock_lost()));
        };
        match what {
            Settlement::Complete => self.finish(locked, Event::Complete),
            Settlement::Release => self.give_back(cx, locked, Event::Release)?,
            Settlement::Abandon { .. } => self.give_back(cx, locked, Event::Fail)?,
            Settlement::DeadLetter { .. } if locked.queue.lane == Lane::DeadLetter => {
                let text = "is dead-letter, but the message is a dead letter already; complete or abandon it";
                return Ok(Settled::Refused(Refusal::invalid("settlement", text)));
            }
            Settlement::DeadLetter { reason, description, .. } => {
                self.dead_letter(cx, locked, self.failed(locked), reason, description)?;
            }
            Settlement::Renew { duration_ms } => {
                return Ok(Settled::Renewed(self.renew(cx, locked, *duration_ms)));
            }
            Settlement::Defer { .. } => return Ok(Settled::Refused(not_available("settlement"))),
        }
        Ok(Settled::Done)
    }

    /// The message that a token's lock is on, while the lock lives.
    fn find_lock(&self, token: LockToken, offset: u16) -> Option<Locked> {
        let lease = self
            .leases
            .get(&token.lease)
            .filter(|lease| lease.salt == token.salt && self.id == token.shard)?;
        let place = usize::from(token.place) + usize::from(offset);
        let found = lease.places.get(place).filter(|place| place.held)?;
        Some(Locked { lease: token.lease, place, queue: lease.queue, page: found.page, index: found.index })
    }

    /// The message is done with here: completed, or moved on.
    fn finish(&mut self, locked: Locked, event: Event) {
        self.let_happen(locked, event);
        self.unlock(locked);
    }

    fn let_happen(&mut self, locked: Locked, event: Event) -> u32 {
        self.touched.insert(locked.queue);
        let queue = self.queues.get_mut(&locked.queue);
        let attempts = queue.and_then(|queue| queue.settle(locked.page, locked.index, locked.lease, event));
        attempts.expect("the lock was found before")
    }

    /// The message goes back to its place, or to the dead letters when it has failed too often.
    fn give_back(&mut self, cx: &Context<'_>, locked: Locked, event: Event) -> Result<(), Damage> {
        let failed = self.failed(locked).saturating_add(1);
        let most = self.catalog.get(locked.queue.entity).map_or(u64::MAX, Entity::max_delivery_count);
        if event == Event::Fail && locked.queue.lane == Lane::Main && u64::from(failed) >= most {
            let description = format!("{failed} deliveries failed; max_delivery_count is {most}");
            return self.dead_letter(cx, locked, failed, "MaxDeliveryCountExceeded", &description);
        }
        self.let_happen(locked, event);
        self.hungry.insert(locked.queue);
        // The page does not show that the lock is gone: the lease's row has to.
        if let Some(lease) = self.leases.get_mut(&locked.lease) {
            lease.dirty = true;
        }
        self.unlock(locked);
        Ok(())
    }

    /// Deliveries of the message that have failed, without the one that goes on.
    fn failed(&self, locked: Locked) -> u32 {
        let slot = self.queues.get(&locked.queue).and_then(|queue| queue.slot(locked.page, locked.index));
        slot.and_then(Slot::attempts).unwrap_or(0)
    }

    /// Moves the message to the dead-letter queue, with its `failed` deliveries: out of one lane and into the other in
    /// the same turn.
    fn dead_letter(
        &mut self,
        cx: &Context<'_>,
        locked: Locked,
        failed: u32,
        reason: &str,
        description: &str,
    ) -> Result<(), Damage> {
        let mut record = self.read_record(cx, locked)?;
        record.dead_letter = Some(DeadLetterInfo {
            source: self
                .catalog
                .get(locked.queue.entity)
                .map_or_else(String::new, |entity| entity.row.name.clone()),
            reason: reason.to_owned(),
            description: description.to_owned(),
        });
        let target = QueueId::dead_letter(locked.queue.entity);
        let queue =
            self.queues.get_mut(&target).expect("an entity with queues has its dead letters from birth");
        queue.append_record(&record, failed);
        self.touched.insert(target);
        self.hungry.insert(target);
        self.finish(locked, Event::Move);
        Ok(())
    }

    fn read_record(&mut self, cx: &Context<'_>, locked: Locked) -> Result<Record, Damage> {
        let Locked { queue, page, index, .. } = locked;
        let shard = self.id;
        let missing = || {
            Damage::new(format!("message {index} of page {page} of {queue:?} in shard {shard} is missing"))
        };
        if self.read.as_ref().is_none_or(|(at, _)| *at != (queue, page)) {
            let bytes = cx.rows.get(&Key::Page(shard, queue, page))?.ok_or_else(missing)?;
            self.read = Some(((queue, page), Page::open(bytes)?));
        }
        let record =
            self.read.as_ref().and_then(|(_, page)| page.record(index as usize)).ok_or_else(missing)?;
        Record::decode(record).map_err(|malformed| Damage::new(format!("a record of {queue:?}: {malformed}")))
    }

    fn renew(&mut self, cx: &Context<'_>, locked: Locked, duration_ms: u64) -> u64 {
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

    /// Books one lock less on the lease and its receiver.
    fn unlock(&mut self, locked: Locked) {
        let Some(lease) = self.leases.get_mut(&locked.lease) else { return };
        lease.let_go(locked.place);
        self.touched_leases.insert(locked.lease);
        if let Some(receiver) = lease.receiver.and_then(|key| self.receivers.get_mut(&key)) {
            receiver.outstanding -= 1;
        }
        if self.leases.get(&locked.lease).is_some_and(|lease| lease.live == 0) {
            self.remove_lease(locked.lease);
        }
    }

    /// Forgets a lease, whatever it still holds.
    pub(crate) fn remove_lease(&mut self, id: u64) {
        let Some(lease) = self.leases.remove(&id) else { return };
        self.leases_by_owner.remove(&(lease.owner, id));
        self.timers.remove(&(lease.timer_ms, id));
        self.touched_leases.insert(id);
        if let Some(receiver) = lease.receiver.and_then(|key| self.receivers.get_mut(&key)) {
            receiver.outstanding -= lease.live;
        }
    }

    /// Lets go of all that a lease still holds.
    pub(crate) fn release_lease(&mut self, cx: &Context<'_>, id: u64) -> Result<(), Damage> {
        let places = self.leases.get(&id).map_or(0, |lease| lease.places.len());
        (0..places).try_for_each(|place| self.return_place(cx, id, place, Event::Release))
    }

    /// Lets `event` happen to the message at a place, where the lease still holds it.
    fn return_place(&mut self, cx: &Context<'_>, id: u64, place: usize, event: Event) -> Result<(), Damage> {
        let Some(lease) = self.leases.get(&id) else { return Ok(()) };
        let Some(found) = lease.places.get(place).filter(|place| place.held) else { return Ok(()) };
        let locked = Locked { lease: id, place, queue: lease.queue, page: found.page, index: found.index };
        self.give_back(cx, locked, event)
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
            due.into_iter().try_for_each(|place| self.return_place(cx, id, place, Event::Fail))?;
            // What is left of the lease runs out later, so that this ends.
            self.retime(id);
        }
        Ok(())
    }
}

/// Refuses a settlement that this version cannot carry out, or whose fields are out of bounds.
fn check_settlement(settlement: &Settlement) -> Result<(), Refusal> {
    match settlement {
        Settlement::Complete | Settlement::Release => Ok(()),
        Settlement::Abandon { delay_ms, .. } if *delay_ms != 0 => Err(not_available("delay_ms")),
        Settlement::Abandon { properties, .. } if !properties.is_empty() => Err(not_available("properties")),
        Settlement::Abandon { .. } => Ok(()),
        Settlement::DeadLetter { properties, .. } if !properties.is_empty() => {
            Err(not_available("properties"))
        }
        Settlement::DeadLetter { reason, description, .. } => {
            check_text("reason", reason).and_then(|()| check_text("description", description))
        }
        Settlement::Defer { .. } => Err(not_available("defer")),
        Settlement::Renew { duration_ms } if *duration_ms != 0 && !LOCK_DURATION_MS.contains(duration_ms) => {
            let (low, high) = (LOCK_DURATION_MS.start(), LOCK_DURATION_MS.end());
            Err(Refusal::invalid(
                "duration_ms",
                format!("found {duration_ms}, allowed is {low} to {high}, or 0"),
            ))
        }
        Settlement::Renew { .. } => Ok(()),
    }
}

fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.len() <= REASON_BYTES {
        return Ok(());
    }
    Err(Refusal::invalid(field, format!("has {} bytes, at most {REASON_BYTES} are allowed", text.len())))
}
