//! Full queues.

use super::{counters, crash, look, next, options, pulling, queue, refused, send, text};
use postrider_client::{Client, ErrorCode, Message};

async fn letters(client: &Client, of: &str) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let letters = look(client, &format!("{of}/$dead-letter")).await;
    let pair = |seen: &postrider_client::PeekedMessage| {
        (text(&seen.message.body), seen.dead_letter.clone().expect("why").reason)
    };
    letters.iter().map(pair).collect()
}

fn full(body: &str) -> (String, String) {
    (body.to_owned(), "QueueFull".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_until_there_is_room() {
    let (mut broker, client) = queue(&[("max_messages", "2")]).await;
    let sender = client.sender("q").await.expect("a sender");
    let batch = ["a", "b", "c"].map(Message::new).to_vec();
    let outcomes = sender.send_batch(batch.clone()).await.expect("answers");
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
    crash(&mut broker);
    let error = sender.send(Message::new("c")).await.expect_err("full");
    assert_eq!(error.code(), Some(ErrorCode::QuotaExceeded));
    assert!(error.to_string().contains("max_messages") && error.to_string().contains('2'), "{error}");
    let mut receiver = pulling(&client, "q").await;
    let first = next(&mut receiver).await;
    refused(sender.send(Message::new("c")).await, ErrorCode::QuotaExceeded);
    first.complete().await.expect("locked");
    sender.send(Message::new("c")).await.expect("there is room");
    refused(sender.send_batch_atomic(batch.clone()).await, ErrorCode::QuotaExceeded);
    assert_eq!(counters(&client, "q").await.active, 2, "all of a batch or nothing");
    client.admin().update("q", options(&[("max_messages", "none")])).await.expect("changed");
    crash(&mut broker);
    assert_eq!(sender.send_batch_atomic(batch).await.expect("no limit").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_drops_the_oldest_that_nobody_holds() {
    let (mut broker, client) = queue(&[("max_messages", "3"), ("on_full", "drop-oldest")]).await;
    send(&client, "q", &["held", "b", "c"]).await;
    let mut receiver = pulling(&client, "q").await;
    let held = next(&mut receiver).await;
    crash(&mut broker);
    send(&client, "q", &["d", "e"]).await;
    assert_eq!(letters(&client, "q").await, [full("b"), full("c")]);
    let counters = counters(&client, "q").await;
    assert_eq!((counters.active, counters.dead_letters, counters.dropped), (3, 2, 2));
    held.complete().await.expect("nobody took it away");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_limited_too() {
    let (mut broker, client) = queue(&[("max_bytes", "10000")]).await;
    let sender = client.sender("q").await.expect("a sender");
    let kilobytes = || Message::new(vec![0; 4_000]);
    for _ in 0..2 {
        sender.send(kilobytes()).await.expect("stored");
    }
    crash(&mut broker);
    let error = sender.send(kilobytes()).await.expect_err("full").to_string();
    assert!(error.starts_with("QuotaExceeded") && error.contains("max_bytes"), "{error}");
    sender.send(Message::new("small")).await.expect("there is room for it");
    assert!(counters(&client, "q").await.bytes <= 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_subscription_does_not_hold_up_its_topic() {
    let (mut broker, client) = queue(&[]).await;
    let admin = client.admin();
    admin.create_topic("t", options(&[])).await.expect("a topic");
    admin.create_subscription("t", "wide", options(&[]), vec![]).await.expect("a subscription");
    for (name, on_full) in [("refuses", "reject"), ("drops", "drop-oldest")] {
        let narrow = options(&[("max_messages", "1"), ("on_full", on_full)]);
        admin.create_subscription("t", name, narrow, vec![]).await.expect("a subscription");
    }
    send(&client, "t", &["a"]).await;
    crash(&mut broker);
    send(&client, "t", &["b"]).await;
    assert_eq!(counters(&client, "t/subscriptions/wide").await.active, 2);
    assert_eq!(letters(&client, "t/subscriptions/refuses").await, [full("b")]);
    assert_eq!(letters(&client, "t/subscriptions/drops").await, [full("a")]);
    assert_eq!(text(&next(&mut pulling(&client, "t/subscriptions/drops").await).await), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_never_be_delivered_is_refused() {
    let (_broker, client) = queue(&[("capacity_units", "5")]).await;
    let sender = client.sender("q").await.expect("a sender");
    assert!(sender.send(Message::new("x").with_cost(6)).await.is_err());
    sender.send(Message::new("x").with_cost(5)).await.expect("stored");
}
