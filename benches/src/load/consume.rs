//! Consumers that receive and complete.

use super::Load;
use super::paced;
use crate::client::Consumer;
use anyhow::Result;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// Receives and completes until the load is over.
pub async fn consume<C: Consumer>(mut consumer: C, load: Arc<Load>) -> Result<()> {
    while !load.is_over() {
        let deliveries = consumer.receive().await?;
        if !deliveries.is_empty() {
            load.arrived::<C>(&deliveries);
            consumer.complete(&deliveries).await?;
            load.completed.fetch_add(deliveries.len() as u64, Ordering::Relaxed);
        }
    }
    consumer.close().await
}

impl Load {
    fn arrived<C: Consumer>(&self, deliveries: &[C::Delivery]) {
        if let Some(latencies) = &mut *self.latencies.lock().unwrap_or_else(PoisonError::into_inner) {
            let now = self.epoch.elapsed().as_nanos() as u64;
            for delivery in deliveries {
                latencies.saturating_record(now.saturating_sub(paced::sent(C::body(delivery))));
            }
        }
    }
}
