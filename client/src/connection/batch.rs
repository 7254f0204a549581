//! Batches: publishes of one sender become one frame, settlements of one shard become one frame.

use super::operation::{SendOutcome, Waiter};
use bytes::Bytes;
use postrider_protocol::limits;
use postrider_protocol::request::{SettleItem, Settlement};
use postrider_protocol::token::LockToken;
use postrider_protocol::value::Value;

/// Messages of one sender on their way into one frame.
pub(super) struct PublishBatch {
    pub sender: u32,
    pub atomic: bool,
    pub messages: Vec<Bytes>,
    pub bytes: usize,
    pub waiters: Vec<Waiter<SendOutcome>>,
    /// Room of the pipeline that the confirm frees.
    pub weight: usize,
}

impl PublishBatch {
    pub fn new(sender: u32, atomic: bool) -> Self {
        PublishBatch { sender, atomic, messages: Vec::new(), bytes: 0, waiters: Vec::new(), weight: 0 }
    }

    /// Whether so many more messages and bytes still fit. An empty batch takes anything.
    pub fn fits(&self, messages: usize, bytes: usize) -> bool {
        let fits = self.messages.len() + messages <= limits::BATCH_MESSAGES
            && self.bytes + bytes <= limits::BATCH_BYTES;
        self.messages.is_empty() || (fits && !self.atomic)
    }

    pub fn push(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.messages.push(message);
    }
}

/// Settlements of one shard on their way into one frame.
pub(super) struct SettleBatch {
    pub shard: u16,
    pub items: Vec<SettleItem>,
    /// Messages settled by all items together.
    pub tokens: usize,
    pub bytes: usize,
    pub waiters: Vec<Waiter<Option<u64>>>,
}

impl SettleBatch {
    pub fn new(shard: u16) -> Self {
        SettleBatch { shard, items: Vec::new(), tokens: 0, bytes: 0, waiters: Vec::new() }
    }

    /// Whether so many more settlements and bytes still fit. An empty batch takes anything.
    pub fn fits(&self, tokens: usize, bytes: usize) -> bool {
        let fits =
            self.tokens + tokens <= limits::BATCH_MESSAGES && self.bytes + bytes <= limits::BATCH_BYTES;
        self.items.is_empty() || fits
    }

    /// Adds a settlement; a neighbour of the one before lengthens its run.
    pub fn push(&mut self, token: LockToken, settlement: Settlement) {
        self.tokens += 1;
        self.bytes += settlement_bytes(&settlement);
        match self.items.last_mut() {
            Some(last) if continues(last, &token, &settlement) => last.run += 1,
            _ => self.items.push(SettleItem { token, run: 1, settlement }),
        }
    }
}

/// Whether `token` is the next place of the lease that `last` is about, and the same is to happen to it.
fn continues(last: &SettleItem, token: &LockToken, settlement: &Settlement) -> bool {
    let next = u32::from(last.token.place) + u32::from(last.run);
    let neighbours =
        LockToken { place: token.place, ..last.token } == *token && next == u32::from(token.place);
    let same = match settlement {
        Settlement::Complete | Settlement::Release => last.settlement == *settlement,
        _ => false,
    };
    neighbours && same && last.run < u16::MAX
}

/// About as many bytes as the settlement takes on the wire.
pub(crate) fn settlement_bytes(settlement: &Settlement) -> usize {
    let properties =
        |list: &[(String, Value)]| list.iter().map(|(name, value)| 5 + name.len() + value.size()).sum();
    let fields: usize = match settlement {
        Settlement::Abandon { properties: list, .. } | Settlement::Defer { properties: list } => {
            properties(list)
        }
        Settlement::DeadLetter { reason, description, properties: list } => {
            reason.len() + description.len() + properties(list)
        }
        _ => 0,
    };
    32 + fields
}

/// The outcome of each token, from outcomes that are counted in tokens or, where the broker answers a run at a time,
/// in items. `None` when the counts fit neither.
pub(super) fn per_token<T: Clone>(outcomes: Vec<(u32, T)>, runs: &[u16], tokens: usize) -> Option<Vec<T>> {
    let counted: usize = outcomes.iter().map(|(items, _)| *items as usize).sum();
    let each = || outcomes.iter().flat_map(|(items, outcome)| std::iter::repeat_n(outcome, *items as usize));
    if counted == tokens {
        return Some(each().cloned().collect());
    }
    let by_run =
        || runs.iter().zip(each()).flat_map(|(run, outcome)| std::iter::repeat_n(outcome, usize::from(*run)));
    (counted == runs.len()).then(|| by_run().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(lease: u64, place: u16) -> LockToken {
        LockToken { shard: 1, lease, place, salt: lease as u32 * 7 }
    }

    fn runs(batch: &SettleBatch) -> Vec<(u64, u16, u16)> {
        batch.items.iter().map(|item| (item.token.lease, item.token.place, item.run)).collect()
    }

    #[test]
    fn neighbours_become_one_item() {
        let mut batch = SettleBatch::new(1);
        for (lease, place) in [(1, 0), (1, 1), (1, 2), (1, 4), (2, 5), (2, 6), (2, 6), (2, 5)] {
            batch.push(token(lease, place), Settlement::Complete);
        }
        assert_eq!(runs(&batch), [(1, 0, 3), (1, 4, 1), (2, 5, 2), (2, 6, 1), (2, 5, 1)]);
        assert_eq!(batch.tokens, 8);
    }

    #[test]
    fn only_equal_completes_and_releases_share_an_item() {
        let mut batch = SettleBatch::new(1);
        let abandon = Settlement::Abandon { delay_ms: 0, properties: Vec::new() };
        batch.push(token(1, 0), Settlement::Complete);
        batch.push(token(1, 1), Settlement::Release);
        batch.push(token(1, 2), Settlement::Release);
        batch.push(token(1, 3), abandon.clone());
        batch.push(token(1, 4), abandon);
        batch.push(LockToken { salt: 99, ..token(1, 5) }, Settlement::Complete);
        assert_eq!(runs(&batch), [(1, 0, 1), (1, 1, 2), (1, 3, 1), (1, 4, 1), (1, 5, 1)]);
    }

    #[test]
    fn a_batch_ends_at_either_limit() {
        let mut batch = PublishBatch::new(1, false);
        assert!(batch.fits(1, 100 * limits::BATCH_BYTES), "a large message travels alone");
        batch.push(Bytes::from_static(&[0; 10]));
        assert!(batch.fits(limits::BATCH_MESSAGES - 1, limits::BATCH_BYTES - 10));
        assert!(!batch.fits(limits::BATCH_MESSAGES, 0));
        assert!(!batch.fits(1, limits::BATCH_BYTES - 9));
        batch.atomic = true;
        assert!(!batch.fits(1, 1), "an atomic batch is one call's");
    }

    #[test]
    fn outcomes_spread_over_tokens() {
        assert_eq!(per_token(vec![(2, 'a'), (1, 'b')], &[2, 1], 3), Some(vec!['a', 'a', 'b']));
        assert_eq!(per_token(vec![(1, 'a'), (1, 'b')], &[2, 1], 3), Some(vec!['a', 'a', 'b']));
        assert_eq!(per_token(vec![(4, 'a')], &[2, 1], 3), None);
    }
}
