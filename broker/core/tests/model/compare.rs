//! What the core and the model have to agree on.

use super::bulk::Handed;
use super::deliveries::messages_of;
use super::queue::Queue;
use super::run::Run;
use crate::support::bodies;
use postrider_core::command::Command;
use postrider_core::context::Rows;
use postrider_core::effect::{Deliver, Effect};
use postrider_core::fact::{Fact, QueueRow};
use postrider_core::key::{Key, KeyRange, QueueId};
use postrider_core::outcomes::OutcomesRow;
use postrider_core::page::{Page, PageState};
use postrider_core::queue::number;
use postrider_protocol::entity::Counters;
use postrider_protocol::message::Record;
use postrider_protocol::name::{EntityName, Lane};
use postrider_protocol::options::EntityKind;
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
                        let enqueued = (record.enqueued_sequence, record.enqueued_time_ms);
                        let known = (name, record.message, enqueued);
                        let numbers = self.model.numbered.entry(known).or_default();
                        numbers.push_back(first + at as u64);
                    }
                }
                _ => {}
            }
        }
    }

    /// Lets the model do what the core has done. What receivers got by number comes before all that they got by credit.
    pub fn decide(&mut self, shard: u16, commands: &[Command], effects: &[Effect]) {
        let deliveries = effects.iter().filter_map(|effect| match effect {
            Effect::Deliver(deliver) => Some(handed(deliver)),
            _ => None,
        });
        self.model.handed = deliveries.collect();
        let all = self.model.handed.clone();
        let count = all.len();
        let (world, now) = (&self.world, self.world.now);
        let here = |name: &EntityName| world.home(name) == shard;
        self.model.tick(&here, shard, now);
        commands.iter().for_each(|command| self.model.decide(shard, now, command));
        self.model.wake_all(&here, shard, now);
        self.handed = all.into_iter().take(count - self.model.handed.len()).collect();
    }

    /// A shard has begun again: receivers are gone, locks stay, their deadlines count from now.
    pub fn reloaded(&mut self, shard: u16) {
        self.model.receivers.retain(|_, receiver| receiver.shard != shard);
        self.model.waiting.retain(|waiting| waiting.shard != shard);
        let now = self.world.now;
        let Run { model, .. } = self;
        let leases = &model.leases;
        let queues = model.entities.values_mut().flat_map(|entity| [&mut entity.main, &mut entity.dead]);
        for lock in queues.flat_map(Queue::locks_mut).filter(|lock| lock.token.shard == shard) {
            let longest_ms = leases[&(shard, lock.token.lease)].longest_ms;
            lock.deadline_ms = now.mono_ms + lock.until_ms.saturating_sub(now.wall_ms).min(longest_ms);
            lock.receiver = None;
        }
        self.sessions_reloaded(shard);
        self.compare(shard);
    }

    /// Counters, rows and deadlines.
    pub fn compare(&self, shard: u16) {
        let machine = &self.world.shards[usize::from(shard)];
        let here = |name: &EntityName| self.world.home(name) == shard;
        for entity in self.model.entities.values().filter(|entity| here(&entity.name)) {
            let info = machine.info(&entity.name).unwrap();
            let mut counters = info.counters;
            if entity.kind == EntityKind::Topic {
                // What it stores is counted from the rows.
                counters.bytes = 0;
            }
            assert_eq!(counters, self.counters(&entity.name), "{}", entity.name);
            assert_eq!(info.rules.len(), entity.rules.len());
        }
        let count = self.model.entities.values().filter(|entity| here(&entity.name)).count();
        assert_eq!(machine.totals().entities, count as u64);
        self.scan(shard);
        bodies::check(&self.world.rows, shard);
        let locks = self.model.queues(&here).into_iter().filter_map(|at| self.model.queue(&at));
        let deadlines = locks.flat_map(Queue::locks).map(|lock| lock.deadline_ms);
        let deadline = deadlines.chain(self.alarms(&here)).chain(self.session_deadlines(shard)).min();
        if let Some(deadline) = deadline {
            assert!(
                machine.next_deadline_ms(self.world.now).is_some_and(|next| next <= deadline),
                "would wake too late for {deadline}: {:?} at {:?}",
                machine.next_deadline_ms(self.world.now),
                self.world.now
            );
        }
        assert!(machine.next_deadline_ms(self.world.now).is_none_or(|next| next > 0));
    }

    /// When the clock acts on messages that nobody holds.
    fn alarms(&self, here: &dyn Fn(&EntityName) -> bool) -> Vec<u64> {
        let now = self.world.now;
        let entities = self.model.entities.values().filter(|entity| here(&entity.name));
        let mut moments = Vec::new();
        for entity in entities {
            let due = entity.scheduled.values().map(|later| if later.at_once { 0 } else { later.due_ms });
            moments.extend(due);
            let all = entity.main.messages.values().chain(entity.dead.messages.values());
            let free = all.filter(|message| message.lock.is_none() && message.expires_ms < u64::MAX);
            moments.extend(free.map(|message| message.expires_ms));
        }
        moments.iter().map(|when_ms| now.mono_ms + when_ms.saturating_sub(now.wall_ms)).collect()
    }

    fn counters(&self, name: &EntityName) -> Counters {
        let entity = &self.model.entities[&name.key()];
        let topic = entity.kind == EntityKind::Topic;
        let subscriptions = self.model.entities.values().filter(|other| {
            topic && other.kind == EntityKind::Subscription && other.name.home() == name.key()
        });
        Counters {
            active: entity.main.active(),
            locked: entity.main.locked(),
            dead_letters: entity.dead.active(),
            bytes: entity.main.messages.values().map(|message| message.size).sum(),
            receivers: self.model.receivers.values().filter(|receiver| receiver.at.0 == name.key()).count()
                as u64,
            subscriptions: subscriptions.count() as u64,
            last_sequence: entity.main.next - 1,
            unmatched: entity.unmatched,
            deferred: entity.main.deferred(),
            delayed: entity.main.delayed(),
            expired: entity.expired,
            scheduled: entity.scheduled.len() as u64,
            duplicates: entity.duplicates,
            dropped: entity.dropped,
            sessions: entity.session_ids().len() as u64,
            // No history passes messages on or opens a breaker.
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
        self.scan_sessions(shard);
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
            if bodies::is_leaving(&self.world.rows, shard, id, first) {
                continue;
            }
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
            if bodies::is_leaving(&self.world.rows, shard, id, first) {
                continue;
            }
            assert!(
                self.world.rows.get(&Key::Page(shard, id, first)).unwrap().is_some(),
                "{key:?} is left over"
            );
        }
        assert_eq!((row.next, row.active, row.bytes), (queue.next, found, bytes), "{at:?}");
        assert_eq!(found, queue.active(), "{at:?}");
    }
}

/// A delivery as one of messages that were asked for by number.
fn handed(deliver: &Deliver) -> Handed {
    let messages = messages_of(deliver).map(|(run, at)| (number(run.page) + u64::from(at), run.attempts));
    Handed { receiver: deliver.receiver, token: deliver.token, messages: messages.collect() }
}
