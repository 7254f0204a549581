//! What consumers change in a message, what is told to those who lost a lock, and the epoch.

use super::{counters, crash, look, next, pulling, queue, send, text};
use postrider_client::{Delivery, Error, PeekState, Properties, Value};
use std::time::{Duration, SystemTime};

fn changed(name: &str, value: &str) -> Properties {
    vec![(name.to_owned(), Value::from(value))]
}

fn property<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a Value> {
    delivery.message().property(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_message_waits_and_keeps_what_was_changed() {
    let (mut broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b"]).await;
    let mut receiver = pulling(&client, "q").await;
    let hour = Duration::from_secs(3_600);
    next(&mut receiver).await.abandon_with(hour, changed("error", "later")).await.expect("locked");
    let second = next(&mut receiver).await;
    let (before, delay) = (SystemTime::now(), Duration::from_millis(300));
    second.abandon_with(delay, changed("error", "soon")).await.expect("locked");
    crash(&mut broker);
    let again = next(&mut receiver).await;
    assert!(SystemTime::now() >= before + delay, "not before its time");
    assert_eq!((text(&again), again.delivery_count()), ("b", 2), "the delayed one does not hold it up");
    assert_eq!(property(&again, "Error"), Some(&Value::from("soon")));
    let waiting = &look(&client, "q").await[0];
    assert_eq!((waiting.state, waiting.attempts, waiting.sequence), (PeekState::Delayed, 1, 1));
    assert!(waiting.until.expect("a moment") > before + hour / 2);
    assert_eq!(waiting.message.property("error"), Some(&Value::from("later")));
    assert_eq!(counters(&client, "q").await.delayed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_keeps_what_was_changed() {
    let (mut broker, client) = queue(&[]).await;
    let sender = client.sender("q").await.expect("a sender");
    let message = postrider_client::Message::new("a").with_property("kept", 1i64).with_property("Host", "a");
    sender.send(message).await.expect("stored");
    let mut receiver = pulling(&client, "q").await;
    let delivery = next(&mut receiver).await;
    delivery
        .dead_letter_with_properties("MailServerDown", "no answer", changed("host", "b"))
        .await
        .expect("locked");
    crash(&mut broker);
    let letter = next(&mut pulling(&client, "q/$dead-letter").await).await;
    let why = letter.dead_letter().expect("why");
    assert_eq!((why.reason.as_str(), why.description.as_str()), ("MailServerDown", "no answer"));
    assert_eq!(property(&letter, "HOST"), Some(&Value::from("b")));
    assert_eq!(property(&letter, "kept"), Some(&Value::from(1i64)));
    assert_eq!(letter.message().properties.len(), 2, "names do not differ by case");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_a_lock_learns_how_and_when() {
    let (mut broker, client) = queue(&[]).await;
    send(&client, "q", &["complete", "abandon", "dead-letter", "defer", "release", "run out"]).await;
    let mut receiver = client.receiver_builder("q").prefetch(6).open().await.expect("a receiver");
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(next(&mut receiver).await);
    }
    let hour = Duration::from_secs(3_600);
    held[0].complete().await.expect("locked");
    held[1].abandon_with(hour, vec![]).await.expect("locked");
    held[2].dead_letter_with("No", "").await.expect("locked");
    held[3].defer().await.expect("locked");
    held[4].release().await.expect("locked");
    held[5].renew_for(Duration::from_secs(1)).await.expect("locked");
    let again = loop {
        let delivery = next(&mut receiver).await;
        if delivery.sequence() == 6 {
            break delivery;
        }
    };
    let expected = [
        "was completed at 2",
        "was abandoned at 2",
        "went to the dead letters at 2",
        "was deferred at 2",
        "lock was released at 2",
        "lock ran out at 2",
    ];
    for (delivery, expected) in held.iter().zip(expected) {
        told(delivery.complete().await, expected);
    }
    client.admin().delete("q").await.expect("deleted");
    told(again.complete().await, "the queue was deleted at 2");
    crash(&mut broker);
    told(held[0].complete().await, "or never was");
}

#[track_caller]
fn told(settled: Result<(), Error>, expected: &str) {
    let error = settled.expect_err("the lock is gone").to_string();
    assert!(error.starts_with("LockLost") && error.contains(expected), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_holds_over_a_kill() {
    let (mut broker, client) = queue(&[("lock_duration_ms", "60000")]).await;
    send(&client, "q", &["a"]).await;
    let mut receiver = pulling(&client, "q").await;
    let held = next(&mut receiver).await;
    let until = held.renew_for(Duration::from_secs(3_600)).await.expect("locked");
    assert!(until > SystemTime::now() + Duration::from_secs(3_000));
    crash(&mut broker);
    let seen = &look(&client, "q").await[0];
    assert_eq!((seen.state, seen.until), (PeekState::Locked, Some(until)));
    held.complete().await.expect("still locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_over_a_kill_burns_no_attempt() {
    let (mut broker, client) = queue(&[("max_delivery_count", "1")]).await;
    send(&client, "q", &["a"]).await;
    let mut receiver = pulling(&client, "q").await;
    for _ in 0..3 {
        next(&mut receiver).await.release().await.expect("locked");
        crash(&mut broker);
    }
    assert_eq!(next(&mut receiver).await.delivery_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_epoch_rises_with_every_delivery() {
    let (mut broker, client) = queue(&[]).await;
    send(&client, "q", &["a"]).await;
    let (mut receiver, mut epochs) = (pulling(&client, "q").await, Vec::new());
    for round in 0..6 {
        let delivery = next(&mut receiver).await;
        epochs.push(delivery.epoch());
        match round % 3 {
            0 => delivery.abandon().await.expect("locked"),
            1 => delivery.release().await.expect("locked"),
            _ => drop(delivery.renew_for(Duration::from_secs(1)).await.expect("locked")),
        }
        crash(&mut broker);
    }
    next(&mut receiver).await.dead_letter_with("No", "").await.expect("locked");
    let letter = next(&mut pulling(&client, "q/$dead-letter").await).await;
    epochs.push(letter.epoch());
    assert!(epochs.is_sorted_by(|one, other| one < other), "{epochs:?}");
}
