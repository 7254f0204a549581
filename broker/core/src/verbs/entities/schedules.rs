//! Schedules: messages that a queue or topic gets again and again.
//!
//! A schedule is a row with the moment of its next message, and an alarm for that moment. An alarm names the entity: what
//! is due there is found by looking at its schedules, which are in memory as rules are. When one is due its message is
//! published and the next moment is the first one behind the present: what the broker missed while it was down comes
//! once.

use crate::catalog::Entity;
use crate::context::{Context, Damage};
use crate::fact::Fact;
use crate::key::{Alarm, QueueId};
use crate::page::NEVER_MS;
use crate::shard::Shard;
use crate::verbs::publish::Coming;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits::{BATCH_BYTES, LISTING_ENTRIES, SCHEDULES_PER_ENTITY};
use postrider_protocol::message::Incoming;
use postrider_protocol::name::EntityName;
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::Reply;
use postrider_protocol::schedule::{Schedule, ScheduleInfo};
use std::ops::Bound;

impl Shard {
    pub(crate) fn put_schedule(
        &mut self,
        cx: &Context<'_>,
        name: &EntityName,
        schedule: Schedule,
    ) -> Result<Reply, Refusal> {
        let (entity, found) = self.scheduler(name)?;
        let about = |refusal: Refusal| refusal.about(name.as_str());
        check_room(found, &schedule).map_err(about)?;
        let incoming = check_message(&schedule).map_err(about)?;
        self.check_incoming(entity, &incoming).map_err(about)?;
        let next = cx.calendar.next_ms(&schedule.cron, &schedule.zone, cx.now.wall_ms);
        let next_ms = next.map_err(|text| about(Refusal::invalid("schedule", text)))?;
        self.store_schedule(entity, ScheduleInfo { schedule, next_ms });
        Ok(Reply::Done)
    }

    fn store_schedule(&mut self, entity: u64, info: ScheduleInfo) {
        let Some(found) = self.catalog.get_mut(entity) else { return };
        found.schedules.insert(info.schedule.name.to_ascii_lowercase(), info.clone());
        if info.next_ms != NEVER_MS {
            let alarm = Alarm::occurrence(info.next_ms, QueueId::main(entity));
            self.turn.facts.push(Fact::AlarmSet(alarm));
        }
        self.turn.facts.push(Fact::SchedulePut(entity, info));
    }

    pub(crate) fn delete_schedule(&mut self, name: &EntityName, schedule: &str) -> Result<Reply, Refusal> {
        let (entity, _) = self.scheduler(name)?;
        let found = self.catalog.get_mut(entity);
        let removed = found.and_then(|found| found.schedules.remove(&schedule.to_ascii_lowercase()));
        let removed = removed.ok_or_else(|| {
            Refusal::new(ErrorCode::NotFound, format!("has no schedule {schedule}")).about(name.as_str())
        })?;
        self.turn.facts.push(Fact::ScheduleGone(entity, removed.schedule.name));
        Ok(Reply::Done)
    }

    /// The queue or topic of a name.
    fn scheduler(&self, name: &EntityName) -> Result<(u64, &Entity), Refusal> {
        let (entity, found) = self.catalog.require(name)?;
        if found.row.kind == EntityKind::Subscription {
            let text = "is a subscription; schedules belong to its topic";
            return Err(Refusal::invalid("address", text).about(name.as_str()));
        }
        Ok((entity, found))
    }

    /// Publishes what is due at an entity whose alarm rings; returns the bytes, for every copy.
    pub(crate) fn ring_schedules(&mut self, cx: &Context<'_>, entity: u64) -> Result<usize, Damage> {
        let Some(found) = self.catalog.get(entity) else { return Ok(0) };
        let (copies, may_send) = (found.subscriptions.len().max(1), found.settings.may_send);
        let is_due = |info: &&ScheduleInfo| info.next_ms <= cx.now.wall_ms;
        let due: Vec<ScheduleInfo> = found.schedules.values().filter(is_due).cloned().collect();
        let mut bytes = 0;
        for mut info in due {
            if may_send {
                bytes += info.schedule.message.len() * copies;
                self.publish_occurrence(cx, entity, &info.schedule)?;
            }
            // An expression that had a next moment may have none any more, or its zone may be gone.
            let next = cx.calendar.next_ms(&info.schedule.cron, &info.schedule.zone, cx.now.wall_ms);
            info.next_ms = next.unwrap_or(NEVER_MS);
            self.store_schedule(entity, info);
        }
        Ok(bytes)
    }

    fn publish_occurrence(
        &mut self,
        cx: &Context<'_>,
        entity: u64,
        schedule: &Schedule,
    ) -> Result<(), Damage> {
        let incoming = Incoming::parse(schedule.message.clone()).map_err(|refusal| {
            Damage::new(format!("the message of schedule {}: {refusal}", schedule.name))
        })?;
        self.route(cx, entity, Coming::sent(&incoming))?;
        Ok(())
    }

    /// A page of the schedules of a queue or topic.
    pub fn schedules(&self, name: &EntityName, after: &str, limit: u32) -> Reply {
        let found = match self.scheduler(name) {
            Ok((_, found)) => found,
            Err(refusal) => return Reply::Refused(refusal),
        };
        let most = if limit == 0 { LISTING_ENTRIES } else { limit.min(LISTING_ENTRIES) } as usize;
        let after = after.to_ascii_lowercase();
        let from = if after.is_empty() { Bound::Unbounded } else { Bound::Excluded(after) };
        let mut rest = found.schedules.range((from, Bound::Unbounded)).map(|(_, info)| info).peekable();
        let (mut schedules, mut bytes) = (Vec::new(), 0);
        while let Some(info) = rest.next_if(|_| schedules.len() < most && bytes < BATCH_BYTES) {
            bytes += info.schedule.message.len();
            schedules.push(info.clone());
        }
        Reply::Schedules { schedules, more: rest.peek().is_some() }
    }
}

fn check_room(found: &Entity, schedule: &Schedule) -> Result<(), Refusal> {
    let is_known = found.schedules.contains_key(&schedule.name.to_ascii_lowercase());
    if is_known || found.schedules.len() < SCHEDULES_PER_ENTITY {
        return Ok(());
    }
    let text = format!("there are {SCHEDULES_PER_ENTITY} schedules, the most there can be");
    Err(Refusal::new(ErrorCode::QuotaExceeded, text))
}

fn check_message(schedule: &Schedule) -> Result<Incoming, Refusal> {
    schedule.check()?;
    let incoming = Incoming::parse(schedule.message.clone())?;
    match incoming.message.scheduled_enqueue_time_ms {
        None => Ok(incoming),
        Some(_) => {
            let text = "is set, but a schedule says itself when its message is published; leave it out";
            Err(Refusal::invalid("scheduled_enqueue_time_ms", text))
        }
    }
}
