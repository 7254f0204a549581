//! Time to live.

use super::{counters, crash, look, next, options, pulling, queue, send, text};
use postrider_client::{Message, PeekState};
use postrider_tests::until;
use std::time::{Duration, SystemTime};

const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn what_expired_is_gone() {
    let (mut broker, client) = queue(&[]).await;
    let sender = client.sender("q").await.expect("a sender");
    for (body, ttl) in [("short", SHORT), ("long", LONG)] {
        sender.send(Message::new(body).with_ttl(ttl)).await.expect("stored");
    }
    until("one has expired", async || counters(&client, "q").await.active == 1).await;
    assert_eq!(counters(&client, "q").await.expired, 1);
    sender.send(Message::new("over a kill").with_ttl(SHORT)).await.expect("stored");
    broker.kill9();
    broker.restart();
    until("the other one too", async || counters(&client, "q").await.active == 1).await;
    let left = next(&mut pulling(&client, "q").await).await;
    assert_eq!(text(&left), "long");
    assert!(left.expires_at().expect("a time to live") > SystemTime::now() + LONG / 2);
    assert_eq!(counters(&client, "q").await.dead_letters, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expired_is_kept_where_that_is_wanted() {
    let expiring = [("default_ttl_ms", "500"), ("dead_letter_on_expiration", "true")];
    let (mut broker, client) = queue(&expiring).await;
    let before = SystemTime::now();
    let sender = client.sender("q").await.expect("a sender");
    sender.send(Message::new("a").with_ttl(LONG)).await.expect("stored");
    let seen = look(&client, "q").await;
    if let Some(seen) = seen.first() {
        assert!(seen.expires_at.expect("a time to live") < before + LONG / 2, "the shorter one counts");
    }
    crash(&mut broker);
    let mut dead = pulling(&client, "q/$dead-letter").await;
    let letter = next(&mut dead).await;
    assert!(SystemTime::now() >= before + SHORT, "not before its time");
    assert_eq!((text(&letter), letter.dead_letter().expect("why").reason.as_str()), ("a", "TTLExpired"));
    letter.abandon().await.expect("locked");
    assert_eq!(text(&next(&mut dead).await), "a", "dead letters do not expire");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_does_not_expire_before_its_lock_ends() {
    let (mut broker, client) = queue(&[("dead_letter_on_expiration", "true")]).await;
    let sender = client.sender("q").await.expect("a sender");
    for body in ["completed", "abandoned"] {
        sender.send(Message::new(body).with_ttl(Duration::from_secs(2))).await.expect("stored");
    }
    let mut receiver = pulling(&client, "q").await;
    let (completed, abandoned) = (next(&mut receiver).await, next(&mut receiver).await);
    crash(&mut broker);
    let expires_at = abandoned.expires_at().expect("a time to live");
    until("their time is up", async || SystemTime::now() > expires_at).await;
    assert!(look(&client, "q").await.iter().all(|seen| seen.state == PeekState::Locked));
    completed.complete().await.expect("locked");
    abandoned.abandon().await.expect("locked");
    let letter = next(&mut pulling(&client, "q/$dead-letter").await).await;
    assert_eq!(
        (text(&letter), letter.dead_letter().expect("why").reason.as_str()),
        ("abandoned", "TTLExpired")
    );
    assert_eq!(counters(&client, "q").await.active, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_life_is_for_what_comes() {
    let (mut broker, client) = queue(&[("default_ttl_ms", "3600000")]).await;
    send(&client, "q", &["before"]).await;
    client.admin().update("q", options(&[("default_ttl_ms", "none")])).await.expect("changed");
    send(&client, "q", &["after"]).await;
    crash(&mut broker);
    let seen = look(&client, "q").await;
    assert!(seen[0].expires_at.is_some() && seen[1].expires_at.is_none());
}
