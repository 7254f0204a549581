//! What the core and the model have to agree on.

use super::queue::{Lock, Queue};
use super::reference::Durations;
use super::run::Run;
use bytes::BytesMut;
use postrider_core::command::{Command, ReceiverKey, Ticket};
use postrider_core::context::Rows;
use postrider_core::effect::{Deliver, PageRun};
use postrider_core::fact::{Fact, QueueRow};
use postrider_core::key::{Key, KeyRange, QueueId};
use postrider_core::moves::changed_record;
use postrider_core::outcomes::OutcomesRow;
use postrider_core::page::{Page, PageState};
use postrider_core::queue::number;
use postrider_protocol::entity::Counters;
use postrider_protocol::message::Record;
use postrider_protocol::name::{EntityName, Lane};
use postrider_protocol::options::EntityKind;
use postrider_protocol::token::LockToken;
use postrider_protocol::wire::Reader;
use std::collections::{BTreeMap, BTreeSet};

impl Run {
    /// Numbers of new entities and dead letters are the core's to choose.
    pub fn learn(&mut self, shard: u16, facts: &[Fact]) {
        self.model.numbered.clear();
        for fact in facts {
            match fact {
                Fact::EntityPut(id, row) => {
                    self.ids.insert((shard, *id), row.name.to_ascii_lowercase());
                }
                Fact::PageWritten(queue, first, page) if queue.lane == Lane::DeadLetter => {
                    let page = Page::open(page.clone()).unwrap();
                    for at in 0..page.len() {
                        let record = Record::decode(page.record(at).unwrap()).unwrap();
                        let name = self.ids[&(shard, queue.entity)].clone();
                        self.model.numbered.insert((name, record.enqueued_sequence), first + at as u64);
                    }
                }
                _ => {}
            }
        }
    }

    /// Lets the model do what the core has done.
    pub fn decide(&mut self, shard: u16, commands: &[Command]) {
        let (world, now) = (&self.world, self.world.now);
        self.model.tick(&|name| world.home(name) == shard, now);
        commands.iter().for_each(|command| self.model.decide(shard, now, command));
    }

    /// A delivery: to one of those who hold least, of the first messages in order, under a fresh lease.
    pub fn deliver(&mut self, shard: u16, deliver: &Deliver) {
        let receiver = self.model.receivers[&deliver.receiver].clone();
        let at = receiver.at.clone();
        assert_eq!((&self.ids[&(shard, deliver.queue.entity)], deliver.queue.lane), (&at.0, at.1));
        self.is_fair(deliver);
        let own_ms =
            if receiver.lock_ms == 0 { self.model.entities[&at.0].lock_ms } else { receiver.lock_ms };
        let until_ms = if receiver.deletes { 0 } else { self.world.now.wall_ms + own_ms };
        assert_eq!((deliver.token.shard, deliver.locked_until_ms), (shard, until_ms));
        assert_eq!(deliver.token.lease == 0, receiver.deletes);
        let messages: Vec<_> =
            deliver.runs.iter().flat_map(|run| (0..run.count).map(move |at| (run, run.index + at))).collect();
        let count = messages.len() as u64;
        assert!(0 < count && count <= u64::from(receiver.credit), "{count} messages for {receiver:?}");
        if !receiver.deletes {
            self.remember(deliver.token, count, Durations { own_ms, longest_ms: own_ms });
        }
        for (place, (run, index)) in messages.into_iter().enumerate() {
            let sequence = number(run.page) + u64::from(index);
            if !receiver.deletes {
                self.is_what_was_sent(shard, deliver.queue, &at, run, index);
            }
            let deadline_ms = self.world.now.mono_ms + own_ms;
            let queue = self.model.queue_mut(&at).unwrap();
            assert_eq!(queue.head(), Some(sequence), "not in order, or locked already");
            let message = queue.messages.get_mut(&sequence).unwrap();
            assert_eq!(message.attempts, run.attempts, "attempts of {sequence}");
            if receiver.deletes {
                queue.messages.remove(&sequence);
                continue;
            }
            let token = LockToken { place: place as u16, ..deliver.token };
            let holder = Some(deliver.receiver);
            message.lock =
                Some(Lock { token, owner: receiver.owner, receiver: holder, until_ms, deadline_ms });
        }
        let receiver = self.model.receivers.get_mut(&deliver.receiver).unwrap();
        receiver.credit -= count as u32;
        receiver.delivered += count;
    }

    fn outstanding(&self, key: ReceiverKey) -> usize {
        let queues = self.model.entities.values().flat_map(|entity| [&entity.main, &entity.dead]);
        queues.flat_map(Queue::locks).filter(|lock| lock.receiver == Some(key)).count()
    }

    fn is_fair(&self, deliver: &Deliver) {
        let at = &self.model.receivers[&deliver.receiver].at;
        let open = self.model.receivers.iter().filter(|(_, other)| other.at == *at && other.credit > 0);
        let least = open.map(|(key, _)| self.outstanding(*key)).min();
        assert_eq!(
            Some(self.outstanding(deliver.receiver)),
            least,
            "{:?} does not hold least",
            deliver.receiver
        );
    }

    fn is_what_was_sent(&self, shard: u16, id: QueueId, at: &(String, Lane), run: &PageRun, index: u32) {
        let mut stored = BytesMut::new();
        self.world.record(shard, id, run.page, index).put(&mut stored);
        let record = changed_record(stored.freeze(), run.changes.as_ref()).unwrap();
        let message = &self.model.queue(at).unwrap().messages[&(number(run.page) + u64::from(index))];
        assert_eq!(record.message, message.bytes);
        assert_eq!(record.expires_at_ms.unwrap_or(u64::MAX), message.expires_ms);
        let dead = record.dead_letter.map(|dead| (record.enqueued_sequence, dead.reason));
        assert_eq!(dead, message.dead);
    }

    /// A drain ends when the credit is used up, or nothing is left to give.
    pub fn drained(&mut self, ticket: Ticket, handle: u32, delivered: u64) {
        let key = ReceiverKey { connection: ticket.connection, handle };
        let receiver = self.model.receivers.get_mut(&key).expect("the receiver is open");
        let before = receiver.draining.len();
        receiver.draining.retain(|waiting| *waiting != ticket);
        assert_eq!(receiver.draining.len() + 1, before, "nobody waits under {ticket:?}");
        assert_eq!(receiver.delivered, delivered);
        let credit = std::mem::take(&mut receiver.credit);
        let at = receiver.at.clone();
        let head = self.model.queue(&at).unwrap().head();
        assert!(credit == 0 || head.is_none(), "{key:?} could have got {head:?}");
    }

    /// When nothing has to be read first, whatever can be given out was given out.
    pub fn nobody_waits(&self, shard: u16) {
        for (key, receiver) in self.model.receivers.iter().filter(|(_, receiver)| receiver.shard == shard) {
            let head = self.model.queue(&receiver.at).unwrap().head();
            assert!(receiver.credit == 0 || head.is_none(), "{key:?} waits for {head:?}");
            assert!(receiver.draining.is_empty(), "{key:?} was not told that it is drained");
        }
    }

    /// A shard has begun again: receivers are gone, locks stay, their deadlines count from now.
    pub fn reloaded(&mut self, shard: u16) {
        self.model.receivers.retain(|_, receiver| receiver.shard != shard);
        let now = self.world.now;
        let Run { model, .. } = self;
        let leases = &model.leases;
        let queues = model.entities.values_mut().flat_map(|entity| [&mut entity.main, &mut entity.dead]);
        for lock in queues.flat_map(Queue::locks_mut).filter(|lock| lock.token.shard == shard) {
            let longest_ms = leases[&(shard, lock.token.lease)].longest_ms;
            lock.deadline_ms = now.mono_ms + lock.until_ms.saturating_sub(now.wall_ms).min(longest_ms);
            lock.receiver = None;
        }
        self.compare(shard);
    }

    /// Counters, rows and deadlines.
    pub fn compare(&self, shard: u16) {
        let machine = &self.world.shards[usize::from(shard)];
        let here = |name: &EntityName| self.world.home(name) == shard;
        for entity in self.model.entities.values().filter(|entity| here(&entity.name)) {
            let info = machine.info(&entity.name).unwrap();
            assert_eq!(info.counters, self.counters(&entity.name, info.counters.bytes), "{}", entity.name);
            assert_eq!(info.rules.len(), entity.rules.len());
        }
        let count = self.model.entities.values().filter(|entity| here(&entity.name)).count();
        assert_eq!(machine.totals().entities, count as u64);
        self.scan(shard);
        let locks = self.model.queues(&here).into_iter().filter_map(|at| self.model.queue(&at));
        let deadline = locks.flat_map(Queue::locks).map(|lock| lock.deadline_ms).min();
        if let Some(deadline) = deadline {
            assert!(
                machine.next_deadline_ms(self.world.now).is_some_and(|next| next <= deadline),
                "would wake too late"
            );
        }
        assert!(machine.next_deadline_ms(self.world.now).is_none_or(|next| next > 0));
    }

    fn counters(&self, name: &EntityName, bytes: u64) -> Counters {
        let entity = &self.model.entities[&name.key()];
        let topic = entity.kind == EntityKind::Topic;
        let subscriptions = self.model.entities.values().filter(|other| {
            topic && other.kind == EntityKind::Subscription && other.name.home() == name.key()
        });
        Counters {
            active: entity.main.active(),
            locked: entity.main.locked(),
            dead_letters: entity.dead.active(),
            bytes,
            receivers: self.model.receivers.values().filter(|receiver| receiver.at.0 == name.key()).count()
                as u64,
            subscriptions: subscriptions.count() as u64,
            last_sequence: if topic { entity.published } else { entity.main.next - 1 },
            unmatched: entity.unmatched,
            deferred: entity.main.deferred(),
            delayed: entity.main.delayed(),
            expired: entity.expired,
            ..Counters::default()
        }
    }

    /// The rows of a shard say what the model says: a full scan finds every message, and nothing else.
    fn scan(&self, shard: u16) {
        let rows = &self.world.rows;
        for (key, value) in rows.range(&KeyRange::queue_states(shard)) {
            let Key::QueueState(_, id) = key else { panic!("{key:?}") };
            let name = &self.ids[&(shard, id.entity)];
            if self.model.entities[name].kind != EntityKind::Topic {
                let row = QueueRow::read(&mut Reader::new(value.clone())).unwrap();
                self.scan_queue(shard, id, row, &(name.clone(), id.lane));
            }
        }
        let at_home = self.model.queues(&|name| self.world.home(name) == shard);
        let queues = at_home.iter().filter_map(|at| self.model.queue(at));
        let locked: BTreeSet<_> = queues.flat_map(Queue::locks).map(|lock| lock.token.lease).collect();
        assert_eq!(rows.range(&KeyRange::leases(shard)).count(), locked.len(), "lease rows");
        self.scan_outcomes(shard);
    }

    /// The lowest row of a client holds something that the client has not confirmed.
    fn scan_outcomes(&self, shard: u16) {
        let mut lowest = BTreeMap::new();
        for (key, value) in self.world.rows.range(&KeyRange::outcomes(shard)) {
            let Key::Outcomes(_, client, _) = key else { panic!("{key:?}") };
            lowest.entry(client).or_insert(value);
        }
        for (client, value) in lowest {
            let row = OutcomesRow::read(&mut Reader::new(value.clone())).unwrap();
            let last = row.recorded.iter().map(|recorded| recorded.sequence).max();
            let floor = self.model.floor(shard, client).expect("outcomes of a client that said goodbye");
            assert!(last.is_some_and(|last| last >= floor), "{last:?} is below {floor}");
        }
    }

    fn scan_queue(&self, shard: u16, id: QueueId, row: QueueRow, at: &(String, Lane)) {
        let queue = self.model.queue(at).unwrap();
        let (mut found, mut bytes) = (0, 0);
        for (key, value) in self.world.rows.range(&KeyRange::pages(shard, id, 0, u64::MAX)) {
            let Key::Page(_, _, first) = key else { panic!("{key:?}") };
            let page = Page::open(value.clone()).unwrap();
            let state = self.world.rows.get(&Key::PageState(shard, id, first)).unwrap();
            let state = PageState::of(&page, state).unwrap();
            assert!(number(first) >= row.low, "page {first} is below {}", row.low);
            assert!(state.attempts.iter().any(Option::is_some), "page {first} is left over");
            for (index, attempts) in state.attempts.iter().enumerate() {
                let Some(attempts) = attempts else { continue };
                let message = queue
                    .messages
                    .get(&(number(first) + index as u64))
                    .expect("a message that is gone is in the rows");
                assert_eq!(message.attempts, *attempts);
                assert_eq!(message.deferred, state.deferred.contains(&(index as u32)));
                let delayed = state.delayed.iter().find(|(at, _)| *at == index as u32);
                assert_eq!(message.delayed_ms, delayed.map(|(_, until_ms)| *until_ms));
                found += 1;
                bytes += u64::from(page.size(index));
            }
        }
        for (key, _) in self.world.rows.range(&KeyRange::page_states(shard, id, 0, u64::MAX)) {
            let Key::PageState(_, _, first) = key else { panic!("{key:?}") };
            assert!(
                self.world.rows.get(&Key::Page(shard, id, first)).unwrap().is_some(),
                "{key:?} is left over"
            );
        }
        assert_eq!((row.next, row.active, row.bytes), (queue.next, found, bytes), "{at:?}");
        assert_eq!(found, queue.active(), "{at:?}");
    }
}
