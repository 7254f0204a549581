//! The ids that queues and topics have seen lately.
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
use crate::context::Now;
use crate::fact::{Fact, GenerationRow, IdsRow};
use postrider_protocol::value::Id;
use std::collections::{BTreeMap, BTreeSet};

/// The id of a message that is to be remembered.
#[derive(Debug)]
pub(crate) struct MessageId {
    /// Its canonical text: a number and a text of the same digits are the same id.
    pub text: String,
    pub hash: u64,
}

impl MessageId {
    pub fn of(id: &Id) -> Self {
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
    pub row: GenerationRow,
    /// The ids of the current generation, and of the one before; `None` where only the store knows.
    ids: [Option<Bloom>; 2],
    /// Ids of this turn, each with its message's number.
    pub fresh: BTreeMap<String, u64>,
    /// When the youngest id was seen, as far as it is known. Where the clock goes back it is still to come.
    latest_ms: u64,
}

impl Remembered {
    /// The first generation, with nothing before it.
    pub fn new(now: Now) -> Self {
        let row = GenerationRow { number: 1, begun_ms: now.wall_ms };
        Remembered {
            row,
            ids: [Some(Bloom::default()), Some(Bloom::default())],
            fresh: BTreeMap::new(),
            latest_ms: now.wall_ms,
        }
    }

    /// The generations that may have an id.
    pub fn generations_of(&self, hash: u64) -> impl Iterator<Item = u64> {
        let may_have = |ids: &Option<Bloom>| ids.as_ref().is_none_or(|ids| ids.may_have(hash));
        let numbers = [self.row.number, self.row.number - 1];
        let found = [may_have(&self.ids[0]), may_have(&self.ids[1])];
        numbers.into_iter().zip(found).filter(|(_, found)| *found).map(|(number, _)| number)
    }

    pub fn insert(&mut self, now: Now, id: MessageId, number: u64) {
        self.latest_ms = self.latest_ms.max(now.wall_ms);
        // A set that is full is given up: from then on the store is asked.
        if self.ids[0].as_mut().is_some_and(|ids| !ids.insert(id.hash)) {
            self.ids[0] = None;
        }
        self.fresh.insert(id.text, number);
    }

    /// The next generation begins. It will have about as many ids as the one before.
    pub fn turn_over(&mut self, now: Now) {
        let ids = self.ids[0].as_ref().map_or(0, Bloom::len);
        self.ids = [Some(Bloom::for_ids(ids)), self.ids[0].take()];
        // No id of the one that ends is younger than the one that begins.
        let begun_ms = now.wall_ms.max(self.latest_ms);
        self.row = GenerationRow { number: self.row.number + 1, begun_ms };
    }

    /// Whether nothing was seen since the current generation began.
    pub fn is_idle(&self) -> bool {
        self.ids[0].as_ref().is_some_and(|ids| ids.len() == 0)
    }

    /// What this turn has to remember, where that is anything.
    pub fn seal(&mut self, entity: u64, now: Now) -> Option<Fact> {
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
    pub entities: BTreeMap<u64, Remembered>,
    /// Entities that saw ids in this turn.
    pub fresh: BTreeSet<u64>,
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
