//! Shards as a cluster would use them: state that is dropped and built again at random, a shadow replica, positions,
//! and a store that fails or loses its power.

use postrider::engine::Job;
use postrider::store::{LocalLog, MemoryStore, RocksStore, Store};
use postrider_client::{Client, Options};
use postrider_core::context::Rows;
use postrider_protocol::options::{LOCK_DURATION_MS, MAX_DELIVERY_COUNT};
use postrider_protocol::reply::Reply;
use postrider_tests::checker::Checker;
use postrider_tests::door::Inside;
use postrider_tests::history::History;
use postrider_tests::load::{self, Load};
use postrider_tests::raw::Raw;
use postrider_tests::tee::{Tee, all_rows, assert_same};
use postrider_tests::{broker, eventually, pause};
use std::net::SocketAddr;
use std::time::Duration;

/// Locks that nobody settles are back soon: a receiver that the broker closed forgets what was on its way.
fn short_locks() -> Options {
    Options::new().with_number(LOCK_DURATION_MS, 2_000).with_number(MAX_DELIVERY_COUNT, 1_000)
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn connect(inside: &Inside) -> Client {
    broker::client(&inside.url()).connect().await.expect("the door takes the connection")
}

/// Runs load while shards step down at random; at the end the replica has the same rows, and nothing was lost.
async fn step_down_at_random<S>(store: S, shards: u16)
where
    S: Store + Rows + Clone + Sync + 'static,
{
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let replica = MemoryStore::new();
    let log = Tee::new(store.clone(), replica.clone());
    let inside = Inside::start(log, store.clone(), shards, anywhere()).await;
    let client = connect(&inside).await;
    load::create(&client, &short_locks()).await.expect("entities can be created");
    let history = History::new();
    let load = Load::start(&inside.url(), &history, seed).await;
    for _ in 0..60 {
        pause(Duration::from_millis(random.u64(1..60))).await;
        inside.engine.tell(Job::StepDown(random.u16(..shards))).await;
    }
    let ending = async {
        load.stop().await;
        load::check_counters(&client).await;
        load::drain(&client, &history).await;
    };
    tokio::select! {
        () = ending => {}
        // Clients would wait for ever for an engine that has ended.
        () = failed(&inside) => panic!("seed {seed}: {:?}", inside.failure.get()),
    }
    client.close().await.expect("a client closes in order");
    inside.stop().await;
    assert_same(&all_rows(&store), &all_rows(&replica));
    let checker = Checker { locks_may_expire: true, ..load::checker() };
    checker.assert(&history.events(), &format!("seed {seed}"));
}

/// Ends when the engine's store has failed.
async fn failed(inside: &Inside) {
    while inside.failure.get().is_none() {
        pause(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shard_in_memory() {
    step_down_at_random(MemoryStore::new(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_shards_in_memory() {
    step_down_at_random(MemoryStore::new(), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_shards_in_memory() {
    step_down_at_random(MemoryStore::new(), 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shard_on_disk() {
    on_disk(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_shards_on_disk() {
    on_disk(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_shards_on_disk() {
    on_disk(16).await;
}

async fn on_disk(shards: u16) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = RocksStore::open(dir.path()).expect("a fresh store");
    step_down_at_random(store, shards).await;
}

/// Load, a sync that fails, a power cut, and a second engine on what is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let seed = fastrand::u64(..);
    let store = MemoryStore::new();
    let history = History::new();
    let mut inside = Inside::start(LocalLog::new(store.clone()), store.clone(), 3, anywhere()).await;
    let address = inside.address;
    let client = connect(&inside).await;
    load::create(&client, &Options::new()).await.expect("entities can be created");
    let load = Load::start(&inside.url(), &history, seed).await;
    for cut in 0..5 {
        pause(Duration::from_millis(300)).await;
        store.fail_syncs();
        eventually(Duration::from_secs(10), "the engine notices", || inside.failure.get().is_some());
        inside.stop().await;
        store.cut_power();
        eprintln!("seed {seed}: cut {cut}");
        inside = Inside::start(LocalLog::new(store.clone()), store.clone(), 3, address).await;
    }
    load.stop().await;
    load::check_counters(&client).await;
    load::drain(&client, &history).await;
    // While the engine is gone the door answers Busy, and what is sent again later may be overtaken.
    let checker = Checker { may_be_overtaken: true, ..load::checker() };
    checker.assert(&history.events(), &format!("seed {seed}"));
    client.close().await.expect("a client closes in order");
    inside.stop().await;
}

/// The control for the test above: what was not synced is gone after a power cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_what_was_not_synced() {
    let store = MemoryStore::new();
    let inside = Inside::start(LocalLog::new(store.clone()), store.clone(), 3, anywhere()).await;
    let client = connect(&inside).await;
    load::create(&client, &Options::new()).await.expect("entities can be created");
    let before = store.rows();
    store.fail_syncs();
    let address = inside.address;
    tokio::task::spawn_blocking(move || publish_in_vain(address)).await.expect("no panic");
    eventually(Duration::from_secs(10), "the engine notices", || inside.failure.get().is_some());
    assert_ne!(store.rows(), before, "it was written");
    store.cut_power();
    assert_eq!(store.rows(), before, "and lost");
}

/// A publish that is not answered, since its sync failed.
fn publish_in_vain(address: SocketAddr) {
    let mut raw = Raw::open(address);
    assert!(matches!(raw.open_sender(1, load::QUEUE), Reply::Opened { .. }));
    let request = raw.publishing(1, &[b"in vain"]);
    raw.request(&request);
    raw.silent(Duration::from_millis(500));
}
