//! Duplicate detection: a message whose id was seen within the window of its queue or topic is not stored again. How
//! ids are kept is in [`crate::seen`].

use crate::context::{Context, Damage, Now, Rows};
use crate::fact::Fact;
use crate::key::{Alarm, Key, QueueId};
use crate::page::NEVER_MS;
use crate::seen::{MessageId, Remembered};
use crate::shard::Shard;
use bytes::Buf;
use postrider_protocol::message::Message;

impl Shard {
    /// The id under which a message is remembered; `None` where it has none, or its entity has no window.
    pub(crate) fn id_of(&self, entity: u64, message: &Message) -> Option<MessageId> {
        self.dedup_window_ms(entity)?;
        message.message_id.as_ref().map(MessageId::of)
    }

    fn dedup_window_ms(&self, entity: u64) -> Option<u64> {
        let window_ms = self.catalog.get(entity)?.settings.dedup_window_ms;
        (window_ms > 0).then_some(window_ms)
    }

    /// The number of the message that had this id within the window.
    pub(crate) fn number_of(
        &self,
        cx: &Context<'_>,
        entity: u64,
        id: &MessageId,
    ) -> Result<Option<u64>, Damage> {
        let Some(remembered) = self.duplicates.entities.get(&entity) else { return Ok(None) };
        if let Some(number) = remembered.fresh.get(&id.text) {
            return Ok(Some(*number));
        }
        let window_ms = self.dedup_window_ms(entity).unwrap_or(0);
        for generation in remembered.generations_of(id.hash) {
            let key = Key::SeenId(self.id, entity, generation, id.text.clone());
            let Some(mut row) = self.rows(cx).get(&key)? else { continue };
            let damage = |_| Damage::new(format!("{key:?} is not a time and a number"));
            let when_ms = row.try_get_u64().map_err(damage)?;
            let number = row.try_get_u64().map_err(damage)?;
            if cx.now.wall_ms < when_ms.saturating_add(window_ms) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// Remembers the id of a message that was taken in under a number.
    pub(crate) fn remember_id(&mut self, now: Now, entity: u64, id: MessageId, number: u64) {
        if !self.duplicates.entities.contains_key(&entity) {
            let first = Remembered::new(now);
            self.remember(Fact::Generation(entity, first.row));
            self.duplicates.entities.insert(entity, first);
            self.set_window_alarm(entity);
        }
        if let Some(remembered) = self.duplicates.entities.get_mut(&entity) {
            remembered.insert(now, id, number);
            self.duplicates.fresh.insert(entity);
        }
    }

    /// Counts a message that was not stored again.
    pub(crate) fn count_duplicate(&mut self, entity: u64) {
        let id = QueueId::main(entity);
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.row_mut().duplicates += 1;
            self.touched.insert(id);
        } else if let Some(topic) = self.catalog.get_mut(entity) {
            topic.topic.duplicates += 1;
            self.touched_topics.insert(entity);
        }
    }

    /// The current generation of an entity is over, if the clock says so: the next one begins, or nothing is left to
    /// be remembered.
    pub(crate) fn ring_window(&mut self, cx: &Context<'_>, entity: u64) {
        if self.window_alarm(entity).is_none_or(|alarm| alarm.when_ms > cx.now.wall_ms) {
            return;
        }
        let Some(remembered) = self.duplicates.entities.get_mut(&entity) else { return };
        if remembered.is_idle() {
            self.duplicates.entities.remove(&entity);
            self.remember(Fact::IdsGone(entity));
            return;
        }
        let last = remembered.seal(entity, cx.now);
        remembered.turn_over(cx.now);
        let next = Fact::Generation(entity, remembered.row);
        last.into_iter().chain([next]).for_each(|fact| self.remember(fact));
        self.set_window_alarm(entity);
    }

    /// When the current generation of an entity is over.
    fn window_alarm(&self, entity: u64) -> Option<Alarm> {
        let remembered = self.duplicates.entities.get(&entity)?;
        let when_ms = remembered.row.begun_ms.saturating_add(self.dedup_window_ms(entity)?);
        Some(Alarm::window(when_ms.min(NEVER_MS - 1), entity))
    }

    fn set_window_alarm(&mut self, entity: u64) {
        let alarm = self.window_alarm(entity);
        self.turn.facts.extend(alarm.map(Fact::AlarmSet));
    }

    /// Changes an entity's options by `change`, and its window with them. A longer window has what is still kept; one
    /// that is switched off keeps nothing.
    pub(crate) fn change_window(&mut self, entity: u64, change: impl FnOnce(&mut Shard)) {
        let before = self.window_alarm(entity);
        change(self);
        let after = self.window_alarm(entity);
        if before == after {
            return;
        }
        self.turn.facts.extend(before.map(Fact::AlarmGone));
        self.turn.facts.extend(after.map(Fact::AlarmSet));
        if after.is_none() && self.duplicates.entities.remove(&entity).is_some() {
            self.remember(Fact::IdsGone(entity));
        }
    }

    /// Checks what must always be true between turns; says what is not.
    pub(crate) fn check_duplicates(&self) -> Result<(), String> {
        for (entity, remembered) in &self.duplicates.entities {
            if self.dedup_window_ms(*entity).is_none() {
                return Err(format!("entity {entity} remembers ids, but has no window"));
            }
            if remembered.row.number == 0 || !remembered.fresh.is_empty() {
                return Err(format!("entity {entity} has ids that were not sealed: {:?}", remembered.row));
            }
        }
        Ok(())
    }
}
