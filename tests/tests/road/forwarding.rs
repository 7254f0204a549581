//! Forwarding: what comes to one entity goes on to another, once.

use super::{counters, crash, look, next, options, refused, send, text};
use postrider_client::{Client, ErrorCode, Message, PeekedMessage};
use postrider_tests::{Broker, until};

async fn create(client: &Client, name: &str, with: &[(&str, &str)]) {
    client.admin().create_queue(name, options(with)).await.expect("a queue");
}

fn bodies(seen: &[PeekedMessage]) -> Vec<&str> {
    seen.iter().map(|seen| std::str::from_utf8(&seen.message.body).expect("text")).collect()
}

/// Waits until a queue has so many messages, and returns them.
async fn arrived(client: &Client, at: &str, count: usize) -> Vec<PeekedMessage> {
    until("the messages arrive", async || look(client, at).await.len() == count).await;
    look(client, at).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_queues_passes_messages_on_over_a_kill() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    create(&client, "last", &[]).await;
    create(&client, "middle", &[("forward_to", "last")]).await;
    create(&client, "first", &[("forward_to", "middle")]).await;
    send(&client, "first", &["a", "b"]).await;
    crash(&mut broker);
    send(&client, "first", &["c"]).await;
    let seen = arrived(&client, "last", 3).await;
    assert_eq!(bodies(&seen), ["a", "b", "c"]);
    let left = [counters(&client, "first").await.active, counters(&client, "middle").await.active];
    assert_eq!(left, [0, 0]);
    refused(client.receiver("first").await, ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_arrive_once_and_in_order_while_the_broker_is_killed() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    create(&client, "to", &[]).await;
    create(&client, "from", &[]).await;
    let sender = client.sender("from").await.expect("a sender");
    for thousand in 0..10 {
        let messages = (0..1_000).map(|at| Message::new((thousand * 1_000 + at).to_string())).collect();
        assert!(sender.send_batch(messages).await.expect("answers").iter().all(Result::is_ok));
    }
    // The backlog goes, and the broker is killed again and again while it does.
    client.admin().update("from", options(&[("forward_to", "to")])).await.expect("it forwards");
    for _ in 0..5 {
        crash(&mut broker);
    }
    let mut receiver = client.receiver("to").await.expect("a receiver");
    for expected in 0..10_000 {
        let delivery = next(&mut receiver).await;
        assert_eq!(text(&delivery), expected.to_string());
        delivery.complete().await.expect("locked");
    }
    let (from, to) = (counters(&client, "from").await, counters(&client, "to").await);
    assert_eq!((from.active, from.transfer_dead_letters, to.active, to.last_sequence), (0, 0, 0, 10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_subscription_come_together_with_others() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    let admin = client.admin();
    create(&client, "failed", &[]).await;
    admin.create_topic("t", options(&[])).await.expect("a topic");
    let with = options(&[("forward_dead_letters_to", "failed")]);
    admin.create_subscription("t", "s", with, Vec::new()).await.expect("a subscription");
    send(&client, "t", &["bad"]).await;
    let mut receiver = client.receiver("t/subscriptions/s").await.expect("a receiver");
    next(&mut receiver).await.dead_letter_with("BadOrder", "no items").await.expect("locked");
    crash(&mut broker);
    let mut failed = client.receiver("failed").await.expect("a receiver");
    let letter = next(&mut failed).await;
    let why = letter.dead_letter().expect("why");
    assert_eq!((why.source.as_str(), why.reason.as_str()), ("t/subscriptions/s", "BadOrder"));
    letter.complete().await.expect("locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_passed_on_is_kept_and_goes_when_it_can() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    create(&client, "to", &[("max_messages", "1")]).await;
    create(&client, "from", &[("forward_to", "to")]).await;
    send(&client, "from", &["fits", "too much"]).await;
    let kept = arrived(&client, "from/$transfer-dead-letter", 1).await;
    let why = kept[0].dead_letter.as_ref().expect("why");
    assert_eq!((bodies(&kept), why.reason.as_str()), (vec!["too much"], "QueueFull"));
    crash(&mut broker);
    assert_eq!(counters(&client, "from").await.transfer_dead_letters, 1);
    client.admin().update("to", options(&[("max_messages", "none")])).await.expect("more room");
    let redriven = client.admin().redrive("from/$transfer-dead-letter").run().await.expect("moved");
    assert_eq!(redriven.moved, 1);
    assert_eq!(bodies(&arrived(&client, "to", 2).await), ["fits", "too much"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_must_be_there() {
    let broker = Broker::start();
    let client = broker.client().await;
    let admin = client.admin();
    let nowhere = options(&[("forward_to", "nowhere")]);
    refused(admin.create_queue("q", nowhere.clone()).await, ErrorCode::NotFound);
    create(&client, "q", &[]).await;
    refused(admin.update("q", nowhere).await, ErrorCode::NotFound);
    refused(admin.update("q", options(&[("forward_to", "q")])).await, ErrorCode::InvalidArgument);
}
