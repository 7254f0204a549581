//! I7: a producer's messages have rising numbers at a place, and a session's are delivered in the order of theirs.

use crate::history::PER_PRODUCER;
use std::collections::BTreeMap;

/// A place, and a producer or session there.
type Line = (String, u64);

/// Numbers that were seen.
#[derive(Default)]
pub struct Order {
    /// By a producer's ids; whether the message was forgotten. What is forgotten and has nothing open before it leaves
    /// only its last entry.
    numbers: BTreeMap<Line, BTreeMap<u64, (u64, bool)>>,
    /// The newest number that was delivered of each session.
    sessions: BTreeMap<Line, u64>,
}

impl Order {
    /// Takes the first delivery of a message at a place.
    pub fn first(
        &mut self,
        id: u64,
        at: &str,
        number: u64,
        session: Option<u64>,
        may_be_overtaken: bool,
    ) -> Option<String> {
        let numbers = self.numbers.entry((at.to_owned(), id / PER_PRODUCER)).or_default();
        let before = numbers.range(..id).next_back().map_or(0, |(_, (number, _))| *number);
        let after = numbers.range(id..).next().map_or(u64::MAX, |(_, (number, _))| *number);
        numbers.insert(id, (number, false));
        if !may_be_overtaken && (number <= before || number >= after) {
            return Some(format!(
                "I7 disorder: message {id:#x} at {at} has number {number}, its neighbours {before} and {after}"
            ));
        }
        let last = self.sessions.entry((at.to_owned(), session?)).or_default();
        let before = std::mem::replace(last, number);
        (number <= before)
            .then(|| format!("I7 session: message {id:#x} at {at} with number {number} came after {before}"))
    }

    /// A message is forgotten at these places.
    pub fn forget(&mut self, id: u64, places: &[String]) {
        for place in places {
            let line = (place.clone(), id / PER_PRODUCER);
            let Some(numbers) = self.numbers.get_mut(&line) else { continue };
            if let Some((_, forgotten)) = numbers.get_mut(&id) {
                *forgotten = true;
            }
            while numbers.values().take(2).filter(|(_, forgotten)| *forgotten).count() == 2 {
                numbers.pop_first();
            }
        }
    }
}
