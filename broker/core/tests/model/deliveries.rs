//! What the core and the model have to agree on in what is given out.

use super::bulk::Handed;
use super::queue::{Lock, Queue};
use super::reference::Durations;
use super::run::Run;
use bytes::BytesMut;
use postrider_core::command::{ReceiverKey, Ticket};
use postrider_core::effect::{Deliver, PageRun};
use postrider_core::key::QueueId;
use postrider_core::queue::number;
use postrider_core::verbs::settle::moves::changed_record;
use postrider_protocol::name::Lane;
use postrider_protocol::token::LockToken;

/// Pages and indices of the messages of a delivery.
pub fn messages_of(deliver: &Deliver) -> impl Iterator<Item = (&PageRun, u32)> {
    deliver.runs.iter().flat_map(|run| (0..run.count).map(move |at| (run, run.index + at)))
}

impl Run {
    /// A delivery: to one of those who hold least, of the first messages in order, under a fresh lease.
    pub fn deliver(&mut self, shard: u16, deliver: &Deliver) {
        if let Some(handed) = self.handed.pop_front() {
            return self.handed_out(shard, deliver, &handed);
        }
        let receiver = self.model.receivers[&deliver.receiver].clone();
        let at = receiver.at.clone();
        assert!(self.model.entities[&at.0].may_receive, "{at:?} gives nothing out");
        assert_eq!((&self.ids[&(shard, deliver.queue.entity)], deliver.queue.lane), (&at.0, at.1));
        assert!(!self.model.is_by_session(&at) || self.model.session_of(&receiver).is_some(), "{receiver:?}");
        let plainly = at.1 == Lane::DeadLetter || self.model.entities[&at.0].shares_plainly();
        if plainly {
            self.is_fair(deliver);
        }
        let own_ms =
            if receiver.lock_ms == 0 { self.model.entities[&at.0].lock_ms } else { receiver.lock_ms };
        let session = self.model.session_of(&receiver);
        let own = (self.world.now.wall_ms + own_ms, self.world.now.mono_ms + own_ms);
        let (until_ms, deadline_ms) =
            session.as_ref().map_or(own, |(_, hold)| (hold.until_ms, hold.deadline_ms));
        let until_ms = if receiver.deletes { 0 } else { until_ms };
        assert_eq!((deliver.token.shard, deliver.locked_until_ms), (shard, until_ms));
        assert_eq!(deliver.token.lease == 0, receiver.deletes);
        let messages: Vec<_> = messages_of(deliver).collect();
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
            if !plainly {
                self.share(&at, sequence);
            }
            if let Some((id, _)) = &session {
                assert_eq!(self.model.entities[&at.0].next_of(id), Some(sequence), "not in order in {id}");
            }
            let queue = self.model.queue_mut(&at).unwrap();
            if plainly {
                assert_eq!(queue.head(), Some(sequence), "not in order, or locked already");
            }
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

    /// The deferred messages that a receiver asked for, unless this turn has let them go already.
    fn handed_out(&mut self, shard: u16, deliver: &Deliver, handed: &Handed) {
        assert_eq!((deliver.receiver, deliver.token), (handed.receiver, handed.token));
        if handed.token.lease > 0 {
            self.deliveries.push((handed.token, handed.messages.len() as u64));
        }
        let at = (self.ids[&(shard, deliver.queue.entity)].clone(), deliver.queue.lane);
        for (run, index) in messages_of(deliver) {
            let sequence = number(run.page) + u64::from(index);
            let message = self.model.queue(&at).and_then(|queue| queue.messages.get(&sequence));
            let lock = message.and_then(|message| message.lock.as_ref());
            if lock.is_some_and(|lock| lock.token.lease == handed.token.lease) {
                self.is_what_was_sent(shard, deliver.queue, &at, run, index);
            }
        }
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
        assert_eq!((record.enqueued_sequence, record.enqueued_time_ms), message.enqueued);
        assert_eq!(record.redrive_count, message.redriven);
        assert_eq!(record.dead_letter.map(|dead| dead.reason), message.dead);
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
        let receiver = receiver.clone();
        let head = self.model.could_get(&receiver);
        assert!(credit == 0 || head.is_none(), "{key:?} could have got {head:?}");
    }

    /// When nothing has to be read first, whatever can be given out was given out.
    pub fn nobody_waits(&self, shard: u16) {
        for (key, receiver) in self.model.receivers.iter().filter(|(_, receiver)| receiver.shard == shard) {
            let head = self.model.could_get(receiver);
            assert!(receiver.credit == 0 || head.is_none(), "{key:?} waits for {head:?}");
            assert!(receiver.draining.is_empty(), "{key:?} was not told that it is drained");
        }
    }
}
