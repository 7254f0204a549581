//! Eight producers, nine consumers, topics, times to live, dead letters, sessions and duplicates; the broker is killed
//! at random and where it is about to write, has written, or is about to answer; what clients saw is checked.

mod consumers;
mod producers;
mod world;

use consumers::Consumers;
use fastrand::Rng;
use postrider_client::Client;
use postrider_tests::broker::Program;
use postrider_tests::checker::{Checking, DEAD_LETTERS, assert_none};
use postrider_tests::history::{Event, History, now_ms};
use postrider_tests::{Broker, dose, load, pause, until};
use producers::Producers;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

const KILLS: usize = 200;
/// Where a broker with failpoints can be told to die.
const POINTS: [&str; 3] = ["before-write", "after-write", "before-release"];
/// How it dies there: SIGABRT.
const ABORTED: i32 = 6;
/// Turns until it does, at most.
const TURNS: u64 = 300;
/// How long a broker lives that does not come to its failpoint, and others, at most.
const LIFE_MS: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn every_invariant_holds_over_kills() {
    let (kills, seed) = (dose("POSTRIDER_KILLS", KILLS), fastrand::u64(..));
    eprintln!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let mut broker = Broker::start_program(Program { name: "postrider-failpoints", ..Program::default() });
    let client = broker.client().await;
    world::create(&client).await;
    let (history, mut checking) = (History::new(), world::checker().begin());
    let producers = Producers::start(&broker.url(), &history).await;
    let consumers = Consumers::start(&broker.url(), &history, seed).await;
    let start = Instant::now();
    let (mut entries, mut stored, mut at_points) = (0, 0, 0);
    for kill in 1..=kills {
        at_points += usize::from(die(&mut broker, &mut random).await);
        // The last broker lives on.
        let point = random.choice(POINTS).filter(|_| random.bool() && kill < kills);
        broker.program().environment = Vec::from_iter(
            point.map(|point| ("FAILPOINTS", format!("{point}={}*off->return", random.u64(1..TURNS)))),
        );
        broker.restart();
        let events = history.take();
        entries += events.len();
        stored += events.iter().filter(|event| matches!(event, Event::Stored { .. })).count();
        see(&mut checking, &events);
        assert_none(&checking.so_far(), &format!("seed {seed}, kill {kill}"));
    }
    println!(
        "{kills} kills in {:?}, {at_points} at failpoints; {stored} messages acknowledged, {entries} entries, {} open",
        start.elapsed(),
        checking.open()
    );
    producers.stop().await;
    consumers.stop().await;
    broker.program().environment.clear();
    // Once more with nobody there, so that what is counted comes from the store.
    broker.kill9();
    broker.restart();
    finish(&client, &broker, &history).await;
    see(&mut checking, &history.take());
    assert_none(&checking.finish(now_ms()), &format!("seed {seed}"));
    assert!(stored > 20 * kills && at_points > kills / 10, "too little happened between the kills");
}

fn see(checking: &mut Checking<'_>, events: &[Event]) {
    events.iter().for_each(|event| checking.see(event));
}

/// Lets the broker die at its failpoint, or kills it after a while. Says whether it was the failpoint.
async fn die(broker: &mut Broker, random: &mut Rng) -> bool {
    let end = Instant::now() + Duration::from_millis(random.u64(20..LIFE_MS));
    while Instant::now() < end {
        if let Some(status) = broker.ended() {
            let stderr = broker.process().stderr();
            assert_eq!(status.signal(), Some(ABORTED), "it ended by itself: {status}; {stderr}");
            return true;
        }
        pause(Duration::from_millis(2)).await;
    }
    broker.kill9();
    false
}

/// Counts, completes everything, and counts once more.
async fn finish(client: &Client, broker: &Broker, history: &History) {
    count(client, history).await;
    let consumers = Consumers::completing(&broker.url(), history).await;
    for place in world::PLACES {
        let mut left = load::count(client, place).await;
        while left > 0 {
            let before = left;
            until(&format!("{place} has less than {before} messages"), async || {
                left = load::count(client, place).await;
                left < before
            })
            .await;
        }
    }
    consumers.stop().await;
    for place in world::PLACES {
        load::drain_one(client, history, &format!("{place}{DEAD_LETTERS}"), world::read).await;
    }
    count(client, history).await;
}

async fn count(client: &Client, history: &History) {
    for place in world::PLACES {
        let (counted, scanned) = load::count_and_scan(client, place).await;
        history.add([Event::Counted { at: place.to_owned(), counted, scanned }]);
    }
}
