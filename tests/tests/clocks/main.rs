//! The wall clock jumps by an hour, a day, to 1970 and to 2038 and back, with the real program, and all that goes by
//! time under way.

mod clock;

use clock::{Clock, DAY_MS, HOUR_MS, jumps};
use postrider_client::{Client, Delivery, ErrorCode, Message, Options, Receiver, Sender};
use postrider_protocol::options::{DEDUP_WINDOW_MS, LOCK_DURATION_MS};
use postrider_tests::checker::Checker;
use postrider_tests::history::{Event, History};
use postrider_tests::load::{self, Load};
use postrider_tests::{Broker, DEADLINE, pause, until};
use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);

async fn queue(broker: &Broker, options: Options) -> (Client, Sender) {
    let client = broker.client().await;
    client.admin().create_queue("q", options).await.expect("a queue");
    let sender = client.sender("q").await.expect("a sender");
    (client, sender)
}

async fn next(receiver: &mut Receiver) -> Delivery {
    receiver.receive_timeout(DEADLINE).await.expect("a receiver").expect("a message in time")
}

/// Lets the broker look at its clock.
async fn wake(sender: &Sender) {
    sender.send(Message::new("what time is it")).await.expect("stored");
}

async fn active(client: &Client) -> u64 {
    client.admin().get("q").await.expect("the queue").counters.active
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_last_while_the_clock_jumps() {
    let clock = Clock::new();
    let broker = clock.broker();
    let (client, sender) = queue(&broker, Options::new()).await;
    let mut receiver = client.receiver_builder("q").prefetch(1).open().await.expect("a receiver");
    for shift in jumps() {
        wake(&sender).await;
        let held = next(&mut receiver).await;
        clock.jump(shift);
        wake(&sender).await;
        held.renew().await.unwrap_or_else(|error| panic!("off by {shift} ms: {error}"));
        held.complete().await.unwrap_or_else(|error| panic!("off by {shift} ms: {error}"));
        assert_eq!(held.delivery_count(), 1);
        next(&mut receiver).await.complete().await.expect("it is locked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_run_out_while_the_clock_goes_back() {
    let clock = Clock::new();
    let broker = clock.broker();
    let (client, sender) = queue(&broker, Options::new().with_number(LOCK_DURATION_MS, 1_000)).await;
    let mut receiver = client.receiver_builder("q").prefetch(1).open().await.expect("a receiver");
    for shift in jumps() {
        wake(&sender).await;
        let held = next(&mut receiver).await;
        clock.jump(shift);
        let again = next(&mut receiver).await;
        assert_eq!((again.sequence(), again.delivery_count()), (held.sequence(), 2), "off by {shift} ms");
        let late = held.complete().await.expect_err("its lock ran out");
        assert_eq!(late.code(), Some(ErrorCode::LockLost));
        again.complete().await.expect("it is locked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_is_what_the_clock_says() {
    let clock = Clock::new();
    let broker = clock.broker();
    let (client, sender) = queue(&broker, Options::new()).await;
    for minutes in [30, 30, 120, 60 * 36] {
        sender.send(Message::new("").with_ttl(minutes * MINUTE)).await.expect("stored");
    }
    let mut left = 4;
    for (shift, expired) in
        [(-DAY_MS, 0), (HOUR_MS, 2), (-HOUR_MS, 0), (DAY_MS, 1), (-DAY_MS, 0), (2 * DAY_MS, 1)]
    {
        clock.jump(shift);
        wake(&sender).await;
        // The message that woke it stays.
        left = left + 1 - expired;
        until("what is due expires", async || active(&client).await <= left).await;
        assert_eq!(active(&client).await, left, "off by {shift} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scheduled_comes_once() {
    let clock = Clock::new();
    let mut broker = clock.broker();
    let (client, sender) = queue(&broker, Options::new()).await;
    for minutes in [30, 120] {
        let at = SystemTime::now() + minutes * MINUTE;
        sender.schedule(Message::new(""), at).await.expect("scheduled");
    }
    let mut there = 0;
    for (shift, due) in [(-DAY_MS, 0), (HOUR_MS, 1), (-HOUR_MS, 0), (HOUR_MS, 0), (DAY_MS, 1), (-DAY_MS, 0)] {
        clock.jump(shift);
        wake(&sender).await;
        there += 1 + due;
        until("what is due comes", async || active(&client).await >= there).await;
        broker.kill9();
        broker.restart();
        assert_eq!(active(&client).await, there, "off by {shift} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_known_within_the_window_by_the_clock() {
    let clock = Clock::new();
    let broker = clock.broker();
    let (_client, sender) = queue(&broker, Options::new().with_number(DEDUP_WINDOW_MS, 600_000)).await;
    let duplicate = async || sender.send(Message::new("").with_id(7)).await.expect("stored").duplicate;
    assert!(!duplicate().await);
    assert!(duplicate().await);
    clock.jump(HOUR_MS);
    assert!(!duplicate().await, "the window has passed by the clock");
    for shift in [HOUR_MS - 1_000, HOUR_MS + 1_000, 0, -HOUR_MS] {
        clock.jump(shift);
        assert!(duplicate().await, "off by {shift} ms");
    }
}

/// Every lock lasts a minute, and is settled at once: where one runs out, a delivery count is too high.
#[tokio::test(flavor = "multi_thread")]
async fn load_does_not_notice_jumps() {
    let (clock, history, seed) = (Clock::new(), History::new(), fastrand::u64(..));
    let broker = clock.broker();
    let client = broker.client().await;
    load::create(&client, &Options::new()).await.expect("entities can be created");
    let load = Load::start(&broker.url(), &history, seed).await;
    for shift in jumps().into_iter().chain(jumps()) {
        pause(Duration::from_millis(100)).await;
        clock.jump(shift);
    }
    load.stop().await;
    load::check_counters(&client).await;
    load::drain(&client, &history).await;
    load::checker().assert(&history.events(), &format!("seed {seed}"));
}

/// Across a restart the wall clock counts, so that locks may have run out.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_starts_in_any_year() {
    let (clock, history, seed) = (Clock::new(), History::new(), fastrand::u64(..));
    let mut broker = clock.broker();
    let client = broker.client().await;
    load::create(&client, &Options::new()).await.expect("entities can be created");
    let load = Load::start(&broker.url(), &history, seed).await;
    for shift in jumps() {
        pause(Duration::from_millis(200)).await;
        broker.kill9();
        clock.jump(shift);
        broker.restart();
    }
    load.stop().await;
    load::check_counters(&client).await;
    load::drain(&client, &history).await;
    let checker = Checker { locks_may_expire: true, ..load::checker() };
    checker.assert(&without_locks(history.events()), &format!("seed {seed}"));
}

/// Until when something is locked says nothing where the clock is not the same any more.
fn without_locks(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        if let Event::Delivered { seen, .. } = event {
            seen.until_ms = 0;
        }
    }
    events
}
