//! Entities: create, get, list, update, delete, peek, purge, status.

use super::{next, options, queue, refused, send, text};
use postrider_client::{EntityKind, ErrorCode, PeekState};
use postrider_protocol::options::{LOCK_DURATION_MS, MAX_MESSAGE_BYTES};
use postrider_tests::Broker;

#[tokio::test(flavor = "multi_thread")]
async fn entities_are_created_listed_changed_and_deleted() {
    let (mut broker, client) = queue(&[("lock_duration_ms", "5000")]).await;
    let admin = client.admin();
    refused(admin.create_queue("Q", options(&[])).await, ErrorCode::AlreadyExists);
    admin.create_topic("events", options(&[])).await.expect("a topic");
    admin.create_subscription("events", "s", options(&[]), vec![]).await.expect("a subscription");
    refused(admin.create_subscription("nowhere", "s", options(&[]), vec![]).await, ErrorCode::NotFound);
    admin.update("q", options(&[("max_message_bytes", "1000")])).await.expect("changed");
    broker.terminate();
    broker.restart();
    let info = admin.get("q").await.expect("the queue");
    assert_eq!((info.name.as_str(), info.kind), ("q", EntityKind::Queue));
    assert_eq!(
        (info.options.number(LOCK_DURATION_MS, 0), info.options.number(MAX_MESSAGE_BYTES, 0)),
        (5_000, 1_000)
    );
    let names = |list: Vec<postrider_client::EntityInfo>| -> Vec<String> {
        list.into_iter().map(|info| info.name).collect()
    };
    assert_eq!(names(admin.list(None, "").await.expect("a list")), ["events", "events/subscriptions/s", "q"]);
    assert_eq!(names(admin.list(Some(EntityKind::Topic), "EV").await.expect("a list")), ["events"]);
    admin.delete("events").await.expect("deleted");
    assert_eq!(names(admin.list(None, "").await.expect("a list")), ["q"]);
    refused(admin.get("events/subscriptions/s").await, ErrorCode::NotFound);
    refused(admin.delete("events").await, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_options_are_checked() {
    let broker = Broker::start();
    let admin = broker.client().await.admin();
    for name in ["", "a b", "a//b", "/a", "$x", &"x".repeat(261)] {
        refused(admin.create_queue(name, options(&[])).await, ErrorCode::InvalidArgument);
    }
    let short = postrider_client::Options::new().with_number(LOCK_DURATION_MS, 1);
    refused(admin.create_queue("q", short).await, ErrorCode::InvalidArgument);
    refused(admin.create_queue("q", options(&[("forward_to", "q")])).await, ErrorCode::NotFound);
    refused(
        admin.create_topic("t", options(&[("lock_duration_ms", "5000")])).await,
        ErrorCode::InvalidArgument,
    );
    assert!(admin.list(None, "").await.expect("a list").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_entities_than_a_page_are_listed() {
    let broker = Broker::start();
    let admin = broker.client().await.admin();
    let names: Vec<String> = (0..2_300).map(|number| format!("q{number:04}")).collect();
    let created =
        futures_util::future::join_all(names.iter().map(|name| admin.create_queue(name, options(&[]))));
    assert!(created.await.iter().all(Result::is_ok));
    let listed: Vec<String> =
        admin.list(None, "q").await.expect("a list").into_iter().map(|info| info.name).collect();
    assert_eq!(listed, names);
}

#[tokio::test(flavor = "multi_thread")]
async fn peeking_touches_nothing() {
    let (_broker, client) = queue(&[]).await;
    let bodies: Vec<String> = (1..=2_500).map(|number| number.to_string()).collect();
    send(&client, "q", &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut receiver = client.receiver_builder("q").prefetch(0).open().await.expect("a receiver");
    let locked = next(&mut receiver).await;
    let admin = client.admin();
    let page = admin.peek("q", 0, 2).await.expect("a peek");
    let states: Vec<_> = page.iter().map(|message| (message.sequence, message.state)).collect();
    assert_eq!(states, [(1, PeekState::Locked), (2, PeekState::Ready)]);
    let page = admin.peek("q", 2_400, 0).await.expect("a peek");
    let sequences: Vec<_> = page.iter().map(|message| message.sequence).collect();
    assert_eq!(sequences, (2_400..=2_500).collect::<Vec<_>>());
    assert_eq!(admin.peek("q", 0, 0).await.expect("a peek").len(), 1_000);
    assert!(admin.peek("q", 2_501, 0).await.expect("a peek").is_empty());
    locked.complete().await.expect("still locked");
    assert_eq!(admin.peek("q", 0, 1).await.expect("a peek")[0].sequence, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_spares_what_is_held() {
    let (mut broker, client) = queue(&[]).await;
    let bodies = vec!["x"; 3_000];
    send(&client, "q", &bodies).await;
    let mut receiver = client.receiver_builder("q").prefetch(0).open().await.expect("a receiver");
    let held = next(&mut receiver).await;
    assert_eq!(client.admin().purge("q").await.expect("purged"), 2_999);
    send(&client, "q", &["new"]).await;
    broker.kill9();
    broker.restart();
    assert_eq!(client.admin().get("q").await.expect("the queue").counters.active, 2);
    held.complete().await.expect("still locked");
    assert_eq!(text(&next(&mut receiver).await), "new");
    refused(client.admin().purge("missing").await, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts() {
    let (_broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b"]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    next(&mut receiver).await.complete().await.expect("locked");
    let status = client.admin().status().await.expect("a status");
    assert_eq!((status.published, status.settled, status.messages), (2, 1, 1));
    assert_eq!((status.entities, status.connections, status.node), (1, 1, 1));
    assert!(status.delivered >= 1 && status.commits >= 3 && status.cluster != 0);
}
