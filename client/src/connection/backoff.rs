//! How long to wait before trying again.

use std::time::Duration;

/// How a client comes back after losing its connection.
///
/// The waits double from `first` to `most`, each shortened at random by up to half, so that the clients of a broker
/// that restarts do not all return in the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconnectPolicy {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
    /// How long to go on trying; `None` for ever. After that all calls fail with [`Error::Connection`](crate::Error).
    pub give_up_after: Option<Duration>,
}

impl Default for ReconnectPolicy {
    /// From 50 ms to 1 s, for ever: far below the usual duration of a lock, so that nothing runs out while the broker is back.
    fn default() -> Self {
        ReconnectPolicy {
            first: Duration::from_millis(50),
            most: Duration::from_secs(1),
            give_up_after: None,
        }
    }
}

impl ReconnectPolicy {
    /// The wait after so many failures in a row; `random` is between 0 and 1.
    pub(super) fn wait(&self, failures: u32, random: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.most).mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }
}

/// Times a request is sent again when the broker has no room for it.
pub(super) const REFUSALS: u32 = 6;

/// The wait before a refused request is sent again: what the broker advises, or doubling from 20 ms, within 10 s.
pub(super) fn after_refusal(refusals: u32, advised_ms: u64, random: f64) -> Duration {
    let policy = ReconnectPolicy {
        first: Duration::from_millis(20),
        most: Duration::from_secs(2),
        give_up_after: None,
    };
    match advised_ms {
        0 => policy.wait(refusals + 1, random),
        // Never earlier than advised; spread, since others were told the same.
        advised => Duration::from_millis(advised.min(10_000)).mul_f64(1.0 + random.clamp(0.0, 1.0) / 4.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn doubles_up_to_the_most_and_shortens_at_random() {
        let policy = ReconnectPolicy { first: ms(100), most: ms(1_000), give_up_after: None };
        let waits: Vec<_> = (1..=6).map(|failures| policy.wait(failures, 0.0)).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000].map(ms));
        assert_eq!(policy.wait(1, 1.0), ms(50));
        assert_eq!(policy.wait(u32::MAX, 0.5), ms(750));
        assert_eq!(policy.wait(0, 0.0), ms(100));
    }

    #[test]
    fn advice_is_followed_within_reason() {
        assert_eq!(after_refusal(0, 0, 0.0), ms(20));
        assert_eq!(after_refusal(1, 0, 0.0), ms(40));
        assert_eq!(after_refusal(0, 400, 0.0), ms(400));
        assert_eq!(after_refusal(0, 400, 1.0), ms(500));
        assert_eq!(after_refusal(0, u64::MAX, 0.0), ms(10_000));
    }
}
