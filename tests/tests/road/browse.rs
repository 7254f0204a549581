//! Looking into queues: states, filters, from a number on; and who receives.

use super::{crash, next, options, pulling, queue, refused};
use postrider_client::{Client, ErrorCode, Message, PeekQuery, PeekState, Receiver, States};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// Messages 1 to 8, the first one deferred and the second one delayed, and a scheduled one.
async fn mixed(client: &Client) -> Receiver {
    let sender = client.sender("q").await.expect("a sender");
    let message = |n: i64| Message::new(n.to_string()).with_property("n", n).with_subject("order");
    let outcomes = sender.send_batch((1..=8).map(message).collect()).await.expect("answers");
    assert!(outcomes.iter().all(Result::is_ok));
    sender.send(message(9).with_delay(HOUR)).await.expect("stored");
    let mut receiver = pulling(client, "q").await;
    next(&mut receiver).await.defer().await.expect("locked");
    next(&mut receiver).await.abandon_with(HOUR, vec![]).await.expect("locked");
    receiver
}

async fn found(client: &Client, query: PeekQuery) -> Vec<(u64, PeekState)> {
    let mut messages = client.admin().peek_all("q", query);
    let mut found = Vec::new();
    while let Some(seen) = messages.next().await.expect("no error") {
        found.push((seen.sequence, seen.state));
    }
    found
}

fn filter(text: &str) -> PeekQuery {
    PeekQuery { filter: text.to_owned(), ..PeekQuery::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_state_filter_and_number() {
    use PeekState::{Deferred, Delayed, Locked, Ready, Scheduled};
    let (mut broker, client) = queue(&[]).await;
    let mut receiver = mixed(&client).await;
    let held = next(&mut receiver).await;
    crash(&mut broker);
    let of = |states: &[PeekState]| PeekQuery { states: States::of(states), ..PeekQuery::default() };
    assert_eq!(found(&client, of(&[Deferred, Delayed])).await, [(1, Deferred), (2, Delayed)]);
    assert_eq!(found(&client, of(&[Locked])).await, [(3, Locked)]);
    assert_eq!(found(&client, of(&[Scheduled])).await.len(), 1);
    assert_eq!(found(&client, PeekQuery::default()).await.len(), 9);
    let late = PeekQuery { from: 7, states: States::of(&[Ready]), ..PeekQuery::default() };
    assert_eq!(found(&client, late).await, [(7, Ready), (8, Ready)]);
    assert_eq!(found(&client, filter("n IN (1, 8)")).await, [(1, Deferred), (8, Ready)]);
    assert_eq!(found(&client, filter("sys.DeliveryCount > 0")).await, [(2, Delayed)]);
    assert_eq!(
        found(&client, filter("sys.Subject = 'order' AND sys.SequenceNumber = 5")).await,
        [(5, Ready)]
    );
    assert!(found(&client, filter("missing = 1")).await.is_empty());
    refused(client.admin().peek_page("q", &filter("n >")).await, ErrorCode::InvalidArgument);
    held.complete().await.expect("looking touches nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rare_message_is_found_among_many() {
    let (mut broker, client) = queue(&[]).await;
    let sender = client.sender("q").await.expect("a sender");
    let messages = (0..25_000i64).map(|n| Message::new("x").with_property("n", n)).collect();
    let outcomes = sender.send_batch(messages).await.expect("answers");
    assert!(outcomes.iter().all(Result::is_ok));
    crash(&mut broker);
    assert_eq!(found(&client, filter("n = 24321")).await, [(24_322, PeekState::Ready)]);
    let page = client.admin().peek_page("q", &filter("n = 24321")).await.expect("a page");
    assert!(page.messages.is_empty() && page.next.is_some(), "one page looks at a part only");
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_show_what_they_hold() {
    let (mut broker, client) = queue(&[("capacity_units", "10")]).await;
    let sender = client.sender("q").await.expect("a sender");
    for cost in [4, 5, 3] {
        sender.send(Message::new("x").with_cost(cost)).await.expect("stored");
    }
    let mut one = client.receiver_builder("q").prefetch(0).weight(3).open().await.expect("a receiver");
    let first = next(&mut one).await;
    let other = broker.client().await;
    let mut two = pulling(&other, "q").await;
    let second = next(&mut two).await;
    let seen = client.admin().consumers("q").await.expect("consumers");
    assert_eq!((seen.capacity_units, seen.in_use, seen.waiting, seen.refilled), (10, 9, 3, 0));
    let mut each: Vec<_> = seen.consumers.iter().map(|one| (one.weight, one.messages, one.units)).collect();
    each.sort_unstable();
    assert_eq!(each, [(1, 1, 5), (3, 1, 4)]);
    crash(&mut broker);
    first.complete().await.expect("locked");
    let seen = client.admin().consumers("q").await.expect("consumers");
    assert_eq!(seen.in_use, 5, "units outlive a kill");
    second.complete().await.expect("locked");
    assert_eq!(client.admin().consumers("q").await.expect("consumers").in_use, 0);
    refused(client.admin().consumers("nowhere").await, ErrorCode::NotFound);
    client.admin().create_topic("t", options(&[])).await.expect("a topic");
    refused(client.admin().consumers("t").await, ErrorCode::InvalidArgument);
}
