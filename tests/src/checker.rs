//! Checks a history whose end is that everything was drained.
//!
//! - I1 what was acknowledged was delivered in the end, at every place it had to go to.
//! - I2 what was delivered was sent, and is as it was sent.
//! - I3 what was settled for good, with an acknowledgement, never comes again.
//! - I4 a settlement under an older lock fails once a newer lock was seen.
//! - I5 delivery counts rise by the attempts that failed, no less and (where no lock can run out) no more.
//! - I6 a message to a topic is at all of its subscriptions or at none.
//! - I7 a producer's messages keep their order in a queue.
//! - I10 a message whose fate is not known is there once or not at all.

use crate::history::{Event, PER_PRODUCER, Seen, Settling, Verb};
use std::collections::{BTreeMap, BTreeSet};

/// The address suffix of dead letters.
pub const DEAD_LETTERS: &str = "/$dead-letter";

/// Where messages go, and what else the checker has to know.
pub struct Checker<'a> {
    /// The places that a message sent to this address must come to.
    pub places: &'a dyn Fn(&str, u64) -> Vec<String>,
    /// Locks may have run out, which counts as a failed attempt that nobody saw.
    pub locks_may_expire: bool,
    /// Messages may have been refused as Busy, and sent again behind later ones.
    pub may_be_overtaken: bool,
}

/// What happened to one message at one place.
#[derive(Default)]
struct Story {
    seen: BTreeSet<Seen>,
    /// Locks under which a verb was asked for, and answered.
    asked: Vec<(Verb, u64)>,
    done: Vec<(Verb, u64)>,
    /// The newest lock that any consumer had seen when a settlement was asked for, by the settlement's lock.
    newest_when_asked: BTreeMap<u64, u64>,
}

impl Story {
    fn newest(&self) -> u64 {
        self.seen.iter().map(|seen| seen.epoch).max().unwrap_or(0)
    }

    fn has(list: &[(Verb, u64)], verb: Verb) -> bool {
        list.iter().any(|(done, _)| *done == verb)
    }

    /// The first lock under which it was over with here.
    fn over(&self) -> Option<u64> {
        self.done.iter().filter(|(verb, _)| *verb != Verb::Abandon).map(|(_, epoch)| *epoch).min()
    }
}

/// A history, sorted by message and place.
#[derive(Default)]
struct Stories {
    sent: BTreeMap<u64, String>,
    stored: BTreeMap<u64, u64>,
    at: BTreeMap<(u64, String), Story>,
    problems: Vec<String>,
}

impl Checker<'_> {
    /// All that is wrong with a history.
    pub fn check(&self, events: &[Event]) -> Vec<String> {
        let mut stories = Stories::default();
        events.iter().for_each(|event| stories.take(event));
        let mut problems = std::mem::take(&mut stories.problems);
        for ((id, at), story) in &stories.at {
            let moved =
                at.strip_suffix(DEAD_LETTERS).and_then(|from| stories.at.get(&(*id, from.to_owned())));
            let told = story_problems(story, moved, self.locks_may_expire);
            problems.extend(told.into_iter().map(|problem| format!("{problem}: message {id:#x} at {at}")));
        }
        problems.extend(self.lost(&stories));
        problems.extend(self.split(&stories));
        problems.extend(disorder(&stories, self.may_be_overtaken));
        problems
    }

    /// Panics when anything is wrong; `context` says how to do it again.
    pub fn assert(&self, events: &[Event], context: &str) {
        let problems = self.check(events);
        let first: Vec<_> = problems.iter().take(20).map(String::as_str).collect();
        assert!(problems.is_empty(), "{context}: {} problems\n{}", problems.len(), first.join("\n"));
    }

    fn lost(&self, stories: &Stories) -> Vec<String> {
        let mut lost = Vec::new();
        for id in stories.stored.keys() {
            let to = stories.sent.get(id).map_or("", String::as_str);
            for place in (self.places)(to, *id) {
                let dead = format!("{place}{DEAD_LETTERS}");
                if !stories.finished(*id, &place) && !stories.finished(*id, &dead) {
                    lost.push(format!("I1 lost: message {id:#x} at {place}"));
                }
            }
        }
        lost
    }

    fn split(&self, stories: &Stories) -> Vec<String> {
        let seen = |id: u64, place: &String| {
            stories.at.contains_key(&(id, place.clone()))
                || stories.at.contains_key(&(id, format!("{place}{DEAD_LETTERS}")))
        };
        let mut split = Vec::new();
        for (id, to) in &stories.sent {
            let places = (self.places)(to, *id);
            let there = places.iter().filter(|place| seen(*id, place)).count();
            if there != 0 && there != places.len() {
                split.push(format!(
                    "I6 fan-out: message {id:#x} to {to} is at {there} of {} places",
                    places.len()
                ));
            }
        }
        let foreign = |(id, at): &(u64, String)| {
            let at = at.strip_suffix(DEAD_LETTERS).unwrap_or(at);
            let to = stories.sent.get(id).map_or("", String::as_str);
            !(self.places)(to, *id).iter().any(|place| place == at)
        };
        let strayed = stories.at.keys().filter(|key| foreign(key));
        split.extend(strayed.map(|(id, at)| format!("I6 strayed: message {id:#x} came to {at}")));
        split
    }
}

impl Stories {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Sending { id, to } => _ = self.sent.insert(*id, to.clone()),
            Event::Stored { id, sequence } => _ = self.stored.insert(*id, *sequence),
            Event::Delivered { id: Some(id), at, seen } if self.sent.contains_key(id) => {
                self.story(*id, at).seen.insert(*seen);
            }
            Event::Delivered { id, at, seen } => {
                self.problems.push(format!("I2 invented: {id:?} at {at}, number {}", seen.sequence));
            }
            Event::Settling(Settling { id, at, epoch, verb }) => {
                let story = self.story(*id, at);
                story.asked.push((*verb, *epoch));
                let newest = story.newest();
                story.newest_when_asked.insert(*epoch, newest);
            }
            Event::Settled(Settling { id, at, epoch, verb }) => {
                self.story(*id, at).done.push((*verb, *epoch));
            }
        }
    }

    fn story(&mut self, id: u64, at: &str) -> &mut Story {
        self.at.entry((id, at.to_owned())).or_default()
    }

    /// Whether somebody asked to complete it there; whether that was answered can be unknown.
    fn finished(&self, id: u64, at: &str) -> bool {
        let story = self.at.get(&(id, at.to_owned()));
        story.is_some_and(|story| Story::has(&story.asked, Verb::Complete))
    }
}

/// A dead letter has a story `before`, whose failed attempts it takes along; its locks are all newer.
fn story_problems(story: &Story, before: Option<&Story>, locks_may_expire: bool) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if story.over().is_some_and(|over| story.newest() > over) {
        problems.push("I3 resurrected");
    }
    let older =
        |(_, epoch): &&(Verb, u64)| story.newest_when_asked.get(epoch).is_some_and(|newest| newest > epoch);
    if story.done.iter().any(|done| older(&done)) {
        problems.push("I4 settled under an older lock");
    }
    let failed = |list: fn(&Story) -> &[(Verb, u64)], newer: u64| {
        let all = before.into_iter().chain([story]).flat_map(list);
        all.filter(|(verb, epoch)| *verb == Verb::Abandon && *epoch < newer).count() as u32
    };
    if story.seen.iter().any(|seen| seen.count < 1 + failed(|story| &story.done, seen.epoch)) {
        problems.push("I5 delivery count too low");
    }
    let most = |seen: &Seen| 1 + failed(|story| &story.asked, seen.epoch);
    if !locks_may_expire && story.seen.iter().any(|seen| seen.count > most(seen)) {
        problems.push("I5 delivery count too high");
    }
    let numbers: BTreeSet<u64> = story.seen.iter().map(|seen| seen.sequence).collect();
    if numbers.len() > 1 {
        problems.push("I10 stored more than once");
    }
    problems
}

/// A producer's messages in one queue must have rising numbers, and those that the producer was told.
fn disorder(stories: &Stories, may_be_overtaken: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut last: BTreeMap<(u64, &str), u64> = BTreeMap::new();
    // In the order of ids, which is the order in which each producer sent.
    for ((id, at), story) in &stories.at {
        let Some(sequence) = story.seen.first().map(|seen| seen.sequence) else { continue };
        if at.ends_with(DEAD_LETTERS) {
            continue;
        }
        let before = last.insert((id / PER_PRODUCER, at), sequence).unwrap_or(0);
        if sequence <= before && !may_be_overtaken {
            problems
                .push(format!("I7 disorder: message {id:#x} at {at} has number {sequence} after {before}"));
        }
        let told = stories.stored.get(id).filter(|_| stories.sent.get(id) == Some(at));
        if told.is_some_and(|told| *told != sequence) {
            problems.push(format!(
                "I7 renumbered: message {id:#x} at {at} has number {sequence}, told was {told:?}"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(to: &str, _: u64) -> Vec<String> {
        match to {
            "t" => vec!["t/a".to_owned(), "t/b".to_owned()],
            queue => vec![queue.to_owned()],
        }
    }

    fn check(events: &[Event]) -> Vec<String> {
        Checker { places: &places, locks_may_expire: false, may_be_overtaken: false }.check(events)
    }

    fn sending(id: u64, to: &str) -> Event {
        Event::Sending { id, to: to.to_owned() }
    }

    fn stored(id: u64, sequence: u64) -> Event {
        Event::Stored { id, sequence }
    }

    fn delivered(id: u64, at: &str, epoch: u64, count: u32) -> Event {
        Event::Delivered { id: Some(id), at: at.to_owned(), seen: Seen { epoch, count, sequence: id } }
    }

    fn settled(id: u64, at: &str, epoch: u64, verb: Verb) -> [Event; 2] {
        let settling = Settling { id, at: at.to_owned(), epoch, verb };
        [Event::Settling(settling.clone()), Event::Settled(settling)]
    }

    /// A good history: one message abandoned once, then completed; one to a topic.
    fn good() -> Vec<Event> {
        let mut events = vec![sending(1, "q"), stored(1, 1), delivered(1, "q", 5, 1)];
        events.extend(settled(1, "q", 5, Verb::Abandon));
        events.push(delivered(1, "q", 6, 2));
        events.extend(settled(1, "q", 6, Verb::Complete));
        events.extend([sending(2, "t"), delivered(2, "t/a", 1, 1), delivered(2, "t/b", 1, 1)]);
        events
    }

    /// The one problem of the good history with these entries behind it.
    #[track_caller]
    fn wrong(more: impl IntoIterator<Item = Event>, problem: &str) {
        let mut events = good();
        events.extend(more);
        let found = check(&events);
        assert!(found.len() == 1 && found[0].starts_with(problem), "{problem}: {found:?}");
    }

    #[test]
    fn a_good_history_passes() {
        assert_eq!(check(&good()), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_violation_is_found() {
        wrong([sending(3, "q"), stored(3, 3)], "I1 lost");
        wrong([sending(3, "q"), stored(3, 3), delivered(3, "q", 9, 1)], "I1 lost");
        wrong([delivered(9, "q", 9, 1)], "I2 invented");
        let at = "q".to_owned();
        wrong(
            [Event::Delivered { id: None, at, seen: Seen { epoch: 9, count: 1, sequence: 9 } }],
            "I2 invented",
        );
        wrong([delivered(1, "q", 7, 2)], "I3 resurrected");
        wrong([sending(3, "t"), delivered(3, "t/b", 2, 1)], "I6 fan-out");
        wrong([sending(3, "q"), delivered(3, "q", 9, 2)], "I5 delivery count too high");
        wrong([delivered(2, "q", 9, 1)], "I6 strayed");
    }

    #[test]
    fn a_dead_letter_takes_its_count_along() {
        let dead = |count| {
            let mut events = vec![sending(3, "q"), delivered(3, "q", 8, 1)];
            events.extend(settled(3, "q", 8, Verb::Abandon));
            events.push(delivered(3, "q", 9, 2));
            events.extend(settled(3, "q", 9, Verb::DeadLetter));
            events.push(delivered(3, "q/$dead-letter", 10, count));
            events
        };
        assert_eq!(check(&dead(2)), Vec::<String>::new());
        wrong(dead(1), "I5 delivery count too low");
        wrong(dead(3), "I5 delivery count too high");
    }

    #[test]
    fn locks_counts_and_numbers_are_compared() {
        let mut older = vec![sending(3, "q"), delivered(3, "q", 8, 1), delivered(3, "q", 9, 2)];
        older.extend(settled(3, "q", 8, Verb::Abandon));
        wrong(older, "I4 settled");
        let mut low = vec![sending(3, "q"), delivered(3, "q", 8, 1)];
        low.extend(settled(3, "q", 8, Verb::Abandon));
        low.push(delivered(3, "q", 9, 1));
        wrong(low, "I5 delivery count too low");
        let seen = |epoch, sequence| Event::Delivered {
            id: Some(3),
            at: "q".to_owned(),
            seen: Seen { epoch, count: 1, sequence },
        };
        wrong([sending(3, "q"), seen(8, 3), seen(9, 4)], "I10 stored");
        wrong(
            [sending(4, "q"), delivered(4, "q", 8, 1), sending(5, "q"), {
                let seen = Seen { epoch: 9, count: 1, sequence: 3 };
                Event::Delivered { id: Some(5), at: "q".to_owned(), seen }
            }],
            "I7 disorder",
        );
        let mut renumbered = vec![sending(3, "q"), stored(3, 4), delivered(3, "q", 8, 1)];
        renumbered.extend(settled(3, "q", 8, Verb::Complete));
        wrong(renumbered, "I7 renumbered");
    }
}
