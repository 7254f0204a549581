//! What happens by itself, at a moment on the wall clock: messages expire, delays end, scheduled messages are due, ids
//! are forgotten.
//!
//! Alarms are rows in the order of their moments, at most one for each page; in memory there is only the next one. So they cost the same however many there are, and a start finds them as they were. An alarm is a hint to
//! look: what is found decides. One that outlived its page finds nothing.

use crate::context::{Context, Damage, Rows};
use crate::fact::Fact;
use crate::key::{Alarm, Key, KeyRange, QueueId, Wake};
use crate::limits::{ALARM_STEPS_PER_TICK, DUE_BYTES_PER_TICK, STEPS_OF_A_PAGE};
use crate::queue::{Event, Slot};
use crate::shard::Shard;
use crate::verbs::settle::moves::At;
use postrider_protocol::trace::StepKind;

impl Shard {
    /// Answers the alarms whose moment has come, so many as one turn should.
    pub(crate) fn ring_alarms(&mut self, cx: &Context<'_>) -> Result<(), Damage> {
        let is_due = |alarm: &Alarm| alarm.when_ms <= cx.now.wall_ms;
        let Some(first) = self.next_alarm.filter(is_due) else { return Ok(()) };
        let (mut due, mut steps) = (Vec::new(), 0);
        self.next_alarm = each_alarm(cx.rows, &KeyRange::alarms_from(self.id, first), |alarm| {
            let rings = is_due(&alarm) && steps < ALARM_STEPS_PER_TICK;
            if rings {
                steps += alarm.what.steps();
                due.push(alarm);
            }
            rings
        })?;
        let mut bytes = 0;
        for alarm in due {
            if bytes >= DUE_BYTES_PER_TICK {
                self.next_alarm = Some(alarm);
                break;
            }
            bytes += self.ring(cx, alarm)?;
        }
        Ok(())
    }

    /// Answers an alarm; returns the bytes of messages that were enqueued.
    fn ring(&mut self, cx: &Context<'_>, alarm: Alarm) -> Result<usize, Damage> {
        match alarm.what {
            Wake::Page(first) => {
                self.turn.facts.push(Fact::AlarmGone(alarm));
                self.ring_page(cx, alarm.queue, first).map(|()| 0)
            }
            Wake::Scheduled(number) => self.ring_scheduled(cx, alarm, number),
            Wake::Window => {
                self.turn.facts.push(Fact::AlarmGone(alarm));
                self.ring_window(cx, alarm.queue.entity);
                Ok(0)
            }
            Wake::Occurrence => {
                self.turn.facts.push(Fact::AlarmGone(alarm));
                self.ring_schedules(cx, alarm.queue.entity)
            }
            Wake::Kept => {
                self.turn.facts.push(Fact::AlarmGone(alarm));
                self.ring_kept(cx, alarm.queue.entity).map(|()| 0)
            }
        }
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
            if expires_ms <= cx.now.wall_ms && slot.is_free() {
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
        if !kept {
            self.journal.plain(StepKind::Expired, at.queue, at.sequence(), 0);
        }
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
        if self.leaves(id, first).is_some() {
            return Ok(false);
        }
        let rows = self.rows(cx);
        let Some(page) = rows.get(&Key::Page(self.id, id, first))? else { return Ok(false) };
        let state = rows.get(&Key::PageState(self.id, id, first))?;
        let Some(queue) = self.queues.get_mut(&id) else { return Ok(false) };
        queue.fetch(first, page, state)?;
        self.touched.insert(id);
        Ok(true)
    }

    /// In recovery: which alarm is the first.
    pub(crate) fn load_alarms(&mut self, rows: &dyn Rows) -> Result<(), Damage> {
        self.next_alarm = each_alarm(rows, &KeyRange::alarms(self.id), |_| false)?;
        Ok(())
    }
}

impl Wake {
    /// How much work an answer is.
    fn steps(self) -> usize {
        match self {
            Wake::Page(_) | Wake::Occurrence | Wake::Kept => STEPS_OF_A_PAGE,
            Wake::Scheduled(_) | Wake::Window => 1,
        }
    }
}

/// Hands on the alarms of a range while `goes_on` says so; returns the one that it stopped at.
fn each_alarm(
    rows: &dyn Rows,
    range: &KeyRange,
    mut goes_on: impl FnMut(Alarm) -> bool,
) -> Result<Option<Alarm>, Damage> {
    let mut stopped = None;
    rows.scan(range, &mut |key, _| {
        let Key::Alarm(_, alarm) = Key::decode(key)? else { return Ok(false) };
        let goes_on = goes_on(alarm);
        if !goes_on {
            stopped = Some(alarm);
        }
        Ok(goes_on)
    })?;
    Ok(stopped)
}
