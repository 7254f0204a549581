//! Publishing to queues and topics.

mod duplicates;
mod room;
mod scheduled;

use crate::context::{Context, Damage, Now};
use crate::key::QueueId;
use crate::page::{Mark, NEVER_MS};
use crate::queue::Queue;
use crate::settings::Settings;
use crate::shard::Shard;
use crate::verbs::publish::room::Needs;
use postrider_protocol::error::Refusal;
use postrider_protocol::message::{Incoming, Message, Record};
use postrider_protocol::name::EntityName;
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::{Published, Reply, Runs};

/// A message on its way into a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coming<'a> {
    pub incoming: &'a Incoming,
    /// What it brings with it from another entity.
    pub moved: Option<&'a Record>,
}

impl<'a> Coming<'a> {
    /// A message that its sender sent.
    pub fn sent(incoming: &'a Incoming) -> Self {
        Coming { incoming, moved: None }
    }

    /// What is kept of it where it is not let in.
    pub fn record(self, now: Now) -> Record {
        let message = self.incoming.bytes.clone();
        self.moved.map_or_else(
            || Record { enqueued_time_ms: now.wall_ms, message, ..Record::default() },
            Record::clone,
        )
    }

    /// What deciding looks at; the message lives no longer than where it was.
    fn mark(self, now: Now, settings: &Settings, topic_ttl_ms: u64) -> Mark {
        let mark = settings.mark(now, &self.incoming.message, topic_ttl_ms);
        let expires_ms = self.moved.and_then(|moved| moved.expires_at_ms).unwrap_or(NEVER_MS);
        Mark { expires_ms: mark.expires_ms.min(expires_ms), ..mark }
    }

    /// Appends the message to a queue; returns its number.
    fn append(self, now: Now, queue: &mut Queue, rank: usize, mark: Mark) -> u64 {
        let Some(moved) = self.moved else {
            return queue.append(now, rank, mark, &self.incoming.bytes);
        };
        let first = if moved.enqueued_sequence == 0 { queue.next() } else { moved.enqueued_sequence };
        let expires_at_ms = Some(mark.expires_ms).filter(|expires_ms| *expires_ms != NEVER_MS);
        let record = Record { enqueued_sequence: first, expires_at_ms, ..moved.clone() };
        queue.append_record(now, rank, mark, &record, 0)
    }
}

impl Shard {
    pub(crate) fn publish(
        &mut self,
        cx: &Context<'_>,
        name: &EntityName,
        atomic: bool,
        messages: Vec<Result<Incoming, Refusal>>,
    ) -> Result<Result<Reply, Refusal>, Damage> {
        let entity = match self.target(name) {
            Ok(entity) => entity,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let check = |incoming: Incoming| self.check_incoming(entity, &incoming).map(|()| incoming);
        let about = |refusal: Refusal| refusal.about(name.as_str());
        let mut checked: Vec<_> =
            messages.into_iter().map(|message| message.and_then(check).map_err(about)).collect();
        if atomic && let Some(refusal) = checked.iter().find_map(|message| message.as_ref().err()) {
            return Ok(Err(refusal.clone()));
        }
        if atomic {
            let batch: Vec<_> = checked.into_iter().flatten().collect();
            if let Err(refusal) = self.check_publish_all(cx, entity, &batch)? {
                return Ok(Err(refusal));
            }
            checked = batch.into_iter().map(Ok).collect();
        }
        let mut results = Runs::new();
        for message in checked {
            let published = match message {
                Err(refusal) => Published::Refused(refusal),
                Ok(incoming) => self.publish_one(cx, entity, Coming::sent(&incoming))?,
            };
            push_published(&mut results, published);
        }
        Ok(Ok(Reply::Published(results)))
    }

    /// The queue or topic of a name.
    pub(crate) fn target(&self, name: &EntityName) -> Result<u64, Refusal> {
        let (entity, found) = self.catalog.require(name)?;
        if found.row.kind == EntityKind::Subscription {
            return Err(
                Refusal::invalid("address", "is a subscription; send to its topic").about(name.as_str())
            );
        }
        found.check_sending()?;
        Ok(entity)
    }

    /// Refuses what the entity does not take, whatever it holds at the moment.
    pub(crate) fn check_incoming(&self, entity: u64, incoming: &Incoming) -> Result<(), Refusal> {
        let Some(found) = self.catalog.get(entity) else { return Ok(()) };
        incoming.check_size(found.settings.max_message_bytes)?;
        if found.settings.requires_session && incoming.message.session_id.is_none() {
            let text = "is missing; the queue requires 1 to 128 characters (requires_session)";
            return Err(Refusal::invalid("session_id", text));
        }
        self.check_cost(entity, &incoming.message)
    }

    /// Refuses a message that costs more than its queue, or a subscription that wants it, has units in all.
    fn check_cost(&self, entity: u64, message: &Message) -> Result<(), Refusal> {
        let Some(cost) = message.cost else { return Ok(()) };
        let takers = match self.catalog.get(entity).map(|found| found.row.kind) {
            Some(EntityKind::Topic) => self.subscriptions_for(entity, message),
            _ => vec![entity],
        };
        let takers = takers.into_iter().filter_map(|taker| self.catalog.get(taker));
        let small = takers.into_iter().find(|taker| u64::from(cost) > taker.settings.capacity_units);
        small.map_or(Ok(()), |taker| {
            let (name, units) = (&taker.row.name, taker.settings.capacity_units);
            Err(Refusal::invalid(
                "cost",
                format!("is {cost}, but {name} has {units} units in all (capacity_units)"),
            ))
        })
    }

    /// Takes in a message that was checked.
    pub(crate) fn publish_one(
        &mut self,
        cx: &Context<'_>,
        entity: u64,
        coming: Coming<'_>,
    ) -> Result<Published, Damage> {
        let incoming = coming.incoming;
        let id = self.id_of(entity, &incoming.message);
        if let Some(id) = &id
            && let Some(first) = self.number_of(cx, entity, id)?
        {
            self.count_duplicate(entity);
            return Ok(Published::Duplicate(first));
        }
        let due_ms = incoming.message.scheduled_enqueue_time_ms.unwrap_or(0);
        let number = if due_ms > cx.now.wall_ms {
            self.schedule(entity, due_ms, incoming)
        } else {
            if let Err(refusal) = self.check_publish(cx, entity, incoming) {
                return Ok(Published::Refused(refusal));
            }
            self.route(cx, entity, coming)?
        };
        if let Some(id) = id {
            self.remember_id(cx.now, entity, id, number);
        }
        Ok(Published::Accepted(number))
    }

    /// Puts a message where it belongs: into the queue, or into every subscription that wants it. Returns its number.
    pub(crate) fn route(&mut self, cx: &Context<'_>, entity: u64, coming: Coming<'_>) -> Result<u64, Damage> {
        match self.catalog.get(entity).map(|found| found.row.kind) {
            Some(EntityKind::Topic) => self.fan_out(cx, entity, coming),
            _ => self.enqueue(cx, QueueId::main(entity), NEVER_MS, coming),
        }
    }

    /// Appends a message to a queue, or to its dead letters where it is full; returns its number there.
    fn enqueue(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        topic_ttl_ms: u64,
        coming: Coming<'_>,
    ) -> Result<u64, Damage> {
        let incoming = coming.incoming;
        if self.sessions.contains_key(&id) && incoming.message.session_id.is_none() {
            return Ok(self.refuse_without_session(cx, id, coming));
        }
        let settings = &self.catalog.get(id.entity).expect("a queue has an entity").settings;
        let mark = coming.mark(cx.now, settings, topic_ttl_ms);
        let rank = settings.rank(incoming.message.priority);
        if settings.is_limited() {
            let needs = Needs { messages: 1, bytes: mark.record_bytes(&incoming.bytes) };
            if let Err(full) = self.check_room(id, needs) {
                return Ok(self.shut_out(cx, id, coming, &full.message));
            }
            self.make_room(cx, id, needs)?;
        }
        self.touched.insert(id);
        self.hungry.insert(id);
        let queue = self.queues.get_mut(&id).expect("a queue or subscription has its queues from birth");
        let sequence = coming.append(cx.now, queue, rank, mark);
        self.book_session(cx.now, id, incoming.message.session_id.as_deref(), sequence);
        Ok(sequence)
    }

    /// Copies the message to every subscription with a rule that lets it through; returns the topic's number for it.
    fn fan_out(&mut self, cx: &Context<'_>, topic: u64, coming: Coming<'_>) -> Result<u64, Damage> {
        let wanted = self.subscriptions_for(topic, &coming.incoming.message);
        let ttl_ms = self.catalog.get(topic).map_or(NEVER_MS, |entity| entity.settings.default_ttl_ms);
        for subscription in &wanted {
            self.enqueue(cx, QueueId::main(*subscription), ttl_ms, coming)?;
        }
        let entity = self.catalog.get_mut(topic).expect("the topic was looked up before");
        let sequence = entity.topic.next;
        entity.topic.next += 1;
        entity.topic.low = entity.topic.next;
        entity.topic.unmatched += u64::from(wanted.is_empty());
        self.touched_topics.insert(topic);
        Ok(sequence)
    }

    fn subscriptions_for(&self, topic: u64, message: &Message) -> Vec<u64> {
        let subscriptions = self.catalog.get(topic).map_or(&[][..], |entity| &entity.subscriptions);
        let wants = |id: &&u64| {
            self.catalog.get(**id).is_some_and(|entity| {
                entity.settings.may_send && entity.rules.values().any(|rule| rule.filter.matches(message))
            })
        };
        subscriptions.iter().filter(wants).copied().collect()
    }
}

/// Adds an item's outcome to the runs, making the last run longer where it can.
pub(crate) fn push_published(runs: &mut Runs<Published>, published: Published) {
    match runs.last_mut() {
        Some((items, first)) if first.at(*items) == published => *items += 1,
        _ => runs.push((1, published)),
    }
}
