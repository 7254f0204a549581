//! Retry policies.

use super::{counters, crash, look, next, options, pulling, queue, refused, send, text};
use postrider_client::{Delivery, ErrorCode, PeekState, Value};
use std::time::{Duration, SystemTime};

async fn abandon_for(delivery: Delivery, reason: &str) {
    let why = vec![("retry-reason".to_owned(), Value::from(reason))];
    delivery.abandon_with(Duration::ZERO, why).await.expect("locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_spaced_as_the_policy_says() {
    let (mut broker, client) = queue(&[("retry", "list 300ms,1h")]).await;
    send(&client, "q", &["a"]).await;
    let mut receiver = pulling(&client, "q").await;
    let first = next(&mut receiver).await;
    let before = SystemTime::now();
    first.abandon().await.expect("locked");
    crash(&mut broker);
    let second = next(&mut receiver).await;
    assert!(SystemTime::now() >= before + Duration::from_millis(300), "not before its time");
    assert_eq!(second.delivery_count(), 2);
    second.abandon().await.expect("locked");
    crash(&mut broker);
    let seen = &look(&client, "q").await[0];
    assert_eq!((seen.state, seen.attempts), (PeekState::Delayed, 2));
    assert!(seen.until.expect("a moment") > before + Duration::from_secs(3_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_has_delays_of_its_own() {
    let policy = "list 1h; on busy: immediate; on bad-input: dead-letter; on LockExpired: immediate";
    let (mut broker, client) = queue(&[("retry", policy)]).await;
    send(&client, "q", &["a", "b"]).await;
    crash(&mut broker);
    let mut receiver = pulling(&client, "q").await;
    abandon_for(next(&mut receiver).await, "busy").await;
    let again = next(&mut receiver).await;
    assert_eq!((text(&again), again.delivery_count()), ("a", 2));
    again.renew_for(Duration::from_secs(1)).await.expect("locked");
    let (mut expired, mut other) = (next(&mut receiver).await, next(&mut receiver).await);
    if text(&expired) == "b" {
        std::mem::swap(&mut expired, &mut other);
    }
    assert_eq!((text(&expired), expired.delivery_count()), ("a", 3), "its lock ran out");
    abandon_for(expired, "bad-input").await;
    abandon_for(other, "something else").await;
    let counters = counters(&client, "q").await;
    assert_eq!((counters.delayed, counters.dead_letters), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_checked_and_changed_while_in_use() {
    let (mut broker, client) = queue(&[("retry", "list 1h")]).await;
    let admin = client.admin();
    let wrong = options(&[]).with_text(postrider_protocol::options::RETRY, "sometimes");
    refused(admin.update("q", wrong).await, ErrorCode::InvalidArgument);
    admin.update("q", options(&[("retry", "none")])).await.expect("changed");
    crash(&mut broker);
    send(&client, "q", &["a"]).await;
    let mut receiver = pulling(&client, "q").await;
    next(&mut receiver).await.abandon().await.expect("locked");
    assert_eq!(next(&mut receiver).await.delivery_count(), 2);
}
