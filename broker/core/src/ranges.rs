//! Sets of sequence numbers, kept as runs of neighbours.

use std::collections::BTreeMap;

/// A set of numbers that mostly come in runs: as small as the number of runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges {
    /// First number of a run, and the number behind its last one. Runs neither touch nor overlap.
    runs: BTreeMap<u64, u64>,
    count: u64,
}

impl Ranges {
    /// Numbers in the set.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The lowest run: its first number, and the number behind its last one.
    pub fn first_run(&self) -> Option<(u64, u64)> {
        self.runs.first_key_value().map(|(from, to)| (*from, *to))
    }

    /// The runs, from the lowest.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(from, to)| (*from, *to))
    }

    /// Adds the numbers from `from` up to, and without, `to`. None of them may be in the set already.
    pub fn insert(&mut self, mut from: u64, mut to: u64) {
        if from >= to {
            return;
        }
        self.count += to - from;
        if let Some((before, end)) = self.runs.range(..from).next_back().map(|(a, b)| (*a, *b)) {
            assert!(end <= from, "{from}..{to} is in the set already: {before}..{end}");
            if end == from {
                from = before;
            }
        }
        if let Some(end) = self.runs.remove(&to) {
            to = end;
        }
        self.runs.insert(from, to);
    }

    /// Takes up to `most` neighbouring numbers off the low end: the first, and the number behind the last.
    pub fn pop(&mut self, most: u64) -> Option<(u64, u64)> {
        let (from, to) = self.runs.pop_first()?;
        let cut = to.min(from.saturating_add(most));
        if cut < to {
            self.runs.insert(cut, to);
        }
        self.count -= cut - from;
        Some((from, cut))
    }

    /// Removes one number; says whether it was there.
    pub fn remove(&mut self, number: u64) -> bool {
        let Some((from, to)) = self.runs.range(..=number).next_back().map(|(a, b)| (*a, *b)) else {
            return false;
        };
        if number >= to {
            return false;
        }
        self.runs.remove(&from);
        if from < number {
            self.runs.insert(from, number);
        }
        if number + 1 < to {
            self.runs.insert(number + 1, to);
        }
        self.count -= 1;
        true
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Ranges::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in proptest::collection::vec((0u64..60, 1u64..6, 0u8..3), 0..80)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (from, length, what) in steps {
                match what {
                    0 if (from..from + length).all(|n| !set.contains(&n)) => {
                        ranges.insert(from, from + length);
                        set.extend(from..from + length);
                    }
                    1 => prop_assert_eq!(ranges.remove(from), set.remove(&from)),
                    2 => {
                        if let Some((a, b)) = ranges.pop(length) {
                            prop_assert!(b - a <= length);
                            for n in a..b {
                                prop_assert_eq!(set.pop_first(), Some(n));
                            }
                        }
                    }
                    _ => {}
                }
                let listed: Vec<u64> = ranges.iter().flat_map(|(a, b)| a..b).collect();
                prop_assert_eq!(&listed, &set.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(ranges.len(), set.len() as u64);
                let runs: Vec<_> = ranges.iter().collect();
                prop_assert!(runs.windows(2).all(|pair| pair[0].1 < pair[1].0), "runs touch: {:?}", runs);
            }
        }
    }
}
