//! A circuit breaker: what fails too often, or takes too long, is left alone for a while and then tried with one message.
//!
//! ```text
//!         too many of the last outcomes failed               the pause is over
//!  Closed ------------------------------------> Open ------------------------------> HalfOpen: one probe
//!    ^                                           ^                                     |          |
//!    |                                           +--- it fails: twice the pause -------+          |
//!    +----------------------------------- it goes well: all is forgotten -------------------------+
//! ```
//!
//! In memory only: a start begins closed.

use crate::context::Now;
use postrider_protocol::entity::BreakerState;
use std::collections::VecDeque;

/// How many times the first pause the longest one is.
const LONGEST: u64 = 10;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The share of the outcomes that must have failed.
    pub failure_percent: u64,
    /// Milliseconds from delivery to settlement beyond which it has failed.
    pub latency_ms: u64,
    /// The number of the last outcomes that are looked at.
    pub window: usize,
    /// Milliseconds of the first pause.
    pub pause_ms: u64,
}

/// What the end of a delivery says about its consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Failed,
    /// Nothing: it was given back.
    Unknown,
}

/// What may be given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    All,
    /// One message.
    Probe,
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The last outcomes, `true` for those that failed, and how many did.
    Closed { outcomes: VecDeque<bool>, failed: usize },
    /// Until a moment, after a pause of so many milliseconds.
    Open { until: Now, pause_ms: u64 },
    /// With the lease of the probe that is out.
    HalfOpen { probe: Option<u64>, pause_ms: u64 },
}

/// A breaker, closed at first.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    opened: u64,
}

impl Breaker {
    pub fn new() -> Self {
        Breaker { state: State::closed(), opened: 0 }
    }

    pub fn gives(&self) -> Gives {
        match self.state {
            State::Closed { .. } => Gives::All,
            State::HalfOpen { probe: None, .. } => Gives::Probe,
            State::Open { .. } | State::HalfOpen { .. } => Gives::Nothing,
        }
    }

    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How often it has opened, also after a probe that failed.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// When the pause is over.
    pub fn until(&self) -> Option<Now> {
        match self.state {
            State::Open { until, .. } => Some(until),
            _ => None,
        }
    }

    /// The lease of the probe that is out.
    pub fn probe(&self) -> Option<u64> {
        match self.state {
            State::HalfOpen { probe, .. } => probe,
            _ => None,
        }
    }

    /// A delivery under a lease has ended. What was delivered before the pause says nothing about the time after it.
    pub fn ended(&mut self, policy: &Policy, now: Now, lease: u64, verdict: Verdict) {
        match &mut self.state {
            State::Closed { outcomes, failed } => {
                if remember(outcomes, failed, policy, verdict) {
                    self.open(now, policy.pause_ms);
                }
            }
            State::HalfOpen { probe, pause_ms } if *probe == Some(lease) => match verdict {
                Verdict::Good => self.state = State::closed(),
                Verdict::Failed => {
                    let (first, longest) = (policy.pause_ms, policy.pause_ms.saturating_mul(LONGEST));
                    let pause_ms = pause_ms.saturating_mul(2).clamp(first, longest);
                    self.open(now, pause_ms);
                }
                Verdict::Unknown => *probe = None,
            },
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    /// The pause is over: a probe may go.
    pub fn pause_over(&mut self) {
        if let State::Open { pause_ms, .. } = self.state {
            self.state = State::HalfOpen { probe: None, pause_ms };
        }
    }

    /// The probe went out under a lease.
    pub fn probe_went(&mut self, lease: u64) {
        if let State::HalfOpen { probe, .. } = &mut self.state {
            *probe = Some(lease);
        }
    }

    fn open(&mut self, now: Now, pause_ms: u64) {
        let until = Now {
            wall_ms: now.wall_ms.saturating_add(pause_ms),
            mono_ms: now.mono_ms.saturating_add(pause_ms),
        };
        self.state = State::Open { until, pause_ms };
        self.opened += 1;
    }
}

impl State {
    fn closed() -> Self {
        State::Closed { outcomes: VecDeque::new(), failed: 0 }
    }
}

/// Remembers an outcome; says whether too many of the last ones have failed.
fn remember(outcomes: &mut VecDeque<bool>, failed: &mut usize, policy: &Policy, verdict: Verdict) -> bool {
    if verdict == Verdict::Unknown {
        return false;
    }
    outcomes.push_back(verdict == Verdict::Failed);
    *failed += usize::from(verdict == Verdict::Failed);
    while outcomes.len() > policy.window {
        *failed -= usize::from(outcomes.pop_front() == Some(true));
    }
    outcomes.len() == policy.window && *failed as u64 * 100 >= policy.failure_percent * policy.window as u64
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Failed, Good, Unknown};
    use super::*;

    const POLICY: Policy = Policy { failure_percent: 50, latency_ms: 100, window: 4, pause_ms: 1_000 };

    fn at(ms: u64) -> Now {
        Now { wall_ms: 70_000 + ms, mono_ms: ms }
    }

    fn after(verdicts: &[Verdict]) -> Breaker {
        let mut breaker = Breaker::new();
        verdicts.iter().for_each(|verdict| breaker.ended(&POLICY, at(0), 1, *verdict));
        breaker
    }

    #[test]
    fn opens_when_the_window_is_full_and_enough_of_it_has_failed() {
        assert_eq!(after(&[Failed, Failed, Failed]).gives(), Gives::All, "three say nothing yet");
        assert_eq!(after(&[Failed, Good, Good, Good]).gives(), Gives::All);
        let open = after(&[Failed, Good, Unknown, Good, Failed]);
        assert_eq!((open.gives(), open.until(), open.opened()), (Gives::Nothing, Some(at(1_000)), 1));
    }

    #[test]
    fn looks_at_the_last_outcomes_only() {
        let verdicts = [Failed, Good, Good, Good, Failed, Good, Good, Good];
        assert_eq!(after(&verdicts).gives(), Gives::All);
        let mut breaker = after(&verdicts);
        breaker.ended(&Policy { window: 2, ..POLICY }, at(0), 1, Failed);
        assert_eq!(breaker.gives(), Gives::Nothing, "of the last two, one has failed");
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let mut breaker = after(&[Failed; 4]);
        breaker.ended(&POLICY, at(500), 1, Failed);
        assert_eq!(breaker.until(), Some(at(1_000)), "what ends meanwhile does not make the pause longer");
        breaker.pause_over();
        assert_eq!(breaker.gives(), Gives::Probe);
        breaker.probe_went(7);
        assert_eq!((breaker.gives(), breaker.probe()), (Gives::Nothing, Some(7)));
        breaker.ended(&POLICY, at(1_100), 1, Good);
        assert_eq!(breaker.gives(), Gives::Nothing, "it is not the probe");
        breaker.ended(&POLICY, at(1_100), 7, Unknown);
        assert_eq!(breaker.gives(), Gives::Probe, "it was given back");
        breaker.probe_went(8);
        breaker.ended(&POLICY, at(1_200), 8, Good);
        assert_eq!(breaker.gives(), Gives::All);
        breaker.ended(&POLICY, at(1_200), 9, Failed);
        assert_eq!(breaker.gives(), Gives::All, "what was before is forgotten");
    }

    #[test]
    fn the_pause_doubles_up_to_ten_times_the_first() {
        let mut breaker = after(&[Failed; 4]);
        let mut pauses = Vec::new();
        for lease in 2..7 {
            breaker.pause_over();
            breaker.probe_went(lease);
            breaker.ended(&POLICY, at(0), lease, Failed);
            pauses.push(breaker.until().map(|until| until.mono_ms));
        }
        assert_eq!(pauses, [2_000, 4_000, 8_000, 10_000, 10_000].map(Some));
        assert_eq!(breaker.opened(), 6);
    }
}
