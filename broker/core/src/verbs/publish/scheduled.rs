//! Messages that are to be enqueued at a moment.
//!
//! Each is a row of its own under the number that it got from its queue or topic, with an alarm for its moment. Nothing
//! of it is in memory but a count. When it is due it is published as if it came then: under a new number, through the
//! rules of then, its time to live counted from then.

use crate::context::{Context, Damage, Rows};
use crate::fact::{Fact, QueueRow, ScheduledRow};
use crate::key::{Alarm, Key, KeyRange, QueueId};
use crate::shard::Shard;
use crate::verbs::publish::Coming;
use crate::verbs::recover::read_row;
use crate::verbs::settle::push_run;
use bytes::Bytes;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::message::Incoming;
use postrider_protocol::name::EntityName;
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::{Reply, Runs, Settled};
use postrider_protocol::request::ScheduledAction;
use postrider_protocol::trace::StepKind;

/// The moment of what is to happen whatever the clock says.
const AT_ONCE_MS: u64 = 0;

impl Shard {
    /// Keeps a message until it is due; returns its number.
    pub(crate) fn schedule(&mut self, entity: u64, due_ms: u64, incoming: &Incoming) -> u64 {
        let queue = QueueId::main(entity);
        let row = self.numbers_of(entity).expect("the entity was looked up before");
        let number = row.take_number();
        row.scheduled += 1;
        let row = ScheduledRow { due_ms, message: incoming.bytes.clone() };
        self.remember(Fact::Scheduled(queue, number, row));
        self.journal.sent(StepKind::Scheduled, queue, number, &incoming.message, due_ms);
        number
    }

    /// The counters that number the messages sent to a queue or topic, to be changed.
    fn numbers_of(&mut self, entity: u64) -> Option<&mut QueueRow> {
        let queue = QueueId::main(entity);
        if let Some(found) = self.queues.get_mut(&queue) {
            self.touched.insert(queue);
            return Some(found.row_mut());
        }
        self.touched_topics.insert(entity);
        self.catalog.get_mut(entity).map(|found| &mut found.topic)
    }

    /// Forgets a scheduled message, which is to be one.
    pub(crate) fn unschedule(&mut self, queue: QueueId, number: u64, due_ms: u64) {
        if let Some(row) = self.numbers_of(queue.entity) {
            row.scheduled -= 1;
        }
        self.remember(Fact::ScheduledGone(queue, number, due_ms));
    }

    /// Enqueues a scheduled message whose alarm rings; returns its bytes, for every copy.
    pub(crate) fn ring_scheduled(
        &mut self,
        cx: &Context<'_>,
        alarm: Alarm,
        number: u64,
    ) -> Result<usize, Damage> {
        let queue = alarm.queue;
        let row = self.scheduled_row(cx, queue, number)?;
        // The row takes the alarm of its own moment with it.
        if row.as_ref().is_none_or(|row| row.due_ms != alarm.when_ms) {
            self.turn.facts.push(Fact::AlarmGone(alarm));
        }
        let copies = self.catalog.get(queue.entity).map(|found| found.subscriptions.len().max(1));
        let (Some(row), Some(copies)) = (row, copies) else { return Ok(0) };
        self.unschedule(queue, number, row.due_ms);
        self.use_entity(queue.entity);
        let bytes = row.message.len() * copies;
        let incoming = Incoming::parse(row.message)
            .map_err(|refusal| Damage::new(format!("scheduled message {number} of {queue:?}: {refusal}")))?;
        self.journal.plain(StepKind::Due, queue, number, 0);
        self.route(cx, queue.entity, Coming::sent(&incoming))?;
        Ok(bytes)
    }

    fn scheduled_row(
        &self,
        cx: &Context<'_>,
        queue: QueueId,
        number: u64,
    ) -> Result<Option<ScheduledRow>, Damage> {
        let row = self.rows(cx).get(&Key::Scheduled(self.id, queue, number))?;
        row.map(|row| read_row("a scheduled message", row, ScheduledRow::read)).transpose()
    }

    /// Hands on the scheduled messages of a queue or topic from a number on, in the order of their numbers, while
    /// `visit` says so.
    pub fn each_scheduled(
        &self,
        rows: &dyn Rows,
        queue: QueueId,
        from: u64,
        visit: &mut dyn FnMut(u64, ScheduledRow) -> Result<bool, Damage>,
    ) -> Result<(), Damage> {
        rows.scan(&KeyRange::scheduled(self.id, queue, from), &mut |key, value| {
            let Key::Scheduled(_, _, number) = Key::decode(key)? else { return Ok(false) };
            let row = Bytes::copy_from_slice(value);
            visit(number, read_row("a scheduled message", row, ScheduledRow::read)?)
        })
    }

    /// Cancels scheduled messages, or lets them be due at once.
    pub(crate) fn scheduled(
        &mut self,
        cx: &Context<'_>,
        name: &EntityName,
        action: ScheduledAction,
        sequences: &[u64],
    ) -> Result<Result<Reply, Refusal>, Damage> {
        let queue = match self.scheduling(name) {
            Ok(entity) => QueueId::main(entity),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut results = Runs::new();
        for number in sequences {
            let settled = match self.scheduled_row(cx, queue, *number)? {
                None => Settled::Refused(not_scheduled(name, *number)),
                Some(row) => {
                    self.act_on(queue, *number, row.due_ms, action);
                    Settled::Done
                }
            };
            push_run(&mut results, settled);
        }
        Ok(Ok(Reply::Settled(results)))
    }

    /// The queue or topic of a name.
    fn scheduling(&self, name: &EntityName) -> Result<u64, Refusal> {
        let (entity, found) = self.catalog.require(name)?;
        if found.row.kind != EntityKind::Subscription {
            return Ok(entity);
        }
        let text = "is a subscription; messages are scheduled at its topic";
        Err(Refusal::invalid("address", text).about(name.as_str()))
    }

    fn act_on(&mut self, queue: QueueId, number: u64, due_ms: u64, action: ScheduledAction) {
        match action {
            ScheduledAction::Cancel => {
                self.unschedule(queue, number, due_ms);
                self.journal.plain(StepKind::Cancelled, queue, number, 0);
            }
            // The tick that answers the alarm bounds how much is enqueued in one turn.
            ScheduledAction::DeliverNow => {
                self.turn.facts.push(Fact::AlarmSet(Alarm::scheduled(AT_ONCE_MS, queue, number)));
            }
        }
    }
}

fn not_scheduled(name: &EntityName, number: u64) -> Refusal {
    let text = format!("no message {number} is scheduled; it was enqueued, cancelled, or never was");
    Refusal::new(ErrorCode::MessageNotFound, text).about(name.as_str())
}
