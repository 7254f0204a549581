//! Waiting for what is to happen: the one place where the demo looks again and again.

use anyhow::{Result, bail};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often to look, and how long at most.
pub struct Patience {
    /// The time between two looks.
    pub every: Duration,
    /// The time after which it is a failure.
    pub within: Duration,
}

/// Looks until there is something to be seen.
pub async fn wait_until<T>(
    what: &str,
    patience: Patience,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let Patience { every, within } = patience;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let seen = timeout(within, async {
        loop {
            ticks.tick().await;
            if let Some(seen) = look().await? {
                return Ok(seen);
            }
        }
    });
    match seen.await {
        Ok(seen) => seen,
        Err(_) => bail!("waited {} s for {what} in vain", within.as_secs()),
    }
}
