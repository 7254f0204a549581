//! Waiting for what is to happen, with a deadline. The only place where time passes on purpose.

use std::time::{Duration, Instant};

/// How long anything may take before a test fails: generous, since it only costs time when something is broken.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; panics with `what` when it does not within `deadline`.
pub fn eventually(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        std::thread::park_timeout(LOOK);
    }
}

/// The same where the condition has to be asked for.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        pause(LOOK).await;
    }
}

/// Lets time pass where time itself is the matter: how long load runs before a fault, how long nothing may happen.
pub async fn pause(duration: Duration) {
    let mut ticks = tokio::time::interval(duration.max(Duration::from_millis(1)));
    ticks.tick().await;
    ticks.tick().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "never")]
    fn what_never_happens_fails() {
        eventually(Duration::from_millis(20), "never", || false);
    }

    #[tokio::test]
    async fn a_condition_is_asked_again() {
        let mut asked = 0;
        until("the third time", async || {
            asked += 1;
            asked == 3
        })
        .await;
    }
}
