//! Receiving: sharing, prefetch, drain, streams, handlers.

use super::{NOTHING, WAIT, next, nothing, queue, send, text};
use futures_util::StreamExt;
use postrider_client::{Client, HandlerError, ReceiveMode, SubscribeOptions};
use postrider_tests::until;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

async fn active(client: &Client, at: &str) -> u64 {
    client.admin().get(at).await.expect("it exists").counters.active
}

#[tokio::test(flavor = "multi_thread")]
async fn competing_consumers_share_the_work() {
    let (broker, client) = queue(&[]).await;
    let mut receivers = Vec::new();
    for _ in 0..4 {
        let own = broker.client().await;
        receivers.push(own.receiver_builder("q").prefetch(10).open().await.expect("a receiver"));
    }
    let bodies: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    send(&client, "q", &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut seen = Vec::new();
    for receiver in &mut receivers {
        let mut share = Vec::new();
        while share.len() < 10 {
            let batch = receiver.receive_batch(10, WAIT).await.expect("no error");
            assert!(!batch.is_empty(), "a share of {}", share.len());
            share.extend(batch.iter().map(postrider_client::Delivery::sequence));
        }
        assert_eq!(share.len(), 10, "everyone has the same room, so everyone gets the same");
        seen.extend(share);
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).collect::<Vec<_>>(), "each message went to one of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_prefetched_with_a_prefetch_of_nothing() {
    let (_broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b"]).await;
    let mut pulling = client.receiver_builder("q").prefetch(0).open().await.expect("a receiver");
    let first = next(&mut pulling).await;
    let counters = client.admin().get("q").await.expect("the queue").counters;
    assert_eq!((counters.active, counters.locked), (2, 1));
    first.complete().await.expect("locked");
    let batch = pulling.receive_batch(10, WAIT).await.expect("no error");
    assert_eq!(batch.len(), 1);
    assert!(pulling.complete_batch(&batch).await.expect("answers").iter().all(Result::is_ok));
    nothing(&mut pulling).await;
    // The credit of the call that timed out was taken back: what comes now goes to others.
    send(&client, "q", &["c"]).await;
    let mut other = client.receiver("q").await.expect("a receiver");
    assert_eq!(text(&next(&mut other).await), "c");
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_takes_what_is_there_and_no_more() {
    let (_broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b", "c"]).await;
    let mut receiver = client.receiver_builder("q").prefetch(0).open().await.expect("a receiver");
    let drained = receiver.drain().await.expect("no error");
    assert_eq!(drained.iter().map(text).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(receiver.drain().await.expect("no error").is_empty());
    send(&client, "q", &["d"]).await;
    let counters = client.admin().get("q").await.expect("the queue").counters;
    assert_eq!((counters.active, counters.locked), (4, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn received_and_deleted_is_gone() {
    let (mut broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b"]).await;
    let builder = client.receiver_builder("q").mode(ReceiveMode::ReceiveAndDelete).prefetch(0);
    let mut receiver = builder.open().await.expect("a receiver");
    let delivery = next(&mut receiver).await;
    assert!(delivery.is_deleted() && text(&delivery) == "a");
    assert!(delivery.complete().await.is_err(), "there is nothing to settle");
    broker.kill9();
    broker.restart();
    assert_eq!(active(&client, "q").await, 1);
    assert_eq!(text(&next(&mut receiver).await), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_a_stream() {
    let (_broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b", "c"]).await;
    let receiver = client.receiver("q").await.expect("a receiver");
    let mut stream = Box::pin(receiver.into_stream());
    for expected in ["a", "b", "c"] {
        let delivery = stream.next().await.expect("it goes on").expect("no error");
        assert_eq!(text(&delivery), expected);
        delivery.complete().await.expect("locked");
    }
    client.admin().delete("q").await.expect("deleted");
    assert!(stream.next().await.expect("the reason").is_err());
    assert!(stream.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_decides_what_becomes_of_a_message() {
    let (_broker, client) = queue(&[]).await;
    send(&client, "q", &["good", "retry", "bad", "panic"]).await;
    let seen = Arc::new(Mutex::new(BTreeMap::<String, Vec<u32>>::new()));
    let noted = seen.clone();
    let receiver = client.receiver("q").await.expect("a receiver");
    let subscription =
        receiver.subscribe(SubscribeOptions { concurrency: 2, ..Default::default() }, move |delivery| {
            let body = text(&delivery).to_owned();
            noted.lock().expect("no panic").entry(body.clone()).or_default().push(delivery.delivery_count());
            async move {
                let first = delivery.delivery_count() == 1;
                match body.as_str() {
                    "retry" if first => Err(HandlerError::Retry("once more".to_owned())),
                    "panic" if first => panic!("a defect of the handler"),
                    "bad" => Err(HandlerError::dead_letter("Unreadable", "no order")),
                    _ => Ok(()),
                }
            }
        });
    until("the queue is empty", async || active(&client, "q").await == 0).await;
    subscription.stop().await.expect("in order");
    let seen = seen.lock().expect("no panic").clone();
    let counts = |body: &str| seen[body].clone();
    assert_eq!([counts("good"), counts("bad")], [[1], [1]]);
    assert_eq!([counts("retry"), counts("panic")], [[1, 2], [1, 2]]);
    let dead = next(&mut client.receiver("q/$dead-letter").await.expect("a receiver")).await;
    let info = dead.dead_letter().expect("why");
    assert_eq!(
        (text(&dead), info.reason.as_str(), info.description.as_str()),
        ("bad", "Unreadable", "no order")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handler_keeps_its_lock() {
    let (_broker, client) = queue(&[("lock_duration_ms", "1000")]).await;
    send(&client, "q", &["slow"]).await;
    let runs = Arc::new(Mutex::new(0));
    let counted = runs.clone();
    let receiver = client.receiver_builder("q").prefetch(1).open().await.expect("a receiver");
    let subscription = receiver.subscribe(SubscribeOptions::default(), move |_| {
        *counted.lock().expect("no panic") += 1;
        async {
            postrider_tests::pause(Duration::from_millis(2_500)).await;
            Ok(())
        }
    });
    until("the queue is empty", async || active(&client, "q").await == 0).await;
    subscription.stop().await.expect("in order");
    assert_eq!(*runs.lock().expect("no panic"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_lets_go_without_counting() {
    let (_broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b"]).await;
    let mut first = client.receiver("q").await.expect("a receiver");
    let held = next(&mut first).await;
    first.close().await.expect("in order");
    let mut second = client.receiver("q").await.expect("a receiver");
    for expected in ["a", "b"] {
        let delivery = next(&mut second).await;
        assert_eq!((text(&delivery), delivery.delivery_count()), (expected, 1));
    }
    assert!(held.complete().await.is_err(), "the old lock is worth nothing");
    assert!(second.receive_timeout(NOTHING).await.expect("no error").is_none());
}
