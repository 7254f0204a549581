//! Publishing in the naive model: now or later, duplicates, full queues.

use super::answer::{Answer, Taken, Why, invalid, why, why_of};
use super::bulk::{content, record_size};
use super::queue::Message;
use super::reference::{Entity, Later, Model};
use postrider_core::context::Now;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::message::{Incoming, Message as Content};
use postrider_protocol::name::{EntityName, Lane};
use postrider_protocol::options::EntityKind;
use postrider_protocol::value::Id;

impl Model {
    pub fn publish(
        &mut self,
        now: Now,
        name: &EntityName,
        atomic: bool,
        messages: &[Result<Incoming, Refusal>],
    ) -> Result<Answer, Why> {
        let entity = self.find(name)?;
        if entity.kind == EntityKind::Subscription {
            return Err(invalid("address"));
        }
        if !entity.may_send {
            return Err(why(ErrorCode::Disabled));
        }
        let key = name.key();
        let checked: Vec<_> = messages
            .iter()
            .map(|message| message.as_ref().map_err(why_of).and_then(|it| self.is_taken(&key, it)))
            .collect();
        if atomic && let Some(refused) = checked.iter().find_map(|message| message.clone().err()) {
            return Err(refused);
        }
        if atomic && self.entities[&key].is_limited() {
            let mut trial = self.clone();
            let mut all = checked.iter().flatten();
            all.try_for_each(|incoming| trial.publish_one(now, &key, incoming).map(|_| ()))?;
        }
        let publish = |checked| self.publish_one(now, &key, checked?);
        Ok(Answer::Published(checked.into_iter().map(publish).collect()))
    }

    /// A message without the session that its queue requires is refused, and one that costs more than all the units of
    /// who takes it.
    fn is_taken<'a>(&self, key: &str, incoming: &'a Incoming) -> Result<&'a Incoming, Why> {
        if self.entities[key].by_session && incoming.message.session_id.is_none() {
            return Err(invalid("session_id"));
        }
        let takers =
            self.entities.iter().filter(|(name, entity)| *name == key || entity.wants(key, incoming));
        let cost = incoming.message.cost.map_or(0, u64::from);
        let mut units = takers.map(|(_, entity)| entity.units);
        if units.all(|units| cost <= units) { Ok(incoming) } else { Err(invalid("cost")) }
    }

    fn publish_one(&mut self, now: Now, key: &str, incoming: &Incoming) -> Result<Taken, Why> {
        let entity = self.entities.get_mut(key).unwrap();
        let id = incoming.message.message_id.as_ref().filter(|_| entity.window_ms > 0).map(text);
        if let Some((when_ms, first)) = id.as_ref().and_then(|id| entity.seen.get(id))
            && now.wall_ms < when_ms + entity.window_ms
        {
            entity.duplicates += 1;
            return Ok(Taken::Duplicate(*first));
        }
        let due_ms = incoming.message.scheduled_enqueue_time_ms.unwrap_or(0);
        let number = if due_ms > now.wall_ms {
            let number = entity.number();
            let later = Later { due_ms, at_once: false, incoming: incoming.clone() };
            entity.scheduled.insert(number, later);
            number
        } else {
            if entity.kind == EntityKind::Queue && !entity.has_room(entity.message(now, incoming).size) {
                return Err(why(ErrorCode::QuotaExceeded));
            }
            self.route(now, key, incoming)
        };
        let entity = self.entities.get_mut(key).unwrap();
        entity.seen.extend(id.map(|id| (id, (now.wall_ms, number))));
        Ok(Taken::New(number))
    }

    fn route(&mut self, now: Now, key: &str, incoming: &Incoming) -> u64 {
        if self.entities[key].kind == EntityKind::Topic {
            return self.fan_out(now, key, incoming);
        }
        self.enqueue(now, key, incoming)
    }

    fn fan_out(&mut self, now: Now, topic: &str, incoming: &Incoming) -> u64 {
        let wanted = self.entities.iter().filter(|(_, entity)| entity.wants(topic, incoming));
        let wanted: Vec<_> = wanted.map(|(key, _)| key.clone()).collect();
        wanted.iter().for_each(|key| _ = self.enqueue(now, key, incoming));
        let topic = self.entities.get_mut(topic).unwrap();
        topic.unmatched += u64::from(wanted.is_empty());
        topic.number()
    }

    fn enqueue(&mut self, now: Now, key: &str, incoming: &Incoming) -> u64 {
        let entity = self.entities.get_mut(key).unwrap();
        let message = entity.message(now, incoming);
        if entity.by_session && message.session.is_none() {
            return self.bury(key, Message { enqueued: (0, now.wall_ms), ..message }, "SessionIdMissing");
        }
        if !entity.has_room(message.size) {
            entity.dropped += 1;
            return self.bury(key, message, "QueueFull");
        }
        self.make_room(key, message.size);
        self.entities.get_mut(key).unwrap().main.append(message)
    }

    /// Two of the oldest make room at most, or as many as have twice the bytes.
    fn make_room(&mut self, key: &str, size: u64) {
        let (mut gone, mut gone_bytes) = (0, 0);
        while !self.entities[key].fits(size) && (gone < 2 || gone_bytes < 2 * size) {
            let entity = self.entities.get_mut(key).unwrap();
            let free = entity.main.messages.iter().filter(|(_, message)| message.lock.is_none());
            let oldest = free.max_by_key(|(number, message)| (message.rank, std::cmp::Reverse(**number)));
            let (number, bytes) = oldest.map(|(number, message)| (*number, message.size)).unwrap();
            entity.dropped += 1;
            (gone, gone_bytes) = (gone + 1, gone_bytes + bytes);
            self.dead_letter(&(key.to_owned(), Lane::Main), number, "QueueFull");
        }
    }

    /// What is to come at once, and then what is due, comes in the order of the moments and the numbers.
    pub fn come_due(&mut self, now: Now, key: &str, at_once: bool) {
        let moment = |later: &Later| if later.at_once { 0 } else { later.due_ms };
        let is_due = |later: &Later| moment(later) <= now.wall_ms && (later.at_once || !at_once);
        let entity = self.entities.get_mut(key).unwrap();
        let due = entity.scheduled.extract_if(.., |_, later| is_due(later));
        let mut due: Vec<_> = due.map(|(number, later)| (moment(&later), number, later)).collect();
        due.sort_by_key(|(moment, number, _)| (*moment, *number));
        due.iter().for_each(|(.., later)| _ = self.route(now, key, &later.incoming));
    }
}

impl Entity {
    /// The next number for what is sent here.
    fn number(&mut self) -> u64 {
        self.main.next += 1;
        self.main.next - 1
    }

    /// Whether it is a subscription that wants a message of the topic.
    fn wants(&self, topic: &str, incoming: &Incoming) -> bool {
        self.kind == EntityKind::Subscription
            && self.name.home() == topic
            && self.may_send
            && self.rules.values().any(|filter| filter.matches(&incoming.message))
    }

    pub fn is_limited(&self) -> bool {
        self.max_messages != u64::MAX || self.max_bytes != u64::MAX
    }

    /// Whether a message can get in, others being dropped for it where they are to.
    fn has_room(&self, size: u64) -> bool {
        self.is_within(size, |message| message.lock.is_some() || !self.drops)
    }

    /// Whether a message gets in beside all others.
    pub fn fits(&self, size: u64) -> bool {
        self.is_within(size, |_| true)
    }

    fn is_within(&self, size: u64, counts: impl Fn(&Message) -> bool) -> bool {
        let sizes = || self.main.messages.values().filter(|message| counts(message)).map(|it| it.size);
        (sizes().count() as u64) < self.max_messages
            && sizes().sum::<u64>().saturating_add(size) <= self.max_bytes
    }

    /// A message that comes now.
    fn message(&self, now: Now, incoming: &Incoming) -> Message {
        let mut message = Message {
            bytes: incoming.bytes.clone(),
            attempts: 0,
            lock: None,
            rank: 0,
            enqueued: (0, now.wall_ms),
            since_ms: 0,
            expires_ms: 0,
            delayed_ms: None,
            deferred: false,
            dead: None,
            redriven: 0,
            size: 0,
            cost: 1,
            key: None,
            session: None,
        };
        self.arrive(now, &mut message, &incoming.message);
        message
    }

    /// A dead letter as it comes back.
    pub fn redriven(&self, now: Now, number: u64) -> Message {
        let mut message = self.dead.messages[&number].clone();
        (message.attempts, message.delayed_ms, message.deferred) = (0, None, false);
        message.dead = None;
        message.redriven += 1;
        let content = content(&message.bytes);
        self.arrive(now, &mut message, &content);
        message
    }

    /// What begins when a message comes into the queue.
    fn arrive(&self, now: Now, message: &mut Message, content: &Content) {
        let ttl_ms = content.time_to_live_ms.unwrap_or(u64::MAX).min(self.ttl_ms);
        let priority = u64::from(content.priority.unwrap_or(1));
        message.rank = self.levels - priority.min(self.levels);
        message.since_ms = now.wall_ms;
        message.expires_ms = now.wall_ms.saturating_add(ttl_ms);
        message.size = record_size(message);
        message.cost = content.cost.map_or(1, u64::from);
        message.key = self.key(content);
        message.session.clone_from(&content.session_id);
    }

    fn key(&self, content: &Content) -> Option<String> {
        if let Some(name) = &self.fair_key {
            return content.property(name).map(ToString::to_string);
        }
        let id = || content.message_id.as_ref().map(text);
        content
            .partition_key
            .clone()
            .or(content.session_id.clone())
            .or_else(id)
            .filter(|_| self.balance == "key-hash")
    }
}

/// The text of an id: the number 7 and the text `7` are the same.
fn text(id: &Id) -> String {
    match id {
        Id::Text(text) => text.clone(),
        other => other.to_string(),
    }
}
