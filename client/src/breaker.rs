//! A circuit breaker for sends: when they fail again and again, new ones fail at once for a while.
//!
//! ```text
//!             so many failures in a row                 the pause is over
//!  Closed ------------------------------> Open ------------------------------> HalfOpen: one send tries
//!    ^                                     ^                                      |         |
//!    |                                     +------------- it fails ---------------+         |
//!    +------------------------------------ it succeeds -------------------------------------+
//! ```

use crate::error::Error;
use postrider_protocol::error::ErrorCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// When sends fail at once instead of waiting for a broker that cannot take them.
///
/// A send fails that ends with `Unavailable`, `Busy`, `Throttled`, `StorageFull` or a timeout; so does an attempt to keep
/// or to make the connection. Any other answer of the broker shows that it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Failures in a row after which sends fail at once, at least 1.
    pub failures: u32,
    /// For how long; then one send may try.
    pub pause: Duration,
}

impl Default for CircuitBreaker {
    /// Five failures, ten seconds.
    fn default() -> Self {
        CircuitBreaker { failures: 5, pause: Duration::from_secs(10) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

/// The breaker of a client. The lock is held for a few instructions and never while anything waits.
#[derive(Debug)]
pub(crate) struct Breaker {
    policy: CircuitBreaker,
    state: Mutex<State>,
}

impl Breaker {
    pub fn new(policy: CircuitBreaker) -> Arc<Self> {
        let policy = CircuitBreaker { failures: policy.failures.max(1), ..policy };
        Arc::new(Breaker { policy, state: Mutex::new(State::Closed { failures: 0 }) })
    }

    /// Lets a send through, or fails it with the time from which on one may try.
    pub fn admit(self: &Arc<Self>) -> Result<Attempt, Error> {
        let (mut state, now) = (self.state(), Instant::now());
        match *state {
            State::Closed { .. } => Ok(Attempt { breaker: self.clone(), probe: false, told: false }),
            State::Open { until } if now >= until => {
                *state = State::HalfOpen;
                Ok(Attempt { breaker: self.clone(), probe: true, told: false })
            }
            State::Open { until } => Err(open(until.saturating_duration_since(now))),
            State::HalfOpen => Err(open(Duration::ZERO)),
        }
    }

    /// A send, or the connection, failed.
    pub fn failed(&self) {
        let mut state = self.state();
        let failures = match *state {
            State::Closed { failures } => failures.saturating_add(1),
            State::HalfOpen => self.policy.failures,
            State::Open { .. } => return,
        };
        *state = match failures >= self.policy.failures {
            true => self.opened(),
            false => State::Closed { failures },
        };
    }

    fn succeeded(&self) {
        *self.state() = State::Closed { failures: 0 };
    }

    /// The send that was to try was given up: the next one may.
    fn given_up(&self) {
        let mut state = self.state();
        if *state == State::HalfOpen {
            *state = State::Open { until: Instant::now() };
        }
    }

    fn opened(&self) -> State {
        let now = Instant::now();
        tracing::warn!(pause = ?self.policy.pause, "sends fail at once for a while");
        State::Open { until: now.checked_add(self.policy.pause).unwrap_or(now) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A state is written whole, so that it is good whatever became of who wrote it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(left: Duration) -> Error {
    let now = SystemTime::now();
    Error::CircuitOpen { until: now.checked_add(left).unwrap_or(now) }
}

/// A send that was let through. Tells the breaker what became of it.
#[derive(Debug)]
pub(crate) struct Attempt {
    breaker: Arc<Breaker>,
    probe: bool,
    told: bool,
}

impl Attempt {
    /// Counts what became of the send.
    pub fn ended<T>(&mut self, outcome: &Result<T, Error>) {
        self.told = true;
        match outcome {
            Err(error) if is_failure(error) => self.breaker.failed(),
            Err(Error::Closed) => self.breaker.given_up(),
            _ => self.breaker.succeeded(),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.probe && !self.told {
            self.breaker.given_up();
        }
    }
}

/// Whether an error says that the broker cannot take anything now.
fn is_failure(error: &Error) -> bool {
    match error {
        Error::Timeout(_) | Error::Connection(_) => true,
        Error::Refused(refusal) => matches!(
            refusal.code,
            ErrorCode::Unavailable
                | ErrorCode::Busy
                | ErrorCode::Throttled
                | ErrorCode::StorageFull
                | ErrorCode::Timeout
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_protocol::error::Refusal;

    const PAUSE: Duration = Duration::from_secs(10);

    fn refused(code: ErrorCode) -> Result<(), Error> {
        Err(Error::from(Refusal::new(code, "")))
    }

    fn send(breaker: &Arc<Breaker>, outcome: &Result<(), Error>) -> Result<(), Error> {
        breaker.admit().map(|mut attempt| attempt.ended(outcome))
    }

    fn opened_breaker() -> Arc<Breaker> {
        let breaker = Breaker::new(CircuitBreaker { failures: 3, pause: PAUSE });
        for outcome in [refused(ErrorCode::Busy), Err(Error::Timeout(String::new()))] {
            send(&breaker, &outcome).unwrap();
        }
        breaker.failed(); // The connection.
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_says_until_when() {
        let breaker = opened_breaker();
        let Err(Error::CircuitOpen { until }) = breaker.admit().map(drop) else { panic!("it is closed") };
        let left = until.duration_since(SystemTime::now()).unwrap();
        assert!(left <= PAUSE && left > PAUSE / 2, "{left:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_send_tries_after_the_pause() {
        let breaker = opened_breaker();
        tokio::time::advance(PAUSE).await;
        let mut probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_err(), "the others wait for the one that tries");
        probe.ended(&refused(ErrorCode::Unavailable));
        assert!(breaker.admit().is_err(), "open again");
        tokio::time::advance(PAUSE).await;
        drop(breaker.admit().unwrap());
        assert!(send(&breaker, &Ok(())).is_ok(), "a try that was given up makes room for another");
        assert!(breaker.admit().is_ok() && breaker.admit().is_ok(), "closed");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_broker_answers_otherwise_shows_that_it_works() {
        let breaker = Breaker::new(CircuitBreaker { failures: 2, pause: PAUSE });
        for _ in 0..5 {
            send(&breaker, &refused(ErrorCode::Busy)).unwrap();
            send(&breaker, &refused(ErrorCode::MessageTooLarge)).unwrap();
        }
        send(&breaker, &refused(ErrorCode::Throttled)).unwrap();
        send(&breaker, &refused(ErrorCode::Throttled)).unwrap();
        assert!(breaker.admit().is_err());
    }
}
