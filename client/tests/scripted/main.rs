//! The client against a broker that follows a script. Nothing here waits for time to pass, only for the other side.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod breaker;
mod peer;
mod receiving;
mod sessions;
mod verbs;

use peer::{Listener, within};
use postrider_client::{Error, ErrorCode, Id, Message, Options, Refusal};
use postrider_protocol::reply::{Published, Reply};
use postrider_protocol::request::Request;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn says_hello_with_name_and_token_and_closes_with_goodbye() {
    let listener = Listener::new().await;
    let (client, (mut peer, hello)) = tokio::join!(listener.builder().connect(), listener.welcome());
    assert_eq!((hello.token.as_str(), hello.name.as_str(), hello.versions), ("s3cret", "test", (1, 1)));
    let client = client.unwrap();
    assert!(!format!("{client:?}").contains("s3cret"));
    let (closed, _) = tokio::join!(client.close(), async {
        assert_eq!(peer.next().await.1, Request::Goodbye);
        assert!(peer.read().await.is_none());
    });
    assert_eq!(closed, Ok(()));
}

#[tokio::test]
async fn a_token_that_is_not_known_is_fatal() {
    let listener = Listener::new().await;
    let refusal = Refusal::new(ErrorCode::Unauthorized, "the token is not known");
    let (client, _) = tokio::join!(listener.builder().connect(), async {
        let (mut peer, request, _) = listener.accept().await;
        peer.reply(request, &Reply::Refused(refusal.clone())).await;
    });
    assert_eq!(client.unwrap_err(), Error::Unauthorized(refusal.clone()));

    // Also after a connection that has worked.
    let (client, peer) = listener.client().await;
    drop(peer);
    let (mut peer, request, _) = listener.accept().await;
    peer.reply(request, &Reply::Refused(refusal.clone())).await;
    assert_eq!(within(client.sender("q")).await.unwrap_err(), Error::Unauthorized(refusal));
}

#[tokio::test]
async fn no_broker_is_a_connection_error() {
    let listener = Listener::new().await;
    let builder = listener.builder();
    drop(listener);
    let error = builder.connect().await.unwrap_err();
    assert!(matches!(error, Error::Connection(_)) && error.to_string().contains("is running"), "{error}");
}

#[tokio::test]
async fn confirms_may_come_out_of_order() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (sender, _) = tokio::join!(client.sender("q"), peer.open_sender());
    let sender = sender.unwrap();

    let first = sender.enqueue(Message::new("a")).await.unwrap();
    let (one, stamp, messages) = peer.publish().await;
    assert_eq!((stamp.sequence, stamp.floor, messages.len()), (1, 1, 1));
    assert!(messages[0].message_id.is_some(), "a message without an id gets one");

    let batch = vec![Message::new("b").with_id("mine"), Message::new("c")];
    let (outcomes, _) = tokio::join!(sender.send_batch(batch), async {
        let (two, stamp, messages) = peer.publish().await;
        assert_eq!((stamp.sequence, stamp.floor), (2, 1));
        assert_eq!(messages[0].message_id, Some(Id::from("mine")));
        let busy = Refusal::new(ErrorCode::QuotaExceeded, "full").about("q");
        let runs = vec![(1, Published::Duplicate(7)), (1, Published::Refused(busy))];
        peer.reply(two, &Reply::Published(runs)).await;
        peer.accept_all(one, 41, 1).await;
    });
    let outcomes = outcomes.unwrap();
    let duplicate = outcomes[0].as_ref().unwrap();
    assert_eq!((duplicate.sequence, duplicate.duplicate), (7, true));
    assert_eq!(outcomes[1].as_ref().unwrap_err().code(), Some(ErrorCode::QuotaExceeded));
    assert_eq!(first.await.unwrap().sequence, 41);

    // Everything is answered: the floor follows.
    let (sent, stamp) = tokio::join!(sender.send(Message::new("d")), async {
        let (three, stamp, _) = peer.publish().await;
        peer.accept_all(three, 42, 1).await;
        stamp
    });
    assert_eq!((sent.unwrap().sequence, stamp.sequence, stamp.floor), (42, 3, 3));
}

#[tokio::test]
async fn messages_that_wait_share_a_frame() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (sender, _) = tokio::join!(client.sender("q"), peer.open_sender());
    let sender = sender.unwrap();
    let mut confirms = Vec::new();
    for number in 0..40 {
        confirms.push(sender.enqueue(Message::new(number.to_string())).await.unwrap());
    }
    let (mut bodies, mut frames) = (Vec::new(), 0);
    while bodies.len() < 40 {
        let (request, _, messages) = peer.publish().await;
        peer.accept_all(request, 1 + bodies.len() as u64, messages.len()).await;
        bodies.extend(messages.into_iter().map(|message| message.body));
        frames += 1;
    }
    let expected: Vec<_> = (0..40).map(|number: u32| number.to_string()).collect();
    assert_eq!(bodies, expected);
    assert!(frames < 10, "{frames} frames");
    for (number, confirm) in confirms.into_iter().enumerate() {
        assert_eq!(confirm.await.unwrap().sequence, number as u64 + 1);
    }
}

#[tokio::test]
async fn a_lost_connection_resumes_links_and_asks_again_under_the_same_numbers() {
    let listener = Listener::new().await;
    let (client, (mut peer, hello)) = tokio::join!(listener.builder().connect(), listener.welcome());
    let client = client.unwrap();
    let (sender, sender_handle) = tokio::join!(client.sender("q"), peer.open_sender());
    let (sender, builder) = (sender.unwrap(), client.receiver_builder("r").prefetch(10));
    let (receiver, opened) = tokio::join!(builder.open(), peer.open_receiver());
    let mut receiver = receiver.unwrap();
    assert_eq!((peer.flow().await.credit, opened.held.len()), (10, 0));

    // Three leases: of the first everything is dropped, of the second something is held, of the third nothing was taken.
    peer.deliver(opened.handle, 5, 1..3).await;
    peer.deliver(opened.handle, 6, 3..4).await;
    peer.deliver(opened.handle, 7, 4..5).await;
    let dropped = receiver.receive_batch(2, LONG).await.unwrap();
    assert_eq!(dropped.len(), 2);
    drop(dropped);
    let held = receiver.receive().await.unwrap();

    // One publish, one settlement and one question without an answer.
    let confirm = sender.enqueue(Message::new("a")).await.unwrap();
    let (publish, stamp, messages) = peer.publish().await;
    let completing = tokio::spawn(async move {
        let outcome = held.complete().await;
        (held, outcome)
    });
    let (settle, settle_stamp, items) = peer.settle().await;
    let admin = client.admin();
    let creating = tokio::spawn(async move { admin.create_queue("new", Options::new()).await });
    let (create, Request::Create { stamp: create_stamp, .. }) = peer.next().await else { panic!() };
    drop(peer);

    let (mut peer, again) = listener.welcome().await;
    assert_eq!(again.client, hello.client);
    assert_eq!(peer.open_sender().await, sender_handle);
    assert_eq!(peer.publish().await, (publish, stamp, messages));
    assert_eq!(peer.settle().await, (settle, settle_stamp, items));
    let (request, Request::Create { stamp, .. }) = peer.next().await else { panic!() };
    assert_eq!((request, stamp), (create, create_stamp));
    let reopened = peer.open_receiver().await;
    assert_eq!((reopened.handle, reopened.held), (opened.handle, vec![6, 7]));
    // Four of ten arrived, so six are still wanted, counted from the new beginning.
    let flow = peer.flow().await;
    assert_eq!((flow.delivered, flow.credit, flow.drain), (0, 6, false));

    peer.reply(create, &Reply::Done).await;
    peer.accept_all(publish, 9, 1).await;
    peer.settled(settle, 1).await;
    assert_eq!(confirm.await.unwrap().sequence, 9);
    assert_eq!(completing.await.unwrap().1, Ok(()));
    assert_eq!(creating.await.unwrap(), Ok(()));
    assert_eq!(receiver.receive().await.unwrap().sequence(), 4);
}

#[tokio::test]
async fn a_refused_publish_is_tried_again_with_the_same_stamp_if_that_can_help() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (sender, _) = tokio::join!(client.sender("q"), peer.open_sender());
    let sender = sender.unwrap();
    let (sent, _) = tokio::join!(sender.send(Message::new("a")), async {
        let first = peer.publish().await;
        let busy = Refusal { retry_after_ms: 1, ..Refusal::new(ErrorCode::Busy, "no room") };
        peer.reply(first.0, &Reply::Refused(busy)).await;
        let second = peer.publish().await;
        assert_eq!(second, first);
        let full = Refusal { retry_after_ms: 1, ..Refusal::new(ErrorCode::StorageFull, "no room") };
        peer.reply(second.0, &Reply::Refused(full)).await;
        assert_eq!(peer.publish().await, first);
        peer.accept_all(first.0, 3, 1).await;
    });
    assert_eq!(sent.unwrap().sequence, 3);

    let (sent, _) = tokio::join!(sender.send(Message::new("b")), async {
        let (request, ..) = peer.publish().await;
        let refusal = Refusal::new(ErrorCode::Disabled, "send-disabled").about("q");
        peer.reply(request, &Reply::Refused(refusal)).await;
    });
    let error = sent.unwrap_err();
    assert!(error.is_retryable() && error.code() == Some(ErrorCode::Disabled), "{error}");
    assert!(error.to_string().contains("try again when that is done"), "{error}");
}

#[tokio::test]
async fn silence_is_broken_by_a_ping_and_ends_the_connection_when_it_lasts() {
    let mut listener = Listener::new().await;
    listener.heartbeat_ms = 50;
    let (client, mut peer) = listener.client().await;
    let (request, ping) = peer.next().await;
    assert_eq!(ping, Request::Ping);
    peer.reply(request, &Reply::Pong).await;
    // Never answered again: the client pings at least once more, gives the connection up, and makes another.
    let ((mut second, _), pings) = tokio::join!(listener.welcome(), async {
        let mut pings = 0;
        while let Some((_, request)) = peer.read().await {
            assert_eq!(request, Request::Ping);
            pings += 1;
        }
        pings
    });
    assert!(pings >= 1);
    let admin = client.admin();
    let (status, _) = tokio::join!(admin.status(), async {
        let request = loop {
            match second.next().await {
                (request, Request::Status) => break request,
                (request, _) => second.reply(request, &Reply::Pong).await,
            }
        };
        second.reply(request, &Reply::Status(Default::default())).await;
    });
    assert!(status.is_ok());
}

#[tokio::test]
async fn closing_waits_for_confirms_and_lets_go_of_receivers() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (sender, _) = tokio::join!(client.sender("q"), peer.open_sender());
    let (receiver, open) = tokio::join!(client.receiver("q"), peer.open_receiver());
    let (sender, mut receiver) = (sender.unwrap(), receiver.unwrap());
    peer.flow().await;
    let confirm = sender.enqueue(Message::new("a")).await.unwrap();
    let (closed, _) = tokio::join!(client.close(), async {
        let (request, ..) = peer.publish().await;
        peer.accept_all(request, 1, 1).await;
        let (request, close) = peer.next().await;
        assert_eq!(close, Request::CloseReceiver { handle: open.handle });
        peer.reply(request, &Reply::Done).await;
        assert_eq!(peer.next().await.1, Request::Goodbye);
    });
    assert_eq!(closed, Ok(()));
    assert_eq!(confirm.await.unwrap().sequence, 1);
    assert_eq!(receiver.receive().await.unwrap_err(), Error::Closed);
    assert_eq!(sender.send(Message::new("b")).await.unwrap_err(), Error::Closed);
}

#[tokio::test]
async fn closing_without_a_connection_does_not_wait_for_one() {
    let listener = Listener::new().await;
    let (client, peer) = listener.client().await;
    drop(listener);
    drop(peer);
    assert_eq!(within(client.close()).await, Ok(()));
}

#[tokio::test]
async fn what_cannot_be_sent_again_fails_by_name() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (sender, handle) = tokio::join!(client.sender("q"), peer.open_sender());
    let sender = sender.unwrap();
    let confirm = sender.enqueue(Message::new("a")).await.unwrap();
    peer.publish().await;
    drop(peer);
    let (mut peer, _) = listener.welcome().await;
    let (request, Request::OpenSender { handle: again, .. }) = peer.next().await else { panic!() };
    assert_eq!(again, handle);
    peer.reply(request, &Reply::Refused(Refusal::not_found("q"))).await;
    assert_eq!(within(confirm).await.unwrap_err().code(), Some(ErrorCode::NotFound));
    let error = within(sender.send(Message::new("b"))).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NotFound));
    // The broker does not know the link, so it is not asked to close it; the client still works.
    assert_eq!(within(sender.close()).await, Ok(()));
    let admin = client.admin();
    let (purged, _) = tokio::join!(admin.purge("q"), async {
        let (request, Request::Purge { stamp, .. }) = peer.next().await else { panic!() };
        assert_eq!((stamp.sequence, stamp.floor), (2, 2));
        peer.reply(request, &Reply::Worked { done: 3, examined: 3, next: 0 }).await;
    });
    assert_eq!(purged, Ok(3));
}

#[tokio::test]
async fn a_full_pipeline_waits_for_a_confirm() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (sender, _) = tokio::join!(client.sender("q"), peer.open_sender());
    let sender = sender.unwrap();
    // Each takes a quarter of the pipeline's 32 MiB, so that the fifth waits for one of the first four.
    let message = || Message::new(vec![0; 8 * 1024 * 1024 - 200]).with_id("large");
    let mut confirms = Vec::new();
    for _ in 0..4 {
        confirms.push(sender.enqueue(message()).await.unwrap());
    }
    let fifth = tokio::spawn({
        let sender = sender.clone();
        async move { sender.enqueue(message()).await }
    });
    let mut requests = Vec::new();
    for _ in 0..4 {
        requests.push(peer.publish().await.0);
    }
    assert!(!fifth.is_finished());
    peer.accept_all(requests[2], 1, 1).await;
    let fifth = within(fifth).await.unwrap().unwrap();
    let (request, ..) = peer.publish().await;
    peer.accept_all(request, 5, 1).await;
    assert_eq!(fifth.await.unwrap().sequence, 5);
    drop(confirms);
}

#[tokio::test]
async fn a_dropped_sender_is_closed_behind_its_last_message() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (sender, handle) = tokio::join!(client.sender("q"), peer.open_sender());
    let confirm = sender.unwrap().enqueue(Message::new("a")).await.unwrap();
    let (request, ..) = peer.publish().await;
    peer.accept_all(request, 1, 1).await;
    assert_eq!(confirm.await.unwrap().sequence, 1);
    assert_eq!(peer.next().await.1, Request::CloseSender { handle });
    drop(client);
}
