//! Messages that are sent twice.

use super::{counters, crash, next, options, pulling, queue};
use postrider_client::{Client, Message, SendOutcome};
use postrider_tests::until;
use std::time::{Duration, SystemTime};

const WINDOW: (&str, &str) = ("dedup_window_ms", "600000");

async fn send_as(client: &Client, to: &str, id: &str) -> SendOutcome {
    let sender = client.sender(to).await.expect("a sender");
    sender.send(Message::new("x").with_id(id)).await.expect("an outcome")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_known_over_a_kill() {
    let (mut broker, client) = queue(&[WINDOW]).await;
    assert_eq!(send_as(&client, "q", "m1").await, SendOutcome { sequence: 1, duplicate: false });
    assert_eq!(send_as(&client, "q", "m2").await, SendOutcome { sequence: 2, duplicate: false });
    crash(&mut broker);
    let again = SendOutcome { sequence: 1, duplicate: true };
    assert_eq!(send_as(&client, "q", "m1").await, again);
    next(&mut pulling(&client, "q").await).await.complete().await.expect("locked");
    assert_eq!(send_as(&client, "q", "m1").await, again, "whatever became of the first one");
    assert_eq!(send_as(&client, "q", "M1").await.sequence, 3, "ids compare with case");
    let counters = counters(&client, "q").await;
    assert_eq!((counters.active, counters.last_sequence), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_sent_again_after_a_kill_is_stored_once() {
    let (mut broker, client) = queue(&[WINDOW]).await;
    let messages = || (0..3_000).map(|number| Message::new("x").with_id(format!("m{number}"))).collect();
    let sender = client.sender("q").await.expect("a sender");
    // The process that sends is lost with the broker: what it has stored is not known.
    let lost = tokio::spawn(async move { sender.send_batch(messages()).await.map(drop) });
    until("some are stored", async || counters(&client, "q").await.active > 0).await;
    crash(&mut broker);
    lost.abort();
    let other = broker.client().await;
    let sender = other.sender("q").await.expect("a sender");
    for _ in 0..2 {
        let outcomes = sender.send_batch(messages()).await.expect("answers");
        assert_eq!(outcomes.into_iter().filter(Result::is_ok).count(), 3_000);
    }
    let counters = counters(&other, "q").await;
    assert_eq!((counters.active, counters.last_sequence), (3_000, 3_000));
    assert!(counters.duplicates >= 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_taken_away_forgets() {
    let (mut broker, client) = queue(&[WINDOW]).await;
    send_as(&client, "q", "m1").await;
    client.admin().update("q", options(&[("dedup_window_ms", "none")])).await.expect("changed");
    crash(&mut broker);
    assert!(!send_as(&client, "q", "m1").await.duplicate);
    client.admin().update("q", options(&[WINDOW])).await.expect("changed");
    assert!(!send_as(&client, "q", "m1").await.duplicate);
    assert!(send_as(&client, "q", "m1").await.duplicate);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_and_scheduled_messages_know_their_duplicates() {
    let (mut broker, client) = queue(&[WINDOW]).await;
    let admin = client.admin();
    admin.create_topic("t", options(&[WINDOW])).await.expect("a topic");
    admin.create_subscription("t", "s", options(&[]), vec![]).await.expect("a subscription");
    let sender = client.sender("q").await.expect("a sender");
    let later = SystemTime::now() + Duration::from_secs(3_600);
    let number = sender.schedule(Message::new("x").with_id("later"), later).await.expect("stored");
    send_as(&client, "t", "m1").await;
    crash(&mut broker);
    assert_eq!(send_as(&client, "q", "later").await, SendOutcome { sequence: number, duplicate: true });
    assert!(send_as(&client, "t", "m1").await.duplicate);
    assert_eq!(counters(&client, "t/subscriptions/s").await.active, 1);
    assert_eq!(counters(&client, "q").await.scheduled, 1);
}
