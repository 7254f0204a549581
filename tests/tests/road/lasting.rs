//! What outlives the connection and the broker.

use super::{WAIT, next, nothing, queue, send, text};
use postrider_client::{Client, Error, Message};
use postrider_tests::broker::{Process, TOKEN, postrider};
use postrider_tests::{Broker, pause};
use std::collections::BTreeSet;
use std::time::Duration;

/// Ends the broker one way or the other, and starts it again.
async fn locks_survive(end: impl Fn(&mut Broker)) {
    let (mut broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b"]).await;
    let mut receiver = client.receiver_builder("q").prefetch(0).open().await.expect("a receiver");
    next(&mut receiver).await.abandon().await.expect("locked");
    let held = next(&mut receiver).await;
    assert_eq!((text(&held), held.delivery_count()), ("a", 2));
    end(&mut broker);
    broker.restart();
    let other = broker.client().await;
    let mut other = other.receiver("q").await.expect("a receiver");
    assert_eq!(text(&next(&mut other).await), "b", "what is locked is not delivered to others");
    nothing(&mut other).await;
    held.complete().await.expect("a late settlement, with the old token");
    drop(other);
    assert_eq!(client.admin().get("q").await.expect("the queue").counters.dead_letters, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_survive_a_stop() {
    locks_survive(Broker::terminate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_survive_a_kill() {
    locks_survive(Broker::kill9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_run_out_over_a_restart() {
    let (mut broker, client) = queue(&[("lock_duration_ms", "1000")]).await;
    send(&client, "q", &["a"]).await;
    let mut receiver = client.receiver_builder("q").prefetch(0).open().await.expect("a receiver");
    let held = next(&mut receiver).await;
    broker.kill9();
    broker.restart();
    let again = next(&mut receiver).await;
    assert_eq!(again.delivery_count(), 2);
    assert!(held.complete().await.is_err());
    again.complete().await.expect("locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_on_its_way_comes_again_after_a_reconnect_uncounted() {
    let (mut broker, client) = queue(&[]).await;
    let bodies: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    send(&client, "q", &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut receiver = client.receiver_builder("q").prefetch(50).open().await.expect("a receiver");
    let mut seen = BTreeSet::new();
    for round in 0..200 {
        let delivery = next(&mut receiver).await;
        assert_eq!(delivery.delivery_count(), 1, "round {round}");
        delivery.complete().await.expect("locked");
        assert!(seen.insert(delivery.sequence()), "{} came twice", delivery.sequence());
        if round % 60 == 30 {
            broker.kill9();
            broker.restart();
        }
    }
    nothing(&mut receiver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_over_a_kill_stores_everything_once() {
    let (mut broker, client) = queue(&[]).await;
    let sending = tokio::spawn(send_numbers(client.clone(), 20_000));
    for _ in 0..3 {
        pause(Duration::from_millis(100)).await;
        broker.kill9();
        broker.restart();
    }
    sending.await.expect("no panic").expect("everything is confirmed in the end");
    let info = client.admin().get("q").await.expect("the queue");
    assert_eq!(
        (info.counters.active, info.counters.last_sequence),
        (20_000, 20_000),
        "no duplicates, no gaps"
    );
    let mut receiver = client.receiver_builder("q").prefetch(1_000).open().await.expect("a receiver");
    for number in 0..20_000 {
        assert_eq!(text(&next(&mut receiver).await), number.to_string());
    }
}

async fn send_numbers(client: Client, count: u32) -> Result<(), Error> {
    let sender = client.sender("q").await?;
    let mut confirms = Vec::new();
    for number in 0..count {
        confirms.push(sender.enqueue(Message::new(number.to_string())).await?);
    }
    for confirm in confirms {
        confirm.await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_keeps_what_was_confirmed() {
    let (mut broker, client) = queue(&[]).await;
    let sender = client.sender("q").await.expect("a sender");
    let mut confirms = Vec::new();
    for number in 0..5_000 {
        confirms.push(sender.enqueue(Message::new(number.to_string())).await.expect("room"));
    }
    broker.terminate();
    broker.restart();
    for confirm in confirms {
        confirm.await.expect("confirmed, before or after");
    }
    assert_eq!(client.admin().get("q").await.expect("the queue").counters.active, 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_broker_says_goodbye() {
    let (mut broker, client) = queue(&[]).await;
    let mut raw = postrider_tests::raw::Raw::open(broker.address());
    broker.terminate();
    assert_eq!(raw.goodbye().code, postrider_client::ErrorCode::Unavailable);
    broker.restart();
    assert!(client.admin().get("q").await.is_ok(), "the client came back by itself");
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let broker = Broker::start();
    let mut command = postrider();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(broker.dir())
        .env("POSTRIDER_TOKEN", TOKEN);
    let mut second = Process::start(&mut command);
    assert_eq!(second.line(), None);
    assert_eq!(second.wait().code(), Some(2));
    assert!(second.stderr().contains("is in use by another broker"), "{}", second.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_broker_fails_and_says_where() {
    let (mut broker, _) = queue(&[]).await;
    broker.kill9();
    let error = Client::connect(&broker.url()).await.expect_err("nobody listens");
    assert!(
        matches!(&error, Error::Connection(text) if text.contains(&broker.address().to_string())),
        "{error}"
    );
    broker.restart();
    let wrong = format!("postrider://wrong@{}", broker.address());
    assert!(matches!(Client::connect(&wrong).await, Err(Error::Unauthorized(_))));
    let good = tokio::time::timeout(WAIT, Client::connect(&broker.url())).await;
    assert!(matches!(good, Ok(Ok(_))));
}
