//! What of a turn's facts is not written, or later.

use super::{Switch, is};
use postrider_core::fact::Fact;
use postrider_core::page::PageState;

/// The facts of a turn, by shard.
type Turn = Vec<(u16, Vec<Fact>)>;

/// Alters the facts that go into a log.
#[derive(Debug, Default)]
pub struct Altered {
    /// Facts that are written with the next turn.
    late: Turn,
}

impl Altered {
    /// What is written instead of a turn.
    pub fn turn(&mut self, turn: &[(u16, Vec<Fact>)]) -> Turn {
        let mut written = std::mem::take(&mut self.late);
        for (shard, facts) in turn {
            let facts: Vec<_> = facts.iter().filter_map(altered).collect();
            let late = is(Switch::CompleteNotInBatch) && only_settles(&facts);
            if late { &mut self.late } else { &mut written }.push((*shard, facts));
        }
        written
    }
}

fn altered(fact: &Fact) -> Option<Fact> {
    match fact {
        Fact::IdsSeen(..) if is(Switch::DedupNotPersisted) => None,
        Fact::PageState(queue, first, state) if is(Switch::DeliveryCountInMemory) => {
            let mut state = PageState::decode(state.clone()).ok()?;
            state.attempts.iter_mut().flatten().for_each(|attempts| *attempts = 0);
            Some(Fact::PageState(*queue, *first, state.encode()))
        }
        Fact::Leased(lease, row) if is(Switch::DeliveryCountInMemory) => {
            let mut row = row.clone();
            row.holds.iter_mut().for_each(|hold| hold.attempts = 0);
            Some(Fact::Leased(*lease, row))
        }
        other => Some(other.clone()),
    }
}

/// Something was settled, and nothing published: no other row refers to what is missing until the next turn.
fn only_settles(facts: &[Fact]) -> bool {
    let settles = |fact: &Fact| matches!(fact, Fact::PageState(..) | Fact::PageGone(..));
    facts.iter().any(settles) && !facts.iter().any(|fact| matches!(fact, Fact::PageWritten(..)))
}
