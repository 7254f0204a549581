//! Sharing out message by message: by balance, capacity units and keys.

use super::balance::{Order, home};
use crate::command::ReceiverKey;
use crate::context::Context;
use crate::key::QueueId;
use crate::limits::LOOK_AHEAD;
use crate::page::Mark;
use crate::queue::{Acquired, Queue};
use crate::receiver::Receiver;
use crate::settings::Balance;
use crate::shard::Shard;
use crate::verbs::receive::breaker::Giving;
use postrider_protocol::limits::{BATCH_BYTES, DELIVERY_MESSAGES};
use postrider_protocol::request::ReceiveMode;
use std::collections::BTreeMap;

/// What a receiver gets at once.
#[derive(Default)]
struct Batch {
    lease: Option<u64>,
    acquired: Acquired,
}

/// A turn's work on one queue.
struct Sharing {
    id: QueueId,
    balance: Balance,
    /// The queue's units.
    units: u64,
    giving: Giving,
    order: Order,
    batches: BTreeMap<ReceiverKey, Batch>,
}

impl Shard {
    /// Gives out what the queue has ready, one message after the other; returns what may still be given out.
    pub(super) fn share_out(&mut self, cx: &Context<'_>, id: QueueId, giving: Giving) -> Giving {
        let Some(settings) = self.sharing(id) else { return giving };
        if self.queues.get(&id).is_none_or(|queue| queue.ready() == 0) {
            return giving;
        }
        let (balance, units, keyed) = (settings.balance, settings.capacity_units, settings.is_keyed());
        let turn = self.shares.get(&id).map_or(0, |share| share.turn);
        let order = Order::new(balance, turn, cx.now.mono_ms);
        let mut sharing = Sharing { id, balance, units, giving, order, batches: BTreeMap::new() };
        let receivers = self.queues.get(&id).map_or_else(Vec::new, |queue| queue.receivers.clone());
        for key in receivers {
            if let Some(receiver) = self.receivers.get_mut(&key).filter(|receiver| giving.is_to(receiver)) {
                sharing.order.join(receiver);
            }
        }
        self.offer_waiting(cx, &mut sharing);
        if keyed {
            self.share_by_key(cx, &mut sharing);
        } else {
            self.share_in_order(cx, &mut sharing);
        }
        if let Some(share) = self.shares.get_mut(&id) {
            share.turn = sharing.order.turn;
        }
        for (key, batch) in sharing.batches {
            self.hand_over(cx, id, key, batch.lease, batch.acquired);
        }
        sharing.giving
    }

    /// The message that waits for units goes before all that could pass it.
    fn offer_waiting(&mut self, cx: &Context<'_>, sharing: &mut Sharing) {
        let Some(share) = self.shares.get_mut(&sharing.id) else { return };
        let Some((place, passed)) = share.waiting.take() else { return };
        if !self.offer(cx, sharing, place)
            && let Some(share) = self.shares.get_mut(&sharing.id)
            && let Some((waiting, so_far)) = &mut share.waiting
            && *waiting == place
        {
            *so_far = passed;
        }
    }

    /// In the order of the queue. Where the first message waits for units, those that fit may pass it.
    fn share_in_order(&mut self, cx: &Context<'_>, sharing: &mut Sharing) {
        while let Some(head) = self.queues.get(&sharing.id).and_then(Queue::head) {
            if sharing.order.is_empty() {
                return;
            }
            if !self.offer(cx, sharing, head) {
                break;
            }
        }
        if self.shares.get(&sharing.id).is_none_or(|share| share.waiting.is_none()) {
            return;
        }
        let places =
            self.queues.get(&sharing.id).map_or_else(Vec::new, |queue| queue.ready_places(LOOK_AHEAD));
        for place in places {
            self.offer(cx, sharing, place);
        }
    }

    /// By turns of the keys; every other message is one that has waited too long for its turn, while there are such.
    fn share_by_key(&mut self, cx: &Context<'_>, sharing: &mut Sharing) {
        if sharing.balance == Balance::KeyHash {
            self.settle_keys(sharing.id);
        }
        let mut passed = 0;
        while !sharing.order.is_empty() && self.has_units(sharing) {
            if let Some(aged) = self.queues.get(&sharing.id).and_then(|queue| queue.aged(cx.now.wall_ms)) {
                self.offer(cx, sharing, aged);
            }
            let rounds = sharing.rounds();
            let most = self.queues.get(&sharing.id).map_or(0, |queue| queue.keys() * rounds.len());
            let mut ended = true;
            for round in rounds {
                let Some(queue) = self.queues.get_mut(&sharing.id) else { return };
                let Some(next) = queue.next_by_key(round) else { continue };
                ended = false;
                if self.offer(cx, sharing, next) {
                    passed = 0;
                } else if let Some(queue) = self.queues.get_mut(&sharing.id) {
                    queue.pass_key(round);
                    passed += 1;
                }
            }
            if ended || passed >= most.min(LOOK_AHEAD) {
                return;
            }
        }
    }

    /// Lets the keys of each receiver take turns by themselves.
    fn settle_keys(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let receivers: Vec<_> = queue.receivers.iter().filter_map(|key| self.receivers.get(key)).collect();
        queue.settle_keys(|key| home(key, receivers.iter().copied()).map(|receiver| receiver.key));
    }

    /// Whether anything can go: units are left, or somebody takes none.
    fn has_units(&self, sharing: &Sharing) -> bool {
        let takes_none = |key| {
            let receiver: Option<&Receiver> = self.receivers.get(&key);
            receiver.is_some_and(|receiver| receiver.mode == ReceiveMode::ReceiveAndDelete)
        };
        self.free_units(sharing.id) > 0 || sharing.order.iter().any(takes_none)
    }

    /// Gives a message to whoever is next, if it may go now; says whether it went.
    fn offer(&mut self, cx: &Context<'_>, sharing: &mut Sharing, place: u64) -> bool {
        let found = self.queues.get(&sharing.id).and_then(|queue| queue.look_at(place));
        let Some((size, mark)) = found.filter(|(_, mark)| mark.expires_ms > cx.now.wall_ms) else {
            return false;
        };
        let cost = u64::from(mark.cost).min(sharing.units);
        let fits = cost <= self.free_units(sharing.id);
        let passes = self.passes(sharing, place, cost);
        let taker = self.taker(sharing, mark, fits && passes);
        match taker {
            Some(taker) => self.give(cx, sharing, place, size, cost, taker),
            None if !fits && self.taker(sharing, mark, true).is_some() => self.waits(sharing.id, place),
            None => {}
        }
        taker.is_some()
    }

    /// Whether a message is the one that waits for units, or may pass it: all that pass it have at most the queue's
    /// units.
    fn passes(&self, sharing: &Sharing, place: u64, cost: u64) -> bool {
        let waiting = self.shares.get(&sharing.id).and_then(|share| share.waiting);
        waiting.is_none_or(|(waiting, passed)| waiting == place || passed + cost <= sharing.units)
    }

    fn waits(&mut self, id: QueueId, place: u64) {
        if let Some(share) = self.shares.get_mut(&id) {
            share.waiting.get_or_insert((place, 0));
        }
    }

    /// Who gets a message. One that does not fit can only be received and deleted: that takes no units.
    fn taker(&self, sharing: &Sharing, mark: Mark, fits: bool) -> Option<ReceiverKey> {
        let takes = |key: &ReceiverKey| {
            let receiver = self.receivers.get(key);
            fits || receiver.is_some_and(|receiver| receiver.mode == ReceiveMode::ReceiveAndDelete)
        };
        if sharing.balance != Balance::KeyHash || mark.key == 0 {
            return sharing.order.iter().find(takes);
        }
        let queue = self.queues.get(&sharing.id)?;
        let receivers = queue.receivers.iter().filter_map(|key| self.receivers.get(key));
        let receiver = home(mark.key, receivers).filter(|receiver| sharing.order.has(receiver))?;
        let holder = self.shares.get(&sharing.id)?.holders.get(&mark.key);
        let is_free = holder.is_none_or(|(owner, _)| *owner == receiver.owner);
        Some(receiver.key).filter(|key| is_free && takes(key))
    }

    fn give(
        &mut self,
        cx: &Context<'_>,
        sharing: &mut Sharing,
        place: u64,
        size: u32,
        cost: u64,
        key: ReceiverKey,
    ) {
        let Some(receiver) = self.receivers.get_mut(&key) else { return };
        let locks = receiver.mode == ReceiveMode::PeekLock;
        sharing.order.leave(receiver);
        receiver.spend(1);
        receiver.deliver(1, u64::from(size));
        sharing.order.join(receiver);
        sharing.giving.left -= 1;
        if sharing.giving.left == 0 {
            sharing.order.close();
        }
        if sharing.batches.get(&key).is_some_and(|batch| batch.is_full(size))
            && let Some(batch) = sharing.batches.remove(&key)
        {
            self.hand_over(cx, sharing.id, key, batch.lease, batch.acquired);
        }
        let batch = sharing.batches.entry(key).or_insert_with(|| {
            self.row.last_lease += u64::from(locks);
            Batch { lease: locks.then_some(self.row.last_lease), acquired: Acquired::default() }
        });
        if let Some(queue) = self.queues.get_mut(&sharing.id) {
            queue.take(place, batch.lease, &mut batch.acquired);
        }
        self.went(sharing.id, place, if locks { cost } else { 0 });
    }

    /// Books that a message went: it waits no more, or it passed the one that waits.
    fn went(&mut self, id: QueueId, place: u64, cost: u64) {
        let Some(share) = self.shares.get_mut(&id) else { return };
        match &mut share.waiting {
            Some((waiting, _)) if *waiting == place => share.waiting = None,
            Some((_, passed)) => *passed += cost,
            None => {}
        }
    }
}

impl Sharing {
    /// The rounds that keys take turns in.
    fn rounds(&self) -> Vec<Option<ReceiverKey>> {
        let of_receivers = self.order.iter().filter(|_| self.balance == Balance::KeyHash);
        std::iter::once(None).chain(of_receivers.map(Some)).collect()
    }
}

impl Batch {
    /// Whether a message of this size belongs into the next one.
    fn is_full(&self, size: u32) -> bool {
        self.acquired.messages >= DELIVERY_MESSAGES as u64
            || self.acquired.bytes + u64::from(size) > BATCH_BYTES as u64
    }
}
