//! Retry policies: how long a message whose delivery failed waits for the next one.
//!
//! ```text
//! policy   = delays { "; on " reason ": " ( delays | "dead-letter" ) }
//! delays   = "immediate"
//!          | "list " duration { "," duration }
//!          | "linear " duration " max " duration
//!          | "exponential " duration " max " duration [ " factor " number ] [ " jitter " percent "%" ]
//! duration = number ( "ms" | "s" | "m" | "h" )
//! ```

mod text;

/// The property of an abandon whose text is the reason that a policy looks at.
pub const REASON_PROPERTY: &str = "retry-reason";
/// The reason of a lock that ran out.
pub const LOCK_EXPIRED: &str = "LockExpired";

/// How long failed messages wait, by how often they failed and why. The default is immediate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryPolicy {
    delays: Delays,
    overrides: Vec<(String, Response)>,
}

/// What follows a failed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The next delivery, not before so many milliseconds from now.
    DelayMs(u64),
    /// No further delivery.
    DeadLetter,
}

/// What a policy says about one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Response {
    Delays(Delays),
    DeadLetter,
}

/// Delays by attempt, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Delays {
    #[default]
    Immediate,
    /// One for each attempt; the last one repeats. Never empty.
    List(Vec<u64>),
    /// Grows by the first one.
    Linear { first_ms: u64, most_ms: u64 },
    /// Grows by a factor.
    Exponential { first_ms: u64, most_ms: u64, factor: u32, jitter_percent: u32 },
}

impl RetryPolicy {
    /// What follows when `attempt` deliveries have failed (from 1), the last of them for `reason`. `entropy` are the
    /// random bits that jitter is made of.
    pub fn after(&self, attempt: u32, reason: Option<&str>, entropy: u64) -> Retry {
        match self.overrides.iter().find(|(known, _)| Some(known.as_str()) == reason) {
            None => Retry::DelayMs(self.delays.after(attempt, entropy)),
            Some((_, Response::Delays(delays))) => Retry::DelayMs(delays.after(attempt, entropy)),
            Some((_, Response::DeadLetter)) => Retry::DeadLetter,
        }
    }
}

impl Delays {
    fn after(&self, attempt: u32, entropy: u64) -> u64 {
        let attempt = attempt.max(1);
        match self {
            Delays::Immediate => 0,
            Delays::List(delays) => {
                let place = (attempt as usize).min(delays.len());
                delays.get(place - 1).copied().unwrap_or(0)
            }
            Delays::Linear { first_ms, most_ms } => first_ms.saturating_mul(u64::from(attempt)).min(*most_ms),
            Delays::Exponential { first_ms, most_ms, factor, jitter_percent } => {
                let growth = u64::from(*factor).saturating_pow(attempt - 1);
                let delay_ms = first_ms.saturating_mul(growth).min(*most_ms);
                spread(delay_ms, *jitter_percent, *most_ms, entropy)
            }
        }
    }
}

/// A delay within `percent` of `delay_ms`, each as likely as the other, and none above `most_ms`.
fn spread(delay_ms: u64, percent: u32, most_ms: u64, entropy: u64) -> u64 {
    let reach = delay_ms * u64::from(percent) / 100;
    let (low, high) = (delay_ms - reach, (delay_ms + reach).min(most_ms));
    low + entropy % (high - low + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(policy: &str, attempts: impl IntoIterator<Item = u32>) -> Vec<Retry> {
        let policy = RetryPolicy::parse(policy).unwrap();
        attempts.into_iter().map(|attempt| policy.after(attempt, None, 7)).collect()
    }

    fn milliseconds<const N: usize>(delays: [u64; N]) -> Vec<Retry> {
        delays.into_iter().map(Retry::DelayMs).collect()
    }

    #[test]
    fn delays_grow_as_documented_up_to_their_most() {
        assert_eq!(delays("immediate", [1, u32::MAX]), milliseconds([0, 0]));
        assert_eq!(
            delays("list 1s,5s,30s", [1, 2, 3, 4, u32::MAX]),
            milliseconds([1_000, 5_000, 30_000, 30_000, 30_000])
        );
        assert_eq!(
            delays("linear 20s max 1m", [1, 2, 3, 4, u32::MAX]),
            milliseconds([20_000, 40_000, 60_000, 60_000, 60_000])
        );
        assert_eq!(
            delays("exponential 1s max 10s", [1, 2, 3, 4, 5, u32::MAX]),
            milliseconds([1_000, 2_000, 4_000, 8_000, 10_000, 10_000])
        );
        assert_eq!(
            delays("exponential 1s max 1m factor 10", [1, 2, 3]),
            milliseconds([1_000, 10_000, 60_000])
        );
        assert_eq!(delays("linear 20s max 1m", [0]), milliseconds([20_000]));
    }

    #[test]
    fn a_reason_has_its_own_answer() {
        let policy = "list 1s; on LockExpired: linear 2s max 1m; on bad input: dead-letter";
        let policy = RetryPolicy::parse(policy).unwrap();
        assert_eq!(policy.after(3, Some(LOCK_EXPIRED), 0), Retry::DelayMs(6_000));
        assert_eq!(policy.after(1, Some("bad input"), 0), Retry::DeadLetter);
        assert_eq!(policy.after(1, Some("Bad Input"), 0), Retry::DelayMs(1_000));
        assert_eq!(policy.after(1, None, 0), Retry::DelayMs(1_000));
    }

    #[test]
    fn jitter_reaches_every_delay_evenly_and_none_above_the_most() {
        let policy = RetryPolicy::parse("exponential 10ms max 20ms jitter 20%").unwrap();
        let count = |attempt, delay_ms| {
            let hits =
                (0..500).filter(|entropy| policy.after(attempt, None, *entropy) == Retry::DelayMs(delay_ms));
            hits.count()
        };
        assert_eq!([7, 8, 10, 12, 13].map(|delay_ms| count(1, delay_ms)), [0, 100, 100, 100, 0]);
        assert_eq!([15, 16, 18, 20, 21].map(|delay_ms| count(2, delay_ms)), [0, 100, 100, 100, 0]);
    }

    #[test]
    fn the_longest_delays_do_not_overflow() {
        let policy = RetryPolicy::parse("exponential 720h max 720h factor 100 jitter 100%").unwrap();
        for entropy in [0, 1, u64::MAX] {
            let Retry::DelayMs(delay_ms) = policy.after(u32::MAX, None, entropy) else {
                panic!("a delay");
            };
            assert!(delay_ms <= crate::limits::RETRY_DELAY_MS);
        }
    }
}
