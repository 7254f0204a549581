//! Handles, stamps, credit and answers, frame by frame.

use postrider_client::{ErrorCode, LockToken, Settlement};
use postrider_protocol::reply::{Published, Reply, Settled};
use postrider_protocol::request::{Flow, Hello, OpenReceiver, Request, SettleItem, Stamp};
use postrider_tests::Broker;
use postrider_tests::raw::{Raw, hello, receiver};
use std::collections::BTreeSet;
use std::time::Duration;

#[track_caller]
fn refused(reply: Reply, code: ErrorCode, field: &str) {
    match reply {
        Reply::Refused(refusal) => {
            assert_eq!((refusal.code, refusal.field.as_str()), (code, field), "{refusal}");
        }
        other => panic!("no refusal: {other:?}"),
    }
}

fn settle(raw: &mut Raw, token: LockToken, settlement: Settlement) -> Reply {
    let stamp = raw.stamp();
    raw.ask(&Request::Settle { stamp, items: vec![SettleItem { token, run: 1, settlement }] })
}

#[test]
fn a_handle_is_taken_until_its_link_is_closed() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    raw.create_queue("q");
    assert!(matches!(raw.open_sender(1, "q"), Reply::Opened { .. }));
    refused(raw.open_sender(1, "q"), ErrorCode::InvalidArgument, "handle");
    // Senders and receivers are numbered apart.
    assert!(matches!(raw.ask(&Request::OpenReceiver(receiver(1, "q"))), Reply::Opened { .. }));
    refused(raw.ask(&Request::OpenReceiver(receiver(1, "q"))), ErrorCode::InvalidArgument, "handle");
    assert_eq!(raw.ask(&Request::CloseSender { handle: 1 }), Reply::Done);
    assert_eq!(raw.ask(&Request::CloseReceiver { handle: 1 }), Reply::Done);
    assert!(matches!(raw.open_sender(1, "q"), Reply::Opened { .. }));
    assert!(matches!(raw.ask(&Request::OpenReceiver(receiver(1, "q"))), Reply::Opened { .. }));
}

#[test]
fn a_refused_link_does_not_take_its_handle() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    refused(raw.open_sender(1, "later"), ErrorCode::NotFound, "");
    refused(raw.ask(&Request::OpenReceiver(receiver(1, "later"))), ErrorCode::NotFound, "");
    raw.create_queue("later");
    assert!(matches!(raw.open_sender(1, "later"), Reply::Opened { .. }));
    assert!(matches!(raw.ask(&Request::OpenReceiver(receiver(1, "later"))), Reply::Opened { .. }));
}

#[test]
fn refused_links_do_not_count_against_the_limit() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    raw.create_queue("q");
    for handle in 1..=1_001 {
        refused(raw.open_sender(handle, "missing"), ErrorCode::NotFound, "");
    }
    assert!(matches!(raw.open_sender(5_000, "q"), Reply::Opened { .. }));
}

#[test]
fn links_have_a_limit() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    raw.create_queue("q");
    for handle in 1..=1_000 {
        assert!(matches!(raw.open_sender(handle, "q"), Reply::Opened { .. }));
    }
    refused(raw.open_sender(1_001, "q"), ErrorCode::QuotaExceeded, "");
    assert_eq!(raw.ask(&Request::CloseSender { handle: 7 }), Reply::Done);
    assert!(matches!(raw.open_sender(1_001, "q"), Reply::Opened { .. }));
}

#[test]
fn unknown_handles_are_refused() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    refused(raw.publish(9, &[b"x"]), ErrorCode::InvalidArgument, "handle");
    refused(raw.ask(&Request::CloseReceiver { handle: 9 }), ErrorCode::InvalidArgument, "handle");
    let drain = Request::Flow(Flow { handle: 9, delivered: 0, credit: 1, drain: true });
    refused(raw.ask(&drain), ErrorCode::InvalidArgument, "handle");
    raw.request(&Request::Flow(Flow { handle: 9, delivered: 0, credit: 1, drain: false }));
    assert_eq!(raw.ask(&Request::Ping), Reply::Pong);
}

#[test]
fn tokens_of_one_settle_share_their_shard() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    let token = |shard| LockToken { shard, lease: 1, place: 0, salt: 0 };
    let item = |shard| SettleItem { token: token(shard), run: 1, settlement: Settlement::Complete };
    let stamp = raw.stamp();
    let several = Request::Settle { stamp, items: vec![item(1), item(2)] };
    refused(raw.ask(&several), ErrorCode::InvalidArgument, "items");
    let stamp = raw.stamp();
    refused(raw.ask(&Request::Settle { stamp, items: vec![] }), ErrorCode::InvalidArgument, "items");
    refused(settle(&mut raw, token(u16::MAX), Settlement::Complete), ErrorCode::LockLost, "");
    match settle(&mut raw, token(3), Settlement::Complete) {
        Reply::Settled(runs) => {
            assert!(
                matches!(&runs[..], [(1, Settled::Refused(refusal))] if refusal.code == ErrorCode::LockLost)
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_guessed_salt_settles_nothing() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    raw.create_queue("q");
    raw.open_sender(1, "q");
    raw.publish(1, &[b"x"]);
    raw.open_receiver(1, "q", 1);
    let token = raw.delivery().token;
    let guessed = LockToken { salt: token.salt ^ 1, ..token };
    let refused = settle(&mut raw, guessed, Settlement::Complete);
    assert!(
        matches!(&refused, Reply::Settled(runs) if matches!(runs[..], [(1, Settled::Refused(_))])),
        "{refused:?}"
    );
    assert_eq!(settle(&mut raw, token, Settlement::Complete), Reply::Settled(vec![(1, Settled::Done)]));
}

#[test]
fn pipelined_requests_are_all_answered() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    raw.create_queue("q");
    raw.open_sender(1, "q");
    let mut asked = BTreeSet::new();
    for number in 0..1_000 {
        let request = match number % 3 {
            0 => raw.publishing(1, &[b"a", b"b"]),
            1 => Request::Ping,
            _ => Request::Get { name: "q".to_owned() },
        };
        asked.insert(raw.request(&request));
    }
    let mut answered = BTreeSet::new();
    for _ in 0..1_000 {
        let (number, reply) = raw.reply().expect("an answer");
        assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
        assert!(answered.insert(number), "request {number} was answered twice");
    }
    assert_eq!(answered, asked);
    raw.silent(Duration::from_millis(100));
}

#[test]
fn a_request_that_comes_again_gets_the_recorded_answer() {
    let broker = Broker::start();
    let me = hello();
    let (mut raw, _) = Raw::open_as(broker.address(), me.clone());
    raw.create_queue("q");
    raw.open_sender(1, "q");
    let request = raw.publishing(1, &[b"a", b"b"]);
    let first = raw.ask(&request);
    assert_eq!(first, Reply::Published(vec![(2, Published::Accepted(1))]));
    assert_eq!(raw.ask(&request), first);
    let (mut again, _) = Raw::open_as(broker.address(), me);
    again.open_sender(4, "q");
    let Request::Publish { stamp, atomic, messages, .. } = request else { unreachable!("it publishes") };
    assert_eq!(again.ask(&Request::Publish { handle: 4, stamp, atomic, messages }), first);
    match again.ask(&Request::Get { name: "q".to_owned() }) {
        Reply::Entity(info) => assert_eq!((info.counters.active, info.counters.last_sequence), (2, 2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_outcome_below_the_floor_is_unknown() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    raw.create_queue("q");
    let create = |sequence, floor| Request::Create {
        stamp: Stamp { sequence, floor },
        name: "q".to_owned(),
        kind: postrider_client::EntityKind::Queue,
        options: postrider_client::Options::new(),
        rules: vec![],
    };
    refused(raw.ask(&create(10, 10)), ErrorCode::AlreadyExists, "");
    refused(raw.ask(&create(9, 9)), ErrorCode::UnknownOutcome, "");
}

#[test]
fn credit_is_what_was_stated_and_no_more() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    raw.create_queue("q");
    raw.open_sender(1, "q");
    raw.publish(1, &[b"1", b"2", b"3", b"4", b"5"]);
    raw.open_receiver(1, "q", 2);
    assert_eq!(raw.delivery().messages.len(), 2);
    raw.silent(Duration::from_millis(100));
    let flow = |delivered, credit| Request::Flow(Flow { handle: 1, delivered, credit, drain: false });
    // A grant that crossed the deliveries grants what was meant: two in all.
    raw.request(&flow(0, 2));
    raw.silent(Duration::from_millis(100));
    raw.request(&flow(2, 1));
    assert_eq!(raw.delivery().messages[0].sequence, 3);
    let drain = Request::Flow(Flow { handle: 1, delivered: 3, credit: 100, drain: true });
    raw.request(&drain);
    assert_eq!(raw.delivery().messages.len(), 2);
    assert!(matches!(raw.reply(), Some((_, Reply::Drained { handle: 1, delivered: 5 }))));
    raw.publish(1, &[b"6"]);
    raw.silent(Duration::from_millis(100));
}

#[test]
fn what_is_not_held_on_resuming_is_let_go() {
    let broker = Broker::start();
    let me = Hello { client: 77, ..hello() };
    let (mut raw, _) = Raw::open_as(broker.address(), me.clone());
    raw.create_queue("q");
    raw.open_sender(1, "q");
    raw.publish(1, &[b"1"]);
    raw.publish(1, &[b"2"]);
    raw.open_receiver(5, "q", 1);
    let kept = raw.delivery();
    raw.request(&Request::Flow(Flow { handle: 5, delivered: 1, credit: 1, drain: false }));
    let lost = raw.delivery();
    let (mut again, _) = Raw::open_as(broker.address(), me);
    again.sequence = raw.sequence;
    drop(raw);
    let held = vec![kept.token.lease];
    let opened = again.ask(&Request::OpenReceiver(OpenReceiver { held, ..receiver(5, "q") }));
    assert!(matches!(opened, Reply::Opened { .. }));
    again.request(&Request::Flow(Flow { handle: 5, delivered: 0, credit: 9, drain: false }));
    let back = again.delivery();
    assert_eq!((back.messages.len(), &back.messages[0]), (1, &lost.messages[0]), "the count is unchanged");
    assert!(back.token.lease > lost.token.lease);
    assert_eq!(
        settle(&mut again, kept.token, Settlement::Complete),
        Reply::Settled(vec![(1, Settled::Done)])
    );
}

#[test]
fn an_older_receiver_of_the_same_handle_loses_its_place() {
    let broker = Broker::start();
    let me = Hello { client: 78, ..hello() };
    let (mut old, _) = Raw::open_as(broker.address(), me.clone());
    old.create_queue("q");
    old.open_receiver(5, "q", 10);
    let (mut new, _) = Raw::open_as(broker.address(), me);
    new.sequence = old.sequence;
    new.open_receiver(5, "q", 10);
    new.open_sender(1, "q");
    new.publish(1, &[b"1"]);
    assert_eq!(new.delivery().messages[0].sequence, 1);
    match old.reply() {
        Some((0, Reply::ReceiverClosed { handle: 5, .. })) => {}
        other => panic!("the old receiver was not told: {other:?}"),
    }
}

#[test]
fn pings_are_answered_and_goodbye_closes() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    assert_eq!(raw.ask(&Request::Ping), Reply::Pong);
    assert!(matches!(raw.ask(&Request::Status), Reply::Status(_)));
    raw.request(&Request::Goodbye);
    raw.closed();
}

#[test]
fn a_deleted_queue_closes_its_receivers() {
    let broker = Broker::start();
    let mut raw = Raw::open(broker.address());
    raw.create_queue("q");
    raw.open_receiver(1, "q", 10);
    let stamp = raw.stamp();
    raw.request(&Request::Delete { stamp, name: "q".to_owned() });
    let mut replies = [raw.reply().expect("a reply").1, raw.reply().expect("a reply").1];
    replies.sort_by_key(|reply| matches!(reply, Reply::Done));
    assert!(matches!(&replies, [Reply::ReceiverClosed { handle: 1, .. }, Reply::Done]), "{replies:?}");
    raw.create_queue("q");
    assert!(matches!(raw.ask(&Request::OpenReceiver(receiver(1, "q"))), Reply::Opened { .. }));
}
