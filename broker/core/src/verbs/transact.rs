//! Transactions: everything is checked first, then everything is done.
//!
//! What is settled and removed must be in this shard, and so must what is sent; but where something is settled, other
//! messages may go to entities of any shard, by the road that forwarded messages take.

use crate::command::Operation;
use crate::context::{Context, Damage};
use crate::key::QueueId;
use crate::limits::MOST_PARCELS_ON_ROAD;
use crate::shard::Shard;
use crate::verbs::bulk::walk::{Found, Span};
use crate::verbs::forward::laid_out;
use crate::verbs::publish::{Coming, push_published};
use crate::verbs::settle::{Checked, check_settlement};
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::message::Incoming;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::reply::{Published, Reply, Runs};
use postrider_protocol::request::{SettleItem, Settlement};
use postrider_protocol::trace::StepKind;
use std::collections::{BTreeMap, BTreeSet};

/// A transaction of which every operation can be done.
#[derive(Default)]
struct Plan<'a> {
    settled: Vec<(Checked, &'a Settlement)>,
    removed: Vec<(QueueId, Found)>,
    sent: Vec<Sent<'a>>,
    /// What is there twice in what is settled and removed.
    seen: BTreeSet<(QueueId, u64)>,
}

/// Messages that are sent: to an entity of this shard, or on their way to another one.
struct Sent<'a> {
    to: &'a EntityName,
    here: Option<u64>,
    messages: &'a [Incoming],
}

impl Plan<'_> {
    /// The queue that what goes to other shards comes from.
    fn source(&self) -> Option<QueueId> {
        let settled = self.settled.first().map(|(checked, _)| checked.locked.queue);
        settled.or_else(|| self.removed.first().map(|(queue, _)| *queue))
    }
}

impl Shard {
    pub(crate) fn transact(
        &mut self,
        cx: &Context<'_>,
        operations: &[Operation],
    ) -> Result<Result<Reply, Refusal>, Damage> {
        let mut plan = Plan::default();
        for (number, operation) in (1..).zip(operations) {
            if let Err(refusal) = self.plan(cx, operation, &mut plan)? {
                return Ok(Err(of_operation(number, refusal)));
            }
        }
        if let Err(refusal) = self.check_sent(cx, &plan)? {
            return Ok(Err(refusal));
        }
        let from = plan.source();
        for (queue, found) in &plan.removed {
            self.remove(cx, *queue, found)?;
            self.journal.plain(StepKind::Removed, *queue, found.number, 0);
        }
        for (checked, settlement) in plan.settled {
            self.carry_out(cx, checked, settlement)?;
        }
        let mut results = Runs::new();
        for sent in &plan.sent {
            self.send(cx, from, sent, &mut results)?;
        }
        Ok(Ok(Reply::Published(results)))
    }

    /// Adds an operation to the plan, if it can be done.
    fn plan<'a>(
        &mut self,
        cx: &Context<'_>,
        operation: &'a Operation,
        plan: &mut Plan<'a>,
    ) -> Result<Result<(), Refusal>, Damage> {
        match operation {
            Operation::Settle(item) => self.plan_settlement(cx, item, plan),
            Operation::Remove { address, sequence } => self.plan_removal(cx, address, *sequence, plan),
            Operation::Send { entity, messages } => {
                let here = cx.places.shard_of(entity) == self.id;
                let planned =
                    if here { self.check_send(entity, messages).map(Some) } else { check_far(entity) };
                Ok(planned.map(|here| plan.sent.push(Sent { to: entity, here, messages })))
            }
        }
    }

    fn plan_settlement<'a>(
        &mut self,
        cx: &Context<'_>,
        item: &'a SettleItem,
        plan: &mut Plan<'a>,
    ) -> Result<Result<(), Refusal>, Damage> {
        if matches!(item.settlement, Settlement::Renew { .. } | Settlement::Release) {
            let text = "is renew or release; a transaction completes, abandons, dead-letters and defers";
            return Ok(Err(Refusal::invalid("settlement", text)));
        }
        if let Err(refusal) = check_settlement(&item.settlement) {
            return Ok(Err(refusal));
        }
        for offset in 0..item.run {
            let checked = match self.check_settle(cx, item.token, offset, &item.settlement)? {
                Ok(checked) => checked,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let place = checked.locked.page + u64::from(checked.locked.index);
            if !plan.seen.insert((checked.locked.queue, place)) {
                return Ok(Err(Refusal::invalid("token", "is settled twice in the transaction")));
            }
            plan.settled.push((checked, &item.settlement));
        }
        Ok(Ok(()))
    }

    fn plan_removal(
        &mut self,
        cx: &Context<'_>,
        address: &Address,
        sequence: u64,
        plan: &mut Plan<'_>,
    ) -> Result<Result<(), Refusal>, Damage> {
        let queue = match self.queue_at(address) {
            Ok(queue) => queue,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.show_pending(cx.now, queue);
        let mut found = None;
        let span = Span { from: sequence, to: sequence.saturating_add(1), limit: 1, numbers: &[] };
        self.examine(&self.rows(cx), queue, span, &mut |one| {
            found = Some(one);
            Ok(false)
        })?;
        let text = match found {
            None => format!("no message {sequence} is there"),
            Some(found) if found.is_locked() => format!("message {sequence} is locked by a consumer"),
            Some(_) if !plan.seen.insert((queue, sequence)) => {
                return Ok(Err(Refusal::invalid("sequence", "is removed twice in the transaction")));
            }
            Some(found) => {
                plan.removed.push((queue, found));
                return Ok(Ok(()));
            }
        };
        Ok(Err(Refusal::new(ErrorCode::MessageNotFound, text).about(address.to_string())))
    }

    fn check_send(&self, name: &EntityName, messages: &[Incoming]) -> Result<u64, Refusal> {
        let entity = self.target(name)?;
        let check = |incoming| self.check_incoming(entity, incoming);
        messages.iter().try_for_each(check).map_err(|refusal| refusal.about(name.as_str()))?;
        Ok(entity)
    }

    /// Refuses more than the entities have room for, and what would go to other shards from nowhere.
    fn check_sent(&self, cx: &Context<'_>, plan: &Plan<'_>) -> Result<Result<(), Refusal>, Damage> {
        let mut batches: BTreeMap<u64, Vec<&Incoming>> = BTreeMap::new();
        for sent in &plan.sent {
            match sent.here {
                Some(entity) => batches.entry(entity).or_default().extend(sent.messages),
                None => {
                    if let Err(refusal) = self.check_road(cx, sent.to, plan.source().is_none()) {
                        return Ok(Err(refusal));
                    }
                }
            }
        }
        for (entity, batch) in batches {
            if !plan.removed.is_empty()
                && let Err(refusal) = self.check_new_ids(cx, entity, &batch)?
            {
                return Ok(Err(refusal));
            }
            if let Err(refusal) = self.check_publish_all(cx, entity, batch)? {
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(()))
    }

    /// Refuses what would not be stored again: nothing would be left of what is removed for it.
    fn check_new_ids(
        &self,
        cx: &Context<'_>,
        entity: u64,
        batch: &[&Incoming],
    ) -> Result<Result<(), Refusal>, Damage> {
        let mut sent = BTreeSet::new();
        for incoming in batch {
            let Some(id) = self.id_of(entity, &incoming.message) else { continue };
            let text = if let Some(first) = self.number_of(cx, entity, &id)? {
                format!(
                    "a message with this message_id is there, or was, as number {first}; nothing was removed"
                )
            } else if !sent.insert(id.into_text()) {
                "two messages have this message_id; nothing was removed".to_owned()
            } else {
                continue;
            };
            return Ok(Err(Refusal::new(ErrorCode::Duplicate, text)));
        }
        Ok(Ok(()))
    }

    fn check_road(&self, cx: &Context<'_>, to: &EntityName, from_nowhere: bool) -> Result<(), Refusal> {
        if from_nowhere {
            let text = "is not in the group of the other entities; create them with one group, or send it where a message is completed";
            return Err(Refusal::invalid("operations", text).about(to.as_str()));
        }
        let road = self.outbox.get(&cx.places.shard_of(to));
        if road.is_some_and(|road| road.parcels >= MOST_PARCELS_ON_ROAD) {
            let text = "too much is on its way there; try again";
            return Err(Refusal::new(ErrorCode::Busy, text).about(to.as_str()));
        }
        Ok(())
    }

    fn send(
        &mut self,
        cx: &Context<'_>,
        from: Option<QueueId>,
        sent: &Sent<'_>,
        results: &mut Runs<Published>,
    ) -> Result<(), Damage> {
        match (sent.here, from) {
            (Some(entity), _) => {
                for incoming in sent.messages {
                    let published = self.publish_one(cx, entity, Coming::sent(incoming))?;
                    if let Published::Refused(refusal) = published {
                        let text = format!("what a transaction has checked is refused: {refusal}");
                        return Err(Damage::new(text));
                    }
                    push_published(results, published);
                }
            }
            (None, Some(from)) => {
                for incoming in sent.messages {
                    self.journal.posted(from, &incoming.message, sent.to.as_str());
                }
                let record = |incoming| laid_out(&Coming::sent(incoming).record(cx.now));
                self.post(cx, from, sent.to, sent.messages.iter().map(record).collect());
                sent.messages.iter().for_each(|_| push_published(results, Published::Underway));
            }
            (None, None) => return Err(Damage::new("a transaction sends to another shard from nowhere")),
        }
        Ok(())
    }
}

/// Refuses to send to what is known by its name alone not to take messages.
fn check_far(name: &EntityName) -> Result<Option<u64>, Refusal> {
    if name.subscription().is_none() {
        return Ok(None);
    }
    Err(Refusal::invalid("address", "is a subscription; send to its topic").about(name.as_str()))
}

/// Says which operation a refusal is about.
fn of_operation(number: usize, refusal: Refusal) -> Refusal {
    Refusal { message: format!("operation {number}: {}", refusal.message), ..refusal }
}
