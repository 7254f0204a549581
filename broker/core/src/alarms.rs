//! What happens by itself, at a moment on the wall clock: messages expire, delays end, ids are forgotten.
//!
//! Alarms are rows in the order of their moments, at most one for each page; in memory there is only when the next one
//! is due. So they cost the same however many there are, and a start finds them as they were. An alarm is a hint to
//! look: what is found decides. One that outlived its page finds nothing.

use crate::context::{Context, Damage, Rows};
use crate::key::{Alarm, Key, KeyRange, QueueId, Wake};
use crate::limits::ALARMS_PER_TICK;
use crate::moves::At;
use crate::page::NEVER_MS;
use crate::queue::{Event, Slot};
use crate::shard::Shard;

impl Shard {
    /// Answers the alarms whose moment has come, so many as one turn should.
    pub(crate) fn ring_alarms(&mut self, cx: &Context<'_>) -> Result<(), Damage> {
        if self.alarm_ms > cx.now.wall_ms {
            return Ok(());
        }
        let mut due = Vec::new();
        self.alarm_ms = each_alarm(self.id, cx.rows, |alarm| {
            let rings = alarm.when_ms <= cx.now.wall_ms && due.len() < ALARMS_PER_TICK;
            if rings {
                due.push(alarm);
            }
            rings
        })?;
        for alarm in due {
            self.turn.facts.push(crate::fact::Fact::AlarmGone(alarm));
            match alarm.what {
                Wake::Page(first) => self.ring_page(cx, alarm.queue, first)?,
                Wake::Window => self.ring_window(cx, alarm.queue.entity),
            }
        }
        Ok(())
    }

    /// Looks at a page: what has expired goes, what has waited long enough is ready.
    fn ring_page(&mut self, cx: &Context<'_>, id: QueueId, first: u64) -> Result<(), Damage> {
        if !self.fetch_page(cx, id, first)? {
            return Ok(());
        }
        let Some(queue) = self.queues.get_mut(&id) else { return Ok(()) };
        queue.forget_alarm(first);
        self.touched.insert(id);
        self.hungry.insert(id);
        for (index, slot, expires_ms) in queue.messages_of(first) {
            if expires_ms <= cx.now.wall_ms && slot != Slot::Gone && !slot.is_locked() {
                self.expire(cx, At { queue: id, page: first, index }, slot)?;
            } else if matches!(slot, Slot::Delayed { until_ms, .. } if until_ms <= cx.now.wall_ms)
                && let Some(queue) = self.queues.get_mut(&id)
            {
                queue.change(first, index, Event::Due);
            }
        }
        Ok(())
    }

    fn expire(&mut self, cx: &Context<'_>, at: At, slot: Slot) -> Result<(), Damage> {
        let kept = self.keep_expired(cx, at, slot.attempts().unwrap_or(0))?;
        let event = if kept { Event::Move } else { Event::Drop };
        if let Some(queue) = self.queues.get_mut(&at.queue) {
            queue.change(at.page, at.index, event);
        }
        Ok(())
    }

    /// Brings a page that was stored before, by this turn too, into the window; says whether there is one.
    pub(crate) fn fetch_page(&mut self, cx: &Context<'_>, id: QueueId, first: u64) -> Result<bool, Damage> {
        if self.queues.get(&id).is_some_and(|queue| queue.is_hot(first)) {
            return Ok(true);
        }
        let rows = self.rows(cx);
        let Some(page) = rows.get(&Key::Page(self.id, id, first))? else { return Ok(false) };
        let state = rows.get(&Key::PageState(self.id, id, first))?;
        let Some(queue) = self.queues.get_mut(&id) else { return Ok(false) };
        queue.fetch(first, page, state)?;
        self.touched.insert(id);
        Ok(true)
    }

    /// In recovery: when the first alarm is due.
    pub(crate) fn load_alarms(&mut self, rows: &dyn Rows) -> Result<(), Damage> {
        self.alarm_ms = each_alarm(self.id, rows, |_| false)?;
        Ok(())
    }
}

/// Hands on the alarms of a shard while `goes_on` says so; returns the moment of the first one that it stopped at.
fn each_alarm(shard: u16, rows: &dyn Rows, mut goes_on: impl FnMut(Alarm) -> bool) -> Result<u64, Damage> {
    let mut next_ms = NEVER_MS;
    rows.scan(&KeyRange::alarms(shard), &mut |key, _| {
        let Key::Alarm(_, alarm) = Key::decode(key)? else { return Ok(false) };
        let goes_on = goes_on(alarm);
        if !goes_on {
            next_ms = alarm.when_ms;
        }
        Ok(goes_on)
    })?;
    Ok(next_ms)
}
