//! Settling locked messages.

pub(super) mod locks;
pub mod moves;

use crate::context::{Context, Damage};
use crate::ends::End;
use crate::page::NEVER_MS;
use crate::queue::{Event, Slot};
use crate::shard::Shard;
use crate::verbs::settle::locks::Locked;
use crate::verbs::settle::moves::{At, Cause};
use bytes::Bytes;
use postrider_protocol::error::Refusal;
use postrider_protocol::limits::{LOCK_DURATION_MS, REASON_BYTES};
use postrider_protocol::name::Lane;
use postrider_protocol::reply::{Runs, Settled};
use postrider_protocol::request::{SettleItem, Settlement};
use postrider_protocol::retry::{REASON_PROPERTY, Retry};
use postrider_protocol::token::LockToken;
use postrider_protocol::value::Value;

/// A locked message that can be settled.
pub(crate) struct Checked {
    pub locked: Locked,
    /// What its properties are changed to, laid out.
    changes: Option<Bytes>,
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
                push_run(&mut results, settled);
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
        match self.check_settle(cx, token, offset, what)? {
            Ok(checked) => self.carry_out(cx, checked, what),
            Err(refusal) => Ok(Settled::Refused(refusal)),
        }
    }

    /// Finds what is to be settled; refuses what cannot be, and changes nothing.
    pub(crate) fn check_settle(
        &mut self,
        cx: &Context<'_>,
        token: LockToken,
        offset: u16,
        what: &Settlement,
    ) -> Result<Result<Checked, Refusal>, Damage> {
        let Some(locked) = self.find_lock(token, offset) else {
            return Ok(Err(self.lock_lost(token, offset)));
        };
        if let Err(refusal) = self.check_locked(locked, what) {
            return Ok(Err(refusal));
        }
        let changes = changes_of(what).map(|changes| self.changed_properties(cx, locked.at(), changes));
        let changes = changes.transpose()?.transpose();
        Ok(changes.map(|changes| Checked { locked, changes }))
    }

    /// Settles what was checked.
    pub(crate) fn carry_out(
        &mut self,
        cx: &Context<'_>,
        Checked { locked, changes }: Checked,
        what: &Settlement,
    ) -> Result<Settled, Damage> {
        if let Some(changes) = changes
            && let Some(queue) = self.queues.get_mut(&locked.queue)
        {
            queue.set_changes(locked.page, locked.index, changes);
            self.touched.insert(locked.queue);
        }
        match what {
            Settlement::Complete => self.end_lock(cx, locked, Event::Complete, End::Completed),
            Settlement::Release => self.release(cx, locked)?,
            Settlement::Abandon { delay_ms, properties } => {
                self.fail(cx, locked, End::Abandoned, reason_of(properties), *delay_ms)?;
            }
            Settlement::Defer { .. } => self.defer(cx, locked)?,
            Settlement::DeadLetter { reason, description, .. } => {
                self.dead_letter_locked(cx, locked, self.failed(locked), reason, description)?;
            }
            Settlement::Renew { duration_ms } => {
                return Ok(Settled::Renewed(self.renew(cx, locked, *duration_ms)));
            }
        }
        Ok(Settled::Done)
    }

    /// Refuses what cannot be done with a message in its queue, before anything of it is changed.
    fn check_locked(&self, locked: Locked, what: &Settlement) -> Result<(), Refusal> {
        let text = match what {
            Settlement::DeadLetter { .. } if locked.queue.lane.keeps_failed() => {
                "is dead-letter, but the message is a dead letter already; complete or abandon it"
            }
            Settlement::Renew { .. } if self.sessions.contains_key(&locked.queue) => {
                "is renew, but the message's lock lasts as long as its session's; renew the session"
            }
            _ => return Ok(()),
        };
        Err(Refusal::invalid("settlement", text))
    }

    /// The lock is let go, and the delivery does not count.
    pub(crate) fn release(&mut self, cx: &Context<'_>, locked: Locked) -> Result<(), Damage> {
        if self.has_expired(cx, locked) {
            return self.expire_locked(cx, locked, End::Released);
        }
        self.end_lock(cx, locked, Event::Release, End::Released);
        Ok(())
    }

    /// The message is set aside.
    fn defer(&mut self, cx: &Context<'_>, locked: Locked) -> Result<(), Damage> {
        if self.has_expired(cx, locked) {
            return self.expire_locked(cx, locked, End::Deferred);
        }
        self.end_lock(cx, locked, Event::Defer, End::Deferred);
        Ok(())
    }

    /// A delivery has failed: the message goes back to its place, at once or after a delay, or to the dead letters when
    /// it has failed too often.
    pub(crate) fn fail(
        &mut self,
        cx: &Context<'_>,
        locked: Locked,
        end: End,
        reason: Option<&str>,
        delay_ms: u64,
    ) -> Result<(), Damage> {
        if self.has_expired(cx, locked) {
            return self.expire_locked(cx, locked, end);
        }
        let failed = self.failed(locked).saturating_add(1);
        let Some(entity) = self.catalog.get(locked.queue.entity) else { return Ok(()) };
        if locked.queue.lane == Lane::Main {
            let most = entity.settings.max_delivery_count;
            if u64::from(failed) >= most {
                self.journal_lock(locked, end, 0);
                let description = format!("{failed} deliveries failed; max_delivery_count is {most}");
                return self.dead_letter_locked(cx, locked, failed, "MaxDeliveryCountExceeded", &description);
            }
        }
        let bits = u64::from(cx.salt(locked.page + u64::from(locked.index)));
        let retry = entity.settings.retry.after(failed, reason, bits);
        let delay_ms = match retry {
            _ if delay_ms > 0 => delay_ms,
            Retry::DelayMs(delay_ms) if locked.queue.lane == Lane::Main => delay_ms,
            Retry::DeadLetter if locked.queue.lane == Lane::Main => {
                self.journal_lock(locked, end, 0);
                let reason = reason.unwrap_or("RetryPolicy");
                let text = "the retry policy sends failures of this reason to the dead letters";
                return self.dead_letter_locked(cx, locked, failed, reason, text);
            }
            Retry::DelayMs(_) | Retry::DeadLetter => 0,
        };
        let until_ms = if delay_ms == 0 { 0 } else { cx.now.wall_ms.saturating_add(delay_ms) };
        self.end_lock(cx, locked, Event::Fail { until_ms }, end);
        Ok(())
    }

    /// Deliveries of the message that have failed, without the one that goes on.
    fn failed(&self, locked: Locked) -> u32 {
        let slot = self.queues.get(&locked.queue).and_then(|queue| queue.slot(locked.page, locked.index));
        slot.and_then(Slot::attempts).unwrap_or(0)
    }

    /// Whether the message's time was up while it was locked.
    fn has_expired(&self, cx: &Context<'_>, locked: Locked) -> bool {
        let queue = self.queues.get(&locked.queue);
        let expires_ms = queue.map_or(NEVER_MS, |queue| queue.expires_ms(locked.page, locked.index));
        expires_ms <= cx.now.wall_ms
    }

    /// The message goes because its time is up, whatever `end` its lock would have come to.
    fn expire_locked(&mut self, cx: &Context<'_>, locked: Locked, end: End) -> Result<(), Damage> {
        self.judge(cx.now, locked, end);
        let failed = self.failed(locked);
        if self.keep_expired(cx, locked.at(), failed)? {
            self.end_lock(cx, locked, Event::Move, End::Expired);
        } else {
            self.end_lock(cx, locked, Event::Complete, End::Expired);
        }
        Ok(())
    }

    fn dead_letter_locked(
        &mut self,
        cx: &Context<'_>,
        locked: Locked,
        failed: u32,
        reason: &str,
        description: &str,
    ) -> Result<(), Damage> {
        self.copy_to_dead_letters(cx, locked.at(), failed, Cause { reason, description })?;
        self.end_lock(cx, locked, Event::Move, End::DeadLettered);
        Ok(())
    }
}

impl Locked {
    /// Where the message is.
    pub fn at(self) -> At {
        At { queue: self.queue, page: self.page, index: self.index }
    }
}

/// Adds an item's outcome to the runs, making the last run longer where it can.
pub(crate) fn push_run(results: &mut Runs<Settled>, settled: Settled) {
    match results.last_mut() {
        Some((count, last)) if *last == settled => *count += 1,
        _ => results.push((1, settled)),
    }
}

/// The properties that a settlement changes.
fn changes_of(settlement: &Settlement) -> Option<&[(String, Value)]> {
    match settlement {
        Settlement::Abandon { properties, .. }
        | Settlement::DeadLetter { properties, .. }
        | Settlement::Defer { properties } => {
            Some(&properties[..]).filter(|properties| !properties.is_empty())
        }
        Settlement::Complete | Settlement::Release | Settlement::Renew { .. } => None,
    }
}

/// Why a delivery failed, where the consumer says so.
fn reason_of(properties: &[(String, Value)]) -> Option<&str> {
    let found = properties.iter().find(|(name, _)| name.eq_ignore_ascii_case(REASON_PROPERTY));
    found.and_then(|(_, value)| match value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

/// Refuses a settlement whose fields are out of bounds.
pub(crate) fn check_settlement(settlement: &Settlement) -> Result<(), Refusal> {
    match settlement {
        Settlement::DeadLetter { reason, description, .. } => {
            check_text("reason", reason).and_then(|()| check_text("description", description))
        }
        Settlement::Renew { duration_ms } if *duration_ms != 0 && !LOCK_DURATION_MS.contains(duration_ms) => {
            let (low, high) = (LOCK_DURATION_MS.start(), LOCK_DURATION_MS.end());
            Err(Refusal::invalid(
                "duration_ms",
                format!("found {duration_ms}, allowed is {low} to {high}, or 0"),
            ))
        }
        _ => Ok(()),
    }
}

fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.len() <= REASON_BYTES {
        return Ok(());
    }
    Err(Refusal::invalid(field, format!("has {} bytes, at most {REASON_BYTES} are allowed", text.len())))
}
