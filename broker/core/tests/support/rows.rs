//! A store in memory.

use bytes::Bytes;
use postrider_core::apply::{self, Write};
use postrider_core::context::{Damage, Rows, Visit};
use postrider_core::fact::Fact;
use postrider_core::key::{Key, KeyRange};
use std::collections::BTreeMap;

/// Rows by the bytes of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryRows(pub BTreeMap<Vec<u8>, Bytes>);

impl MemoryRows {
    /// Applies the facts of a turn.
    pub fn apply(&mut self, shard: u16, facts: &[Fact]) {
        apply::apply(shard, facts, &mut |write| self.write(write));
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Put(key, value) => {
                let before = self.0.insert(key.encode(), value);
                let once = matches!(key, Key::Page(..));
                assert!(!once || before.is_none(), "{key:?} is deleted singly, and may be put only once");
            }
            Write::Delete(key) => _ = self.0.remove(&key.encode()),
            Write::SingleDelete(key) => {
                assert!(
                    self.0.remove(&key.encode()).is_some(),
                    "{key:?} is deleted singly, but is not there"
                );
            }
            Write::DeleteRange(range) => self.0.retain(|key, _| !(range.from <= *key && *key < range.to)),
        }
    }

    /// The rows of a range.
    pub fn range(&self, range: &KeyRange) -> impl Iterator<Item = (Key, &Bytes)> {
        let found = self.0.range(range.from.clone()..range.to.clone());
        found.map(|(key, value)| (Key::decode(key).unwrap(), value))
    }
}

impl Rows for MemoryRows {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Damage> {
        Ok(self.0.get(&key.encode()).cloned())
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), Damage> {
        for (key, value) in self.0.range(range.from.clone()..range.to.clone()) {
            if !visit(key, value)? {
                break;
            }
        }
        Ok(())
    }
}
