//! One message: what was sent, how that was answered, and what happened at each place.

use super::story::Story;
use super::{Checker, DEAD_LETTERS};
use crate::history::Sending;
use std::collections::BTreeMap;

/// A message that was sent.
pub struct Sent {
    /// As it was sent first.
    pub sending: Sending,
    /// Where it has to come to.
    pub places: Vec<String>,
    /// How often it was sent.
    pub times: u32,
    /// Numbers it was said to be stored under, and whether it was called a duplicate.
    pub answers: Vec<(u64, bool)>,
    /// The broker said that it does not take it.
    pub refused: bool,
    /// By address, dead letters by theirs.
    pub at: BTreeMap<String, Story>,
    /// It is over with, and stays for a while.
    pub lingers: bool,
}

impl Sent {
    pub fn new(sending: Sending, places: Vec<String>) -> Self {
        let (at, answers) = (BTreeMap::new(), Vec::new());
        Sent { sending, places, times: 1, answers, refused: false, at, lingers: false }
    }

    /// What happened at an address.
    pub fn story(&mut self, at: &str) -> &mut Story {
        if !self.at.contains_key(at) {
            self.at.insert(at.to_owned(), Story::default());
        }
        self.at.get_mut(at).expect("it was put there")
    }

    /// Whether something was delivered or settled at a place or among its dead letters.
    pub fn was_at(&self, place: &str) -> bool {
        self.with_dead_letters(place, |_| true)
    }

    /// Whether one of the two stories of a place says so.
    pub fn with_dead_letters(&self, place: &str, says: impl Fn(&Story) -> bool) -> bool {
        let dead = self.at.get(&format!("{place}{DEAD_LETTERS}"));
        self.at.get(place).into_iter().chain(dead).any(says)
    }

    /// Answered, and completed with an answer everywhere.
    pub fn is_over(&self) -> bool {
        let over = |place: &String| self.with_dead_letters(place, Story::is_completed);
        !self.answers.is_empty() && self.places.iter().all(over)
    }

    /// What is wrong with the answers, and at each place for itself.
    pub fn problems(&self, id: u64, checker: &Checker<'_>) -> Vec<String> {
        let mut problems: Vec<String> =
            self.answer_problems().map(|problem| format!("{problem}: message {id:#x}")).collect();
        for (at, story) in &self.at {
            let from = at.strip_suffix(DEAD_LETTERS);
            let (before, rules) =
                (from.and_then(|from| self.at.get(from)), (checker.rules)(from.unwrap_or(at)));
            let may_expire = checker.locks_may_expire || rules.locks_may_expire;
            let mut told = story.problems(before, may_expire);
            if from.is_some() {
                told.extend(story.reasons(before, &rules, &self.sending, may_expire));
            } else {
                told.extend(story.beyond(&rules));
            }
            told.extend(self.number_problems(at, story));
            problems.extend(told.into_iter().map(|problem| format!("{problem}: message {id:#x} at {at}")));
        }
        problems
    }

    /// A message that was sent into a window of duplicates is stored once, and the others are told its number.
    fn answer_problems(&self) -> impl Iterator<Item = &'static str> {
        let first = self.answers.first().map(|(number, _)| *number);
        let stored = self.answers.iter().filter(|(_, duplicate)| !duplicate).count();
        let differ = self.answers.iter().any(|(number, _)| Some(*number) != first);
        let wrong = [
            (
                self.times == 1 && self.answers.iter().any(|(_, duplicate)| *duplicate),
                "I9 taken for a duplicate",
            ),
            (stored > 1 || differ, "I9 answered with two numbers"),
            (self.refused && !self.at.is_empty(), "I10 refused, yet stored"),
        ];
        wrong.into_iter().filter(|(is, _)| *is).map(|(_, text)| text)
    }

    /// A message has one number at a place, and in a queue the one that its sender was told.
    fn number_problems(&self, at: &str, story: &Story) -> impl Iterator<Item = &'static str> {
        let twice = if self.times > 1 { "I9 stored more than once" } else { "I10 stored more than once" };
        let told = self.answers.first().filter(|_| self.sending.to == at);
        let other = told.is_some_and(|(told, _)| story.number().is_some_and(|number| number != *told));
        let wrong = [(story.has_two_numbers(), twice), (other && !story.has_two_numbers(), "I7 renumbered")];
        wrong.into_iter().filter(|(is, _)| *is).map(|(_, text)| text)
    }
}
