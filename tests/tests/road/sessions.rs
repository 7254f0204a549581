//! Sessions: messages of one id, in order, for one receiver at a time.

use super::{WAIT, next, queue, refused, text};
use postrider_client::{Client, ErrorCode, Message};
use std::time::Duration;

const OPTIONS: &[(&str, &str)] = &[("requires_session", "true"), ("lock_duration_ms", "30000")];

async fn send(client: &Client, bodies: &[(&str, &str)]) {
    let sender = client.sender("q").await.expect("a sender");
    for (session, body) in bodies {
        let message = Message::new((*body).to_owned()).with_session_id(*session);
        sender.send(message).await.expect("it is stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_is_received_in_order_by_one_at_a_time() {
    let (_broker, client) = queue(OPTIONS).await;
    send(&client, &[("ada", "a1"), ("bob", "b1"), ("ada", "a2"), ("bob", "b2")]).await;
    refused(
        client.sender("q").await.expect("a sender").send(Message::new("x")).await,
        ErrorCode::InvalidArgument,
    );
    refused(client.receiver("q").await, ErrorCode::InvalidArgument);

    // Without a prefetch nothing behind the message that comes back is on its way already.
    let ada = client.session_receiver("q").next().receiver(|receiver| receiver.prefetch(0)).accept();
    let mut ada = ada.await.expect("the oldest session");
    let mut bob = client.session_receiver("q").next().accept().await.expect("the other one");
    assert_eq!((ada.session_id(), bob.session_id()), ("ada", "bob"));
    let other = client.session_receiver("q").named("ada").accept().await.map(drop);
    refused(other, ErrorCode::SessionCannotBeLocked);

    let first = next(&mut ada).await;
    assert_eq!(text(&first), "a1");
    first.abandon().await.expect("locked");
    for (body, count) in [("a1", 2), ("a2", 1)] {
        let delivery = next(&mut ada).await;
        assert_eq!(
            (text(&delivery), delivery.delivery_count()),
            (body, count),
            "order holds across an abandon"
        );
        delivery.complete().await.expect("locked");
    }
    assert_eq!(text(&next(&mut bob).await), "b1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_and_its_state_survive_a_kill() {
    let (mut broker, client) = queue(OPTIONS).await;
    send(&client, &[("ada", "a1"), ("ada", "a2")]).await;
    let mut ada = client.session_receiver("q").named("ada").accept().await.expect("free");
    ada.set_state("half done").await.expect("held");
    next(&mut ada).await.complete().await.expect("locked");

    broker.kill9();
    broker.restart();
    let delivery = next(&mut ada).await;
    assert_eq!(text(&delivery), "a2");
    delivery.complete().await.expect("locked");
    assert_eq!(ada.state().await.expect("held").as_deref(), Some(&b"half done"[..]));
    let listed = client.admin().sessions("q").await.expect("a list");
    assert_eq!((listed[0].id.as_str(), listed[0].messages, listed[0].state_bytes), ("ada", 0, 9));
    assert!(listed[0].owner != 0, "it is locked");
    ada.clear_state().await.expect("held");
    ada.close().await.expect("closed");
    assert!(client.admin().sessions("q").await.expect("a list").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_gets_the_next_session() {
    let (_broker, client) = queue(OPTIONS).await;
    let none = client.session_receiver("q").next().accept().await.map(drop);
    refused(none, ErrorCode::SessionCannotBeLocked);
    let waiting = client.session_receiver("q").next().wait(WAIT).accept();
    let (accepted, ()) = tokio::join!(waiting, send(&client, &[("late", "x")]));
    let mut late = accepted.expect("woken by the message");
    assert_eq!(late.session_id(), "late");
    assert_eq!(text(&next(&mut late).await), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_runs_out_frees_the_session_and_counts() {
    let (_broker, client) = queue(&[("requires_session", "true"), ("lock_duration_ms", "1000")]).await;
    send(&client, &[("ada", "a1")]).await;
    let mut lost = client.session_receiver("q").named("ada").accept().await.expect("free");
    assert_eq!(next(&mut lost).await.delivery_count(), 1);
    let found = client.session_receiver("q").named("ada").wait(WAIT).accept().await;
    let mut found = found.expect("the lock has run out");
    assert_eq!(next(&mut found).await.delivery_count(), 2);
    let end = lost.receive_timeout(WAIT).await.map(|delivery| delivery.is_some());
    refused(end, ErrorCode::SessionLockLost);
    let until = found.renew_session().await.expect("held");
    assert!(until > std::time::SystemTime::now() - Duration::from_secs(1));
}
