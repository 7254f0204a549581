//! Settling many messages at once.

use super::Receiver;
use crate::connection::{Operation, settlement_bytes};
use crate::delivery::{Delivery, milliseconds};
use crate::error::Error;
use postrider_protocol::limits;
use postrider_protocol::request::Settlement;
use postrider_protocol::token::LockToken;
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::time::Instant;

impl Receiver {
    /// Settles by tokens, each for itself and in the order of `settlements`.
    pub async fn settle_batch(
        &self,
        settlements: Vec<(LockToken, Settlement)>,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let outcomes = self.settle_tokens(settlements).await?;
        Ok(outcomes.into_iter().map(|outcome| outcome.map(drop)).collect())
    }

    /// Completes many deliveries, each for itself and in the order given. Neighbours travel together.
    pub async fn complete_batch(&self, deliveries: &[Delivery]) -> Result<Vec<Result<(), Error>>, Error> {
        self.settle_all(deliveries, &Settlement::Complete).await
    }

    /// Settles many deliveries in the same way, each for itself and in the order given.
    ///
    /// ```no_run
    /// use postrider_client::{Delivery, Settlement};
    /// # async fn run(receiver: postrider_client::Receiver, failed: Vec<Delivery>) -> Result<(), postrider_client::Error> {
    /// let later = Settlement::Abandon { delay_ms: 30_000, properties: Vec::new() };
    /// for settled in receiver.settle_all(&failed, &later).await? {
    ///     settled?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn settle_all(
        &self,
        deliveries: &[Delivery],
        settlement: &Settlement,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        if let Settlement::Renew { duration_ms } = settlement {
            let renewed = self.renew_tokens(deliveries, *duration_ms).await?;
            return Ok(renewed.into_iter().map(|outcome| outcome.map(drop)).collect());
        }
        let locked = deliveries.iter().map(|delivery| (delivery.lock_token(), settlement.clone()));
        let outcomes = self.settle_batch(locked.collect()).await?;
        let done = deliveries.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        done.for_each(|(delivery, _)| delivery.mark_settled());
        Ok(outcomes)
    }

    /// Keeps the locks of many deliveries for `duration` from now, or for the receiver's own duration where it is zero.
    /// Says of each until when.
    pub async fn renew_batch(
        &self,
        deliveries: &[Delivery],
        duration: Duration,
    ) -> Result<Vec<Result<SystemTime, Error>>, Error> {
        self.renew_tokens(deliveries, milliseconds(duration)).await
    }

    async fn renew_tokens(
        &self,
        deliveries: &[Delivery],
        duration_ms: u64,
    ) -> Result<Vec<Result<SystemTime, Error>>, Error> {
        let asked = Instant::now();
        let renewals = deliveries.iter().map(|each| (each.lock_token(), Settlement::Renew { duration_ms }));
        let outcomes = self.settle_tokens(renewals.collect()).await?;
        let pairs = deliveries.iter().zip(outcomes);
        Ok(pairs.map(|(delivery, outcome)| delivery.renewed(asked, outcome?)).collect())
    }

    async fn settle_tokens(
        &self,
        settlements: Vec<(LockToken, Settlement)>,
    ) -> Result<Vec<Result<Option<u64>, Error>>, Error> {
        self.owner.connection.within("settle a batch", self.settle_frames(settlements)).await
    }

    async fn settle_frames(
        &self,
        settlements: Vec<(LockToken, Settlement)>,
    ) -> Result<Vec<Result<Option<u64>, Error>>, Error> {
        let mut outcomes = Vec::with_capacity(settlements.len());
        let mut answers = Vec::new();
        for items in frames(settlements) {
            let (answer, answered) = oneshot::channel();
            self.owner.connection.submit(Operation::SettleMany { items, answer }).await?;
            answers.push(answered);
        }
        for answered in answers {
            outcomes.extend(answered.await.unwrap_or_else(|_| Err(self.owner.connection.why()))?);
        }
        Ok(outcomes)
    }
}

/// Cuts settlements into frames: each of one shard, and within the limits of a batch.
fn frames(settlements: Vec<(LockToken, Settlement)>) -> Vec<Vec<(LockToken, Settlement)>> {
    let mut frames: Vec<Vec<(LockToken, Settlement)>> = Vec::new();
    let mut bytes = 0;
    for (token, settlement) in settlements {
        let size = settlement_bytes(&settlement);
        bytes += size;
        let fits = |last: &Vec<(LockToken, Settlement)>| {
            let same_shard = last.first().is_some_and(|(first, _)| first.shard == token.shard);
            same_shard && last.len() < limits::BATCH_MESSAGES && bytes <= limits::BATCH_BYTES
        };
        match frames.last_mut() {
            Some(last) if fits(last) => last.push((token, settlement)),
            _ => {
                bytes = size;
                frames.push(vec![(token, settlement)]);
            }
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settlements_are_cut_by_shard_and_count() {
        let token = |shard| LockToken { shard, lease: 1, place: 0, salt: 0 };
        let shards = [1, 1, 2, 1].map(|shard| (token(shard), Settlement::Complete));
        assert_eq!(frames(shards.to_vec()).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
        let many = vec![(token(1), Settlement::Complete); limits::BATCH_MESSAGES + 1];
        assert_eq!(frames(many).iter().map(Vec::len).collect::<Vec<_>>(), [limits::BATCH_MESSAGES, 1]);
    }
}
