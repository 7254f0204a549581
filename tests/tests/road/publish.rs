//! Sending: confirms, batches, JSON, limits.

use super::{next, options, queue, refused, send, text};
use postrider_client::{ErrorCode, Message};
use serde::{Deserialize, Serialize};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_as_it_was_sent() {
    let (_broker, client) = queue(&[]).await;
    let message = Message {
        message_id: Some("m-1".into()),
        correlation_id: Some(7u64.into()),
        to: Some("somebody".to_owned()),
        reply_to: Some("replies".to_owned()),
        ..Message::new(vec![0_u8, 0xff, 10])
            .with_subject("s")
            .with_property("n", -5i64)
            .with_property("big", true)
    };
    let outcome =
        client.sender("q").await.expect("a sender").send(message.clone()).await.expect("it is stored");
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let delivery = next(&mut receiver).await;
    assert_eq!(delivery.message(), &message);
    assert_eq!((delivery.sequence(), delivery.delivery_count()), (outcome.sequence, 1));
    assert_eq!(delivery.enqueued_sequence(), outcome.sequence);
    delivery.complete().await.expect("it is locked");
    client.close().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn confirms_come_in_order_and_pipelined() {
    let (_broker, client) = queue(&[]).await;
    let sender = client.sender("q").await.expect("a sender");
    let mut confirms = Vec::new();
    for number in 0..5_000 {
        confirms.push(sender.enqueue(Message::new(number.to_string())).await.expect("room"));
    }
    for (number, confirm) in confirms.into_iter().enumerate() {
        assert_eq!(confirm.await.expect("it is stored").sequence, number as u64 + 1);
    }
    let commits = client.admin().status().await.expect("a status").commits;
    assert!(commits < 2_500, "{commits} syncs for 5,000 pipelined messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_message_of_a_batch_is_refused_alone() {
    let (_broker, client) = queue(&[("max_message_bytes", "100")]).await;
    let sender = client.sender("q").await.expect("a sender");
    let batch = || vec![Message::new("a"), Message::new(vec![0; 200]), Message::new("c")];
    let outcomes = sender.send_batch(batch()).await.expect("answers");
    assert_eq!(outcomes[0].as_ref().expect("stored").sequence, 1);
    assert_eq!(outcomes[1].as_ref().expect_err("too large").code(), Some(ErrorCode::MessageTooLarge));
    assert_eq!(outcomes[2].as_ref().expect("stored").sequence, 2);
    refused(sender.send_batch_atomic(batch()).await, ErrorCode::MessageTooLarge);
    let good = sender.send_batch_atomic(vec![Message::new("d"), Message::new("e")]).await.expect("stored");
    assert_eq!([good[0].sequence, good[1].sequence], [3, 4], "nothing of the refused batch was stored");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    item: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn json_goes_both_ways() {
    let (_broker, client) = queue(&[]).await;
    let order = Order { id: 7, item: "apple".to_owned() };
    client.sender("q").await.expect("a sender").send_json(&order).await.expect("stored");
    let delivery = next(&mut client.receiver("q").await.expect("a receiver")).await;
    assert_eq!(delivery.message().content_type.as_deref(), Some("application/json"));
    assert_eq!(delivery.json::<Order>().expect("an order"), order);
    assert!(delivery.json::<Vec<u8>>().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_pass_and_larger_ones_do_not() {
    let (_broker, client) = queue(&[("max_message_bytes", "12000000")]).await;
    let sender = client.sender("q").await.expect("a sender");
    let body: Vec<u8> = (0..11_000_000_u32).map(|at| (at % 251) as u8).collect();
    sender.send(Message::new(body.clone())).await.expect("stored");
    refused(sender.send(Message::new(vec![0; 12_000_000])).await, ErrorCode::MessageTooLarge);
    send(&client, "q", &["small"]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let large = next(&mut receiver).await;
    assert!(large.body()[..] == body[..], "the large body came whole");
    assert_eq!(text(&next(&mut receiver).await), "small");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_take_messages_says_so() {
    let (_broker, client) = queue(&[]).await;
    client.admin().create_topic("t", options(&[])).await.expect("a topic");
    client.admin().create_subscription("t", "s", options(&[]), vec![]).await.expect("a subscription");
    refused(client.sender("missing").await, ErrorCode::NotFound);
    refused(client.sender("q/$dead-letter").await, ErrorCode::InvalidArgument);
    refused(client.sender("t/subscriptions/s").await, ErrorCode::InvalidArgument);
    refused(client.receiver("t").await, ErrorCode::InvalidArgument);
    let sender = client.sender("q").await.expect("a sender");
    client.admin().delete("q").await.expect("deleted");
    refused(sender.send(Message::new("x")).await, ErrorCode::NotFound);
}
