//! The urgent first.

use super::{crash, next, options, pulling, queue, refused, text};
use postrider_client::{ErrorCode, Message};

#[tokio::test(flavor = "multi_thread")]
async fn the_more_urgent_goes_first_also_after_a_kill() {
    let (mut broker, client) = queue(&[("priority_levels", "5")]).await;
    let sender = client.sender("q").await.expect("a sender");
    let none = Message::new("none");
    sender.send(none).await.expect("stored");
    for (body, priority) in [("one", 1), ("three", 3), ("five", 5), ("three again", 3), ("beyond", 9)] {
        sender.send(Message::new(body).with_priority(priority)).await.expect("stored");
    }
    crash(&mut broker);
    let mut receiver = pulling(&client, "q").await;
    let first = next(&mut receiver).await;
    assert_eq!(text(&first), "five");
    first.abandon().await.expect("locked");
    crash(&mut broker);
    for expected in ["five", "beyond", "three", "three again", "none", "one"] {
        let delivery = next(&mut receiver).await;
        assert_eq!(text(&delivery), expected);
        delivery.complete().await.expect("locked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_fixed_and_a_plain_queue_has_one() {
    let (_broker, client) = queue(&[]).await;
    let levels = options(&[("priority_levels", "3")]);
    refused(client.admin().update("q", levels).await, ErrorCode::InvalidArgument);
    let sender = client.sender("q").await.expect("a sender");
    for (body, priority) in [("first", 1), ("second", 10)] {
        sender.send(Message::new(body).with_priority(priority)).await.expect("stored");
    }
    let mut receiver = pulling(&client, "q").await;
    assert_eq!(text(&next(&mut receiver).await), "first");
    assert_eq!(next(&mut receiver).await.message().priority, Some(10), "the sender's word is kept");
}
