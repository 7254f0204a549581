//! How locks ended, lately: what a stale token is told.
//!
//! In memory only and bounded, the oldest leases are forgotten first: it is a courtesy and decides nothing.

use crate::limits::{ENDED_LEASES, ENDED_RUNS};
use crate::utc;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::trace::StepKind;
use std::collections::BTreeMap;

/// How a lock ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    Abandoned,
    DeadLettered,
    Deferred,
    Released,
    /// Its time was up.
    RanOut,
    /// The message's time was up.
    Expired,
    /// The entity was deleted.
    Deleted,
}

impl End {
    /// What the journal says of it.
    pub fn step(self) -> StepKind {
        match self {
            End::Completed => StepKind::Completed,
            End::Abandoned => StepKind::Abandoned,
            End::DeadLettered => StepKind::DeadLettered,
            End::Deferred => StepKind::Deferred,
            End::Released => StepKind::Released,
            End::RanOut => StepKind::LockRanOut,
            End::Expired => StepKind::Expired,
            End::Deleted => StepKind::Deleted,
        }
    }
}

/// Neighbouring places of a lease whose locks ended alike.
#[derive(Debug)]
struct Run {
    from: u32,
    to: u32,
    end: End,
    at_ms: u64,
}

#[derive(Debug)]
struct Ended {
    salt: u32,
    runs: Vec<Run>,
}

/// The ends of locks that are remembered, by lease.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    leases: BTreeMap<u64, Ended>,
    runs: usize,
}

impl Ends {
    /// Remembers how the lock at a place of a lease ended, at `at_ms` UTC.
    pub fn record(&mut self, lease: u64, salt: u32, place: usize, end: End, at_ms: u64) {
        let place = place as u32;
        let ended = self.leases.entry(lease).or_insert_with(|| Ended { salt, runs: Vec::new() });
        match ended.runs.last_mut() {
            Some(run) if run.to == place && (run.end, run.at_ms) == (end, at_ms) => run.to += 1,
            _ => {
                ended.runs.push(Run { from: place, to: place + 1, end, at_ms });
                self.runs += 1;
            }
        }
        while self.leases.len() > ENDED_LEASES || self.runs > ENDED_RUNS {
            let Some((_, oldest)) = self.leases.pop_first() else { break };
            self.runs -= oldest.runs.len();
        }
    }

    /// The refusal of a settlement whose lock is not there. Only who knows the token learns what became of the lock.
    pub fn lock_lost(&self, lease: u64, salt: u32, place: usize) -> Refusal {
        let ended = self.leases.get(&lease).filter(|ended| ended.salt == salt);
        let place = place as u32;
        let run = ended.and_then(|ended| ended.runs.iter().find(|run| run.from <= place && place < run.to));
        let text = run.map_or_else(
            || {
                "the lock was settled already, ran out, or never was; the message may be delivered again"
                    .to_owned()
            },
            Run::text,
        );
        Refusal::new(ErrorCode::LockLost, text)
    }
}

impl Run {
    fn text(&self) -> String {
        let at = utc::format(self.at_ms);
        match self.end {
            End::Completed => format!("the message was completed at {at}"),
            End::Abandoned => format!("the message was abandoned at {at}; it may be delivered again"),
            End::DeadLettered => format!("the message went to the dead letters at {at}"),
            End::Deferred => format!("the message was deferred at {at}"),
            End::Released => format!("the lock was released at {at}; the message may be delivered again"),
            End::RanOut => format!("the lock ran out at {at}; the message may be delivered again"),
            End::Expired => format!("the message's time to live ran out, and with it the lock at {at}"),
            End::Deleted => format!("the queue was deleted at {at}, with the message"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ends: &Ends, lease: u64, salt: u32, place: usize) -> String {
        ends.lock_lost(lease, salt, place).message
    }

    #[test]
    fn only_the_token_learns_what_became_of_its_lock() {
        let mut ends = Ends::default();
        (0..3).for_each(|place| ends.record(7, 99, place, End::Completed, 5_000));
        ends.record(7, 99, 5, End::RanOut, 6_000);
        assert_eq!(ends.runs, 2);
        assert_eq!(text(&ends, 7, 99, 2), "the message was completed at 1970-01-01T00:00:05.000Z");
        assert!(text(&ends, 7, 99, 5).starts_with("the lock ran out at 1970-01-01T00:00:06.000Z"));
        for (lease, salt, place) in [(7, 99, 3), (7, 98, 2), (8, 99, 2)] {
            assert!(text(&ends, lease, salt, place).contains("or never was"));
        }
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut ends = Ends::default();
        (0..=ENDED_LEASES as u64).for_each(|lease| ends.record(lease, 1, 0, End::Completed, 5_000));
        assert!(text(&ends, 0, 1, 0).contains("or never was") && text(&ends, 1, 1, 0).contains("completed"));
        // Ends that differ, in one lease.
        (0..ENDED_RUNS).for_each(|place| ends.record(1 << 40, 1, place, End::Completed, place as u64));
        assert_eq!((ends.leases.len(), ends.runs), (1, ENDED_RUNS));
        ends.record(1 << 40, 1, ENDED_RUNS, End::Released, 0);
        assert_eq!((ends.leases.len(), ends.runs), (0, 0));
    }
}
