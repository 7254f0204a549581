//! Publishing to queues and topics.

mod bodies;
mod duplicates;
mod explain;
mod kept;
mod replay;
mod room;
mod scheduled;
mod topic;

use crate::context::{Context, Damage, Now};
use crate::key::QueueId;
use crate::page::{Body, Mark, NEVER_MS, Reference};
use crate::queue::Queue;
use crate::settings::Settings;
use crate::shard::Shard;
use crate::verbs::publish::room::{Needs, QUEUE_FULL};
use crate::verbs::sessions::SESSION_MISSING;
use crate::verbs::settle::moves::Cause;
use postrider_protocol::error::Refusal;
use postrider_protocol::message::{Incoming, Message, Record};
use postrider_protocol::name::EntityName;
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::{Published, Reply, Runs};
use postrider_protocol::trace::StepKind;

/// A message on its way into a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coming<'a> {
    pub incoming: &'a Incoming,
    /// What it brings with it from another entity.
    pub moved: Option<&'a Record>,
    /// The rule whose own copy it is.
    pub rule: Option<&'a str>,
    /// Where its topic has stored it, if it has.
    pub stored: Option<Reference>,
}

impl<'a> Coming<'a> {
    /// A message that its sender sent.
    pub fn sent(incoming: &'a Incoming) -> Self {
        Coming { incoming, moved: None, rule: None, stored: None }
    }

    /// A message with what it brings with it from another entity.
    pub fn moved(incoming: &'a Incoming, moved: &'a Record) -> Self {
        Coming { moved: Some(moved), ..Coming::sent(incoming) }
    }

    /// The copy of it that a rule has made its own.
    pub fn changed(self, copy: &'a Incoming, rule: &'a str) -> Self {
        Coming { incoming: copy, rule: Some(rule), stored: None, ..self }
    }

    /// When the message is to be enqueued, where that is still to come. One that was passed on has been in a queue before.
    pub fn due_ms(self, now: Now) -> Option<u64> {
        let is_passed_on = self.moved.is_some_and(|moved| moved.hops > 0);
        let due_ms = self.incoming.message.scheduled_enqueue_time_ms;
        due_ms.filter(|due_ms| !is_passed_on && *due_ms > now.wall_ms)
    }

    /// The record of it where it gets one of its own.
    pub fn record(self, now: Now) -> Record {
        let came = || Record { enqueued_time_ms: now.wall_ms, ..Record::default() };
        let mut record = self.moved.map_or_else(came, Record::clone);
        record.message = self.incoming.bytes.clone();
        if self.rule.is_some() {
            record.rule_name = self.rule.map(str::to_owned);
        }
        record
    }

    /// What deciding looks at; the message lives no longer than where it was.
    fn mark(self, now: Now, settings: &Settings, topic_ttl_ms: u64) -> Mark {
        let mark = settings.mark(now, &self.incoming.message, topic_ttl_ms);
        let expires_ms = self.moved.and_then(|moved| moved.expires_at_ms).unwrap_or(NEVER_MS);
        Mark { expires_ms: mark.expires_ms.min(expires_ms), ..mark }
    }

    /// Appends the message to a queue; returns its number.
    fn append(self, now: Now, queue: &mut Queue, rank: usize, mark: Mark) -> u64 {
        if self.moved.is_none() && self.rule.is_none() {
            return queue.append(
                now,
                rank,
                mark,
                Body { message: &self.incoming.bytes, stored: self.stored },
            );
        }
        let mut record = self.record(now);
        if record.enqueued_sequence == 0 {
            record.enqueued_sequence = queue.next();
        }
        record.expires_at_ms = mark.expires_at_ms();
        queue.append_record(now, rank, mark, &record, self.stored, 0)
    }
}

/// How a message comes into a queue.
struct Entry {
    mark: Mark,
    rank: usize,
    /// What it needs of a queue with limits.
    needs: Option<Needs>,
}

/// Why a message goes to the dead letters at the door of a queue.
enum Shut {
    /// It has no session, and must have one.
    NoSession,
    /// There is no room, as the text says.
    Full(String),
}

impl Shut {
    fn cause(&self) -> Cause<'_> {
        match self {
            Shut::NoSession => SESSION_MISSING,
            Shut::Full(why) => Cause { reason: QUEUE_FULL, description: why },
        }
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
        if message.cost.is_none() {
            return Ok(());
        }
        let takers = match self.catalog.get(entity).map(|found| found.row.kind) {
            Some(EntityKind::Topic) => self.takers(entity, message),
            _ => vec![entity],
        };
        let mut takers = takers.into_iter().filter_map(|taker| self.catalog.get(taker));
        takers.try_for_each(|taker| topic::check_cost(taker, message))
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
            self.journal.sent(StepKind::Duplicate, QueueId::main(entity), first, &incoming.message, 0);
            return Ok(Published::Duplicate(first));
        }
        let number = if let Some(due_ms) = coming.due_ms(cx.now) {
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

    /// Appends a message, or the copy of it that a rule made its own, to a queue, or to its dead letters where it is
    /// full; returns its number there.
    fn enqueue(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        topic_ttl_ms: u64,
        coming: Coming<'_>,
    ) -> Result<u64, Damage> {
        let entry = match self.entry(cx.now, id, topic_ttl_ms, coming) {
            Ok(entry) => entry,
            Err(Shut::NoSession) => return Ok(self.refuse_without_session(cx, id, coming.record(cx.now))),
            Err(Shut::Full(why)) => return Ok(self.shut_out(cx, id, coming, &why)),
        };
        if let Some(needs) = entry.needs {
            self.make_room(cx, id, needs)?;
        }
        self.touched.insert(id);
        self.hungry.insert(id);
        let queue = self.queues.get_mut(&id).expect("a queue or subscription has its queues from birth");
        let sequence = coming.append(cx.now, queue, entry.rank, entry.mark);
        self.book_session(cx.now, id, coming.incoming.message.session_id.as_deref(), sequence);
        self.journal.accepted(id, sequence, &coming.incoming.message, coming.moved.is_some());
        Ok(sequence)
    }

    /// How a message would come into a queue as it is now, or why it would be a dead letter instead.
    fn entry(&self, now: Now, id: QueueId, topic_ttl_ms: u64, coming: Coming<'_>) -> Result<Entry, Shut> {
        let message = &coming.incoming.message;
        if self.sessions.contains_key(&id) && message.session_id.is_none() {
            return Err(Shut::NoSession);
        }
        let settings = &self.catalog.get(id.entity).expect("a queue has an entity").settings;
        let mark = coming.mark(now, settings, topic_ttl_ms);
        let bytes = || mark.record_bytes(&coming.incoming.bytes, coming.rule);
        let needs = settings.is_limited().then(|| Needs { messages: 1, bytes: bytes() });
        if let Some(needs) = needs {
            self.check_room(id, needs).map_err(|full| Shut::Full(full.message))?;
        }
        Ok(Entry { mark, rank: settings.rank(message.priority), needs })
    }
}

/// Adds an item's outcome to the runs, making the last run longer where it can.
pub(crate) fn push_published(runs: &mut Runs<Published>, published: Published) {
    match runs.last_mut() {
        Some((items, first)) if first.at(*items) == published => *items += 1,
        _ => runs.push((1, published)),
    }
}
