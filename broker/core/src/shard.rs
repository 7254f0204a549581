//! A shard: entities with all their messages, decided by one thread.
//!
//! This file is the machine's frame: what it holds, how a turn runs, what can be asked. What each command does is in
//! [`verbs`](crate::verbs); how it begins is in `verbs/recover.rs`.

use crate::apply;
use crate::bodies::Bodies;
use crate::breaker::Breaker;
use crate::catalog::{Catalog, Entity};
use crate::command::{Change, Command, Owner, ReceiverKey, Ticket};
use crate::context::{Context, Damage, Now};
use crate::effect::Effect;
use crate::ends::Ends;
use crate::fact::{Fact, ShardRow};
use crate::idle::Idle;
use crate::journal::Journal;
use crate::key::{Alarm, QueueId};
use crate::lease::Lease;
use crate::limits::Window;
use crate::outbox::{Outbox, Taken};
use crate::outcomes::Outcomes;
use crate::page::Page;
use crate::queue::Queue;
use crate::receiver::Receiver;
use crate::replay::Replay;
use crate::seen::Duplicates;
use crate::session::{Sessions, Timer, Waits};
use crate::share::Share;
use crate::staged::{Staged, StagedRows};
use postrider_protocol::entity::{BreakerState, Counters, EntityInfo};
use postrider_protocol::error::Refusal;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Stamp;
use std::collections::{BTreeMap, BTreeSet};

/// What a turn came to.
#[derive(Debug, Default, PartialEq)]
pub struct Turn {
    /// To be remembered, all or nothing.
    pub facts: Vec<Fact>,
    /// To be told, in order, once the facts are durable.
    pub effects: Vec<Effect>,
}

/// What a shard holds in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Entities of all kinds.
    pub entities: u64,
    /// Messages in all queues.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Breakers that are open or half-open.
    pub breakers_open: u64,
}

/// The machine. See the [crate's documentation](crate).
#[derive(Debug)]
pub struct Shard {
    pub(crate) id: u16,
    pub(crate) window: Window,
    pub(crate) row: ShardRow,
    pub(crate) catalog: Catalog,
    pub(crate) queues: BTreeMap<QueueId, Queue>,
    pub(crate) receivers: BTreeMap<ReceiverKey, Receiver>,
    pub(crate) by_owner: BTreeMap<Owner, ReceiverKey>,
    pub(crate) leases: BTreeMap<u64, Lease>,
    pub(crate) leases_by_owner: BTreeSet<(Owner, u64)>,
    /// When the next lock of a lease runs out.
    pub(crate) timers: BTreeSet<(u64, u64)>,
    /// Of the queues that have sessions.
    pub(crate) sessions: BTreeMap<QueueId, Sessions>,
    /// When a session's lock runs out, or somebody has waited long enough for one.
    pub(crate) session_timers: BTreeSet<(u64, QueueId, Timer)>,
    pub(crate) waits: Waits,
    pub(crate) outcomes: Outcomes,
    /// What is on its way to other entities.
    pub(crate) outbox: Outbox,
    /// What was taken from each shard.
    pub(crate) taken: BTreeMap<u16, Taken>,
    /// How locks ended, lately.
    pub(crate) ends: Ends,
    /// The first alarm that is set: no row of one is in front of it.
    pub(crate) next_alarm: Option<Alarm>,
    pub(crate) idle: Idle,
    /// What was decided lately.
    pub(crate) journal: Journal,
    /// The ids that entities have seen lately.
    pub(crate) duplicates: Duplicates,
    /// How the messages of a queue are shared, where that is not the plain way.
    pub(crate) shares: BTreeMap<QueueId, Share>,
    /// When the clock gives units back, on the monotonic clock.
    pub(crate) refills: BTreeSet<(u64, QueueId)>,
    /// Of the queues that have one.
    pub(crate) breakers: BTreeMap<QueueId, Breaker>,
    /// When the pause of a breaker is over, on the monotonic clock.
    pub(crate) pauses: BTreeSet<(u64, QueueId)>,
    /// The moment of the turn, on the monotonic clock.
    pub(crate) mono_ms: u64,
    /// Queues where somebody may get something at the end of this turn.
    pub(crate) hungry: BTreeSet<QueueId>,
    /// Queues, topics and leases that this turn changed.
    pub(crate) touched: BTreeSet<QueueId>,
    pub(crate) touched_topics: BTreeSet<u64>,
    pub(crate) touched_leases: BTreeSet<u64>,
    /// The page that was read last in this turn: neighbours that are moved together read it once.
    pub(crate) read: Option<((QueueId, u64), Page)>,
    /// What this turn does to the pages of topics.
    pub(crate) bodies: Bodies,
    /// Pages that are no queue's any more: where each range begins and ends.
    pub(crate) leaving: BTreeMap<(QueueId, u64), u64>,
    /// Replays under way, by subscription.
    pub(crate) replays: BTreeMap<u64, Replay>,
    /// The subscription whose replay went on last.
    pub(crate) replayed_last: u64,
    /// Rows that this turn has written and may look up again.
    pub(crate) staged: Staged,
    pub(crate) turn: Turn,
}

impl Shard {
    /// Carries out one command.
    pub fn decide(&mut self, cx: &Context<'_>, command: Command) -> Result<(), Damage> {
        self.mono_ms = cx.now.mono_ms;
        match command {
            Command::OpenSender { ticket, entity } => self.open_sender(ticket, &entity),
            Command::OpenReceiver(open) => self.open_receiver(cx, &open)?,
            Command::Flow { ticket, flow } => self.flow(ticket, &flow),
            Command::Taken { receiver, bytes } => self.taken(receiver, bytes),
            Command::CloseReceiver { ticket, handle } => self.close_receiver(cx, ticket, handle)?,
            Command::Disconnected { connection } => self.disconnected(cx, connection)?,
            Command::Farewell { client } => self.outcomes.forget(client),
            Command::RenewSession { ticket, handle } => self.renew_session(cx, ticket, handle),
            Command::GetSessionState { ticket, handle } => self.get_session_state(cx, ticket, handle)?,
            Command::Loaded(loaded) => self.loaded(&loaded)?,
            Command::Take { from, parcels } => self.take(cx, from, parcels)?,
            Command::Receipt { from, taken } => self.receipt(cx, from, &taken)?,
            Command::Once { ticket, client, stamp, change } => {
                self.once(cx, ticket, client, stamp, change)?;
            }
        }
        Ok(())
    }

    /// Carries out a change, unless it was carried out before.
    fn once(
        &mut self,
        cx: &Context<'_>,
        ticket: Ticket,
        client: u128,
        stamp: Stamp,
        change: Change,
    ) -> Result<(), Damage> {
        let known = self.outcomes.find(client, stamp, cx.now.mono_ms)?;
        let reply = match known {
            Some(reply) => reply,
            None => {
                let reply = self.change(cx, ticket, change)?.unwrap_or_else(Reply::Refused);
                self.outcomes.record(client, stamp.sequence, &reply);
                reply
            }
        };
        self.turn.effects.push(Effect::Reply(ticket, reply));
        Ok(())
    }

    fn change(
        &mut self,
        cx: &Context<'_>,
        ticket: Ticket,
        change: Change,
    ) -> Result<Result<Reply, Refusal>, Damage> {
        let receiver = |handle| ReceiverKey { connection: ticket.connection, handle };
        self.note_use(&change);
        Ok(match change {
            Change::Publish { entity, atomic, messages } => self.publish(cx, &entity, atomic, messages)?,
            Change::Transact(operations) => self.transact(cx, &operations)?,
            Change::Settle(items) => Ok(Reply::Settled(self.settle(cx, items)?)),
            Change::Create { name, kind, options, rules } => self.create(cx, &name, kind, options, rules)?,
            Change::Update { name, options } => self.update(cx.now, &name, &options),
            Change::Delete { name } => self.delete(cx.now, &name),
            Change::PutRule { subscription, replace, rule } => {
                self.put_rule(cx.now, &subscription, replace, rule)
            }
            Change::DeleteRule { subscription, rule } => self.delete_rule(&subscription, &rule),
            Change::PromoteRule { subscription, rule } => self.promote_rule(&subscription, &rule),
            Change::Replay { subscription, start, filter } => {
                self.replay(cx, &subscription, start, &filter)?
            }
            Change::Scheduled { entity, action, sequences } => {
                self.scheduled(cx, &entity, action, &sequences)?
            }
            Change::PutSchedule { entity, schedule } => self.put_schedule(cx, &entity, schedule),
            Change::DeleteSchedule { entity, schedule } => self.delete_schedule(&entity, &schedule),
            Change::ReceiveDeferred { handle, sequences } => {
                self.receive_deferred(cx, receiver(handle), &sequences)?
            }
            Change::SetSessionState { handle, state } => {
                self.set_session_state(cx, receiver(handle), state)?
            }
            Change::Purge { address, portion } => self.purge(cx, &address, &portion)?,
            Change::Redrive { address, portion, dry_run } => self.redrive(cx, &address, &portion, dry_run)?,
        })
    }

    /// Lets time act: runs what is due, so much of it as one turn should.
    pub fn tick(&mut self, cx: &Context<'_>) -> Result<(), Damage> {
        self.mono_ms = cx.now.mono_ms;
        self.outcomes.tick(cx.now.mono_ms);
        self.expire_sessions(cx)?;
        self.expire_locks(cx)?;
        self.refill();
        self.end_pauses();
        self.ring_alarms(cx)?;
        self.delete_idle(cx);
        self.remove_leaving(cx)?;
        self.replay_on(cx)?;
        Ok(())
    }

    /// When [`Shard::tick`] has something to do, on the monotonic clock, as far as can be said at `now`.
    pub fn next_deadline_ms(&self, now: Now) -> Option<u64> {
        let lock = self.timers.first().map(|(deadline, _)| *deadline);
        let until = |alarm: Alarm| now.mono_ms.saturating_add(alarm.when_ms.saturating_sub(now.wall_ms));
        let alarm = self.next_alarm.map(until);
        let refill = self.refills.first().map(|(moment, _)| *moment);
        let pause = self.pauses.first().map(|(moment, _)| *moment);
        let session = self.session_timers.first().map(|(deadline, ..)| *deadline);
        let parcels = self.next_send_ms().map(|ms| ms.max(now.mono_ms));
        let idle = self.idle.next_deadline_ms();
        let leaving = (!self.leaving.is_empty()).then_some(now.mono_ms);
        let replay = self.next_replay_ms(now);
        let outcomes = self.outcomes.next_deadline_ms();
        let others = [alarm, refill, pause, session, parcels, idle, leaving, replay, outcomes];
        lock.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Ends the turn: gives out what can be given out, and says what the turn came to.
    pub fn seal(&mut self, cx: &Context<'_>) -> Result<Turn, Damage> {
        while let Some(queue) = self.hungry.pop_first() {
            self.deliver(cx, queue)?;
        }
        self.send_parcels(cx)?;
        for queue in self.sessions.keys().filter(|id| self.touched.contains(id)).copied().collect::<Vec<_>>()
        {
            self.settle_sessions(cx, queue)?;
        }
        let mut turn = std::mem::take(&mut self.turn);
        for queue in std::mem::take(&mut self.touched) {
            self.seal_sessions(queue, &mut turn.facts);
            self.wake_replay(queue.entity);
            if let Some(queue) = self.queues.get_mut(&queue) {
                queue.seal(cx.now.wall_ms, &mut turn.facts);
                self.bodies.refer(queue.take_references());
            }
        }
        self.seal_bodies(cx, &mut turn.facts)?;
        for topic in std::mem::take(&mut self.touched_topics) {
            if let Some(entity) = self.catalog.get(topic) {
                turn.facts.push(Fact::QueueState(QueueId::main(topic), entity.topic));
            }
        }
        self.seal_leases(&mut turn.facts);
        self.duplicates.seal(cx.now, &mut turn.facts);
        self.outcomes.seal(&mut turn.facts);
        self.journal.seal(cx.now, &mut turn.facts);
        self.idle.seal(cx.now.mono_ms);
        self.read = None;
        self.staged.clear();
        self.next_alarm = turn.facts.iter().filter_map(alarm_of).chain(self.next_alarm).min();
        if !turn.facts.is_empty() {
            self.row.position += 1;
            turn.facts.push(Fact::ShardState(self.row));
        }
        Ok(turn)
    }

    /// Remembers a fact whose rows this turn may look up again.
    pub(crate) fn remember(&mut self, fact: Fact) {
        apply::apply(self.id, std::slice::from_ref(&fact), &mut |write| self.staged.write(write));
        self.turn.facts.push(fact);
    }

    /// The rows as they are now, within the turn.
    pub(crate) fn rows<'a>(&'a self, cx: &Context<'a>) -> StagedRows<'a> {
        StagedRows { staged: &self.staged, rows: cx.rows }
    }

    fn seal_leases(&mut self, facts: &mut Vec<Fact>) {
        for id in std::mem::take(&mut self.touched_leases) {
            let Some(lease) = self.leases.get_mut(&id) else {
                facts.push(Fact::LeaseGone(id));
                continue;
            };
            if std::mem::take(&mut lease.dirty) {
                facts.push(Fact::Leased(id, lease.row()));
                self.retime(id);
            }
        }
    }

    pub(crate) fn insert_lease(&mut self, id: u64, lease: Lease) {
        self.leases_by_owner.insert((lease.owner, id));
        self.timers.insert((lease.timer_ms, id));
        let queue = lease.queue;
        self.leases.insert(id, lease);
        if self.shares.contains_key(&queue) {
            self.book_lease(queue, id);
        }
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, result: Result<Reply, Refusal>) {
        self.turn.effects.push(Effect::Reply(ticket, result.unwrap_or_else(Reply::Refused)));
    }

    /// The queue at an address; refuses what does not exist or has no queue.
    pub fn queue_at(&self, address: &Address) -> Result<QueueId, Refusal> {
        let (entity, found) = self.catalog.require(&address.entity)?;
        if !found.has_queues() {
            let text = "is a topic; receive from one of its subscriptions, <topic>/subscriptions/<name>";
            return Err(Refusal::invalid("address", text).about(address.to_string()));
        }
        Ok(QueueId { entity, lane: address.lane })
    }

    /// A queue.
    pub fn queue(&self, id: QueueId) -> Option<&Queue> {
        self.queues.get(&id)
    }

    /// What a listing says about an entity; refuses with `NotFound`.
    pub fn info(&self, name: &EntityName) -> Result<EntityInfo, Refusal> {
        let (id, entity) = self.catalog.require(name)?;
        Ok(self.info_of(id, entity))
    }

    /// What a listing says about the entities whose names start with `prefix` and come behind `after`.
    pub fn list(&self, kind: Option<EntityKind>, prefix: &str, after: &str, limit: usize) -> Vec<EntityInfo> {
        let prefix = prefix.to_ascii_lowercase();
        let fits = |entity: &Entity| {
            kind.is_none_or(|kind| kind == entity.row.kind)
                && entity.row.name.to_ascii_lowercase().starts_with(&prefix)
        };
        let found = self.catalog.by_name(after).filter(|(_, entity)| fits(entity));
        found.take(limit).map(|(id, entity)| self.info_of(id, entity)).collect()
    }

    fn info_of(&self, id: u64, entity: &Entity) -> EntityInfo {
        let [main, dead, transfer] = QueueId::all(id).map(|queue| self.queues.get(&queue));
        let count = |queue: Option<&Queue>, of: fn(&Queue) -> u64| queue.map_or(0, of);
        let receivers = |queue: Option<&Queue>| queue.map_or(0, |queue| queue.receivers.len() as u64);
        let topic = entity.row.kind == EntityKind::Topic;
        let breaker = self.breakers.get(&QueueId::main(id));
        EntityInfo {
            name: entity.row.name.clone(),
            kind: entity.row.kind,
            created_ms: entity.row.created_ms,
            options: entity.options(),
            rules: entity.rules(),
            counters: Counters {
                active: count(main, Queue::active),
                locked: count(main, Queue::locked),
                scheduled: entity.topic.scheduled + count(main, |queue| queue.row().scheduled),
                deferred: count(main, |queue| queue.row().deferred),
                delayed: count(main, |queue| queue.row().delayed),
                expired: count(main, |queue| queue.row().expired),
                duplicates: entity.topic.duplicates + count(main, |queue| queue.row().duplicates),
                dropped: count(main, |queue| queue.row().dropped),
                filter_errors: count(main, |queue| queue.row().filter_errors),
                dead_letters: count(dead, Queue::active),
                transfer_dead_letters: count(transfer, Queue::active),
                bytes: entity.topic.bytes + count(main, Queue::bytes),
                sessions: self.sessions.get(&QueueId::main(id)).map_or(0, |it| it.all.len() as u64),
                receivers: receivers(main) + receivers(dead) + receivers(transfer),
                subscriptions: entity.subscriptions.len() as u64,
                replaying: self.replaying(id),
                retained: entity.topic.next.saturating_sub(entity.topic.low),
                last_sequence: if topic {
                    entity.topic.next - 1
                } else {
                    count(main, |queue| queue.next() - 1)
                },
                unmatched: entity.topic.unmatched,
                breaker: breaker.map_or(0, |breaker| breaker.state().code()),
                breaker_opened: breaker.map_or(0, Breaker::opened),
                breaker_until_ms: breaker.and_then(Breaker::until).map_or(0, |until| until.wall_ms),
            },
        }
    }

    /// The names of all entities.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.catalog.by_name("").map(|(_, entity)| entity.row.name.as_str())
    }

    /// Whether there is an entity of this name.
    pub fn knows(&self, name: &EntityName) -> bool {
        self.catalog.find(name).is_some()
    }

    /// Whether the answer to a client's request is recorded.
    pub fn has_answered(&self, client: u128, stamp: Stamp) -> bool {
        self.outcomes.has(client, stamp.sequence)
    }

    /// What the shard holds in all.
    pub fn totals(&self) -> Totals {
        let sum = |of: fn(&Queue) -> u64| self.queues.values().map(of).sum();
        Totals {
            entities: self.catalog.len() as u64,
            messages: sum(Queue::active),
            bytes: sum(Queue::bytes),
            breakers_open: self
                .breakers
                .values()
                .filter(|breaker| breaker.state() != BreakerState::Closed)
                .count() as u64,
        }
    }

    /// The receivers that are open.
    pub fn receivers(&self) -> impl Iterator<Item = ReceiverKey> + '_ {
        self.receivers.keys().copied()
    }

    /// Turns of the shard that were remembered.
    pub fn position(&self) -> u64 {
        self.row.position
    }
}

/// The alarm that a fact sets.
fn alarm_of(fact: &Fact) -> Option<Alarm> {
    match fact {
        Fact::AlarmSet(alarm) => Some(*alarm),
        Fact::Scheduled(queue, number, row) => Some(Alarm::scheduled(row.due_ms, *queue, *number)),
        _ => None,
    }
}
