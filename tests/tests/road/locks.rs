//! Peek-lock: complete, abandon, dead-letter, release, renew, expiry, the limit of deliveries.

use super::{next, nothing, queue, refused, send, text};
use postrider_client::{ErrorCode, Settlement};
use postrider_tests::{pause, until};
use std::time::{Duration, SystemTime};

#[tokio::test(flavor = "multi_thread")]
async fn completed_is_gone_and_completed_once() {
    let (_broker, client) = queue(&[]).await;
    send(&client, "q", &["a"]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let delivery = next(&mut receiver).await;
    delivery.complete().await.expect("locked");
    refused(delivery.complete().await, ErrorCode::LockLost);
    refused(delivery.abandon().await, ErrorCode::LockLost);
    nothing(&mut receiver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_comes_again_in_its_place_with_one_attempt_more() {
    let (_broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b"]).await;
    let mut receiver = client.receiver_builder("q").prefetch(0).open().await.expect("a receiver");
    let first = next(&mut receiver).await;
    first.abandon().await.expect("locked");
    let again = next(&mut receiver).await;
    assert_eq!((text(&again), again.delivery_count()), ("a", 2));
    assert!(again.epoch() > first.epoch());
    refused(first.complete().await, ErrorCode::LockLost);
    again.release().await.expect("locked");
    let released = next(&mut receiver).await;
    assert_eq!((text(&released), released.delivery_count()), ("a", 2), "a release does not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_lettered_says_why_and_can_be_put_away() {
    let (_broker, client) = queue(&[]).await;
    send(&client, "q", &["a"]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let delivery = next(&mut receiver).await;
    delivery.dead_letter_with("NoAddress", "the order has no address").await.expect("locked");
    let mut dead = client.receiver("q/$dead-letter").await.expect("a receiver");
    let letter = next(&mut dead).await;
    let info = letter.dead_letter().expect("why").clone();
    assert_eq!((info.source.as_str(), info.reason.as_str()), ("q", "NoAddress"));
    assert_eq!(info.description, "the order has no address");
    assert_eq!((text(&letter), letter.enqueued_sequence()), ("a", 1));
    letter.complete().await.expect("locked");
    let counters = client.admin().get("q").await.expect("the queue").counters;
    assert_eq!((counters.active, counters.dead_letters), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_deliveries_end_in_the_dead_letters_at_exactly_the_limit() {
    let (_broker, client) = queue(&[("max_delivery_count", "3")]).await;
    send(&client, "q", &["poison"]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    for count in 1..=3 {
        let delivery = next(&mut receiver).await;
        assert_eq!(delivery.delivery_count(), count);
        delivery.abandon().await.expect("locked");
    }
    nothing(&mut receiver).await;
    let mut dead = client.receiver("q/$dead-letter").await.expect("a receiver");
    let letter = next(&mut dead).await;
    assert_eq!(letter.dead_letter().expect("why").reason, "MaxDeliveryCountExceeded");
    nothing(&mut dead).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_runs_out_and_the_message_comes_again() {
    let (_broker, client) = queue(&[("lock_duration_ms", "1000")]).await;
    send(&client, "q", &["a"]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let first = next(&mut receiver).await;
    let before = SystemTime::now();
    let again = next(&mut receiver).await;
    assert_eq!(again.delivery_count(), 2);
    assert!(before.elapsed().expect("time goes on") > Duration::from_millis(800), "not before its time");
    refused(first.complete().await, ErrorCode::LockLost);
    again.complete().await.expect("locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_lock_lasts_longer() {
    let (_broker, client) = queue(&[("lock_duration_ms", "1000")]).await;
    send(&client, "q", &["a"]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let delivery = next(&mut receiver).await;
    let first = delivery.locked_until();
    pause(Duration::from_millis(500)).await;
    assert!(delivery.renew().await.expect("locked") > first);
    let long = delivery.renew_for(Duration::from_secs(30)).await.expect("locked");
    assert!(long > first + Duration::from_secs(20) && delivery.locked_until() == long);
    pause(Duration::from_millis(1_500)).await;
    nothing(&mut receiver).await;
    delivery.complete().await.expect("still locked");
    refused(delivery.renew().await, ErrorCode::LockLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_connection_settles_with_a_token() {
    let (broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b"]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let (a, b) = (next(&mut receiver).await, next(&mut receiver).await);
    let other = broker.client().await;
    let elsewhere = other.receiver_builder("q").prefetch(0).open().await.expect("a receiver");
    let token = a.lock_token().to_string().parse().expect("a token as text");
    let outcomes = elsewhere.settle_batch(vec![(token, Settlement::Complete)]).await.expect("answers");
    assert!(outcomes[0].is_ok());
    let forged = postrider_client::LockToken { salt: b.lock_token().salt ^ 1, ..b.lock_token() };
    let outcomes = elsewhere.settle_batch(vec![(forged, Settlement::Complete)]).await.expect("answers");
    assert!(outcomes[0].is_err());
    b.complete().await.expect("locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn release_on_disconnect_frees_what_was_held() {
    let (broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b"]).await;
    let mut raw = postrider_tests::raw::Raw::open(broker.address());
    let open = postrider_protocol::request::OpenReceiver {
        release_on_disconnect: true,
        ..postrider_tests::raw::receiver(1, "q")
    };
    raw.ask(&postrider_protocol::request::Request::OpenReceiver(open));
    let flow = postrider_protocol::request::Flow { handle: 1, delivered: 0, credit: 10, drain: false };
    raw.request(&postrider_protocol::request::Request::Flow(flow));
    raw.delivery();
    drop(raw);
    until("the locks are free", async || client.admin().get("q").await.expect("it").counters.locked == 0)
        .await;
    let delivery = next(&mut client.receiver("q").await.expect("a receiver")).await;
    assert_eq!((text(&delivery), delivery.delivery_count()), ("a", 1));
}
