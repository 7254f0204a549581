//! A log that keeps a shadow replica: what it is given is encoded, decoded, and applied to a second store.

use bytes::Bytes;
use postrider::store::{LocalLog, MemoryStore, ShardLog, Store, StoreError};
use postrider_core::context::Rows;
use postrider_core::fact::{self, Fact};
use postrider_core::key::KeyRange;
use std::collections::BTreeMap;

/// All rows of a store.
pub type AllRows = BTreeMap<Vec<u8>, Bytes>;

/// The log of a leader whose only follower is a store in memory.
pub struct Tee<S> {
    leader: LocalLog<S>,
    follower: LocalLog<MemoryStore>,
    /// The last position of each shard.
    positions: BTreeMap<u16, u64>,
}

impl<S: Store> Tee<S> {
    /// A log on top of `leader`, with a replica that is as it is now.
    pub fn new(leader: S, follower: MemoryStore) -> Self {
        Tee { leader: LocalLog::new(leader), follower: LocalLog::new(follower), positions: BTreeMap::new() }
    }

    /// Positions have no gaps, and every turn ends with its own.
    fn check_position(&mut self, shard: u16, facts: &[Fact]) -> Result<(), StoreError> {
        let Some(Fact::ShardState(row)) = facts.last() else {
            return Err(StoreError::new(format!("a turn of shard {shard} does not end with its position")));
        };
        match self.positions.insert(shard, row.position) {
            Some(before) if row.position != before + 1 => {
                Err(StoreError::new(format!("shard {shard}: position {} follows {before}", row.position)))
            }
            None if row.position != 1 => {
                Err(StoreError::new(format!("shard {shard}: the first position is {}", row.position)))
            }
            _ => Ok(()),
        }
    }
}

impl<S: Store> ShardLog for Tee<S> {
    fn append(&mut self, turn: &[(u16, Vec<Fact>)]) -> Result<(), StoreError> {
        self.leader.append(turn)?;
        for (shard, facts) in turn {
            self.check_position(*shard, facts)?;
            let received = fact::decode(fact::encode(*shard, facts))?;
            if (received.0, &received.1) != (*shard, facts) {
                return Err(StoreError::new("facts changed on their way to the replica"));
            }
            self.follower.append(&[received])?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.leader.close()
    }
}

/// All rows of a store, by a scan.
pub fn all_rows(store: &impl Rows) -> AllRows {
    let everything = KeyRange { from: vec![], to: vec![0xff; 64] };
    let mut rows = AllRows::new();
    let keep = &mut |key: &[u8], value: &[u8]| {
        rows.insert(key.to_vec(), Bytes::copy_from_slice(value));
        Ok(true)
    };
    store.scan(&everything, keep).expect("the store can be read");
    rows
}

/// Panics with the keys that differ.
pub fn assert_same(leader: &AllRows, follower: &AllRows) {
    let differs = |key: &&Vec<u8>| leader.get(*key) != follower.get(*key);
    let keys: Vec<_> = leader.keys().chain(follower.keys()).filter(differs).take(10).collect();
    let named: Vec<_> = keys.iter().map(|key| postrider_core::key::Key::decode(key)).collect();
    assert!(keys.is_empty(), "the replica differs in {named:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::fact::ShardRow;

    fn turn(position: u64) -> Vec<(u16, Vec<Fact>)> {
        vec![(0, vec![Fact::ShardState(ShardRow { position, ..ShardRow::default() })])]
    }

    #[test]
    fn a_gap_in_the_positions_is_an_error() {
        let mut tee = Tee::new(MemoryStore::new(), MemoryStore::new());
        tee.append(&turn(1)).expect("the first");
        tee.append(&turn(2)).expect("the second");
        assert!(tee.append(&turn(4)).is_err() && tee.append(&turn(4)).is_err());
        assert!(Tee::new(MemoryStore::new(), MemoryStore::new()).append(&turn(2)).is_err());
        assert!(tee.append(&[(1, vec![Fact::EntityGone(1)])]).is_err());
    }

    #[test]
    #[should_panic(expected = "the replica differs")]
    fn a_missing_row_is_found() {
        let (leader, follower) = (MemoryStore::new(), MemoryStore::new());
        LocalLog::new(leader.clone()).append(&turn(1)).expect("memory takes it");
        assert_same(&all_rows(&leader), &all_rows(&follower));
    }
}
