//! Publishing to queues and topics.

use crate::context::Now;
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
        now: Now,
        name: &EntityName,
        atomic: bool,
        messages: Vec<Result<Incoming, Refusal>>,
    ) -> Result<Reply, Refusal> {
        let (entity, found) = self.catalog.require(name)?;
        if found.row.kind == EntityKind::Subscription {
            return Err(
                Refusal::invalid("address", "is a subscription; send to its topic").about(name.as_str())
            );
        }
        let most = found.settings.max_message_bytes;
        let kind = found.row.kind;
        let check =
            |incoming: &Incoming| incoming.check_size(most).and_then(|()| check_available(&incoming.message));
        let about = |refusal: Refusal| refusal.about(name.as_str());
        let checked = messages
            .into_iter()
            .map(|message| message.and_then(|incoming| check(&incoming).map(|()| incoming)).map_err(about));
        let checked: Vec<_> = checked.collect();
        if atomic && let Some(refusal) = checked.iter().find_map(|message| message.as_ref().err()) {
            return Err(refusal.clone());
        }
        let mut results = Runs::new();
        for message in checked {
            let published = match message {
                Err(refusal) => Published::Refused(refusal),
                Ok(incoming) => Published::Accepted(match kind {
                    EntityKind::Topic => self.fan_out(now, entity, &incoming),
                    EntityKind::Queue | EntityKind::Subscription => {
                        self.enqueue(now, QueueId::main(entity), NEVER_MS, &incoming)
                    }
                }),
            };
            push_run(&mut results, published);
        }
        Ok(Reply::Published(results))
    }

    fn enqueue(&mut self, now: Now, id: QueueId, ttl_ms: u64, incoming: &Incoming) -> u64 {
        let queue = self.queues.get_mut(&id).expect("a queue or subscription has its queues from birth");
        let settings = &self.catalog.get(id.entity).expect("a queue has an entity").settings;
        self.touched.insert(id);
        self.hungry.insert(id);
        let mark = settings.mark(now, &incoming.message, ttl_ms);
        queue.append(now, settings.rank(incoming.message.priority), mark, &incoming.bytes)
    }

    /// Copies the message to every subscription with a rule that lets it through; returns the topic's number for it.
    fn fan_out(&mut self, now: Now, topic: u64, incoming: &Incoming) -> u64 {
        let wanted = self.subscriptions_for(topic, &incoming.message);
        let ttl_ms = self.catalog.get(topic).map_or(NEVER_MS, |entity| entity.settings.default_ttl_ms);
        for subscription in &wanted {
            self.enqueue(now, QueueId::main(*subscription), ttl_ms, incoming);
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
    let asked = [
        ("scheduled_enqueue_time_ms", message.scheduled_enqueue_time_ms.is_some()),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((field, _)) => Err(not_available(field)),
    }
}

/// Adds an item's outcome to the runs, making the last run longer where it can.
fn push_run(runs: &mut Runs<Published>, published: Published) {
    match runs.last_mut() {
        Some((items, first)) if first.at(*items) == published => *items += 1,
        _ => runs.push((1, published)),
    }
}
