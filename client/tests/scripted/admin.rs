//! Looking into queues, and work on many messages.

use crate::peer::{Listener, Peer, record};
use postrider_client::{
    Cause, CauseInfo, ConsumersInfo, ErrorCode, Message, Options, PeekQuery, PeekState, Selection,
    SessionInfo, Start, States, Step, StepKind,
};
use postrider_protocol::reply::{Delivered, Peeked, Reply};
use postrider_protocol::request::{Request, Start as At};
use postrider_protocol::trace::TraceCursor;
use std::time::{Duration, UNIX_EPOCH};

fn peeked(sequence: u64, state: PeekState) -> Peeked {
    let message = Delivered { sequence, attempts: 0, record: record(&Message::new("x")) };
    Peeked { state, until_ms: u64::from(state == PeekState::Scheduled), message }
}

fn cause(reason: &str, messages: u64, redriven: u64, sample: u64) -> CauseInfo {
    let cause = Cause { reason: reason.to_owned(), description: "d".to_owned() };
    CauseInfo { cause, messages, redriven, first_ms: sample, last_ms: sample, sample }
}

#[tokio::test]
async fn peeking_goes_on_page_by_page_where_the_broker_says() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let states = States::of(&[PeekState::Scheduled, PeekState::Ready]);
    let query = PeekQuery { from: 3, limit: 2, states, filter: "a = 1".to_owned() };
    let mut stream = client.admin().peek_all("q", query);
    let mut seen = Vec::new();
    tokio::join!(
        async {
            while let Some(message) = stream.next().await.unwrap() {
                seen.push((message.sequence, message.state, message.until.is_some()));
            }
        },
        async {
            let pages = [
                (3, 50, vec![peeked(4, PeekState::Ready)]),
                (50, 70, vec![]),
                (70, 0, vec![peeked(71, PeekState::Scheduled)]),
            ];
            for (expected, next, messages) in pages {
                let (request, Request::Peek { from, limit, states: asked, filter, .. }) = peer.next().await
                else {
                    panic!("not a peek")
                };
                assert_eq!((from, limit, asked, filter.as_str()), (expected, 2, states, "a = 1"));
                peer.reply(request, &Reply::Peeked { messages, next }).await;
            }
        }
    );
    assert_eq!(seen, [(4, PeekState::Ready, false), (71, PeekState::Scheduled, true)]);
    let long = PeekQuery { filter: "x".repeat(1_025), ..PeekQuery::default() };
    let error = client.admin().peek_page("q", &long).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidArgument));
}

#[tokio::test]
async fn purging_works_through_portions() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let selection = Selection { filter: "a = 1".to_owned(), before_ms: 9, ..Selection::default() };
    let mut purge = client.admin().purge_selected("q", selection.clone());
    for (expected, next, total) in [(0, 1_001, 10), (1_001, 0, 20)] {
        let (progress, ()) = tokio::join!(purge.next(), async {
            let (request, Request::Purge { selection: asked, from, to, .. }) = peer.next().await else {
                panic!("not a purge")
            };
            assert_eq!((asked, from, to), (selection.clone(), expected, 0));
            peer.reply(request, &Reply::Worked { done: 10, examined: 1_000, next }).await;
        });
        let progress = progress.unwrap().unwrap();
        assert_eq!((progress.done, progress.examined), (total, 100 * total));
    }
    assert_eq!(purge.next().await, Ok(None));
    let many = Selection { sequences: vec![1; 4_097], ..Selection::default() };
    let error = client.admin().purge_selected("q", many).run().await.unwrap_err();
    assert!(error.to_string().contains("name fewer"), "{error}");
}

/// Answers one request for causes, from the number that is expected.
async fn tell_causes(peer: &mut Peer, expected: u64, causes: Vec<CauseInfo>, next: u64) {
    let (request, Request::Causes { from, .. }) = peer.next().await else { panic!("not about causes") };
    assert_eq!(from, expected);
    peer.reply(request, &Reply::Causes { causes, next }).await;
}

#[tokio::test]
async fn causes_of_all_pages_are_added_up() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let admin = client.admin();
    let (causes, ()) = tokio::join!(admin.causes("q/$dead-letter"), async {
        tell_causes(&mut peer, 0, vec![cause("A", 2, 1, 5), cause("B", 3, 0, 6)], 7).await;
        tell_causes(&mut peer, 7, vec![cause("A", 4, 2, 9)], 0).await;
    });
    let causes = causes.unwrap();
    let expected = CauseInfo { first_ms: 5, ..cause("A", 6, 3, 9) };
    assert_eq!(causes, [expected, cause("B", 3, 0, 6)]);
}

/// Answers one portion of a redrive, from the number that is expected; says its limit.
async fn redrive(peer: &mut Peer, expected: u64, done: u64, next: u64) -> u32 {
    let (request, Request::Redrive { from, to, limit, dry_run, .. }) = peer.next().await else {
        panic!("not a redrive")
    };
    assert_eq!((from, to, dry_run), (expected, 101, false), "what comes later is left alone");
    peer.reply(request, &Reply::Worked { done, examined: done, next }).await;
    limit
}

#[tokio::test]
async fn a_redrive_stops_when_most_of_it_comes_back() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let plan = client.admin().redrive("q/$dead-letter").rate(1_000_000.0);
    let (outcome, ()) = tokio::join!(plan.run(), async {
        tell_causes(&mut peer, 0, vec![cause("Bad", 90, 0, 100), cause("Other", 2, 0, 7)], 0).await;
        assert_eq!(redrive(&mut peer, 0, 12, 30).await, 1_000);
        tell_causes(&mut peer, 101, vec![cause("Bad", 9, 9, 110)], 0).await; // Not ten yet.
        redrive(&mut peer, 30, 12, 60).await;
        tell_causes(&mut peer, 101, vec![cause("Bad", 20, 11, 125)], 0).await; // Not half of 24.
        redrive(&mut peer, 60, 2, 80).await;
        tell_causes(&mut peer, 101, vec![cause("Bad", 30, 13, 140)], 0).await; // Half of 26.
    });
    let outcome = outcome.unwrap();
    let back = outcome.stopped.unwrap();
    assert_eq!((outcome.moved, back.messages, back.cause.reason.as_str()), (26, 13, "Bad"));
}

#[tokio::test]
async fn a_redrive_ends_with_what_was_there_at_the_beginning() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (outcome, ()) = tokio::join!(client.admin().redrive("q/$dead-letter").run(), async {
        tell_causes(&mut peer, 0, vec![cause("Bad", 3, 0, 100)], 0).await;
        redrive(&mut peer, 0, 3, 0).await;
    });
    let outcome = outcome.unwrap();
    assert_eq!((outcome.moved, outcome.stopped), (3, None));

    let dry = client.admin().redrive("q/$dead-letter").filter("a = 1").dry_run(true);
    let (outcome, ()) = tokio::join!(dry.run(), async {
        tell_causes(&mut peer, 0, vec![cause("Bad", 3, 0, 100)], 0).await;
        let (request, Request::Redrive { selection, dry_run, .. }) = peer.next().await else { panic!() };
        assert_eq!((selection.filter.as_str(), dry_run), ("a = 1", true));
        peer.reply(request, &Reply::Worked { done: 2, examined: 3, next: 0 }).await;
    });
    assert_eq!(outcome.unwrap().moved, 2);

    let (nothing, ()) = tokio::join!(client.admin().redrive("q/$dead-letter").run(), async {
        tell_causes(&mut peer, 0, vec![], 0).await;
    });
    assert_eq!(nothing.unwrap().moved, 0);
}

#[tokio::test]
async fn sessions_and_consumers_are_listed() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let admin = client.admin();
    let session = |id: &str| SessionInfo { id: id.to_owned(), messages: 3, ..SessionInfo::default() };
    let (sessions, ()) = tokio::join!(admin.sessions("q"), async {
        for (expected, id, more) in [("", "ada", true), ("ada", "bob", false)] {
            let (request, Request::ListSessions { after, .. }) = peer.next().await else { panic!() };
            assert_eq!(after, expected);
            peer.reply(request, &Reply::Sessions { sessions: vec![session(id)], more }).await;
        }
    });
    assert_eq!(sessions, Ok(vec![session("ada"), session("bob")]));
    let info = ConsumersInfo { capacity_units: 5, in_use: 2, ..ConsumersInfo::default() };
    let (consumers, ()) = tokio::join!(admin.consumers("q"), async {
        let (request, asked) = peer.next().await;
        assert_eq!(asked, Request::Consumers { address: "q".to_owned() });
        peer.reply(request, &Reply::Consumers(info.clone())).await;
    });
    assert_eq!(consumers, Ok(info));
}

#[tokio::test]
async fn a_trace_is_asked_for_in_parts_and_put_in_order() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let step = |when_ms| Step { when_ms, ..step() };
    let second = TraceCursor { shard: 1, row: 9, step: 2 };
    let admin = client.admin();
    let (trace, ()) = tokio::join!(admin.trace("m1", Some("q")), async {
        for (expected, when_ms, next) in
            [(TraceCursor::default(), 7, Some(second)), (second, 3, Some(second))]
        {
            let (request, asked) = peer.next().await;
            let (message_id, entity) = ("m1".to_owned(), "q".to_owned());
            assert_eq!(asked, Request::Trace { message_id, entity, from: expected, limit: 0 });
            peer.reply(request, &Reply::Traced { steps: vec![step(when_ms)], next }).await;
        }
    });
    let trace = trace.unwrap();
    assert_eq!((trace.steps, trace.more), (vec![step(3), step(7)], false));
}

fn step() -> Step {
    Step {
        when_ms: 0,
        kind: StepKind::Accepted,
        address: "q".to_owned(),
        sequence: 1,
        to_address: String::new(),
        to_sequence: 0,
        client: 0,
        handle: 0,
        attempt: 0,
        until_ms: 0,
        reason: String::new(),
        description: String::new(),
    }
}

#[tokio::test]
async fn a_replay_begins_at_a_number_or_a_moment() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let admin = client.admin();
    let moment = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let starts = [
        (Start::Sequence(5), "", At::Sequence(5), "replay_from_sequence", 5u64),
        (Start::Time(moment), "a = 1", At::Time(1_700_000_000_123), "replay_from_ms", 1_700_000_000_123),
        (Start::Time(UNIX_EPOCH - Duration::from_secs(1)), "", At::Time(0), "replay_from_ms", 1),
    ];
    for (start, filter, at, option, value) in starts {
        let (replaying, ()) = tokio::join!(admin.replay("t/subscriptions/s", start, filter), async {
            let (request, asked) = peer.next().await;
            let Request::Replay { stamp, subscription, start, filter: asked } = asked else { panic!() };
            assert!(stamp.sequence > 0, "it is repeatable");
            assert_eq!((subscription.as_str(), start, asked.as_str()), ("t/subscriptions/s", at, filter));
            peer.reply(request, &Reply::Replaying { from: 5, to: 12 }).await;
        });
        let replaying = replaying.unwrap();
        assert_eq!((replaying.from, replaying.to, replaying.numbers()), (5, 12, 7));
        let mut options = Options::new();
        options.set(option, &value.to_string()).unwrap();
        assert_eq!(start.upon(Options::new()), options);
    }
}

#[tokio::test]
async fn an_update_can_unset_an_option() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let mut options = Options::new();
    options.set("max_messages", "none").unwrap();
    let admin = client.admin();
    let (updated, ()) = tokio::join!(admin.update("q", options.clone()), async {
        let (request, Request::Update { options: asked, .. }) = peer.next().await else { panic!() };
        assert_eq!(asked, options);
        peer.reply(request, &Reply::Done).await;
    });
    assert_eq!(updated, Ok(()));
}
