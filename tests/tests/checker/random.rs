//! Random good histories pass; with one entry dropped, doubled or changed, the invariant that breaks is named.

use super::good::history;
use super::*;
use fastrand::Rng;
use postrider_tests::checker::DEAD_LETTERS;
use postrider_tests::history::PER_PRODUCER;

const HISTORIES: u64 = 100;

#[test]
fn good_histories_pass() {
    for seed in 0..HISTORIES {
        let events = history(seed);
        assert!(events.len() > 100, "seed {seed}: {} entries show nothing", events.len());
        assert_eq!(checker().check(&events), Vec::<String>::new(), "seed {seed}");
    }
}

/// What is done to an entry that is fit for it.
type Harm = fn(&[Event], usize) -> Option<Vec<Event>>;

/// Breaks one entry of each history, in a place of its own, and expects the named problem, maybe among others.
#[track_caller]
fn is_found(problem: &str, harm: Harm) {
    let mut broken = 0;
    for seed in 0..HISTORIES {
        let events = history(seed);
        let mut places: Vec<usize> = (0..events.len()).collect();
        Rng::with_seed(seed).shuffle(&mut places);
        let Some(bad) = places.into_iter().find_map(|place| harm(&events, place)) else { continue };
        let problems = checker().check(&bad);
        assert!(
            problems.iter().any(|found| found.starts_with(problem)),
            "seed {seed}, {problem}: {problems:?}"
        );
        broken += 1;
    }
    assert!(broken > HISTORIES / 2, "{problem}: only {broken} histories had an entry that could be broken");
}

/// The history without the entry, if that is one of these.
fn without(events: &[Event], place: usize, fits: impl Fn(&Event) -> bool) -> Option<Vec<Event>> {
    fits(&events[place]).then(|| [&events[..place], &events[place + 1..]].concat())
}

/// The history with something else in place of the entry.
fn with(events: &[Event], place: usize, other: impl Fn(&Event) -> Option<Event>) -> Option<Vec<Event>> {
    let mut events = events.to_vec();
    events[place] = other(&events[place])?;
    Some(events)
}

/// The same for a delivery.
fn with_seen(events: &[Event], place: usize, change: impl Fn(&str, &mut Seen) -> bool) -> Option<Vec<Event>> {
    with(events, place, |event| {
        let Event::Delivered { id, at, seen } = event else { return None };
        let mut seen = seen.clone();
        change(at, &mut seen).then(|| Event::Delivered { id: *id, at: at.clone(), seen })
    })
}

fn is_settling(event: &Event, verb: Verb) -> bool {
    matches!(event, Event::Settling(settling) if settling.verb == verb)
}

/// How often a message was delivered.
fn deliveries(events: &[Event], of: u64) -> usize {
    events.iter().filter(|event| matches!(event, Event::Delivered { id: Some(id), .. } if *id == of)).count()
}

fn answers(events: &[Event], of: u64) -> usize {
    events.iter().filter(|event| matches!(event, Event::Stored { id, .. } if *id == of)).count()
}

fn id_of(event: &Event) -> Option<u64> {
    match event {
        Event::Delivered { id, .. } => *id,
        Event::Settling(settling) => Some(settling.id),
        _ => None,
    }
}

#[test]
fn i1_a_completion_that_nobody_asked_for() {
    is_found("I1 lost", |events, place| {
        let answered = id_of(&events[place]).is_some_and(|id| answers(events, id) > 0);
        // An old lock's completion, which was refused, is none.
        let last = |event: &Event| {
            is_settling(event, Verb::Complete) && matches!(&events[place + 1], Event::Settled(_))
        };
        without(events, place, |event| answered && last(event))
    });
}

#[test]
fn i1_a_completion_that_was_refused() {
    is_found("I1 lost", |events, place| {
        let answered = place > 0 && id_of(&events[place - 1]).is_some_and(|id| answers(events, id) > 0);
        with(events, place, |event| match event {
            Event::Settled(settling) if answered && settling.verb == Verb::Complete => {
                Some(Event::NotSettled(settling.clone()))
            }
            _ => None,
        })
    });
}

#[test]
fn i2_what_was_not_sent() {
    is_found("I2 invented", |events, place| {
        let of = |event: &Event| match event {
            Event::Sending(sending) => Some(sending.id),
            _ => None,
        };
        without(events, place, |event| of(event).is_some_and(|id| deliveries(events, id) > 0))
    });
}

#[test]
fn i2_another_body() {
    is_found("I2 invented", |events, place| {
        with(events, place, |event| match event {
            Event::Delivered { at, seen, .. } => {
                Some(Event::Delivered { id: None, at: at.clone(), seen: seen.clone() })
            }
            _ => None,
        })
    });
}

#[test]
fn i3_delivered_after_it_was_completed() {
    is_found("I3 resurrected", |events, place| {
        let Event::Delivered { id, at, seen } = &events[place] else { return None };
        let completed = |event: &Event| matches!(event, Event::Settled(settling) if Some(settling.id) == *id && settling.at == *at && settling.verb == Verb::Complete);
        events.iter().any(completed).then(|| {
            let seen = Seen { epoch: seen.epoch + 1_000_000, ..seen.clone() };
            [events, &[Event::Delivered { id: *id, at: at.clone(), seen }]].concat()
        })
    });
}

#[test]
fn i4_an_old_lock_settles() {
    is_found("I4 settled", |events, place| {
        with(events, place, |event| match event {
            Event::NotSettled(settling) => Some(Event::Settled(settling.clone())),
            _ => None,
        })
    });
}

#[test]
fn i4_delivered_while_it_was_locked() {
    is_found("I4 delivered", |events, place| {
        let Event::Settling(released) = &events[place] else { return None };
        let again = |event: &Event| matches!(event, Event::Delivered { id: Some(id), at, .. } if *id == released.id && *at == released.at);
        let again = events[place..].iter().any(again);
        without(events, place, |event| again && is_settling(event, Verb::Release))
    });
}

#[test]
fn i5_one_more() {
    is_found("I5", |events, place| {
        with_seen(events, place, |_, seen| {
            seen.count += 1;
            true
        })
    });
}

#[test]
fn i5_one_less() {
    is_found("I5 delivery count too low", |events, place| {
        with_seen(events, place, |_, seen| {
            seen.count -= 1;
            // The last attempt of what expired need not count.
            seen.count > 0 && seen.reason.as_deref() != Some("TTLExpired")
        })
    });
}

#[test]
fn i5_an_attempt_that_nobody_failed() {
    is_found("I5 delivery count too high", |events, place| {
        without(events, place, |event| is_settling(event, Verb::Abandon))
    });
}

#[test]
fn i5_another_reason() {
    is_found("I5 a dead letter for no reason", |events, place| {
        with_seen(events, place, |at, seen| {
            let other = if seen.reason.as_deref() == Some("Chance") { "TTLExpired" } else { "Chance" };
            seen.reason = Some(other.to_owned());
            at.ends_with(DEAD_LETTERS)
        })
    });
}

#[test]
fn i6_a_copy_that_went_elsewhere() {
    is_found("I6 strayed", |events, place| {
        with(events, place, |event| match event {
            Event::Delivered { id, at, seen } if at == "t/a" => {
                Some(Event::Delivered { id: *id, at: "q".to_owned(), seen: seen.clone() })
            }
            _ => None,
        })
    });
}

#[test]
fn i6_a_copy_that_was_not_made() {
    is_found("I6 fan-out", |events, place| {
        let id = id_of(&events[place])
            .filter(|_| matches!(&events[place], Event::Delivered { at, .. } if at == "t/b"))?;
        let here = |event: &Event| match event {
            Event::Delivered { id: Some(of), at, .. } => *of == id && at.starts_with("t/b"),
            Event::Settling(settling) | Event::Settled(settling) | Event::NotSettled(settling) => {
                settling.id == id && settling.at.starts_with("t/b")
            }
            _ => false,
        };
        Some(events.iter().filter(|event| !here(event)).cloned().collect())
    });
}

#[test]
fn i7_a_number_of_its_own() {
    is_found("I7", |events, place| {
        let id = id_of(&events[place])?;
        with_seen(events, place, |at, seen| {
            seen.sequence = 0;
            deliveries(events, id) == 1 && ["q", "x", "s"].contains(&at)
        })
    });
}

#[test]
fn i7_a_session_in_another_order() {
    is_found("I7 session", |events, place| {
        let (id, is_first) =
            (id_of(&events[place])?, matches!(&events[place], Event::Delivered { at, .. } if at == "s"));
        let later = |event: &Event| matches!(event, Event::Delivered { id: Some(of), at, .. } if at == "s" && *of > id && of / PER_PRODUCER == id / PER_PRODUCER);
        let sent = |of: u64| {
            events[..place].iter().any(|event| matches!(event, Event::Sending(sending) if sending.id == of))
        };
        let next = events
            .iter()
            .position(|event| later(event) && id_of(event).is_some_and(sent))
            .filter(|_| is_first)?;
        let mut events = events.to_vec();
        let moved = events.remove(next);
        events.insert(place, moved);
        Some(events)
    });
}

#[test]
fn i8_one_more_than_there_is() {
    is_found("I8 miscounted", |events, place| {
        with(events, place, |event| match event {
            Event::Counted { at, counted, scanned } => {
                let mut counted = *counted;
                counted.active += 1;
                Some(Event::Counted { at: at.clone(), counted, scanned: *scanned })
            }
            _ => None,
        })
    });
}

#[test]
fn i9_a_duplicate_that_was_stored() {
    is_found("I9", |events, place| {
        with(events, place, |event| match event {
            Event::Stored { id, sequence, duplicate: true } => {
                Some(Event::Stored { id: *id, sequence: sequence + 1, duplicate: false })
            }
            _ => None,
        })
        .filter(|_| matches!(&events[place], Event::Stored { id, .. } if answers(events, *id) == 2))
    });
}

#[test]
fn i9_a_duplicate_of_nothing() {
    is_found("I9 taken for a duplicate", |events, place| {
        let duplicate = |of: u64| {
            events.iter().any(|event| matches!(event, Event::Stored { id, duplicate: true, .. } if *id == of))
        };
        without(events, place, |event| matches!(event, Event::SendingAgain { id } if duplicate(*id)))
    });
}

#[test]
fn i10_stored_twice() {
    is_found("I10 stored more than once", |events, place| {
        let Event::Delivered { id: Some(of), at, seen } = &events[place] else { return None };
        let again = events.iter().any(|event| matches!(event, Event::SendingAgain { id } if id == of));
        let seen =
            Seen { epoch: seen.epoch - 1, sequence: seen.sequence + 1_000, until_ms: 0, ..seen.clone() };
        let twice = Event::Delivered { id: Some(*of), at: at.clone(), seen };
        (!again).then(|| [&events[..=place], &[twice], &events[place + 1..]].concat())
    });
}

#[test]
fn i10_refused_and_stored() {
    is_found("I10 refused, yet stored", |events, place| {
        with(events, place, |event| match event {
            Event::Stored { id, .. } if deliveries(events, *id) > 0 => Some(Event::Refused { id: *id }),
            _ => None,
        })
    });
}
