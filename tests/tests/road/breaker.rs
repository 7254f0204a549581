//! The circuit breaker of a queue: it opens, tries one message, closes.

use super::{counters, crash, next, nothing, options, pulling, queue, send, text};
use postrider_client::{BreakerState, Client, Receiver};
use postrider_tests::until;
use std::time::{SystemTime, UNIX_EPOCH};

/// Five failures in a row open it.
fn breaker(pause_ms: &'static str) -> [(&'static str, &'static str); 3] {
    [("breaker_failure_percent", "100"), ("breaker_window", "5"), ("breaker_pause_ms", pause_ms)]
}

/// Lets the first message fail five times, which opens the breaker.
async fn fail(client: &Client, receiver: &mut Receiver) {
    for count in 1..=5 {
        let delivery = next(receiver).await;
        assert_eq!((text(&delivery), delivery.delivery_count()), ("a", count));
        delivery.abandon().await.expect("locked");
    }
    let after = counters(client, "q").await;
    assert_eq!((after.breaker_state(), after.breaker_opened, after.locked), (Some(BreakerState::Open), 1, 0));
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_millis() as u64
}

/// The next message, which comes when the pause is over and not before.
async fn probe(client: &Client, receiver: &mut Receiver) -> postrider_client::Delivery {
    let until_ms = counters(client, "q").await.breaker_until_ms;
    let delivery = next(receiver).await;
    // The pause goes by another clock than the one that is looked at here.
    assert!(now_ms() + 100 >= until_ms, "{} ms too early", until_ms - now_ms());
    assert_eq!(counters(client, "q").await.breaker_state(), Some(BreakerState::HalfOpen));
    delivery
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_pause_delivery_until_a_probe_goes_well() {
    let (_broker, client) = queue(&breaker("1000")).await;
    send(&client, "q", &["a", "b", "c"]).await;
    let mut receiver = pulling(&client, "q").await;
    fail(&client, &mut receiver).await;
    assert!(receiver.drain().await.expect("answered at once").is_empty());
    let first = probe(&client, &mut receiver).await;
    assert_eq!((text(&first), first.delivery_count()), ("a", 6), "the pause burnt no attempt");
    first.abandon().await.expect("locked");
    let second = probe(&client, &mut receiver).await;
    assert_eq!((text(&second), second.delivery_count()), ("a", 7));
    let mut other = pulling(&client, "q").await;
    nothing(&mut other).await;
    second.release().await.expect("locked");
    let third = next(&mut receiver).await;
    assert_eq!((text(&third), third.delivery_count()), ("a", 7), "given back, and tried again");
    third.complete().await.expect("locked");
    assert_eq!([text(&next(&mut other).await), text(&next(&mut receiver).await)], ["b", "c"]);
    let after = counters(&client, "q").await;
    assert_eq!(
        (after.breaker_state(), after.breaker_opened, after.breaker_until_ms),
        (Some(BreakerState::Closed), 2, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_taking_the_options_away_end_the_pause() {
    let (mut broker, client) = queue(&breaker("3600000")).await;
    send(&client, "q", &["a"]).await;
    let mut receiver = pulling(&client, "q").await;
    fail(&client, &mut receiver).await;
    assert_eq!(client.admin().status().await.expect("an answer").breakers_open, 1);
    nothing(&mut receiver).await;
    crash(&mut broker);
    let again = next(&mut receiver).await;
    assert_eq!(again.delivery_count(), 6);
    again.release().await.expect("locked");
    let after = counters(&client, "q").await;
    assert_eq!((after.breaker_state(), after.breaker_opened), (Some(BreakerState::Closed), 0));
    for count in 6..=9 {
        let delivery = next(&mut receiver).await;
        assert_eq!(delivery.delivery_count(), count);
        delivery.abandon().await.expect("locked");
    }
    let shorter = options(&[("breaker_failure_percent", "80")]);
    client.admin().update("q", shorter).await.expect("changed");
    next(&mut receiver).await.complete().await.expect("locked");
    let after = counters(&client, "q").await;
    assert_eq!(after.breaker_state(), Some(BreakerState::Open), "four of five have failed");
    send(&client, "q", &["b"]).await;
    nothing(&mut receiver).await;
    client.admin().update("q", options(&[("breaker_failure_percent", "none")])).await.expect("changed");
    assert_eq!(text(&next(&mut receiver).await), "b");
    assert_eq!(counters(&client, "q").await.breaker_state(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_settlements_open_the_breaker_of_a_subscription() {
    let (_broker, client) = queue(&[]).await;
    let admin = client.admin();
    admin.create_topic("t", options(&[])).await.expect("a topic");
    let late = options(&[("breaker_latency_ms", "1"), ("breaker_window", "5")]);
    admin.create_subscription("t", "s", late, vec![]).await.expect("a subscription");
    send(&client, "t", &["a", "b", "c", "d", "e", "f"]).await;
    let at = "t/subscriptions/s";
    let mut receiver = pulling(&client, at).await;
    for _ in 0..5 {
        let delivery = next(&mut receiver).await;
        let delivered_ms = now_ms();
        until("two milliseconds have passed", async || now_ms() > delivered_ms + 2).await;
        delivery.complete().await.expect("locked");
    }
    let after = counters(&client, at).await;
    assert_eq!((after.breaker_state(), after.active), (Some(BreakerState::Open), 1));
    nothing(&mut receiver).await;
}
