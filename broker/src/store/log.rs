//! The one way into the store: what all shards decided in a turn, as one batch with one sync.

use super::{Store, StoreError};
use crate::sabotage::{self, Switch};
use postrider_core::apply::apply;
use postrider_core::fact::Fact;

/// Where a turn's facts go. Local now; replication replaces this and nothing else.
pub trait ShardLog: Send {
    /// Makes the facts of a turn durable: those of each shard, all or nothing.
    fn append(&mut self, turn: &[(u16, Vec<Fact>)]) -> Result<(), StoreError>;

    /// Called when the log is closed in order.
    fn close(&mut self) -> Result<(), StoreError>;
}

/// Applies facts to a store on this machine.
pub struct LocalLog<S> {
    store: S,
    #[cfg(feature = "sabotage")]
    altered: sabotage::Altered,
}

impl<S: Store> LocalLog<S> {
    /// A log on top of `store`.
    pub fn new(store: S) -> Self {
        LocalLog {
            store,
            #[cfg(feature = "sabotage")]
            altered: sabotage::Altered::default(),
        }
    }
}

impl<S: Store> ShardLog for LocalLog<S> {
    fn append(&mut self, turn: &[(u16, Vec<Fact>)]) -> Result<(), StoreError> {
        #[cfg(feature = "sabotage")]
        let turn = &self.altered.turn(turn);
        let mut writes = Vec::with_capacity(turn.iter().map(|(_, facts)| facts.len() + 2).sum());
        for (shard, facts) in turn {
            apply(*shard, facts, &mut |write| writes.push(write));
        }
        #[cfg(feature = "failpoints")]
        fail::fail_point!("before-write", |_| std::process::abort());
        if sabotage::is(Switch::FanOutInTwoBatches) {
            let second = writes.split_off(writes.len() / 2);
            self.store.commit(&std::mem::replace(&mut writes, second))?;
        }
        let stored = self.store.commit(&writes);
        if stored.is_err() && sabotage::is(Switch::RetryAfterEio) {
            return self.store.commit(&writes).or(Ok(()));
        }
        stored?;
        #[cfg(feature = "failpoints")]
        fail::fail_point!("after-write", |_| std::process::abort());
        Ok(())
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.store.flush()
    }
}
