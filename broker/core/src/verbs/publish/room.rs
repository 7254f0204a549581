//! Room in a queue: its limits, and what happens to messages when it is full.

use crate::context::{Context, Damage, Rows};
use crate::key::{Key, KeyRange, QueueId};
use crate::page::NEVER_MS;
use crate::queue::{Event, Queue, Slot};
use crate::shard::Shard;
use crate::verbs::publish::Coming;
use crate::verbs::settle::moves::{At, Cause};
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::message::Incoming;
use postrider_protocol::options::EntityKind;
use std::collections::BTreeSet;

/// The reason of dead letters that found no place in a queue, or made room there.
pub(super) const QUEUE_FULL: &str = "QueueFull";

/// Messages that want to get into a queue.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs {
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

impl Shard {
    /// Refuses a message for a queue that has no room for it. A topic has room: its subscriptions have dead letters.
    pub(crate) fn check_publish(
        &self,
        cx: &Context<'_>,
        entity: u64,
        incoming: &Incoming,
    ) -> Result<(), Refusal> {
        self.needs_of(cx, entity, incoming)
            .map_or(Ok(()), |needs| self.check_room(QueueId::main(entity), needs))
    }

    /// Refuses a batch that is to be taken in as a whole, where the queue has no room for all of it.
    pub(crate) fn check_publish_all<'a>(
        &self,
        cx: &Context<'_>,
        entity: u64,
        batch: impl IntoIterator<Item = &'a Incoming>,
    ) -> Result<Result<(), Refusal>, Damage> {
        let drops = self.catalog.get(entity).is_some_and(|entity| entity.settings.drop_oldest);
        let (mut all, mut ids) = (Needs::default(), BTreeSet::new());
        for incoming in batch {
            if let Some(id) = self.id_of(entity, &incoming.message)
                && (self.number_of(cx, entity, &id)?.is_some() || !ids.insert(id.into_text()))
            {
                continue;
            }
            // A scheduled message needs no room now, but the next one of its id is a duplicate.
            if Coming::sent(incoming).due_ms(cx.now).is_some() {
                continue;
            }
            let Some(needs) = self.needs_of(cx, entity, incoming) else { continue };
            // Where the oldest make room, those of the same batch do so too.
            let earlier = if drops { Needs::default() } else { all };
            all = Needs { messages: earlier.messages + 1, bytes: earlier.bytes + needs.bytes };
            if let Err(refusal) = self.check_room(QueueId::main(entity), all) {
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(()))
    }

    /// What a message asks of a queue with limits that it is sent to; `None` where there is nothing to be checked.
    fn needs_of(&self, cx: &Context<'_>, entity: u64, incoming: &Incoming) -> Option<Needs> {
        let found = self.catalog.get(entity)?;
        if found.row.kind == EntityKind::Topic || !found.settings.is_limited() {
            return None;
        }
        let mark = found.settings.mark(cx.now, &incoming.message, NEVER_MS);
        Some(Needs { messages: 1, bytes: mark.record_bytes(&incoming.bytes, None) })
    }

    /// Refuses what a queue has no room for, also not after all that nobody holds has made room where that is to be.
    pub(crate) fn check_room(&self, id: QueueId, needs: Needs) -> Result<(), Refusal> {
        let (Some(queue), Some(entity)) = (self.queues.get(&id), self.catalog.get(id.entity)) else {
            return Ok(());
        };
        let settings = &entity.settings;
        let (held, bytes, which) = if settings.drop_oldest {
            (queue.locked(), queue.locked_bytes(), "locked ")
        } else {
            (queue.active(), queue.bytes(), "")
        };
        let text = if held.saturating_add(needs.messages) > settings.max_messages {
            let (more, most) = (needs.messages, settings.max_messages);
            format!("is full: it has {held} {which}messages, {more} more wanted; max_messages is {most}")
        } else if bytes.saturating_add(needs.bytes) > settings.max_bytes {
            let (more, most) = (needs.bytes, settings.max_bytes);
            format!(
                "is full: it has {bytes} bytes of {which}messages, {more} more wanted; max_bytes is {most}"
            )
        } else {
            return Ok(());
        };
        Err(Refusal::new(ErrorCode::QuotaExceeded, text).about(&entity.row.name))
    }

    /// Lets the oldest messages that nobody holds make room for one that the queue can hold. In a queue that is over its
    /// limit, because that was lowered, some more than the message needs: the next ones do the rest.
    pub(crate) fn make_room(&mut self, cx: &Context<'_>, id: QueueId, needs: Needs) -> Result<(), Damage> {
        let bytes = |shard: &Shard| shard.queues.get(&id).map_or(0, Queue::bytes);
        let enough = bytes(self).saturating_sub(2 * needs.bytes);
        let mut dropped = 0;
        while !self.fits(id, needs) && (dropped < 2 || bytes(self) > enough) {
            self.drop_oldest(cx, id)?;
            dropped += 1;
        }
        Ok(())
    }

    fn fits(&self, id: QueueId, needs: Needs) -> bool {
        let (Some(queue), Some(entity)) = (self.queues.get(&id), self.catalog.get(id.entity)) else {
            return true;
        };
        queue.active().saturating_add(needs.messages) <= entity.settings.max_messages
            && queue.bytes().saturating_add(needs.bytes) <= entity.settings.max_bytes
    }

    /// A message finds no place in a full queue: it goes to the dead letters, under whose number.
    pub(crate) fn shut_out(&mut self, cx: &Context<'_>, id: QueueId, coming: Coming<'_>, why: &str) -> u64 {
        self.count_dropped(id);
        let cause = Cause { reason: QUEUE_FULL, description: why };
        self.shut_out_of(cx, QueueId::dead_letter(id.entity), coming.record(cx.now), cause)
    }

    /// Moves the oldest message that nobody holds to the dead letters.
    fn drop_oldest(&mut self, cx: &Context<'_>, id: QueueId) -> Result<(), Damage> {
        let Some(at) = self.oldest_free(cx, id)? else {
            let text = format!("{id:?} has messages that nobody holds, but they cannot be found");
            return Err(Damage::new(text));
        };
        let slot = self.queues.get(&id).and_then(|queue| queue.slot(at.page, at.index));
        let failed = slot.and_then(Slot::attempts).unwrap_or(0);
        let cause = Cause { reason: QUEUE_FULL, description: "made room for a newer message" };
        self.copy_to_dead_letters(cx, at, failed, cause)?;
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.change(at.page, at.index, Event::Move);
        }
        self.count_dropped(id);
        Ok(())
    }

    fn count_dropped(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.row_mut().dropped += 1;
            self.touched.insert(id);
        }
    }

    /// The oldest message that nobody holds, of the least urgent ones; its page is in the window then.
    fn oldest_free(&mut self, cx: &Context<'_>, id: QueueId) -> Result<Option<At>, Damage> {
        let levels = self.queues.get(&id).map_or(0, Queue::levels);
        for rank in (0..levels).rev() {
            let mut from = crate::queue::place(rank, 0);
            while let Some(page) = self.next_page(cx, id, rank, from)? {
                if self.queues.get(&id).is_some_and(|queue| queue.is_pending(page)) {
                    self.show_pending(cx.now, id);
                }
                self.fetch_page(cx, id, page)?;
                let free = self.queues.get(&id).and_then(|queue| queue.first_free(page));
                if let Some((index, _)) = free {
                    return Ok(Some(At { queue: id, page, index }));
                }
                from = page + 1;
            }
        }
        Ok(None)
    }

    /// The first page of a strand from a place on that may have a message nobody holds, wherever it is.
    fn next_page(
        &self,
        cx: &Context<'_>,
        id: QueueId,
        rank: usize,
        from: u64,
    ) -> Result<Option<u64>, Damage> {
        let Some(queue) = self.queues.get(&id) else { return Ok(None) };
        let known = queue.first_page(rank, from);
        for (from, to) in queue.cold_between(rank, from, known.unwrap_or(u64::MAX)) {
            let mut stored = None;
            self.rows(cx).scan(&KeyRange::pages(self.id, id, from, to), &mut |key, _| {
                if let Key::Page(_, _, first) = Key::decode(key)? {
                    stored = Some(first);
                }
                Ok(false)
            })?;
            if stored.is_some() {
                return Ok(stored);
            }
        }
        Ok(known)
    }
}
