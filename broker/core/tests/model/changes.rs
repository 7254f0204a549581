//! What changes do in the naive model.

use super::answer::{Answer, Why, invalid, why};
use super::bulk::content;
use super::queue::Queue;
use super::reference::{Entity, Model};
use super::sessions::Waiting;
use bytes::Bytes;
use postrider_core::command::{Change, ReceiverKey};
use postrider_core::context::Now;
use postrider_protocol::error::ErrorCode;
use postrider_protocol::name::{EntityName, Lane};
use postrider_protocol::options::{
    BALANCE, CAPACITY_UNITS, DEAD_LETTER_ON_EXPIRATION, DEDUP_WINDOW_MS, DEFAULT_TTL_MS, EntityKind,
    FAIR_KEY, LOCK_DURATION_MS, MAX_BYTES, MAX_DELIVERY_COUNT, MAX_MESSAGES, ON_FULL, OptionValue, Options,
    PRIORITY_LEVELS, REQUIRES_SESSION, RETRY, STATUS,
};
use postrider_protocol::request::{SettleItem, Settlement};
use postrider_protocol::rule::{Filter, Rule};
use postrider_protocol::token::LockToken;
use postrider_protocol::value::Value;
use std::collections::{BTreeMap, BTreeSet};

impl Model {
    pub fn change(&mut self, shard: u16, now: Now, connection: u64, change: &Change) -> Result<Answer, Why> {
        match change {
            Change::Publish { entity, atomic, messages } => self.publish(now, entity, *atomic, messages),
            Change::Settle(items) => {
                let places = items.iter().flat_map(|item| (0..item.run).map(move |offset| (item, offset)));
                Ok(Answer::Settled(places.map(|(item, offset)| self.settle(now, item, offset)).collect()))
            }
            Change::Create { name, kind, options, rules } => self.create(name, *kind, options, rules),
            Change::Update { name, options } => {
                let entity = self.find(name)?;
                // The first option that histories change, and a topic does not have.
                if entity.kind == EntityKind::Topic && options.number(LOCK_DURATION_MS, 0) > 0 {
                    return Err(invalid("lock_duration_ms"));
                }
                entity.set(options);
                Ok(Answer::Done)
            }
            Change::Delete { name } => self.delete(name),
            Change::PutRule { subscription, replace, rule } => {
                let rules = &mut self.subscription(subscription)?.rules;
                match (rules.contains_key(&rule.name), *replace) {
                    (true, false) => return Err(why(ErrorCode::AlreadyExists)),
                    (false, true) => return Err(why(ErrorCode::NotFound)),
                    _ => _ = rules.insert(rule.name.clone(), rule.filter.clone()),
                }
                Ok(Answer::Done)
            }
            Change::DeleteRule { subscription, rule } => {
                let removed = self.subscription(subscription)?.rules.remove(rule);
                removed.map(|_| Answer::Done).ok_or(why(ErrorCode::NotFound))
            }
            Change::Scheduled { entity, action, sequences } => {
                self.act_on_scheduled(entity, *action, sequences)
            }
            Change::ReceiveDeferred { handle, sequences } => {
                self.receive_deferred(shard, now, ReceiverKey { connection, handle: *handle }, sequences)
            }
            Change::SetSessionState { handle, state } => {
                self.set_state(shard, now, ReceiverKey { connection, handle: *handle }, state.as_ref())
            }
            Change::Purge { address, portion } => self.purge(address, portion),
            Change::Redrive { address, portion, dry_run } => self.redrive(now, address, portion, *dry_run),
            other => panic!("{other:?} is in no history yet"),
        }
    }

    pub fn find(&mut self, name: &EntityName) -> Result<&mut Entity, Why> {
        self.entities.get_mut(&name.key()).ok_or(why(ErrorCode::NotFound))
    }

    fn subscription(&mut self, name: &EntityName) -> Result<&mut Entity, Why> {
        let entity = self.find(name)?;
        if entity.kind == EntityKind::Subscription { Ok(entity) } else { Err(invalid("subscription")) }
    }

    fn settle(&mut self, now: Now, item: &SettleItem, offset: u16) -> Result<Option<u64>, Why> {
        let token = LockToken { place: item.token.place + offset, ..item.token };
        let found =
            self.queues(&|_| true).into_iter().find_map(|at| Some((self.queue(&at)?.locked_by(token)?, at)));
        let (sequence, at) = found.ok_or(why(ErrorCode::LockLost))?;
        let refused = match &item.settlement {
            Settlement::DeadLetter { .. } => at.1 == Lane::DeadLetter,
            Settlement::Renew { .. } => self.is_by_session(&at),
            _ => false,
        };
        if refused {
            return Err(invalid("settlement"));
        }
        let message = self.queue_mut(&at).unwrap().messages.get_mut(&sequence).unwrap();
        match &item.settlement {
            Settlement::Abandon { properties, .. }
            | Settlement::DeadLetter { properties, .. }
            | Settlement::Defer { properties }
                if !properties.is_empty() =>
            {
                message.bytes = changed(&message.bytes, properties);
            }
            _ => {}
        }
        match &item.settlement {
            Settlement::Complete => _ = self.queue_mut(&at).unwrap().messages.remove(&sequence),
            Settlement::Release => _ = self.unlock(now, &at, sequence),
            Settlement::Abandon { delay_ms, .. } => self.fail(now, &at, sequence, *delay_ms),
            Settlement::DeadLetter { reason, .. } => self.dead_letter(&at, sequence, reason),
            Settlement::Defer { .. } => {
                if !self.unlock(now, &at, sequence) {
                    let queue = self.queue_mut(&at).unwrap();
                    queue.messages.get_mut(&sequence).unwrap().deferred = true;
                }
            }
            Settlement::Renew { duration_ms } => {
                return Ok(Some(self.renew(now, &at, sequence, *duration_ms)));
            }
        }
        Ok(None)
    }

    fn renew(&mut self, now: Now, at: &(String, Lane), sequence: u64, asked_ms: u64) -> u64 {
        let message = self.entities.get_mut(&at.0).unwrap();
        let queue = if at.1 == Lane::Main { &mut message.main } else { &mut message.dead };
        let lock = queue.messages.get_mut(&sequence).unwrap().lock.as_mut().unwrap();
        let durations = self.leases.get_mut(&(lock.token.shard, lock.token.lease)).unwrap();
        let ms = if asked_ms == 0 { durations.own_ms } else { asked_ms };
        durations.longest_ms = durations.longest_ms.max(ms);
        lock.deadline_ms = now.mono_ms + ms;
        lock.until_ms = now.wall_ms + ms;
        lock.until_ms
    }

    fn create(
        &mut self,
        name: &EntityName,
        kind: EntityKind,
        options: &Options,
        rules: &[Rule],
    ) -> Result<Answer, Why> {
        if self.entities.contains_key(&name.key()) {
            return Err(why(ErrorCode::AlreadyExists));
        }
        if kind == EntityKind::Subscription && !self.entities.contains_key(&name.home()) {
            return Err(why(ErrorCode::NotFound));
        }
        let mut rules: BTreeMap<_, _> =
            rules.iter().map(|rule| (rule.name.clone(), rule.filter.clone())).collect();
        if kind == EntityKind::Subscription && rules.is_empty() {
            rules.insert("$default".to_owned(), Filter::True);
        }
        let mut entity = Entity {
            name: name.clone(),
            kind,
            lock_ms: 60_000,
            max: 10,
            ttl_ms: u64::MAX,
            keeps_expired: false,
            levels: options.number(PRIORITY_LEVELS, 1),
            retry_ms: 0,
            expired: 0,
            rules,
            main: Queue::new(),
            dead: Queue::new(),
            scheduled: BTreeMap::new(),
            unmatched: 0,
            window_ms: 0,
            seen: BTreeMap::new(),
            duplicates: 0,
            max_messages: u64::MAX,
            max_bytes: u64::MAX,
            drops: false,
            dropped: 0,
            may_send: true,
            may_receive: true,
            balance: "least-outstanding".to_owned(),
            units: u64::MAX,
            fair_key: None,
            mixed: BTreeSet::new(),
            by_session: options.flag(REQUIRES_SESSION, false),
            sessions: BTreeMap::new(),
        };
        entity.set(options);
        self.entities.insert(name.key(), entity);
        Ok(Answer::Done)
    }

    fn delete(&mut self, name: &EntityName) -> Result<Answer, Why> {
        let kind = self.find(name)?.kind;
        let goes = |entity: &Entity| {
            entity.name.key() == name.key() || (kind == EntityKind::Topic && entity.name.home() == name.key())
        };
        let gone: Vec<_> =
            self.entities.extract_if(.., |_, entity| goes(entity)).map(|(key, _)| key).collect();
        let closed: Vec<_> =
            self.receivers.extract_if(.., |_, receiver| gone.contains(&receiver.at.0)).collect();
        let waits = |waiting: &Waiting| gone.contains(&waiting.open.address.entity.key());
        self.stop_waiting(waits, Some(&why(ErrorCode::NotFound)));
        for (key, receiver) in closed {
            self.closed.insert(key);
            self.refuse_drains(&receiver.draining, &why(ErrorCode::NotFound));
            self.hold_again(receiver.shard, receiver.owner, None);
        }
        Ok(Answer::Done)
    }
}

impl Entity {
    fn set(&mut self, options: &Options) {
        self.lock_ms = options.number(LOCK_DURATION_MS, self.lock_ms);
        self.max = options.number(MAX_DELIVERY_COUNT, self.max);
        self.ttl_ms = options.number(DEFAULT_TTL_MS, self.ttl_ms);
        self.keeps_expired = options.flag(DEAD_LETTER_ON_EXPIRATION, self.keeps_expired);
        let retry = options.text(RETRY).and_then(|retry| retry.strip_prefix("list ")?.strip_suffix('s'));
        self.retry_ms = retry.map_or(self.retry_ms, |retry| retry.parse::<u64>().unwrap() * 1_000);
        self.max_messages = number(options, MAX_MESSAGES, self.max_messages, u64::MAX);
        self.max_bytes = number(options, MAX_BYTES, self.max_bytes, u64::MAX);
        self.drops = options.text(ON_FULL).map_or(self.drops, |how| how == "drop-oldest");
        self.window_ms = number(options, DEDUP_WINDOW_MS, self.window_ms, 0);
        if self.window_ms == 0 {
            self.seen.clear();
        }
        self.units = number(options, CAPACITY_UNITS, self.units, u64::MAX);
        self.balance = options.text(BALANCE).map_or(self.balance.clone(), str::to_owned);
        if is_unset(options, FAIR_KEY) {
            self.fair_key = None;
        }
        self.fair_key = options.text(FAIR_KEY).map(str::to_owned).or(self.fair_key.take());
        if let Some(status) = options.text(STATUS) {
            self.may_send = status == "active" || status == "receive-disabled";
            self.may_receive = status == "active" || status == "send-disabled";
        }
    }
}

/// A number where it is given, the default where it is taken away, and else what it was.
fn number(options: &Options, code: u8, before: u64, default: u64) -> u64 {
    options.number(code, if is_unset(options, code) { default } else { before })
}

fn is_unset(options: &Options, code: u8) -> bool {
    options.iter().any(|(spec, value)| spec.code == code && *value == OptionValue::Unset)
}

/// A message with some of its properties changed.
fn changed(bytes: &Bytes, changes: &[(String, Value)]) -> Bytes {
    let mut message = content(bytes);
    for (name, value) in changes {
        match message.properties.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, known)) => *known = value.clone(),
            None => message.properties.push((name.clone(), value.clone())),
        }
    }
    message.encode()
}
