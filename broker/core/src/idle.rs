//! When entities were used last, which go when nobody uses them for long enough.
//!
//! Use is remembered in memory alone, of entities that have the option `auto_delete_on_idle_ms`; counting begins anew
//! with a start. Whatever uses a subscription uses its topic too.

use crate::limits::IDLE_PER_TICK;
use std::collections::{BTreeMap, BTreeSet};

/// When entities with the option go, on the monotonic clock.
#[derive(Debug, Default)]
pub struct Idle {
    /// By entity: how long it may be idle, and until when it is watched.
    pub watched: BTreeMap<u64, (u64, u64)>,
    /// The same, in the order of the moments.
    pub deadlines: BTreeSet<(u64, u64)>,
    /// Entities that this turn has used.
    pub used: BTreeSet<u64>,
}

impl Idle {
    /// Watches an entity from the end of this turn on, where it may be idle for `idle_ms`; 0 is for ever.
    pub fn watch(&mut self, entity: u64, idle_ms: u64) {
        self.forget(entity);
        if idle_ms > 0 {
            self.watched.insert(entity, (idle_ms, u64::MAX));
            self.used(entity);
        }
    }

    /// Watches an entity no more.
    pub fn forget(&mut self, entity: u64) {
        if let Some((_, deadline_ms)) = self.watched.remove(&entity) {
            self.deadlines.remove(&(deadline_ms, entity));
        }
    }

    /// Whether no entity has the option.
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Notes that an entity was used.
    pub fn used(&mut self, entity: u64) {
        if self.watched.contains_key(&entity) {
            self.used.insert(entity);
        }
    }

    /// Ends the turn: what it has used is idle from `mono_ms` on.
    pub fn seal(&mut self, mono_ms: u64) {
        for entity in std::mem::take(&mut self.used) {
            if let Some((idle_ms, deadline_ms)) = self.watched.get_mut(&entity) {
                self.deadlines.remove(&(*deadline_ms, entity));
                *deadline_ms = mono_ms.saturating_add(*idle_ms);
                self.deadlines.insert((*deadline_ms, entity));
            }
        }
    }

    /// When the next entity has been idle for long enough.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Entities that have been idle for long enough, so many as one tick should look at.
    pub fn due(&self, mono_ms: u64) -> Vec<u64> {
        let due = self.deadlines.iter().take_while(|(deadline_ms, _)| *deadline_ms <= mono_ms);
        due.map(|(_, entity)| *entity).take(IDLE_PER_TICK).collect()
    }
}
