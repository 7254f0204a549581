//! Producers that publish as fast as confirms allow.

use super::Load;
use crate::client::Publisher;
use crate::ours;
use anyhow::Result;
use std::collections::VecDeque;
use std::sync::Arc;

/// Publishes one by one, with a bounded number of messages that wait for their confirm.
pub async fn publish_singly<P: Publisher>(publisher: P, load: Arc<Load>) -> Result<()> {
    let mut unconfirmed = VecDeque::with_capacity(load.unconfirmed);
    while load.begin(1) {
        unconfirmed.push_back(publisher.enqueue(load.bodies.next()).await?);
        if unconfirmed.len() == load.unconfirmed
            && let Some(oldest) = unconfirmed.pop_front()
        {
            P::stored(oldest).await?;
            load.confirmed(1);
        }
    }
    for confirm in unconfirmed {
        P::stored(confirm).await?;
        load.confirmed(1);
    }
    publisher.close().await
}

/// Publishes in batches, so many of them at once.
pub async fn publish_in_batches(publisher: ours::Publisher, load: Arc<Load>, batches: usize) -> Result<()> {
    let publisher = Arc::new(publisher);
    let mut lanes = tokio::task::JoinSet::new();
    for _ in 0..batches {
        lanes.spawn(one_batch_after_the_other(publisher.clone(), load.clone()));
    }
    while let Some(ended) = lanes.join_next().await {
        ended??;
    }
    match Arc::into_inner(publisher) {
        Some(publisher) => publisher.close().await,
        None => Ok(()),
    }
}

async fn one_batch_after_the_other(publisher: Arc<ours::Publisher>, load: Arc<Load>) -> Result<()> {
    while load.begin(load.unconfirmed) {
        publisher.send_batch((0..load.unconfirmed).map(|_| load.bodies.next())).await?;
        load.confirmed(load.unconfirmed);
    }
    Ok(())
}
