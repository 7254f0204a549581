//! Histories that are bad in one way, at least two for each invariant.

use super::*;
use postrider_tests::history::Counts;

/// One message was abandoned once, then completed; one went to the topic.
fn good() -> Vec<Event> {
    let mut events = vec![sending(1, "q"), stored(1, 1), delivered(1, "q", 5, 1)];
    events.extend(settled(1, "q", 5, Verb::Abandon));
    events.push(delivered(1, "q", 6, 2));
    events.extend(settled(1, "q", 6, Verb::Complete));
    events.extend([sending(2, "t"), delivered(2, "t/a", 1, 1), delivered(2, "t/b", 1, 1)]);
    events
}

fn found(more: Vec<Event>) -> Vec<String> {
    checker().check(&[good(), more].concat())
}

/// The one problem of the good history with these entries behind it.
#[track_caller]
fn wrong(more: impl IntoIterator<Item = Event>, problem: &str) {
    let found = found(more.into_iter().collect());
    assert!(found.len() == 1 && found[0].starts_with(problem), "{problem}: {found:?}");
}

#[track_caller]
fn right(more: impl IntoIterator<Item = Event>) {
    assert_eq!(found(more.into_iter().collect()), Vec::<String>::new());
}

fn expiring(id: u64, to: &str, expires_ms: u64) -> Event {
    Event::Sending(Sending { id, to: to.to_owned(), expires_ms: Some(expires_ms), session: None })
}

fn dead(id: u64, at: &str, epoch: u64, count: u32, reason: &str) -> Event {
    delivered_as(
        id,
        &format!("{at}/$dead-letter"),
        Seen { reason: Some(reason.to_owned()), ..seen(epoch, count, id) },
    )
}

#[test]
fn lost() {
    right([]);
    wrong([sending(3, "q"), stored(3, 3)], "I1 lost");
    wrong([sending(3, "q"), stored(3, 3), delivered(3, "q", 9, 1)], "I1 lost");
    let completing = settling(3, "q", 9, Verb::Complete);
    let refused = [Event::Settling(completing.clone()), Event::NotSettled(completing)];
    wrong([sending(3, "q"), stored(3, 3), delivered(3, "q", 9, 1)].into_iter().chain(refused), "I1 lost");
}

#[test]
fn lost_before_its_time_was_up() {
    let end = |events: &[Event], now_ms| {
        let mut checking = checker().begin();
        events.iter().for_each(|event| checking.see(event));
        checking.finish(now_ms)
    };
    let gone = [expiring(3, "q", NOON), stored(3, 3)];
    assert_eq!(end(&gone, NOON), Vec::<String>::new());
    assert!(end(&gone, NOON - 1)[0].starts_with("I1 lost"));
    let not_kept = [expiring(3, "x", NOON), stored(3, 3)];
    assert!(end(&not_kept, NOON)[0].starts_with("I1 lost"), "x keeps what expires");
}

#[test]
fn invented() {
    wrong([delivered(9, "q", 9, 1)], "I2 invented");
    wrong([sending(9, "t"), delivered(8, "q", 9, 1)], "I2 invented");
    wrong([Event::Delivered { id: None, at: "q".to_owned(), seen: seen(9, 1, 9) }], "I2 invented");
}

#[test]
fn resurrected() {
    wrong([delivered(1, "q", 7, 2)], "I3 resurrected");
    let mut again = vec![sending(3, "q"), delivered(3, "q", 8, 1)];
    again.extend(settled(3, "q", 8, Verb::DeadLetter));
    again.push(delivered(3, "q", 9, 1));
    wrong(again, "I3 resurrected");
}

#[test]
fn resurrected_long_after_it_was_forgotten() {
    let mut checking = checker().begin();
    let many = postrider_tests::checker::LINGERING as u64 + 1;
    for id in 1..=many {
        let mut events = vec![sending(id, "q"), stored(id, id), delivered(id, "q", id, 1)];
        events.extend(settled(id, "q", id, Verb::Complete));
        events.iter().for_each(|event| checking.see(event));
    }
    assert_eq!(checking.open() as u64, many - 1, "memory is bounded");
    checking.see(&delivered(1, "q", many + 1, 1));
    let problems = checking.finish(NOON);
    assert!(problems.len() == 1 && problems[0].starts_with("I3 resurrected"), "{problems:?}");
}

#[test]
fn two_locks() {
    let mut older = vec![sending(3, "q"), delivered(3, "q", 8, 1), delivered(3, "q", 9, 2)];
    older.extend(settled(3, "q", 8, Verb::Abandon));
    wrong(older, "I4 settled");
    let renewed = settled(3, "q", 8, Verb::Renew);
    wrong(
        [sending(3, "q"), delivered(3, "q", 8, 1), delivered(3, "q", 9, 1)].into_iter().chain(renewed),
        "I4 settled",
    );
    let held = |until_ms| delivered_as(3, "q", Seen { until_ms, ..seen(8, 1, 3) });
    wrong([sending(3, "q"), held(NOON + 1), delivered(3, "q", 9, 1)], "I4 delivered");
    right([sending(3, "q"), held(NOON), delivered(3, "q", 9, 1)]);
    let [released, done] = settled(3, "q", 8, Verb::Release);
    right([sending(3, "q"), held(NOON + 1), released, delivered(3, "q", 9, 1), done]);
}

#[test]
fn wrong_counts() {
    wrong([sending(3, "q"), delivered(3, "q", 9, 2)], "I5 delivery count too high");
    let mut low = vec![sending(3, "q"), delivered(3, "q", 8, 1)];
    low.extend(settled(3, "q", 8, Verb::Abandon));
    low.push(delivered(3, "q", 9, 1));
    wrong(low, "I5 delivery count too low");
    let mut released = vec![sending(3, "q"), delivered(3, "q", 8, 1)];
    released.extend(settled(3, "q", 8, Verb::Release));
    released.push(delivered(3, "q", 9, 2));
    wrong(released, "I5 delivery count too high");
}

#[test]
fn a_dead_letter_takes_its_count_along() {
    let letters = |count| {
        let mut events = vec![sending(3, "q"), delivered(3, "q", 8, 1)];
        events.extend(settled(3, "q", 8, Verb::Abandon));
        events.push(delivered(3, "q", 9, 2));
        events.extend(settled(3, "q", 9, Verb::DeadLetter));
        events.push(dead(3, "q", 10, count, "Chance"));
        events
    };
    right(letters(2));
    wrong(letters(1), "I5 delivery count too low");
    wrong(letters(3), "I5 delivery count too high");
}

#[test]
fn a_dead_letter_has_a_reason_that_happened() {
    let failed = |times: u32| {
        let mut events = vec![sending(3, "q")];
        for time in 1..=times {
            events.push(delivered(3, "q", time.into(), time));
            events.extend(settled(3, "q", time.into(), Verb::Abandon));
        }
        events
    };
    let too_often =
        |times| [failed(times), vec![dead(3, "q", 9, times + 1, "MaxDeliveryCountExceeded")]].concat();
    right(too_often(LIMIT));
    wrong(too_often(LIMIT - 1), "I5 a dead letter for no reason");
    wrong([failed(LIMIT), vec![delivered(3, "q", 9, LIMIT + 1)]].concat(), "I5 delivered beyond the limit");
    wrong([failed(1), vec![dead(3, "q", 9, 2, "Chance")]].concat(), "I5 a dead letter for no reason");
    let expired = |at, to: &str| vec![expiring(3, to, at), dead(3, to, 9, 1, "TTLExpired")];
    right(expired(NOON, "x"));
    let mut given_back = vec![expiring(3, "x", NOON), delivered(3, "x", 8, 1)];
    given_back.extend(settled(3, "x", 8, Verb::Abandon));
    given_back.push(dead(3, "x", 9, 1, "TTLExpired"));
    right(given_back);
    wrong(expired(NOON + 1, "x"), "I5 a dead letter for no reason");
    wrong(expired(NOON, "q"), "I5 a dead letter for no reason");
}

#[test]
fn partly_copied() {
    wrong([sending(3, "t"), delivered(3, "t/b", 2, 1)], "I6 fan-out");
    let completed = settled(3, "t/a", 2, Verb::Complete);
    wrong([sending(3, "t"), delivered(3, "t/a", 2, 1)].into_iter().chain(completed), "I6 fan-out");
    wrong([delivered(2, "q", 9, 1)], "I6 strayed");
}

#[test]
fn out_of_order() {
    let numbered = |id, number| delivered_as(id, "q", seen(9, 1, number));
    wrong([sending(4, "q"), numbered(4, 4), sending(5, "q"), numbered(5, 3)], "I7 disorder");
    wrong([sending(4, "q"), sending(5, "q"), numbered(5, 3), numbered(4, 4)], "I7 disorder");
    let mut renumbered = vec![sending(3, "q"), stored(3, 4), delivered(3, "q", 8, 1)];
    renumbered.extend(settled(3, "q", 8, Verb::Complete));
    wrong(renumbered, "I7 renumbered");
}

#[test]
fn a_session_out_of_order() {
    let of_session = |id, session| {
        Event::Sending(Sending { id, to: "q".to_owned(), expires_ms: None, session: Some(session) })
    };
    let sent = [of_session(4, 7), of_session(5, 7), of_session(6, 8)];
    right(sent.clone().into_iter().chain([4, 5, 6].map(|id| delivered(id, "q", 9, 1))));
    right(sent.clone().into_iter().chain([6, 4, 5].map(|id| delivered(id, "q", 9, 1))));
    wrong(sent.into_iter().chain([5, 6, 4].map(|id| delivered(id, "q", 9, 1))), "I7 session");
}

#[test]
fn miscounted() {
    let counts = Counts { active: 3, locked: 1, dead_letters: 0 };
    let counted = |scanned| [Event::Counted { at: "q".to_owned(), counted: counts, scanned }];
    right(counted(counts));
    wrong(counted(Counts { locked: 0, ..counts }), "I8 miscounted");
    wrong(counted(Counts { dead_letters: 1, ..counts }), "I8 miscounted");
}

#[test]
fn sent_again() {
    let answered = |sequence, duplicate| Event::Stored { id: 3, sequence, duplicate };
    let again = |answers: &[Event]| {
        let mut events = vec![sending(3, "q"), Event::SendingAgain { id: 3 }];
        events.extend(answers.iter().cloned());
        events.push(delivered(3, "q", 9, 1));
        events.extend(settled(3, "q", 9, Verb::Complete));
        events
    };
    right(again(&[answered(3, false), answered(3, true)]));
    right(again(&[answered(3, true)]));
    wrong(again(&[answered(3, false), answered(3, false)]), "I9 answered");
    wrong(again(&[answered(3, false), answered(4, true)]), "I9 answered");
    let twice = delivered_as(3, "q", seen(10, 1, 4));
    let delivered = [sending(3, "q"), Event::SendingAgain { id: 3 }, delivered(3, "q", 9, 1), twice];
    wrong(delivered, "I9 stored more than once");
    let mut new = vec![sending(3, "q"), answered(3, true), super::delivered(3, "q", 9, 1)];
    new.extend(settled(3, "q", 9, Verb::Complete));
    wrong(new, "I9 taken for a duplicate");
}

#[test]
fn not_whole() {
    let twice = [delivered(3, "q", 8, 1), delivered_as(3, "q", seen(9, 1, 4))];
    wrong([sending(3, "q")].into_iter().chain(twice), "I10 stored more than once");
    wrong([sending(3, "q"), Event::Refused { id: 3 }, delivered(3, "q", 8, 1)], "I10 refused, yet stored");
}
