//! The naive model: what each command must answer, and what becomes of the messages.

use super::answer::{Answer, Why, invalid, why};
use super::bulk::Handed;
use super::queue::{Lock, Message, Queue};
use super::sessions::{Session, Waiting};
use bytes::Bytes;
use postrider_core::command::{Change, Command, OpenReceiver, Owner, ReceiverKey, Ticket};
use postrider_core::context::Now;
use postrider_protocol::error::ErrorCode;
use postrider_protocol::limits::CREDIT;
use postrider_protocol::message::Incoming;
use postrider_protocol::name::{EntityName, Lane};
use postrider_protocol::options::EntityKind;
use postrider_protocol::request::{Flow, ReceiveMode, SessionWish, Stamp};
use postrider_protocol::rule::Filter;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A queue, topic or subscription.
#[derive(Debug, Clone)]
pub struct Entity {
    pub name: EntityName,
    pub kind: EntityKind,
    pub lock_ms: u64,
    pub max: u64,
    pub ttl_ms: u64,
    pub keeps_expired: bool,
    pub levels: u64,
    pub retry_ms: u64,
    pub expired: u64,
    pub rules: BTreeMap<String, Filter>,
    /// A topic has no messages, but numbers and scheduled ones.
    pub main: Queue,
    pub dead: Queue,
    pub scheduled: BTreeMap<u64, Later>,
    pub unmatched: u64,
    /// How long ids are remembered, and each id with its moment and number.
    pub window_ms: u64,
    pub seen: BTreeMap<String, (u64, u64)>,
    pub duplicates: u64,
    pub max_messages: u64,
    pub max_bytes: u64,
    pub drops: bool,
    pub dropped: u64,
    pub may_send: bool,
    pub may_receive: bool,
    pub balance: String,
    pub units: u64,
    pub fair_key: Option<String>,
    /// Keys that several consumers hold.
    pub mixed: BTreeSet<String>,
    pub by_session: bool,
    pub sessions: BTreeMap<String, Session>,
}

/// A message that is to come at a moment, or at once whatever the clock says.
#[derive(Debug, Clone)]
pub struct Later {
    pub due_ms: u64,
    pub at_once: bool,
    pub incoming: Incoming,
}

/// An open receiver.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub shard: u16,
    pub owner: Owner,
    pub at: (String, Lane),
    pub deletes: bool,
    pub lock_ms: u64,
    pub release_on_disconnect: bool,
    pub delivered: u64,
    pub credit: u32,
    pub draining: Vec<Ticket>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    floor: u64,
    answers: BTreeMap<u64, Answer>,
}

/// The longest and the usual duration of a lease's locks.
#[derive(Debug, Clone, Copy)]
pub struct Durations {
    pub own_ms: u64,
    pub longest_ms: u64,
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub entities: BTreeMap<String, Entity>,
    pub receivers: BTreeMap<ReceiverKey, Receiver>,
    pub leases: BTreeMap<(u16, u64), Durations>,
    /// In the order they came.
    pub waiting: Vec<Waiting>,
    /// What this turn has to answer, and which receivers it has to close.
    pub answers: BTreeMap<Ticket, Answer>,
    pub closed: BTreeSet<ReceiverKey>,
    /// Dead letters of this turn, as the facts number them: entity, message, and its first number and moment, to numbers
    /// as dead letters.
    pub numbered: BTreeMap<(String, Bytes, (u64, u64)), VecDeque<u64>>,
    /// What this turn hands out to receivers that asked for it by number.
    pub handed: VecDeque<Handed>,
    known: BTreeMap<(u16, u128), Known>,
}

impl Model {
    /// What a client has confirmed in a shard; `None` where the shard does not know the client.
    pub fn floor(&self, shard: u16, client: u128) -> Option<u64> {
        self.known.get(&(shard, client)).map(|known| known.floor)
    }

    /// A receiver that is open in a shard.
    pub fn receiver(&self, shard: u16, key: ReceiverKey) -> Option<&Receiver> {
        self.receivers.get(&key).filter(|receiver| receiver.shard == shard)
    }

    pub fn queue_mut(&mut self, at: &(String, Lane)) -> Option<&mut Queue> {
        let entity = self.entities.get_mut(&at.0)?;
        Some(if at.1 == Lane::Main { &mut entity.main } else { &mut entity.dead })
    }

    pub fn queue(&self, at: &(String, Lane)) -> Option<&Queue> {
        let entity = self.entities.get(&at.0)?;
        Some(if at.1 == Lane::Main { &entity.main } else { &entity.dead })
    }

    /// The queues of a shard.
    pub fn queues(&self, here: &dyn Fn(&EntityName) -> bool) -> Vec<(String, Lane)> {
        let entities = self.entities.iter().filter(|(_, entity)| here(&entity.name));
        entities.flat_map(|(key, _)| [(key.clone(), Lane::Main), (key.clone(), Lane::DeadLetter)]).collect()
    }

    /// Time acts: locks run out, messages expire, wait no longer, and are due.
    pub fn tick(&mut self, here: &dyn Fn(&EntityName) -> bool, shard: u16, now: Now) {
        self.expire_sessions(here, shard, now);
        for at in self.queues(here) {
            for sequence in self.queue(&at).map(|queue| queue.due(now)).unwrap_or_default() {
                self.fail(now, &at, sequence, 0);
            }
        }
        let entities = self.entities.iter().filter(|(_, entity)| here(&entity.name));
        let entities: Vec<_> = entities.map(|(key, entity)| (key.clone(), entity.kind)).collect();
        entities.iter().for_each(|(key, _)| self.come_due(now, key, true));
        // A topic is older than its subscriptions: where moments are the same, it goes first.
        let topics = entities.iter().filter(|(_, kind)| *kind == EntityKind::Topic);
        topics.for_each(|(key, _)| self.come_due(now, key, false));
        self.expire_all(here, now);
        entities.iter().for_each(|(key, _)| self.come_due(now, key, false));
    }

    fn expire_all(&mut self, here: &dyn Fn(&EntityName) -> bool, now: Now) {
        for at in self.queues(here) {
            for sequence in self.queue(&at).map(|queue| queue.expired(now)).unwrap_or_default() {
                self.expire(&at, sequence);
            }
            for message in self.queue_mut(&at).unwrap().messages.values_mut() {
                message.delayed_ms = message.delayed_ms.filter(|until_ms| *until_ms > now.wall_ms);
            }
        }
    }

    /// A message whose time is up goes, or becomes a dead letter.
    fn expire(&mut self, at: &(String, Lane), sequence: u64) {
        let entity = self.entities.get_mut(&at.0).unwrap();
        entity.expired += 1;
        if entity.keeps_expired {
            self.dead_letter(at, sequence, "TTLExpired");
        } else {
            self.queue_mut(at).unwrap().messages.remove(&sequence);
        }
    }

    /// Lets go of a message's lock; says whether that is the end of it, because its time is up.
    pub fn unlock(&mut self, now: Now, at: &(String, Lane), sequence: u64) -> bool {
        let message = self.queue_mut(at).unwrap().messages.get_mut(&sequence).unwrap();
        message.lock = None;
        let expired = message.expires_ms <= now.wall_ms;
        if expired {
            self.expire(at, sequence);
        }
        expired
    }

    pub fn fail(&mut self, now: Now, at: &(String, Lane), sequence: u64, delay_ms: u64) {
        if self.unlock(now, at, sequence) {
            return;
        }
        let (max, retry_ms) = (self.entities[&at.0].max, self.entities[&at.0].retry_ms);
        let message = self.queue_mut(at).unwrap().messages.get_mut(&sequence).unwrap();
        message.attempts += 1;
        if at.1 == Lane::Main && u64::from(message.attempts) >= max {
            return self.dead_letter(at, sequence, "MaxDeliveryCountExceeded");
        }
        let policy_ms = if at.1 == Lane::Main { retry_ms } else { 0 };
        let delay_ms = if delay_ms > 0 { delay_ms } else { policy_ms };
        message.delayed_ms = (delay_ms > 0).then_some(now.wall_ms + delay_ms);
    }

    pub fn dead_letter(&mut self, at: &(String, Lane), sequence: u64, reason: &str) {
        let mut message = self.queue_mut(at).unwrap().messages.remove(&sequence).unwrap();
        message.lock = None;
        (message.delayed_ms, message.deferred) = (None, false);
        self.bury(&at.0, message, reason);
    }

    /// A message gets into the dead letters of an entity; returns its number there.
    pub fn bury(&mut self, key: &str, mut message: Message, reason: &str) -> u64 {
        (message.rank, message.expires_ms) = (0, u64::MAX);
        message.dead = Some(reason.to_owned());
        let numbers = self.numbered.get_mut(&(key.to_owned(), message.bytes.clone(), message.enqueued));
        let number = numbers.and_then(VecDeque::pop_front);
        let dead = &mut self.entities.get_mut(key).unwrap().dead;
        // Where the entity goes in the same turn, nobody sees the number.
        let number = number.unwrap_or(dead.next);
        assert!(dead.messages.insert(number, message).is_none(), "two dead letters under {number}");
        dead.next += 1;
        number
    }

    /// A command of a shard.
    pub fn decide(&mut self, shard: u16, now: Now, command: &Command) {
        match command {
            Command::OpenReceiver(open) => self.open(shard, now, open),
            Command::Flow { ticket, flow } => self.flow(*ticket, flow),
            Command::CloseReceiver { ticket, handle } => {
                let key = ReceiverKey { connection: ticket.connection, handle: *handle };
                if let Some(receiver) = self.receivers.remove(&key) {
                    self.refuse_drains(&receiver.draining, &invalid("drain"));
                    self.release(shard, now, receiver.owner, &[]);
                    self.free(&receiver.at, receiver.owner);
                }
                self.close_waiting(*ticket, *handle);
                self.answers.insert(*ticket, Answer::Done);
            }
            Command::Disconnected { connection } => self.disconnect(shard, now, *connection),
            Command::RenewSession { ticket, handle } => {
                let key = ReceiverKey { connection: ticket.connection, handle: *handle };
                let answer = self.renew_session(shard, now, key);
                self.answers.insert(*ticket, answer);
            }
            Command::GetSessionState { ticket, handle } => {
                let key = ReceiverKey { connection: ticket.connection, handle: *handle };
                self.answers.insert(*ticket, self.get_state(shard, key));
            }
            Command::Farewell { client } => _ = self.known.remove(&(shard, *client)),
            Command::Once { ticket, client, stamp, change } => {
                let answer = self.once(shard, now, (ticket.connection, *client), *stamp, change);
                self.answers.insert(*ticket, answer);
            }
            other => panic!("{other:?} is not modelled"),
        }
    }

    fn open(&mut self, shard: u16, now: Now, open: &OpenReceiver) {
        let same = |waiting: &Waiting| waiting.shard == shard && waiting.open.owner == open.owner;
        self.stop_waiting(same, Some(&why(ErrorCode::Unavailable)));
        let at = (open.address.entity.key(), open.address.lane);
        let by_session = self.is_by_session(&at);
        let answer = match self.entities.get(&at.0) {
            None => Answer::Refused(why(ErrorCode::NotFound)),
            Some(entity) if entity.kind == EntityKind::Topic => Answer::Refused(invalid("address")),
            Some(_) if by_session == (open.session == SessionWish::None) => {
                Answer::Refused(invalid("session"))
            }
            Some(_) if by_session => return self.open_session(shard, now, open),
            Some(entity) => {
                let lock_ms = if open.lock_duration_ms == 0 { entity.lock_ms } else { open.lock_duration_ms };
                Answer::Opened { lock_ms, session: String::new(), until_ms: 0 }
            }
        };
        let opened = matches!(answer, Answer::Opened { .. });
        self.answers.insert(open.ticket, answer);
        if opened {
            self.attach(shard, now, open);
        }
    }

    /// A receiver of the same owner gives way.
    pub fn replace(&mut self, shard: u16, open: &OpenReceiver) {
        let same = |receiver: &Receiver| receiver.shard == shard && receiver.owner == open.owner;
        let before = self.receivers.iter().find(|(_, receiver)| same(receiver)).map(|(key, _)| *key);
        if let Some(before) = before {
            let receiver = self.receivers.remove(&before).unwrap();
            self.refuse_drains(&receiver.draining, &why(ErrorCode::Unavailable));
            self.closed.extend((before.connection != open.ticket.connection).then_some(before));
        }
    }

    /// A receiver is open from now on.
    pub fn attach(&mut self, shard: u16, now: Now, open: &OpenReceiver) {
        let key = ReceiverKey { connection: open.ticket.connection, handle: open.owner.handle };
        self.replace(shard, open);
        self.release(shard, now, open.owner, &open.held);
        self.hold_again(shard, open.owner, Some(key));
        let receiver = Receiver {
            shard,
            owner: open.owner,
            at: (open.address.entity.key(), open.address.lane),
            deletes: open.mode == ReceiveMode::ReceiveAndDelete,
            lock_ms: open.lock_duration_ms,
            release_on_disconnect: open.release_on_disconnect,
            delivered: 0,
            credit: 0,
            draining: Vec::new(),
        };
        self.receivers.insert(key, receiver);
    }

    pub fn refuse_drains(&mut self, tickets: &[Ticket], why: &Why) {
        self.answers.extend(tickets.iter().map(|ticket| (*ticket, Answer::Refused(why.clone()))));
    }

    fn all_queues_mut(&mut self) -> impl Iterator<Item = &mut Queue> {
        self.entities.values_mut().flat_map(|entity| [&mut entity.main, &mut entity.dead])
    }

    pub fn release(&mut self, shard: u16, now: Now, owner: Owner, but: &[u64]) {
        let goes = |lock: &Lock| {
            lock.token.shard == shard && lock.owner == owner && !but.contains(&lock.token.lease)
        };
        for at in self.queues(&|_| true) {
            let messages = &self.queue(&at).unwrap().messages;
            let held = messages.iter().filter(|(_, message)| message.lock.as_ref().is_some_and(goes));
            for sequence in held.map(|(sequence, _)| *sequence).collect::<Vec<_>>() {
                self.unlock(now, &at, sequence);
            }
        }
    }

    pub fn hold_again(&mut self, shard: u16, owner: Owner, key: Option<ReceiverKey>) {
        let locks = self.all_queues_mut().flat_map(Queue::locks_mut);
        locks
            .filter(|lock| lock.token.shard == shard && lock.owner == owner)
            .for_each(|lock| lock.receiver = key);
    }

    fn disconnect(&mut self, shard: u16, now: Now, connection: u64) {
        let gone =
            |key: &ReceiverKey, receiver: &Receiver| key.connection == connection && receiver.shard == shard;
        let gone: Vec<_> = self.receivers.extract_if(.., |key, receiver| gone(key, receiver)).collect();
        for (_, receiver) in gone {
            self.hold_again(shard, receiver.owner, None);
            if receiver.release_on_disconnect {
                self.release(shard, now, receiver.owner, &[]);
                self.free(&receiver.at, receiver.owner);
            }
        }
        let on_it = |waiting: &Waiting| waiting.shard == shard && waiting.key().connection == connection;
        self.stop_waiting(on_it, None);
    }

    fn flow(&mut self, ticket: Ticket, flow: &Flow) {
        let key = ReceiverKey { connection: ticket.connection, handle: flow.handle };
        let Some(receiver) = self.receivers.get_mut(&key) else {
            if flow.drain {
                self.answers.insert(ticket, Answer::Refused(invalid("handle")));
            }
            return;
        };
        let end = flow.delivered + u64::from(flow.credit);
        receiver.credit = end.saturating_sub(receiver.delivered).min(u64::from(CREDIT)) as u32;
        if flow.drain {
            receiver.draining.push(ticket);
        } else {
            let ended = std::mem::take(&mut receiver.draining);
            self.refuse_drains(&ended, &invalid("drain"));
        }
    }

    fn once(
        &mut self,
        shard: u16,
        now: Now,
        (connection, client): (u64, u128),
        stamp: Stamp,
        change: &Change,
    ) -> Answer {
        let known = self.known.entry((shard, client)).or_default();
        if let Some(answer) = known.answers.get(&stamp.sequence) {
            return answer.clone();
        }
        if stamp.sequence < known.floor {
            return Answer::Refused(why(ErrorCode::UnknownOutcome));
        }
        known.floor = known.floor.max(stamp.floor);
        let floor = known.floor;
        known.answers.retain(|sequence, _| *sequence >= floor);
        let answer = self.change(shard, now, connection, change).unwrap_or_else(Answer::Refused);
        let known = self.known.entry((shard, client)).or_default();
        known.answers.insert(stamp.sequence, answer.clone());
        answer
    }
}
