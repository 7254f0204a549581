//! Creating, changing and deleting entities and rules.

mod rules;
mod schedules;
mod unused;

use crate::catalog::Entity;
use crate::command::ReceiverKey;
use crate::context::{Context, Damage, Now};
use crate::effect::Effect;
use crate::fact::{EntityRow, Fact};
use crate::journal::Entry;
use crate::key::QueueId;
use crate::queue::Queue;
use crate::rules::ParsedRule;
use crate::shard::Shard;
use crate::verbs::entities::rules::parse_rules;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits;
use postrider_protocol::name::{EntityName, Lane};
use postrider_protocol::options::{
    EntityKind, FORWARD_DEAD_LETTERS_TO, FORWARD_TO, Options, REQUIRES_SESSION,
};
use postrider_protocol::reply::Reply;
use postrider_protocol::rule::Rule;
use postrider_protocol::trace::StepKind;

impl Shard {
    pub(crate) fn create(
        &mut self,
        cx: &Context<'_>,
        name: &EntityName,
        kind: EntityKind,
        options: Options,
        rules: Vec<Rule>,
    ) -> Result<Result<Reply, Refusal>, Damage> {
        match self.check_new(cx.now, name, kind, &options, rules) {
            Ok(rules) => self.create_checked(cx.now, name, kind, options, rules),
            Err(refusal) => return Ok(Err(refusal)),
        }
        self.replay_at_birth(cx, name)?;
        Ok(Ok(Reply::Done))
    }

    fn create_checked(
        &mut self,
        now: Now,
        name: &EntityName,
        kind: EntityKind,
        options: Options,
        rules: Vec<ParsedRule>,
    ) {
        self.row.last_entity += 1;
        let id = self.row.last_entity;
        let row = EntityRow { name: name.as_str().to_owned(), kind, created_ms: now.wall_ms, options };
        self.turn.facts.push(Fact::EntityPut(id, row.clone()));
        self.catalog.insert(id, Entity::new(row));
        self.watch_idle(id);
        if kind == EntityKind::Topic {
            self.touched_topics.insert(id);
        } else {
            for lane in [Lane::Main, Lane::DeadLetter] {
                let queue = QueueId { entity: id, lane };
                let levels = self.catalog.get(id).map_or(1, |entity| entity.levels(lane));
                let entity = self.catalog.get(id);
                let by_session = entity.is_some_and(|entity| entity.settings.requires_session);
                self.add_queue(Queue::new(queue, levels, self.window), queue, by_session);
                self.touched.insert(queue);
            }
            self.add_transfer_queue(id);
        }
        rules.into_iter().for_each(|rule| self.store_rule(id, rule));
        self.reshare(id);
        self.set_breaker(id);
    }

    /// Refuses what cannot be created; returns the rules of a subscription.
    fn check_new(
        &self,
        now: Now,
        name: &EntityName,
        kind: EntityKind,
        options: &Options,
        rules: Vec<Rule>,
    ) -> Result<Vec<ParsedRule>, Refusal> {
        if let Some((_, existing)) = self.catalog.find(name).and_then(|id| Some((id, self.catalog.get(id)?)))
        {
            let text = format!("a {} of this name exists; names do not differ by case", existing.row.kind);
            return Err(Refusal::new(ErrorCode::AlreadyExists, text).about(&existing.row.name));
        }
        options.check(kind).map_err(|refusal| refusal.about(name.as_str()))?;
        check_forwarding(name, options)?;
        match (kind, name.subscription()) {
            (EntityKind::Subscription, Some((topic, _))) => {
                let (id, topic) = self.check_topic(name, topic)?;
                self.check_birth(id, options).map_err(|refusal| refusal.about(name.as_str()))?;
                parse_rules(now, name, topic, rules)
            }
            (EntityKind::Subscription, None) => {
                Err(Refusal::invalid("name", "of a subscription is <topic>/subscriptions/<name>")
                    .about(name.as_str()))
            }
            (_, Some(_)) => {
                Err(Refusal::invalid("name", format!("with /subscriptions/ in it is not a {kind}'s"))
                    .about(name.as_str()))
            }
            (_, None) if !rules.is_empty() => {
                Err(Refusal::invalid("rules", format!("a {kind} has no rules")).about(name.as_str()))
            }
            (_, None) => Ok(Vec::new()),
        }
    }

    /// The topic of a new subscription.
    fn check_topic(&self, name: &EntityName, topic: &str) -> Result<(u64, &Entity), Refusal> {
        let (id, found) = self.catalog.require(&EntityName::new(topic)?)?;
        if found.row.kind != EntityKind::Topic {
            return Err(Refusal::invalid("name", format!("{topic} is a {}, not a topic", found.row.kind))
                .about(name.as_str()));
        }
        if found.subscriptions.len() >= limits::SUBSCRIPTIONS_PER_TOPIC {
            let text = format!(
                "the topic has {} subscriptions, the most there can be",
                limits::SUBSCRIPTIONS_PER_TOPIC
            );
            return Err(Refusal::new(ErrorCode::QuotaExceeded, text).about(topic));
        }
        Ok((id, found))
    }

    pub(crate) fn update(
        &mut self,
        now: Now,
        name: &EntityName,
        options: &Options,
    ) -> Result<Reply, Refusal> {
        let (id, entity) = self.catalog.require(name)?;
        options.check_update(entity.row.kind).map_err(|refusal| refusal.about(name.as_str()))?;
        let mut all = entity.row.options.clone();
        all.update(options);
        check_forwarding(name, &all)?;
        let retain_ms = entity.settings.retain_ms;
        self.change_window(id, |shard| shard.set_options(id, all));
        if self.catalog.get(id).is_some_and(|entity| entity.settings.retain_ms != retain_ms) {
            self.change_kept(now, id);
        }
        self.wake_replay(id);
        self.close_forwarding(id);
        // What was held back may be given out now.
        self.hungry.extend(QueueId::all(id));
        self.stir_sessions(QueueId::main(id));
        self.watch_idle(id);
        Ok(Reply::Done)
    }

    fn set_options(&mut self, id: u64, options: Options) {
        if let Some(entity) = self.catalog.get_mut(id) {
            entity.set_options(options);
            self.turn.facts.push(Fact::EntityPut(id, entity.row.clone()));
        }
        self.reshare(id);
        self.set_breaker(id);
    }

    pub(crate) fn delete(&mut self, now: Now, name: &EntityName) -> Result<Reply, Refusal> {
        let (id, _) = self.catalog.require(name)?;
        self.delete_whole(now, id);
        Ok(Reply::Done)
    }

    /// Deletes an entity, and a topic's subscriptions with it.
    pub(crate) fn delete_whole(&mut self, now: Now, id: u64) {
        let subscriptions = self.catalog.get(id).map(|entity| entity.subscriptions.clone());
        let subscriptions: Vec<_> = subscriptions.into_iter().flatten().collect();
        // The pages of a topic go with it, whatever refers to them; those of others may be referred to.
        let leaves = subscriptions.is_empty() && self.catalog.topic_of(id).is_some();
        subscriptions.into_iter().for_each(|subscription| self.delete_entity(now, subscription, false));
        self.delete_entity(now, id, leaves);
    }

    fn delete_entity(&mut self, now: Now, id: u64, leaves: bool) {
        let mut removed = None;
        self.change_window(id, |shard| removed = shard.catalog.remove(id));
        let Some(entity) = removed else { return };
        for queue in QueueId::all(id) {
            self.delete_queue(now, queue, &entity.row.name);
        }
        self.touched_topics.remove(&id);
        self.idle.forget(id);
        let gone = Entry::new(StepKind::Deleted, QueueId::main(id), 0);
        self.journal.note(gone.named(&entity.row.name));
        self.replays.remove(&id);
        self.bodies.forget(id);
        if leaves {
            self.turn.facts.push(Fact::EntityLeft(id));
            self.leave_all(QueueId::main(id));
        } else {
            self.forget_leaving(QueueId::main(id));
            self.turn.facts.push(Fact::EntityGone(id));
        }
    }

    fn delete_queue(&mut self, now: Now, id: QueueId, name: &str) {
        let Some(mut queue) = self.queues.remove(&id) else { return };
        self.bodies.refer(queue.take_references());
        self.touched.remove(&id);
        if self.sessions.contains_key(&id) {
            self.refuse_waiting(id, &Refusal::new(ErrorCode::NotFound, "was deleted").about(name));
            self.session_timers.retain(|(_, queue, _)| *queue != id);
            self.sessions.remove(&id);
        }
        self.hungry.remove(&id);
        let leases = self.leases.iter().filter(|(_, lease)| lease.queue == id);
        for lease in leases.map(|(lease, _)| *lease).collect::<Vec<_>>() {
            self.end_deleted(now, lease);
            self.remove_lease(lease);
        }
        self.forget_share(id);
        self.forget_breaker(id);
        for receiver in queue.receivers {
            self.close_with(receiver, Refusal::new(ErrorCode::NotFound, "was deleted").about(name));
        }
    }

    /// Closes the receivers of queues that pass their messages on.
    fn close_forwarding(&mut self, id: u64) {
        for queue in QueueId::all(id) {
            let Err(refusal) = self.check_not_forwarding(queue) else { continue };
            let receivers = self.queues.get_mut(&queue).map(|queue| std::mem::take(&mut queue.receivers));
            receivers.into_iter().flatten().for_each(|receiver| self.close_with(receiver, refusal.clone()));
        }
    }

    /// Refuses to receive from a queue that passes its messages on.
    pub(crate) fn check_not_forwarding(&self, id: QueueId) -> Result<(), Refusal> {
        let Some(to) = self.forwards(id) else { return Ok(()) };
        let name = self.catalog.get(id.entity).map_or("", |entity| &entity.row.name);
        let text = format!("passes its messages on; receive from {to}");
        Err(Refusal::invalid("address", text).about(name))
    }

    fn close_with(&mut self, key: ReceiverKey, refusal: Refusal) {
        if let Some(receiver) = self.receivers.remove(&key) {
            self.by_owner.remove(&receiver.owner);
            self.refuse_drains(receiver.draining, &refusal);
            self.turn.effects.push(Effect::Closed(key, refusal));
        }
    }
}

/// Refuses destinations that cannot be one.
fn check_forwarding(name: &EntityName, options: &Options) -> Result<(), Refusal> {
    for (option, field) in [(FORWARD_TO, "forward_to"), (FORWARD_DEAD_LETTERS_TO, "forward_dead_letters_to")]
    {
        let Some(to) = options.text(option) else { continue };
        let wrong = |text: &str| Err(Refusal::invalid(field, format!("{to} {text}")).about(name.as_str()));
        match EntityName::new(to) {
            Err(refusal) => return wrong(&refusal.message),
            Ok(to) if to.subscription().is_some() => return wrong("is a subscription; name its topic"),
            Ok(to) if to.key() == name.key() => return wrong("is the entity itself"),
            Ok(_) => {}
        }
    }
    if options.text(FORWARD_TO).is_some() && options.flag(REQUIRES_SESSION, false) {
        let text = "does not go with requires_session: the order in a session would be lost";
        return Err(Refusal::invalid("forward_to", text).about(name.as_str()));
    }
    Ok(())
}
