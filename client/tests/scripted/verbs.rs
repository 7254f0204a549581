//! Settling in every way, deferring, scheduling.

use crate::LONG;
use crate::peer::{Listener, Peer};
use postrider_client::{Delivery, ErrorCode, Message, Refusal, Settlement};
use postrider_protocol::reply::{Delivered, Reply, Settled};
use postrider_protocol::request::{Request, ScheduledAction};
use std::time::{Duration, UNIX_EPOCH};

/// Answers one settlement and says what it was.
async fn settled(peer: &mut Peer, outcome: Settled) -> Settlement {
    let (request, _, mut items) = peer.settle().await;
    assert_eq!((items.len(), items[0].run), (1, 1));
    peer.reply(request, &Reply::Settled(vec![(1, outcome)])).await;
    items.remove(0).settlement
}

fn sequences(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(Delivery::sequence).collect()
}

#[tokio::test]
async fn every_settlement_carries_what_was_said() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (receiver, open) = tokio::join!(client.receiver("q"), peer.open_receiver());
    let mut receiver = receiver.unwrap();
    peer.flow().await;
    peer.deliver(open.handle, 5, 1..6).await;
    let batch = receiver.receive_batch(5, LONG).await.unwrap();
    assert!(batch.iter().all(|delivery| delivery.epoch() == 5));
    let changed = || vec![("why".to_owned(), "later".into())];

    let delay = Duration::from_secs(30);
    let (outcome, said) =
        tokio::join!(batch[0].abandon_with(delay, changed()), settled(&mut peer, Settled::Done));
    assert_eq!((outcome, said), (Ok(()), Settlement::Abandon { delay_ms: 30_000, properties: changed() }));
    let dead = batch[1].dead_letter_with_properties("Bad", "no use", changed());
    let (outcome, said) = tokio::join!(dead, settled(&mut peer, Settled::Done));
    let (reason, description) = ("Bad".to_owned(), "no use".to_owned());
    assert_eq!(
        (outcome, said),
        (Ok(()), Settlement::DeadLetter { reason, description, properties: changed() })
    );
    let (outcome, said) = tokio::join!(batch[2].defer_with(changed()), settled(&mut peer, Settled::Done));
    assert_eq!((outcome, said), (Ok(()), Settlement::Defer { properties: changed() }));
    let until = Settled::Renewed(1_700_000_090_000);
    let (outcome, said) =
        tokio::join!(batch[3].renew_for(Duration::from_secs(60)), settled(&mut peer, until));
    assert_eq!(said, Settlement::Renew { duration_ms: 60_000 });
    assert_eq!(outcome.unwrap(), UNIX_EPOCH + Duration::from_millis(1_700_000_090_000));
    assert_eq!(batch[3].locked_until(), outcome_time(1_700_000_090_000));
    let (outcome, said) = tokio::join!(batch[4].release(), settled(&mut peer, Settled::Done));
    assert_eq!((outcome, said), (Ok(()), Settlement::Release));
}

fn outcome_time(utc_ms: u64) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_millis(utc_ms)
}

#[tokio::test]
async fn a_batch_has_a_result_for_each_message() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (receiver, open) = tokio::join!(client.receiver("q"), peer.open_receiver());
    let mut receiver = receiver.unwrap();
    peer.flow().await;
    peer.deliver(open.handle, 5, 1..4).await;
    let batch = receiver.receive_batch(3, LONG).await.unwrap();
    let lost = || Settled::Refused(Refusal::new(ErrorCode::LockLost, "ran out"));

    let (renewed, ()) = tokio::join!(receiver.renew_batch(&batch, Duration::ZERO), async {
        let (request, _, items) = peer.settle().await;
        assert!(items.iter().all(|item| item.settlement == Settlement::Renew { duration_ms: 0 }));
        let until = Settled::Renewed(1_700_000_090_000);
        peer.reply(request, &Reply::Settled(vec![(2, until), (1, lost())])).await;
    });
    let renewed = renewed.unwrap();
    assert_eq!(renewed[1], Ok(outcome_time(1_700_000_090_000)));
    assert_eq!(renewed[2].as_ref().unwrap_err().code(), Some(ErrorCode::LockLost));
    assert_eq!(batch[2].locked_until(), outcome_time(1_700_000_030_000));

    let abandon = Settlement::Abandon { delay_ms: 5, properties: Vec::new() };
    let (abandoned, ()) = tokio::join!(receiver.settle_all(&batch, &abandon), async {
        let (request, _, items) = peer.settle().await;
        assert_eq!(items.len(), 3);
        peer.reply(request, &Reply::Settled(vec![(1, lost()), (2, Settled::Done)])).await;
    });
    let ok: Vec<_> = abandoned.unwrap().iter().map(Result::is_ok).collect();
    assert_eq!(ok, [false, true, true]);
}

#[tokio::test]
async fn deferred_messages_come_by_number_and_take_no_credit() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let builder = client.receiver_builder("q").prefetch(10).weight(3);
    let (receiver, open) = tokio::join!(builder.open(), peer.open_receiver());
    let mut receiver = receiver.unwrap();
    assert_eq!((open.weight, peer.flow().await.credit), (3, 10));
    let (received, flow) = tokio::join!(receiver.receive_deferred(&[17, 18, 19]), async {
        let (request, Request::ReceiveDeferred { handle, stamp, sequences }) = peer.next().await else {
            panic!("not a request for deferred messages")
        };
        assert_eq!((handle, stamp.sequence, sequences), (open.handle, 1, vec![17, 18, 19]));
        peer.deliver(handle, 7, 1..2).await; // By credit, on its way at the same time.
        peer.deliver(handle, 8, 17..18).await;
        peer.deliver(handle, 9, 19..20).await;
        let gone = Settled::Refused(Refusal::new(ErrorCode::MessageNotFound, "is not there"));
        let outcomes = vec![(1, Settled::Done), (1, gone), (1, Settled::Done)];
        peer.reply(request, &Reply::Settled(outcomes)).await;
        peer.flow().await
    });
    let received = received.unwrap();
    assert_eq!(received[1].as_ref().unwrap_err().code(), Some(ErrorCode::MessageNotFound));
    let found: Vec<_> = received.into_iter().filter_map(Result::ok).collect();
    assert_eq!((sequences(&found), found[1].epoch()), (vec![17, 19], 9));
    // Three came in all, and one of them took of the ten.
    assert_eq!((flow.delivered, flow.credit), (3, 9));
    assert_eq!(receiver.receive().await.unwrap().sequence(), 1);
}

#[tokio::test]
async fn deferred_messages_are_asked_for_again_after_a_lost_connection() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let builder = client.receiver_builder("q").prefetch(0);
    let (receiver, open) = tokio::join!(builder.open(), peer.open_receiver());
    let mut receiver = receiver.unwrap();
    let (received, ()) = tokio::join!(receiver.receive_deferred(&[17]), async {
        let (_, Request::ReceiveDeferred { .. }) = peer.next().await else { panic!() };
        peer.deliver(open.handle, 8, 17..18).await;
        drop(peer);
        let (mut peer, _) = listener.welcome().await;
        peer.open_receiver().await;
        let (request, Request::ReceiveDeferred { handle, stamp, .. }) = peer.next().await else { panic!() };
        assert_eq!(stamp.sequence, 2, "the broker lets go of what never arrived, so this is another request");
        peer.deliver(handle, 9, 17..18).await;
        peer.settled(request, 1).await;
    });
    let received = received.unwrap().remove(0).unwrap();
    assert_eq!((received.sequence(), received.epoch()), (17, 9));
}

#[tokio::test]
async fn scheduled_messages_are_cancelled_and_delivered_by_number() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (sender, _) = tokio::join!(client.sender("q"), peer.open_sender());
    let sender = sender.unwrap();
    let at = outcome_time(1_800_000_000_000);
    let (number, ()) = tokio::join!(sender.schedule(Message::new("later"), at), async {
        let (request, _, messages) = peer.publish().await;
        assert_eq!(messages[0].scheduled_enqueue_time_ms, Some(1_800_000_000_000));
        peer.accept_all(request, 7, 1).await;
    });
    assert_eq!(number, Ok(7));
    let numbers: Vec<u64> = (1..=4_097).collect();
    let (cancelled, ()) = tokio::join!(sender.cancel_scheduled(&numbers), async {
        for expected in [4_096, 1] {
            let (request, Request::Scheduled { address, action, sequences, .. }) = peer.next().await else {
                panic!("not about scheduled messages")
            };
            assert_eq!((address.as_str(), action), ("q", ScheduledAction::Cancel));
            assert_eq!(sequences.len(), expected);
            peer.settled(request, expected as u32).await;
        }
    });
    assert_eq!(cancelled.unwrap().len(), 4_097);
    let (delivered, ()) = tokio::join!(sender.deliver_scheduled_now(&[7]), async {
        let (request, Request::Scheduled { action, .. }) = peer.next().await else { panic!() };
        assert_eq!(action, ScheduledAction::DeliverNow);
        let gone = Settled::Refused(Refusal::new(ErrorCode::MessageNotFound, "was delivered"));
        peer.reply(request, &Reply::Settled(vec![(1, gone)])).await;
    });
    assert_eq!(delivered.unwrap()[0].as_ref().unwrap_err().code(), Some(ErrorCode::MessageNotFound));
    let none = sender.cancel_scheduled(&[]).await;
    assert_eq!(none, Ok(Vec::new()));
}

#[tokio::test]
async fn a_delivery_shows_what_the_broker_keeps() {
    use bytes::BytesMut;
    use postrider_client::{DeadLetterInfo, LockToken};
    use postrider_protocol::message::Record;
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (receiver, open) = tokio::join!(client.receiver("q/$dead-letter"), peer.open_receiver());
    let mut receiver = receiver.unwrap();
    peer.flow().await;
    let info =
        DeadLetterInfo { source: "q".into(), reason: "Bad".into(), description: "d".into(), time_ms: 77 };
    let record = Record {
        expires_at_ms: Some(1_900_000_000_000),
        redrive_count: 2,
        rule_name: Some("marked".to_owned()),
        replayed: true,
        dead_letter: Some(info),
        message: Message::new("x").encode(),
        ..Record::default()
    };
    let mut out = BytesMut::new();
    record.put(&mut out);
    let messages = vec![Delivered { sequence: 4, attempts: 1, record: out.freeze() }];
    let token = LockToken { shard: 1, lease: 12, place: 0, salt: 9 };
    let delivery =
        postrider_protocol::reply::Delivery { handle: open.handle, token, locked_until_ms: 5, messages };
    peer.reply(0, &Reply::Delivery(delivery)).await;
    let delivery = receiver.receive().await.unwrap();
    assert_eq!((delivery.redrive_count(), delivery.epoch(), delivery.delivery_count()), (2, 12, 2));
    assert_eq!((delivery.rule_name(), delivery.is_replayed()), (Some("marked"), true));
    assert_eq!(delivery.expires_at(), Some(outcome_time(1_900_000_000_000)));
    assert_eq!(delivery.dead_letter_time(), Some(outcome_time(77)));
}
