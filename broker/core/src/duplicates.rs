//! Duplicate detection: which ids a queue or topic has seen within its window.
//!
//! An id is a row under its text, in a *generation*. A generation is as long as the window; when it is over, the next
//! one begins and the one before it goes, all of its rows at once: by then the youngest of them is older than the
//! window.
//!
//! ```text
//!            begun_ms          now
//!  | previous   |   current     |       a row is looked for in both, and counts while it is younger than the window
//! ```
//!
//! Beside a generation that has begun since the shard was loaded there is a [`Bloom`] of its ids, so that a new id
//! costs no look at the store. It is never rebuilt: the rows of an older generation are looked up, until it goes.
//! Why so: `docs/decisions/duplicates.md`.

use crate::bloom::{self, Bloom};
use crate::context::{Context, Damage, Now, Rows};
use crate::fact::{Fact, GenerationRow, IdsRow};
use crate::key::{Alarm, Key, QueueId};
use crate::page::NEVER_MS;
use crate::shard::Shard;
use bytes::Buf;
use postrider_protocol::message::Message;
use postrider_protocol::value::Id;
use std::collections::{BTreeMap, BTreeSet};

/// The id of a message that is to be remembered.
#[derive(Debug)]
pub(crate) struct MessageId {
    /// Its canonical text: a number and a text of the same digits are the same id.
    text: String,
    hash: u64,
}

impl MessageId {
    fn of(id: &Id) -> Self {
        let text = match id {
            Id::Text(text) => text.clone(),
            other => other.to_string(),
        };
        MessageId { hash: bloom::hash(&text), text }
    }

    /// Its canonical text.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// What one entity remembers.
#[derive(Debug)]
pub(crate) struct Remembered {
    row: GenerationRow,
    /// The ids of the current generation, and of the one before; `None` where only the store knows.
    ids: [Option<Bloom>; 2],
    /// Ids of this turn, each with its message's number.
    fresh: BTreeMap<String, u64>,
    /// When the youngest id was seen, as far as it is known. Where the clock goes back it is still to come.
    latest_ms: u64,
}

impl Remembered {
    /// The first generation, with nothing before it.
    fn new(now: Now) -> Self {
        let row = GenerationRow { number: 1, begun_ms: now.wall_ms };
        Remembered {
            row,
            ids: [Some(Bloom::default()), Some(Bloom::default())],
            fresh: BTreeMap::new(),
            latest_ms: now.wall_ms,
        }
    }

    /// The generations that may have an id.
    fn generations_of(&self, hash: u64) -> impl Iterator<Item = u64> {
        let may_have = |ids: &Option<Bloom>| ids.as_ref().is_none_or(|ids| ids.may_have(hash));
        let numbers = [self.row.number, self.row.number - 1];
        let found = [may_have(&self.ids[0]), may_have(&self.ids[1])];
        numbers.into_iter().zip(found).filter(|(_, found)| *found).map(|(number, _)| number)
    }

    fn insert(&mut self, now: Now, id: MessageId, number: u64) {
        self.latest_ms = self.latest_ms.max(now.wall_ms);
        // A set that is full is given up: from then on the store is asked.
        if self.ids[0].as_mut().is_some_and(|ids| !ids.insert(id.hash)) {
            self.ids[0] = None;
        }
        self.fresh.insert(id.text, number);
    }

    /// The next generation begins. It will have about as many ids as the one before.
    fn turn_over(&mut self, now: Now) {
        let ids = self.ids[0].as_ref().map_or(0, Bloom::len);
        self.ids = [Some(Bloom::for_ids(ids)), self.ids[0].take()];
        // No id of the one that ends is younger than the one that begins.
        let begun_ms = now.wall_ms.max(self.latest_ms);
        self.row = GenerationRow { number: self.row.number + 1, begun_ms };
    }

    /// Whether nothing was seen since the current generation began.
    fn is_idle(&self) -> bool {
        self.ids[0].as_ref().is_some_and(|ids| ids.len() == 0)
    }

    /// What this turn has to remember, where that is anything.
    fn seal(&mut self, entity: u64, now: Now) -> Option<Fact> {
        if self.fresh.is_empty() {
            return None;
        }
        let ids = std::mem::take(&mut self.fresh).into_iter().collect();
        Some(Fact::IdsSeen(entity, IdsRow { generation: self.row.number, when_ms: now.wall_ms, ids }))
    }
}

/// What the entities of a shard remember.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    entities: BTreeMap<u64, Remembered>,
    /// Entities that saw ids in this turn.
    fresh: BTreeSet<u64>,
}

impl Duplicates {
    /// In recovery: an entity's current generation.
    pub fn load(&mut self, entity: u64, row: GenerationRow) {
        let remembered =
            Remembered { row, ids: [None, None], fresh: BTreeMap::new(), latest_ms: row.begun_ms };
        self.entities.insert(entity, remembered);
    }

    /// Ends the turn: what must be remembered of it.
    pub fn seal(&mut self, now: Now, facts: &mut Vec<Fact>) {
        for entity in std::mem::take(&mut self.fresh) {
            let remembered = self.entities.get_mut(&entity);
            facts.extend(remembered.and_then(|remembered| remembered.seal(entity, now)));
        }
    }
}

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
