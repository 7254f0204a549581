//! The circuit breaker, from the outside.

use crate::peer::{Listener, within};
use postrider_client::{CircuitBreaker, Error, ErrorCode, Message};
use std::time::{Duration, SystemTime};

#[tokio::test]
async fn sends_fail_at_once_while_the_broker_cannot_take_them() {
    let listener = Listener::new().await;
    let breaker = CircuitBreaker { failures: 2, pause: Duration::from_secs(3_600) };
    let builder = listener.builder().circuit_breaker(breaker);
    let (client, (mut peer, _)) = tokio::join!(builder.connect(), listener.welcome());
    let client = client.unwrap();
    let (sender, _) = tokio::join!(client.sender("q"), peer.open_sender());
    let sender = sender.unwrap();

    // One message that the broker takes, and one that it has no room for as often as it is asked.
    let (sent, ()) = tokio::join!(sender.send(Message::new("a")), async {
        let (request, ..) = peer.publish().await;
        peer.accept_all(request, 1, 1).await;
    });
    assert!(sent.is_ok());
    let confirm = sender.enqueue(Message::new("b")).await.unwrap();
    peer.publish().await;

    // The connection goes, and comes back only to be lost again: two failures.
    drop(peer);
    let (peer, ..) = listener.accept().await;
    drop(peer);
    let (mut peer, _) = listener.welcome().await;
    peer.open_sender().await;
    let until = match within(sender.send(Message::new("c"))).await {
        Err(Error::CircuitOpen { until }) => until,
        other => panic!("{other:?}"),
    };
    assert!(until > SystemTime::now() + Duration::from_secs(3_000));
    let batch = sender.send_batch(vec![Message::new("d")]).await;
    assert!(matches!(batch, Err(Error::CircuitOpen { .. })));
    let error = sender.enqueue(Message::new("e")).await.map(drop).unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("try again from"), "{error}");

    // What was on its way before is answered, which shows that the broker works.
    let (request, ..) = peer.publish().await;
    peer.accept_all(request, 2, 1).await;
    assert_eq!(confirm.await.unwrap().sequence, 2);
    let (sent, ()) = tokio::join!(sender.send(Message::new("f")), async {
        let (request, ..) = peer.publish().await;
        peer.refuse(request, ErrorCode::MessageTooLarge).await;
    });
    assert_eq!(sent.unwrap_err().code(), Some(ErrorCode::MessageTooLarge));
}
