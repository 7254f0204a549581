//! What this turn has written already, in front of the rows of earlier turns: for what is looked up by its key in the
//! turn that may have put it there.

use crate::apply::Write;
use crate::context::{Damage, Rows, Visit};
use crate::key::{Key, KeyRange};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Writes of a turn that is not over.
#[derive(Debug, Default)]
pub struct Staged {
    /// By the keys' bytes; `None` for what is gone.
    rows: BTreeMap<Vec<u8>, Option<Bytes>>,
    /// Ranges of earlier turns' rows that are gone.
    gone: Vec<KeyRange>,
}

impl Staged {
    /// Takes over a write.
    pub fn write(&mut self, write: Write) {
        match write {
            Write::Put(key, value) => _ = self.rows.insert(key.encode(), Some(value)),
            Write::Delete(key) | Write::SingleDelete(key) => _ = self.rows.insert(key.encode(), None),
            Write::DeleteRange(range) => {
                self.rows.retain(|key, _| !contains(&range, key));
                self.gone.push(range);
            }
        }
    }

    /// Forgets everything: the turn is over.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.gone.clear();
    }

    fn is_gone(&self, key: &[u8]) -> bool {
        self.gone.iter().any(|range| contains(range, key))
    }
}

/// The rows as they are within a turn.
pub struct StagedRows<'a> {
    /// What the turn has written.
    pub staged: &'a Staged,
    /// The rows of earlier turns.
    pub rows: &'a dyn Rows,
}

impl Rows for StagedRows<'_> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Damage> {
        let bytes = key.encode();
        match self.staged.rows.get(&bytes) {
            Some(value) => Ok(value.clone()),
            None if self.staged.is_gone(&bytes) => Ok(None),
            None => self.rows.get(key),
        }
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), Damage> {
        let mut fresh = self.staged.rows.range(range.from.clone()..range.to.clone()).peekable();
        let mut goes_on = true;
        self.rows.scan(range, &mut |key, value| {
            while let Some((earlier, written)) = fresh.next_if(|(fresh, _)| fresh.as_slice() < key) {
                if let Some(written) = written {
                    goes_on = goes_on && visit(earlier, written)?;
                }
            }
            let written = fresh.next_if(|(fresh, _)| fresh.as_slice() == key);
            goes_on = goes_on
                && match written {
                    Some((key, Some(written))) => visit(key, written)?,
                    Some((_, None)) => true,
                    None => self.staged.is_gone(key) || visit(key, value)?,
                };
            Ok(goes_on)
        })?;
        for (key, written) in fresh {
            if let Some(written) = written {
                goes_on = goes_on && visit(key, written)?;
            }
        }
        Ok(())
    }
}

fn contains(range: &KeyRange, key: &[u8]) -> bool {
    range.from.as_slice() <= key && key < range.to.as_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stored(BTreeMap<Vec<u8>, Bytes>);

    impl Rows for Stored {
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

    fn key(entity: u64) -> Key {
        Key::Entity(1, entity)
    }

    fn seen(rows: &StagedRows<'_>, most: usize) -> Vec<(Key, Bytes)> {
        let mut seen = Vec::new();
        rows.scan(&KeyRange::entities(1), &mut |key, value| {
            seen.push((Key::decode(key)?, Bytes::copy_from_slice(value)));
            Ok(seen.len() < most)
        })
        .unwrap();
        seen
    }

    #[test]
    fn what_the_turn_wrote_stands_before_what_was_there() {
        let text = Bytes::from_static;
        let stored = [(1, "a"), (3, "c"), (5, "e"), (7, "g")];
        let stored = Stored(stored.map(|(at, value)| (key(at).encode(), text(value.as_bytes()))).into());
        let mut staged = Staged::default();
        let rest = KeyRange { from: key(7).encode(), to: key(9).encode() };
        staged.write(Write::DeleteRange(rest));
        for write in [
            Write::Put(key(2), text(b"B")),
            Write::Put(key(3), text(b"C")),
            Write::Delete(key(5)),
            Write::Put(key(8), text(b"H")),
        ] {
            staged.write(write);
        }
        let rows = StagedRows { staged: &staged, rows: &stored };
        let expected =
            [(1, "a"), (2, "B"), (3, "C"), (8, "H")].map(|(at, value)| (key(at), text(value.as_bytes())));
        for most in 1..=expected.len() {
            assert_eq!(seen(&rows, most), expected[..most], "the first {most}");
        }
        for (at, value) in [(2, Some("B")), (3, Some("C")), (5, None), (7, None), (1, Some("a"))] {
            assert_eq!(rows.get(&key(at)).unwrap(), value.map(|value| text(value.as_bytes())));
        }
        staged.clear();
        assert_eq!(seen(&StagedRows { staged: &staged, rows: &stored }, 9).len(), 4);
    }
}
