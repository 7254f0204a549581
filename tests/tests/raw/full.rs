//! A broker whose disk has less room than it must leave to those who make room.

use postrider_client::{EntityKind, ErrorCode, Message, Options, Rule, Schedule, Selection, Settlement};
use postrider_protocol::options::LOCK_DURATION_MS;
use postrider_protocol::reply::{Reply, Settled};
use postrider_protocol::request::{Operation, Request, SettleItem, Start};
use postrider_tests::Broker;
use postrider_tests::raw::{Raw, hello};

/// What makes the store larger, of every kind; nothing of it needs to be there.
fn growing(raw: &mut Raw) -> Vec<Request> {
    let name = || "q".to_owned();
    let message = Message::new("late").encode();
    let sending = Operation::Send { address: name(), messages: vec![message.clone()] };
    let schedule =
        Schedule { name: "s".to_owned(), cron: "* * * * *".to_owned(), zone: "UTC".to_owned(), message };
    let create = Request::Create {
        stamp: raw.stamp(),
        name: "other".to_owned(),
        kind: EntityKind::Queue,
        options: Options::new(),
        rules: vec![],
    };
    let rule = Rule::sql("r", "a = 1");
    vec![
        raw.publishing(1, &[b"d"]),
        Request::Transact { stamp: raw.stamp(), operations: vec![sending] },
        create,
        Request::PutRule {
            stamp: raw.stamp(),
            subscription: "t/subscriptions/s".into(),
            replace: false,
            rule,
        },
        Request::PutSchedule { stamp: raw.stamp(), address: name(), schedule },
        Request::Replay {
            stamp: raw.stamp(),
            subscription: "t/subscriptions/s".to_owned(),
            start: Start::Sequence(1),
            filter: String::new(),
        },
        redrive(raw, false),
    ]
}

fn redrive(raw: &mut Raw, dry_run: bool) -> Request {
    Request::Redrive {
        stamp: raw.stamp(),
        address: "q/$dead-letter".to_owned(),
        selection: Selection::default(),
        from: 0,
        to: 0,
        limit: 0,
        dry_run,
    }
}

#[test]
fn what_makes_the_store_larger_is_refused_and_the_rest_goes_on() {
    let (mut broker, hello) = (Broker::start(), hello());
    let (mut raw, _) = Raw::open_as(broker.address(), hello.clone());
    raw.create_queue("q");
    raw.open_sender(1, "q");
    let published = raw.publishing(1, &[b"a", b"b", b"c"]);
    let accepted = raw.ask(&published);
    broker.kill9();
    broker.program().environment = vec![("POSTRIDER_DISK_RESERVE", u64::MAX.to_string())];
    broker.restart();
    let sequence = raw.sequence;
    (raw, _) = Raw::open_as(broker.address(), hello);
    raw.sequence = sequence;
    raw.open_sender(1, "q");
    assert_eq!(raw.ask(&published), accepted, "what was carried out before has its answer");
    for request in growing(&mut raw) {
        match raw.ask(&request) {
            Reply::Refused(refusal) => {
                assert_eq!(refusal.code, ErrorCode::StorageFull, "{request:?}");
                assert!(refusal.is_retryable() && refusal.retry_after_ms > 0);
            }
            other => panic!("{request:?} came to {other:?}"),
        }
    }

    let counting = redrive(&mut raw, true);
    assert!(matches!(raw.ask(&counting), Reply::Worked { .. }));
    let options = Options::new().with_number(LOCK_DURATION_MS, 60_000);
    let update = Request::Update { stamp: raw.stamp(), name: "q".to_owned(), options };
    assert_eq!(raw.ask(&update), Reply::Done);
    raw.open_receiver(1, "q", 3);
    let token = raw.delivery().token;
    let dead = Settlement::DeadLetter {
        reason: "Broken".to_owned(),
        description: String::new(),
        properties: vec![],
    };
    for (place, settlement) in [(0, Settlement::Complete), (1, dead)] {
        let token = postrider_client::LockToken { place, ..token };
        let settle =
            Request::Settle { stamp: raw.stamp(), items: vec![SettleItem { token, run: 1, settlement }] };
        assert_eq!(raw.ask(&settle), Reply::Settled(vec![(1, Settled::Done)]));
    }
    let delete = Request::Delete { stamp: raw.stamp(), name: "q".to_owned() };
    raw.request(&delete);
    let answers: Vec<_> = std::iter::from_fn(|| raw.reply()).take(2).map(|(_, reply)| reply).collect();
    assert!(answers.contains(&Reply::Done), "{answers:?}");
}
