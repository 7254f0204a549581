//! What must be at one subscription.

use std::collections::{BTreeMap, BTreeSet};

/// One subscription's messages by their numbers.
#[derive(Default, Clone)]
pub struct Place {
    /// The last number that was given.
    pub last: u64,
    /// The ids of messages that were there and were not completed.
    pub there: BTreeMap<u64, u64>,
    /// Those that may be gone, since nobody knows whether they were completed.
    may_be_gone: BTreeSet<u64>,
    /// Completed since the last look.
    done: BTreeSet<u64>,
}

impl Place {
    /// Notes what its consumer saw, asked to complete, and completed.
    pub fn take(&mut self, delivered: BTreeMap<u64, u64>, asked: Vec<u64>, done: Vec<u64>) {
        delivered.into_iter().for_each(|(number, id)| self.see(number, id));
        self.may_be_gone.extend(asked);
        self.done.extend(done);
    }

    /// Somebody removes what is there.
    pub fn all_may_be_gone(&mut self) {
        self.may_be_gone.extend(self.there.keys());
    }

    /// Compares with all that is found from a number on. Returns the ids of what is new since the last time, in the order
    /// of their numbers.
    pub fn balance(&mut self, from: u64, found: &BTreeMap<u64, u64>) -> Vec<u64> {
        found.iter().for_each(|(number, id)| self.see(*number, *id));
        let new: Vec<_> = self.there.range(self.last + 1..).map(|(number, id)| (*number, *id)).collect();
        let numbers = new.iter().map(|(number, _)| *number);
        assert!(numbers.eq((self.last + 1..).take(new.len())), "I1 lost: numbers are missing among {new:?}");
        self.last += new.len() as u64;
        for number in std::mem::take(&mut self.done) {
            assert!(!found.contains_key(&number), "I3 resurrected: number {number}, which was completed");
            self.there.remove(&number);
        }
        let (gone, may) = (missing(&self.there, from, found), &self.may_be_gone);
        assert!(gone.iter().all(|number| may.contains(number)), "I1 lost: one of the numbers {gone:?}");
        gone.iter().for_each(|number| _ = self.there.remove(number));
        self.may_be_gone.retain(|number| *number < from && self.there.contains_key(number));
        new.into_iter().map(|(_, id)| id).collect()
    }

    /// A number stands for one message, which is not seen again after it was completed.
    fn see(&mut self, number: u64, id: u64) {
        match self.there.insert(number, id) {
            None => assert!(number > self.last, "I3 resurrected: number {number}, message {id}"),
            Some(known) => assert_eq!(known, id, "I10 renumbered: number {number}"),
        }
    }
}

/// Numbers from `from` on that are not found.
fn missing(there: &BTreeMap<u64, u64>, from: u64, found: &BTreeMap<u64, u64>) -> Vec<u64> {
    there.range(from..).map(|(number, _)| *number).filter(|number| !found.contains_key(number)).collect()
}
