//! The broker is killed again and again under load, and the history of what clients saw is checked.

use postrider_client::{Client, Options};
use postrider_tests::history::{Event, History};
use postrider_tests::load::{self, Load};
use postrider_tests::{Broker, pause};
use std::time::Duration;

const KILLS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_comes_back_over_twenty_kills() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut broker = Broker::start();
    let client = broker.client().await;
    load::create(&client, &Options::new()).await.expect("entities can be created");
    let history = History::new();
    let load = Load::start(&broker.url(), &history, seed).await;
    for kill in 0..KILLS {
        pause(Duration::from_millis(random.u64(100..1_000))).await;
        broker.kill9();
        broker.restart();
        eprintln!("seed {seed}: kill {kill}, {} entries", history.events().len());
    }
    load.stop().await;
    // Once more with nobody there, so that what is counted comes from the store.
    broker.kill9();
    broker.restart();
    check(&client, &history, seed).await;
}

async fn check(client: &Client, history: &History, seed: u64) {
    load::check_counters(client).await;
    load::drain(client, history).await;
    load::check_counters(client).await;
    let events = history.events();
    let stored = events.iter().filter(|event| matches!(event, Event::Stored { .. })).count();
    assert!(stored > 100 * KILLS, "seed {seed}: only {stored} messages were stored, which shows nothing");
    load::checker().assert(&events, &format!("seed {seed}"));
}
