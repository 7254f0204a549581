//! The power fails under load: the broker's data is on a disk whose power is cut, and what was not synced is gone. Then it
//! starts again, and what clients saw is checked. Needs root.

use fastrand::Rng;
use postrider::offline::verify;
use postrider_client::Options;
use postrider_tests::checker::assert_none;
use postrider_tests::disk::Disk;
use postrider_tests::history::{Event, History, Verb, now_ms};
use postrider_tests::load::{self, Load};
use postrider_tests::{Broker, dose, pause};
use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

const CUTS: usize = 100;
const DISK_BYTES: u64 = 1 << 30;
/// How long a broker lives, at most.
const LIFE_MS: u64 = 600;
/// Confirms that a producer lets wait: few, so that consumers keep up.
const UNCONFIRMED: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn every_invariant_holds_over_power_cuts() {
    let (cuts, seed) = (dose("POSTRIDER_CUTS", CUTS), fastrand::u64(..));
    eprintln!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let disk = Disk::new(DISK_BYTES);
    disk.mount();
    let mut broker = disk.broker();
    let client = broker.client().await;
    load::create(&client, &Options::new()).await.expect("entities");
    let (history, mut checking) = (History::new(), load::checker().begin());
    let load = Load::with_unconfirmed(&broker.url(), &history, seed, UNCONFIRMED).await;
    let (start, mut seen) = (Instant::now(), Seen::default());
    for number in 1..=cuts {
        pause(Duration::from_millis(random.u64(20..LIFE_MS))).await;
        cut(&disk, &mut broker, &format!("seed {seed}, cut {number}"));
        let events = history.take();
        seen.count(&events);
        events.iter().for_each(|event| checking.see(event));
    }
    println!("{cuts} power cuts in {:?}, {seen:?}, {} open", start.elapsed(), checking.open());
    load.stop().await;
    // Once more with nobody there, so that what is counted comes from the store.
    cut(&disk, &mut broker, &format!("seed {seed}, last cut"));
    load::check_counters(&client).await;
    load::drain(&client, &history).await;
    load::check_counters(&client).await;
    history.take().iter().for_each(|event| checking.see(event));
    assert_none(&checking.finish(now_ms()), &format!("seed {seed}"));
    assert!(seen.stored > 20 * cuts && seen.completed > 20 * cuts, "too little happened between the cuts");
}

/// Cuts the power and starts again; panics where the store is not sound or not let in.
///
/// What is answered while the power goes is no answer. So the broker is stopped before, with all that it has under way at
/// the disk, and never goes on: whatever clients read of it, then or later, it said before the cut.
fn cut(disk: &Disk, broker: &mut Broker, what: &str) {
    broker.freeze();
    disk.cut();
    broker.kill9();
    disk.unmount();
    disk.mount();
    let verified = verify(broker.dir(), &mut |_| ()).expect("nobody has it open");
    assert!(verified.problems.is_empty(), "{what}: {:?}", verified.problems);
    broker.restart();
}

/// How much there was to be seen.
#[derive(Debug, Default)]
struct Seen {
    entries: usize,
    stored: usize,
    completed: usize,
}

impl Seen {
    fn count(&mut self, events: &[Event]) {
        let completed =
            |event: &&Event| matches!(event, Event::Settled(settling) if settling.verb == Verb::Complete);
        self.entries += events.len();
        self.stored += events.iter().filter(|event| matches!(event, Event::Stored { .. })).count();
        self.completed += events.iter().filter(completed).count();
    }
}

/// The control: a cut takes what was not synced, and nothing else.
#[test]
fn a_cut_takes_what_was_not_synced() {
    let disk = Disk::new(64 << 20);
    disk.mount();
    let path = disk.root().join("file");
    let mut file = File::create(&path).expect("a file");
    file.write_all(&[1; 100_000]).expect("there is room");
    file.sync_all().expect("it is synced");
    File::open(disk.root()).and_then(|root| root.sync_all()).expect("it is synced");
    file.write_all(&[2; 50_000]).expect("there is room");
    assert_eq!(fs::read(&path).expect("it is there").len(), 150_000);
    disk.cut();
    drop(file);
    disk.unmount();
    disk.mount();
    assert!(fs::read(&path).expect("it is there") == [1; 100_000]);
}
