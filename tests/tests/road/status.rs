//! Entities that are switched off and on, and options that get their defaults back.

use super::{counters, crash, look, next, nothing, options, pulling, queue, refused, send, text};
use postrider_client::{Client, ErrorCode, Message};

async fn switch(client: &Client, entity: &str, status: &str) {
    client.admin().update(entity, options(&[("status", status)])).await.expect("changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_in_can_be_switched_off() {
    let (mut broker, client) = queue(&[]).await;
    let sender = client.sender("q").await.expect("a sender");
    sender.send(Message::new("a")).await.expect("stored");
    let mut receiver = client.receiver("q").await.expect("a receiver");
    switch(&client, "q", "send-disabled").await;
    refused(sender.send(Message::new("b")).await, ErrorCode::Disabled);
    crash(&mut broker);
    refused(sender.send(Message::new("b")).await, ErrorCode::Disabled);
    client.sender("q").await.expect("a sender opens all the same");
    next(&mut receiver).await.complete().await.expect("locked");
    switch(&client, "q", "active").await;
    sender.send(Message::new("b")).await.expect("stored");
    assert_eq!(text(&next(&mut receiver).await), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_out_can_be_switched_off() {
    let (mut broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b"]).await;
    let mut receiver = pulling(&client, "q").await;
    let held = next(&mut receiver).await;
    switch(&client, "q", "receive-disabled").await;
    nothing(&mut receiver).await;
    assert!(receiver.drain().await.expect("answered at once").is_empty());
    crash(&mut broker);
    held.complete().await.expect("what was delivered is settled as ever");
    send(&client, "q", &["c"]).await;
    nothing(&mut receiver).await;
    assert_eq!(look(&client, "q").await.len(), 2);
    switch(&client, "q", "none").await;
    assert_eq!([text(&next(&mut receiver).await), text(&next(&mut receiver).await)], ["b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_receiver_goes_on_when_it_is_active_again() {
    let (_broker, client) = queue(&[("status", "disabled")]).await;
    refused(client.sender("q").await.expect("it opens").send(Message::new("a")).await, ErrorCode::Disabled);
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let waiting = tokio::spawn(async move { text(&next(&mut receiver).await).to_owned() });
    switch(&client, "q", "receive-disabled").await;
    send(&client, "q", &["a"]).await;
    switch(&client, "q", "active").await;
    assert_eq!(waiting.await.expect("no panic"), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_takes_nothing_wants_nothing() {
    let (mut broker, client) = queue(&[]).await;
    let admin = client.admin();
    admin.create_topic("t", options(&[])).await.expect("a topic");
    admin.create_subscription("t", "s", options(&[]), vec![]).await.expect("a subscription");
    switch(&client, "t/subscriptions/s", "send-disabled").await;
    crash(&mut broker);
    send(&client, "t", &["a"]).await;
    assert_eq!(counters(&client, "t/subscriptions/s").await.active, 0);
    assert_eq!(counters(&client, "t").await.unmatched, 1);
    switch(&client, "t", "disabled").await;
    refused(client.sender("t").await.expect("it opens").send(Message::new("b")).await, ErrorCode::Disabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn none_brings_a_default_back() {
    let set = [
        ("lock_duration_ms", "5000"),
        ("max_delivery_count", "1"),
        ("default_ttl_ms", "3600000"),
        ("max_messages", "1"),
        ("status", "receive-disabled"),
    ];
    let (mut broker, client) = queue(&set).await;
    let none: Vec<_> = set.iter().map(|(name, _)| (*name, "none")).collect();
    client.admin().update("q", options(&none)).await.expect("changed");
    crash(&mut broker);
    client.admin().create_queue("fresh", options(&[])).await.expect("a queue");
    let known = async |name| client.admin().get(name).await.expect("a queue").options;
    assert_eq!(known("q").await, known("fresh").await);
    send(&client, "q", &["a", "b"]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    assert_eq!(receiver.lock_duration().as_secs(), 60);
    let delivery = next(&mut receiver).await;
    assert!(delivery.expires_at().is_none());
    delivery.abandon().await.expect("locked");
    assert_eq!(counters(&client, "q").await.dead_letters, 0);
    let levels = options(&[("priority_levels", "none")]);
    refused(client.admin().update("q", levels).await, ErrorCode::InvalidArgument);
}
