//! Giving messages to receivers, at the end of a turn.
//!
//! The plain way is here: runs of neighbours from the head, to those who hold least. Queues with another `balance`, with
//! capacity units or with a `fair_key` go message by message, in `share`.

mod balance;
mod share;

use crate::command::ReceiverKey;
use crate::context::{Context, Damage};
use crate::effect::{Deliver, Effect};
use crate::key::QueueId;
use crate::lease::{Hold, Lease, LeaseRow};
use crate::queue::{Acquired, Most, Queue};
use crate::receiver::Receiver;
use crate::shard::Shard;
use crate::verbs::receive::breaker::Giving;
use postrider_protocol::limits::{BATCH_BYTES, DELIVERY_MESSAGES};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::ReceiveMode;
use postrider_protocol::token::LockToken;
use std::collections::{BTreeMap, BTreeSet};

/// The receivers that can take something, by how many messages they hold, and then by how many they have had.
struct Line {
    levels: BTreeMap<u64, BTreeSet<(u64, ReceiverKey)>>,
}

impl Line {
    fn of<'a>(receivers: impl Iterator<Item = &'a Receiver>) -> Self {
        let mut line = Line { levels: BTreeMap::new() };
        line.extend(receivers);
        line
    }

    fn extend<'a>(&mut self, receivers: impl IntoIterator<Item = &'a Receiver>) {
        for receiver in receivers {
            self.levels.entry(receiver.outstanding).or_default().insert((receiver.delivered, receiver.key));
        }
    }

    fn remove(&mut self, receiver: &Receiver) {
        if let Some(level) = self.levels.get_mut(&receiver.outstanding) {
            level.remove(&(receiver.delivered, receiver.key));
            if level.is_empty() {
                self.levels.remove(&receiver.outstanding);
            }
        }
    }
}

impl Shard {
    /// Gives out what the queue has ready, to those who hold least of it.
    pub(crate) fn deliver(&mut self, cx: &Context<'_>, id: QueueId) -> Result<(), Damage> {
        if let Some(to) = self.forwards(id) {
            return self.forward(cx, id, &to);
        }
        if self.queues.get(&id).is_some_and(Queue::is_by_session) {
            return self.deliver_sessions(cx, id);
        }
        let mut giving = self.giving(id);
        if giving.left > 0 && self.shares.contains_key(&id) {
            giving = self.share_out(cx, id, giving);
        } else if giving.left > 0 && self.queues.get(&id).is_some_and(Queue::has_next) {
            giving = self.give_out(cx, id, giving);
        }
        self.gave(id, giving);
        self.answer_drains(id, giving);
        let wanted = self.open_receivers(id).any(|receiver| giving.is_to(receiver));
        if let Some(queue) = self.queues.get_mut(&id) {
            self.turn.effects.extend(queue.wants_load(wanted).into_iter().map(Effect::Load));
        }
        Ok(())
    }

    /// Gives out runs of neighbours from the head; returns what may still be given out.
    fn give_out(&mut self, cx: &Context<'_>, id: QueueId, mut giving: Giving) -> Giving {
        let mut line = Line::of(self.open_receivers(id).filter(|receiver| giving.is_to(receiver)));
        while giving.left > 0
            && let Some((receiver, share)) = self.next_share(id, &line)
        {
            line.remove(&self.receivers[&receiver]);
            let given = self.deliver_to(cx, id, receiver, share.min(giving.left));
            if given == 0 {
                break;
            }
            giving.left -= given;
            line.extend(self.receivers.get(&receiver).filter(|receiver| receiver.is_open()));
        }
        giving
    }

    fn open_receivers(&self, id: QueueId) -> impl Iterator<Item = &Receiver> {
        let keys = self.queues.get(&id).map_or(&[][..], |queue| &queue.receivers);
        keys.iter().filter_map(|key| self.receivers.get(key)).filter(|receiver| receiver.is_open())
    }

    /// Who gets messages next, and how many: the one that holds least, up to what the next one holds; where all hold
    /// the same, an equal part. Runs of neighbours so stay together, and the shares come out even.
    fn next_share(&self, id: QueueId, line: &Line) -> Option<(ReceiverKey, u64)> {
        let queue = self.queues.get(&id).filter(|queue| queue.has_next())?;
        let mut levels = line.levels.iter();
        let (least, level) = levels.next()?;
        let ahead = levels.next().map(|(outstanding, _)| outstanding - least);
        let equal = queue.ready().div_ceil(level.len() as u64);
        let share = match ahead {
            Some(ahead) if level.len() == 1 => ahead,
            Some(ahead) => ahead.min(equal),
            None => equal,
        };
        let (_, key) = level.first()?;
        let credit = self.receivers.get(key)?.credit;
        Some((*key, share.clamp(1, u64::from(credit))))
    }

    /// Gives a receiver what comes next; returns how many messages there were that it may have now.
    fn deliver_to(&mut self, cx: &Context<'_>, id: QueueId, key: ReceiverKey, share: u64) -> u64 {
        let Some(receiver) = self.receivers.get_mut(&key) else { return 0 };
        let Some(queue) = self.queues.get_mut(&id) else { return 0 };
        let most = Most {
            messages: share.min(DELIVERY_MESSAGES as u64),
            bytes: BATCH_BYTES as u64,
            units: u64::MAX,
        };
        let lease = (receiver.mode == ReceiveMode::PeekLock).then_some(self.row.last_lease + 1);
        let acquired = queue.acquire(most, lease, cx.now.wall_ms);
        if acquired.messages == 0 {
            return 0;
        }
        let given = acquired.messages;
        receiver.spend(given);
        self.hand_out(cx, id, key, lease, acquired);
        given
    }

    /// Lets a receiver have messages that were taken for it.
    pub(crate) fn hand_out(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        key: ReceiverKey,
        lease: Option<u64>,
        acquired: Acquired,
    ) {
        let Some(receiver) = self.receivers.get_mut(&key) else { return };
        receiver.deliver(acquired.messages, acquired.bytes);
        self.hand_over(cx, id, key, lease, acquired);
    }

    /// Sends a receiver what was booked for it.
    fn hand_over(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        key: ReceiverKey,
        lease: Option<u64>,
        acquired: Acquired,
    ) {
        self.touched.insert(id);
        let (token, locked_until_ms) = match lease {
            Some(lease) => self.lease(cx, id, key, lease, &acquired),
            None => (LockToken { shard: self.id, lease: 0, place: 0, salt: 0 }, 0),
        };
        if let Some(receiver) = self.receivers.get(&key) {
            self.journal.delivered(id, receiver.owner, locked_until_ms, &acquired.runs);
        }
        let deliver = Deliver { receiver: key, queue: id, token, locked_until_ms, runs: acquired.runs };
        self.turn.effects.push(Effect::Deliver(deliver));
    }

    pub(crate) fn lease(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        key: ReceiverKey,
        lease: u64,
        acquired: &Acquired,
    ) -> (LockToken, u64) {
        self.row.last_lease = self.row.last_lease.max(lease);
        let receiver = &self.receivers[&key];
        let own = self.catalog.get(id.entity).map_or(0, |entity| entity.settings.lock_duration_ms);
        let session = self.session_held(id, receiver.owner).map(|(_, lock)| lock);
        // A message is locked for as long as its session, whatever the receiver or the queue say by now.
        let duration_ms = match session {
            Some(lock) => lock.duration_ms,
            None if receiver.lock_duration_ms == 0 => own,
            None => receiver.lock_duration_ms,
        };
        let until_ms = session.map_or(cx.now.wall_ms.saturating_add(duration_ms), |lock| lock.until_ms);
        let hold = |run: &crate::effect::PageRun| Hold {
            page: run.page,
            index: run.index,
            count: run.count,
            attempts: run.attempts,
            until_ms,
            held: true,
        };
        let salt = cx.salt(lease);
        let holds = acquired.runs.iter().map(hold).collect();
        let row =
            LeaseRow { queue: id, owner: receiver.owner, salt, duration_ms, longest_ms: duration_ms, holds };
        let mut made = Lease::new(&row, Some(key), cx.now);
        if let Some(lock) = session {
            made.places.iter_mut().for_each(|place| place.deadline_ms = lock.deadline_ms);
            made.timer_ms = lock.deadline_ms;
        }
        self.insert_lease(lease, made);
        self.touched_leases.insert(lease);
        (LockToken { shard: self.id, lease, place: 0, salt }, until_ms)
    }

    /// Answers the receivers that wait to hear that nothing more is ready. What is not given out at the moment is not.
    fn answer_drains(&mut self, id: QueueId, giving: Giving) {
        let Some(queue) = self.queues.get(&id) else { return };
        let empty = !queue.has_next() && queue.is_all_hot();
        // What such a queue could have given to a receiver that is open it has given.
        let nothing_fits = self.shares.contains_key(&id) && (queue.has_next() || queue.is_all_hot());
        for key in queue.receivers.clone() {
            let Some(receiver) = self.receivers.get_mut(&key) else { continue };
            let waits = giving.is_to(receiver) && receiver.credit > 0;
            if !empty && waits && !(nothing_fits && receiver.is_open()) {
                continue;
            }
            for ticket in std::mem::take(&mut receiver.draining) {
                receiver.credit = 0;
                let reply = Reply::Drained { handle: key.handle, delivered: receiver.delivered };
                self.turn.effects.push(Effect::Reply(ticket, reply));
            }
        }
    }
}
