//! A producer at a fixed rate, and the moment of sending that its messages carry.

use super::Load;
use crate::client::Publisher;
use anyhow::Result;
use bytes::{Buf, Bytes};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Publishes a message every `interval`, the first one after `offset`, whether earlier ones are confirmed or not.
///
/// A thread of its own keeps the pace: timers of the runtime count whole milliseconds, and would make bursts.
pub async fn pace(
    publisher: impl Publisher,
    load: Arc<Load>,
    interval: Duration,
    offset: Duration,
) -> Result<()> {
    let runtime = Handle::current();
    let pacer = move || keep_pace(&runtime, publisher, &load, interval, offset);
    tokio::task::spawn_blocking(pacer).await?
}

fn keep_pace<P: Publisher>(
    runtime: &Handle,
    publisher: P,
    load: &Load,
    interval: Duration,
    offset: Duration,
) -> Result<()> {
    let (mut due, mut confirms) = (Instant::now() + offset, Vec::new());
    while load.begin(1) {
        wait_until(due);
        due += interval;
        confirms.push(runtime.block_on(publisher.enqueue(stamped(load)))?);
    }
    runtime.block_on(async {
        for confirm in confirms {
            P::stored(confirm).await?;
        }
        publisher.close().await
    })
}

fn wait_until(due: Instant) {
    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

/// A body that begins with the moment of now.
fn stamped(load: &Load) -> Bytes {
    let mut body = load.bodies.next().to_vec();
    let now = load.epoch.elapsed().as_nanos() as u64;
    body[..8].copy_from_slice(&now.to_be_bytes());
    body.into()
}

/// The moment that a body begins with, in nanoseconds of its load's time.
pub fn sent(mut body: &[u8]) -> u64 {
    body.get_u64()
}
