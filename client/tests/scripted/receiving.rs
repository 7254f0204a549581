//! Receiving: credit, settling in batches, handlers.

use crate::LONG;
use crate::peer::Listener;
use postrider_client::{Error, ErrorCode, HandlerError, Refusal, Settlement, SubscribeOptions};
use postrider_protocol::reply::{Reply, Settled};
use postrider_protocol::request::{Request, SettleItem};
use std::collections::HashSet;
use std::time::Duration;

#[tokio::test]
async fn neighbouring_completions_travel_as_one_item_and_credit_follows_what_is_taken() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let builder = client.receiver_builder("q").prefetch(8);
    let (receiver, open) = tokio::join!(builder.open(), peer.open_receiver());
    let mut receiver = receiver.unwrap();
    assert_eq!(peer.flow().await.credit, 8);
    peer.deliver(open.handle, 5, 1..5).await;
    let deliveries = receiver.receive_batch(100, LONG).await.unwrap();
    assert_eq!(deliveries.len(), 4);
    let flow = peer.flow().await;
    assert_eq!((flow.delivered, flow.credit), (4, 8));

    let (outcomes, item) = tokio::join!(receiver.complete_batch(&deliveries), async {
        let (request, _, items) = peer.settle().await;
        let lost = Refusal::new(ErrorCode::LockLost, "ran out");
        peer.reply(request, &Reply::Settled(vec![(3, Settled::Done), (1, Settled::Refused(lost))])).await;
        items
    });
    let expected = SettleItem { token: deliveries[0].lock_token(), run: 4, settlement: Settlement::Complete };
    assert_eq!(item, [expected]);
    let outcomes = outcomes.unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    assert_eq!(outcomes[3].as_ref().unwrap_err().code(), Some(ErrorCode::LockLost));
}

#[tokio::test]
async fn a_pull_receiver_asks_for_exactly_what_it_wants_and_takes_the_rest_back() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let builder = client.receiver_builder("q").prefetch(0);
    let (receiver, open) = tokio::join!(builder.open(), peer.open_receiver());
    let mut receiver = receiver.unwrap();
    let handle = open.handle;

    let (batch, _) = tokio::join!(receiver.receive_batch(5, LONG), async {
        assert_eq!(peer.flow().await.credit, 5);
        peer.deliver(handle, 5, 1..3).await;
        let flow = peer.flow().await;
        assert_eq!((flow.delivered, flow.credit, flow.drain), (2, 3, true));
        peer.deliver(handle, 6, 3..4).await; // Was on its way.
        peer.reply(0, &Reply::Drained { handle, delivered: 3 }).await;
    });
    let sequences: Vec<_> = batch.unwrap().iter().map(postrider_client::Delivery::sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);

    let (nothing, _) = tokio::join!(receiver.receive_timeout(Duration::from_millis(1)), async {
        let first = peer.flow().await;
        assert_eq!((first.delivered, first.credit), (3, 1));
        if !first.drain {
            assert!(peer.flow().await.drain);
        }
        peer.reply(0, &Reply::Drained { handle, delivered: 3 }).await;
    });
    assert!(nothing.unwrap().is_none());

    let (drained, _) = tokio::join!(receiver.drain(), async {
        let flow = peer.flow().await;
        assert!(flow.credit > 100 && flow.delivered == 3);
        if !flow.drain {
            assert!(peer.flow().await.drain);
        }
        peer.deliver(handle, 7, 4..6).await;
        peer.reply(0, &Reply::Drained { handle, delivered: 5 }).await;
    });
    assert_eq!(drained.unwrap().len(), 2);
}

#[tokio::test]
async fn a_receiver_that_was_closed_for_the_moment_opens_again_and_otherwise_says_why() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (receiver, open) = tokio::join!(client.receiver("q"), peer.open_receiver());
    let (mut receiver, handle) = (receiver.unwrap(), open.handle);
    peer.flow().await;
    let unavailable =
        Refusal { retry_after_ms: 1, ..Refusal::new(ErrorCode::Unavailable, "the shard is moving") };
    peer.reply(0, &Reply::ReceiverClosed { handle, refusal: unavailable.clone() }).await;
    let (request, Request::OpenReceiver(_)) = peer.next().await else { panic!() };
    peer.reply(request, &Reply::Refused(unavailable)).await;
    assert_eq!(peer.open_receiver().await.handle, handle);
    assert_eq!(peer.flow().await.credit, 100);
    peer.deliver(handle, 5, 1..2).await;
    assert_eq!(receiver.receive().await.unwrap().sequence(), 1);

    let refusal = Refusal::new(ErrorCode::NotFound, "was deleted").about("q");
    peer.reply(0, &Reply::ReceiverClosed { handle, refusal: refusal.clone() }).await;
    assert_eq!(receiver.receive().await.unwrap_err(), Error::Refused(refusal));
}

#[tokio::test]
async fn a_handlers_result_settles_its_message() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (receiver, open) = tokio::join!(client.receiver("q"), peer.open_receiver());
    peer.flow().await;
    let options = SubscribeOptions { concurrency: 4, ..SubscribeOptions::default() };
    let subscription = receiver.unwrap().subscribe(options, |delivery| async move {
        match delivery.sequence() {
            1 => Ok(()),
            2 => Err(std::io::Error::other("try again"))?,
            3 => Err(HandlerError::dead_letter("Bad", "no use")),
            _ => panic!("a handler may do that"),
        }
    });
    peer.deliver(open.handle, 5, 1..5).await;
    let mut settled = HashSet::new();
    while settled.len() < 4 {
        let (request, _, items) = peer.settle().await;
        settled.extend(items.iter().map(|item| (item.token.place, name(&item.settlement))));
        peer.settled(request, items.iter().map(|item| u32::from(item.run)).sum()).await;
    }
    assert_eq!(settled, HashSet::from([(0, "complete"), (1, "abandon"), (2, "Bad"), (3, "abandon")]));
    let (stopped, _) = tokio::join!(subscription.stop(), async {
        let (request, close) = peer.next().await;
        assert_eq!(close, Request::CloseReceiver { handle: open.handle });
        peer.reply(request, &Reply::Done).await;
    });
    assert_eq!(stopped, Ok(()));
}

fn name(settlement: &Settlement) -> &'static str {
    match settlement {
        Settlement::Complete => "complete",
        Settlement::Abandon { .. } => "abandon",
        Settlement::DeadLetter { reason, .. } if reason == "Bad" => "Bad",
        _ => "something else",
    }
}
