//! Messages that are set aside and received by their numbers.

use super::{counters, crash, look, next, nothing, pulling, queue, refused, send, text};
use postrider_client::{Client, Delivery, ErrorCode, PeekState, Receiver, Value};

/// Receives all and sets them aside.
async fn defer_all(client: &Client, receiver: &mut Receiver, count: usize) {
    for _ in 0..count {
        let why = vec![("why".to_owned(), Value::from("not yet"))];
        next(receiver).await.defer_with(why).await.expect("locked");
    }
    assert_eq!(counters(client, "q").await.deferred, count as u64);
}

async fn one(receiver: &mut Receiver, sequence: u64) -> Delivery {
    receiver.receive_deferred(&[sequence]).await.expect("an answer").remove(0).expect("it is deferred")
}

#[tokio::test(flavor = "multi_thread")]
async fn deferred_messages_come_by_number_only() {
    let (mut broker, client) = queue(&[]).await;
    send(&client, "q", &["a", "b", "c"]).await;
    let mut receiver = pulling(&client, "q").await;
    defer_all(&client, &mut receiver, 2).await;
    crash(&mut broker);
    let ready = next(&mut receiver).await;
    assert_eq!(text(&ready), "c");
    nothing(&mut receiver).await;
    let mut found = receiver.receive_deferred(&[2, 3, 99, 1]).await.expect("an answer");
    let first = found.pop().expect("four answers").expect("it is deferred");
    refused(found.pop().expect("four answers"), ErrorCode::MessageNotFound);
    refused(found.pop().expect("four answers"), ErrorCode::MessageNotFound);
    let second = found.pop().expect("four answers").expect("it is deferred");
    assert_eq!((text(&first), text(&second), first.delivery_count()), ("a", "b", 1));
    assert_eq!(first.message().property("why"), Some(&Value::from("not yet")));
    refused(receiver.receive_deferred(&[1]).await.expect("an answer").remove(0), ErrorCode::MessageNotFound);
    for delivery in [first, second, ready] {
        delivery.complete().await.expect("locked");
    }
    assert_eq!(counters(&client, "q").await.active, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_message_is_settled_as_any_other() {
    let (mut broker, client) = queue(&[]).await;
    send(&client, "q", &["abandoned", "released", "again", "dead"]).await;
    let mut receiver = pulling(&client, "q").await;
    defer_all(&client, &mut receiver, 4).await;
    let abandoned = one(&mut receiver, 1).await;
    let (released, again) = (one(&mut receiver, 2).await, one(&mut receiver, 3).await);
    crash(&mut broker);
    abandoned.abandon().await.expect("the lock outlives the kill");
    released.release().await.expect("locked");
    again.defer().await.expect("locked");
    one(&mut receiver, 4).await.dead_letter_with("No", "").await.expect("locked");
    let states: Vec<_> =
        look(&client, "q").await.iter().map(|seen| (seen.sequence, seen.state, seen.attempts)).collect();
    let ready = PeekState::Ready;
    assert_eq!(states, [(1, ready, 1), (2, ready, 0), (3, PeekState::Deferred, 0)]);
    let first = next(&mut receiver).await;
    assert_eq!((text(&first), first.delivery_count()), ("abandoned", 2), "at its old place");
    assert_eq!(text(&next(&mut receiver).await), "released");
    assert_eq!(counters(&client, "q").await.dead_letters, 1);
}
