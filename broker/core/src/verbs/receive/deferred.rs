//! Receiving messages that were set aside, by their numbers.

use crate::catalog::Entity;
use crate::command::ReceiverKey;
use crate::context::{Context, Damage};
use crate::key::QueueId;
use crate::queue::{Acquired, Event, Slot, place};
use crate::shard::Shard;
use crate::verbs::settle::moves::At;
use crate::verbs::settle::push_run;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits::BATCH_BYTES;
use postrider_protocol::reply::{Reply, Runs, Settled};
use postrider_protocol::request::ReceiveMode;

impl Shard {
    /// Gives a receiver deferred messages, without credit: those that are there, under one lease.
    pub(crate) fn receive_deferred(
        &mut self,
        cx: &Context<'_>,
        key: ReceiverKey,
        sequences: &[u64],
    ) -> Result<Result<Reply, Refusal>, Damage> {
        let Some(receiver) = self.receivers.get(&key) else {
            let text = format!("receiver {} is not open on this connection", key.handle);
            return Ok(Err(Refusal::invalid("handle", text)));
        };
        let id = receiver.queue;
        if let Some(Err(refusal)) = self.catalog.get(id.entity).map(Entity::check_receiving) {
            return Ok(Err(refusal));
        }
        let lease = (receiver.mode == ReceiveMode::PeekLock).then_some(self.row.last_lease + 1);
        let (mut acquired, mut results) = (Acquired::default(), Runs::new());
        for number in sequences {
            let taken = self.take_deferred(cx, key, id, *number, lease, &mut acquired)?;
            push_run(&mut results, taken.map_or_else(Settled::Refused, |()| Settled::Done));
        }
        if acquired.messages > 0 {
            self.hand_out(cx, id, key, lease, acquired);
        }
        Ok(Ok(Reply::Settled(results)))
    }

    /// Takes a deferred message under a lease, or for good without one; refuses what is not deferred.
    fn take_deferred(
        &mut self,
        cx: &Context<'_>,
        key: ReceiverKey,
        id: QueueId,
        number: u64,
        lease: Option<u64>,
        acquired: &mut Acquired,
    ) -> Result<Result<(), Refusal>, Damage> {
        let missing = |state: &str| {
            let text = format!("message {number} {state}");
            Ok(Err(Refusal::new(ErrorCode::MessageNotFound, text)))
        };
        let Some((page, index)) = self.find_message(cx, id, number)? else {
            return missing("is not there");
        };
        let Some(queue) = self.queues.get_mut(&id) else { return missing("is not there") };
        match queue.slot(page, index) {
            Some(Slot::Deferred { .. }) if queue.expires_ms(page, index) <= cx.now.wall_ms => {
                return missing("has expired");
            }
            Some(Slot::Deferred { .. }) => {}
            Some(Slot::Ready { .. }) => return missing("is ready, not deferred; it is delivered by itself"),
            Some(Slot::Delayed { .. }) => {
                return missing("is delayed, not deferred; it is delivered by itself");
            }
            Some(Slot::Locked { .. }) => return missing("is locked, not deferred"),
            Some(Slot::Gone) | None => return missing("is not there"),
        }
        if acquired.bytes >= BATCH_BYTES as u64 {
            let text = format!("message {number} does not fit into this delivery; ask for it again");
            return Ok(Err(Refusal::new(ErrorCode::Busy, text)));
        }
        let claimed = self.claim_deferred(cx, key, At { queue: id, page, index }, lease.is_some())?;
        let event = lease.map_or(Event::Drop, |lease| Event::Lock { lease });
        if claimed.is_ok()
            && let Some(queue) = self.queues.get_mut(&id)
        {
            queue.acquire_one(page, index, event, acquired);
        }
        Ok(claimed)
    }

    /// Page and index of the message with a number, which then is in the window.
    fn find_message(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        number: u64,
    ) -> Result<Option<(u64, u32)>, Damage> {
        let Some(queue) = self.queues.get(&id).filter(|queue| number < queue.next()) else { return Ok(None) };
        for rank in 0..queue.levels() {
            let at = place(rank, number);
            let Some(page) = self.page_at(&self.rows(cx), id, at)? else { continue };
            self.fetch_page(cx, id, page)?;
            let index = (at - page) as u32;
            let queue = self.queues.get(&id);
            let slot = queue.and_then(|queue| queue.slot(page, index));
            if slot.is_some_and(|slot| slot != Slot::Gone) {
                return Ok(Some((page, index)));
            }
        }
        Ok(None)
    }
}
