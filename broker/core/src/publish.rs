//! Publishing to queues and topics.

use crate::context::{Context, Damage};
use crate::key::QueueId;
use crate::page::NEVER_MS;
use crate::shard::{Shard, not_available};
use postrider_protocol::error::Refusal;
use postrider_protocol::message::{Incoming, Message};
use postrider_protocol::name::EntityName;
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::{Published, Reply, Runs};

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
        let checked: Vec<_> =
            messages.into_iter().map(|message| message.and_then(check).map_err(about)).collect();
        if atomic && let Some(refusal) = checked.iter().find_map(|message| message.as_ref().err()) {
            return Ok(Err(refusal.clone()));
        }
        let mut results = Runs::new();
        for message in checked {
            let published = match message {
                Err(refusal) => Published::Refused(refusal),
                Ok(incoming) => self.publish_one(cx, entity, &incoming)?,
            };
            push_run(&mut results, published);
        }
        Ok(Ok(Reply::Published(results)))
    }

    /// The queue or topic of a name.
    fn target(&self, name: &EntityName) -> Result<u64, Refusal> {
        let (entity, found) = self.catalog.require(name)?;
        if found.row.kind == EntityKind::Subscription {
            return Err(
                Refusal::invalid("address", "is a subscription; send to its topic").about(name.as_str())
            );
        }
        Ok(entity)
    }

    /// Refuses what the entity does not take, whatever it holds at the moment.
    fn check_incoming(&self, entity: u64, incoming: &Incoming) -> Result<(), Refusal> {
        let Some(found) = self.catalog.get(entity) else { return Ok(()) };
        incoming.check_size(found.settings.max_message_bytes)?;
        if found.settings.requires_session && incoming.message.session_id.is_none() {
            let text = "is missing; the queue requires 1 to 128 characters (requires_session)";
            return Err(Refusal::invalid("session_id", text));
        }
        check_available(&incoming.message)
    }

    /// Takes in a message that was checked.
    fn publish_one(
        &mut self,
        cx: &Context<'_>,
        entity: u64,
        incoming: &Incoming,
    ) -> Result<Published, Damage> {
        Ok(Published::Accepted(self.route(cx, entity, incoming)))
    }

    /// Puts a message where it belongs: into the queue, or into every subscription that wants it. Returns its number.
    fn route(&mut self, cx: &Context<'_>, entity: u64, incoming: &Incoming) -> u64 {
        match self.catalog.get(entity).map(|found| found.row.kind) {
            Some(EntityKind::Topic) => self.fan_out(cx, entity, incoming),
            _ => self.enqueue(cx, QueueId::main(entity), NEVER_MS, incoming),
        }
    }

    fn enqueue(&mut self, cx: &Context<'_>, id: QueueId, topic_ttl_ms: u64, incoming: &Incoming) -> u64 {
        if self.sessions.contains_key(&id) && incoming.message.session_id.is_none() {
            return self.refuse_without_session(cx.now, id, incoming);
        }
        let queue = self.queues.get_mut(&id).expect("a queue or subscription has its queues from birth");
        let settings = &self.catalog.get(id.entity).expect("a queue has an entity").settings;
        self.touched.insert(id);
        self.hungry.insert(id);
        let mark = settings.mark(cx.now, &incoming.message, topic_ttl_ms);
        let rank = settings.rank(incoming.message.priority);
        let sequence = queue.append(cx.now, rank, mark, &incoming.bytes);
        if let Some(session_id) = &incoming.message.session_id
            && self.sessions.contains_key(&id)
        {
            self.book_session(cx.now, id, session_id, sequence);
        }
        sequence
    }

    /// Copies the message to every subscription with a rule that lets it through; returns the topic's number for it.
    fn fan_out(&mut self, cx: &Context<'_>, topic: u64, incoming: &Incoming) -> u64 {
        let wanted = self.subscriptions_for(topic, &incoming.message);
        let ttl_ms = self.catalog.get(topic).map_or(NEVER_MS, |entity| entity.settings.default_ttl_ms);
        for subscription in &wanted {
            self.enqueue(cx, QueueId::main(*subscription), ttl_ms, incoming);
        }
        let entity = self.catalog.get_mut(topic).expect("the topic was looked up before");
        let sequence = entity.topic.next;
        entity.topic.next += 1;
        entity.topic.low = entity.topic.next;
        entity.topic.unmatched += u64::from(wanted.is_empty());
        self.touched_topics.insert(topic);
        sequence
    }

    fn subscriptions_for(&self, topic: u64, message: &Message) -> Vec<u64> {
        let subscriptions = self.catalog.get(topic).map_or(&[][..], |entity| &entity.subscriptions);
        let wants = |id: &&u64| {
            self.catalog
                .get(**id)
                .is_some_and(|entity| entity.rules.values().any(|rule| rule.filter.matches(message)))
        };
        subscriptions.iter().filter(wants).copied().collect()
    }
}

/// Refuses what a message may ask for one day, but not of this version.
fn check_available(message: &Message) -> Result<(), Refusal> {
    match message.scheduled_enqueue_time_ms {
        None => Ok(()),
        Some(_) => Err(not_available("scheduled_enqueue_time_ms")),
    }
}

/// Adds an item's outcome to the runs, making the last run longer where it can.
fn push_run(runs: &mut Runs<Published>, published: Published) {
    match runs.last_mut() {
        Some((items, first)) if first.at(*items) == published => *items += 1,
        _ => runs.push((1, published)),
    }
}
