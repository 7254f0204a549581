//! The power fails at every write: a broker works on a disk whose writes and flushes are logged, and a cut behind any
//! entry of the log must leave a store that starts and has what was acknowledged by then. Needs root and
//! `qemu-storage-daemon`.

mod books;
mod load;
mod log;
mod look;
mod replica;

use books::{Books, Found, SUBSCRIPTIONS, places};
use fastrand::Rng;
use load::{Load, Recorder};
use log::{Growing, Log};
use postrider_tests::disk::Disk;
use postrider_tests::{dose, pause};
use replica::Replica;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

/// Cuts, and those of one recording, of which there are as many as it takes.
const CUTS: usize = 1_000;
const CUTS_OF_ONE: usize = 1_000;
const DISK_BYTES: u64 = 256 << 20;
/// Replicas that are looked at side by side: a look waits a lot.
const REPLICAS: usize = 4;
/// How long there is load before each end of a broker.
const LIFE: Duration = Duration::from_millis(600);
/// Acknowledged messages whose write is looked for by the beginning of their bodies, and those of them that must be found.
const LOOKED_FOR: usize = 30;
const BEGINNING: usize = 16;
const FOUND: usize = 10;

/// Some seconds of a broker's life.
struct Recorded {
    before: Vec<u8>,
    log: Log,
    books: Books,
}

async fn record() -> Recorded {
    let disk = Disk::new(DISK_BYTES);
    let before = std::fs::read(disk.image()).expect("an image");
    let path = disk.mount_logged();
    let recorder = Recorder::new(Growing::open(&path));
    let mut broker = disk.broker();
    let load = Load::start(broker.client().await, &broker.url(), &recorder).await;
    pause(LIFE).await;
    broker.kill9();
    broker.restart();
    pause(LIFE).await;
    broker.terminate();
    broker.restart();
    load.send_large().await;
    pause(LIFE).await;
    load.stop().await;
    broker.kill9();
    disk.unmount();
    let recorded = Recorded { before, log: Log::read(&path), books: recorder.take() };
    let (entries, messages) = (recorded.log.entries.len(), recorded.books.lives.len());
    println!("{entries} entries in the log, {messages} messages");
    recorded
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_behind_any_write_leaves_all_that_was_acknowledged() {
    let (cuts, seed) = (dose("POSTRIDER_BLOCK_CUTS", CUTS), fastrand::u64(..));
    eprintln!("seed {seed}");
    let (start, mut entries) = (Instant::now(), 0);
    for first in (0..cuts).step_by(CUTS_OF_ONE) {
        let recorded = record().await;
        entries += recorded.log.entries.len();
        cut_all(&recorded, CUTS_OF_ONE.min(cuts - first), seed.wrapping_add(first as u64));
    }
    println!("{cuts} cuts of {entries} entries in {:?}", start.elapsed());
}

/// Cuts a recording at so many points.
fn cut_all(recorded: &Recorded, cuts: usize, seed: u64) {
    let replicas = (0..REPLICAS).map(|_| Replica::new(&recorded.log, &recorded.before));
    let replicas: Vec<_> = replicas.collect();
    thread::scope(|scope| {
        for (part, replica) in replicas.into_iter().enumerate() {
            let numbers = cuts * part / REPLICAS..cuts * (part + 1) / REPLICAS;
            scope.spawn(move || look_at(replica, recorded, numbers, cuts, seed));
        }
    });
}

/// Looks at some of all cuts, which are spread over the log: one with everything that was written, one by chance.
fn look_at(mut replica: Replica<'_>, recorded: &Recorded, numbers: Range<usize>, cuts: usize, seed: u64) {
    for number in numbers {
        let point = (number + 1) * recorded.log.entries.len() / cuts;
        let chance = || (number % 2 == 1).then(|| Rng::with_seed(seed.wrapping_add(number as u64)));
        replica.cut_at(point, chance());
        let problems = match looked_at(&replica.disk) {
            Ok(found) => recorded.books.problems(&found, point as u64),
            Err(problem) => vec![problem],
        };
        if !problems.is_empty() {
            replica.cut_at(point, chance());
            let kept = std::env::temp_dir().join(format!("postrider-cut-{number}.image"));
            std::fs::copy(replica.disk.image(), &kept).expect("there is room for an image");
            panic!("seed {seed}, cut {number} at {point}: {problems:#?}; the disk is {}", kept.display());
        }
    }
}

/// What a start finds on a disk.
fn looked_at(disk: &Disk) -> Result<Found, String> {
    disk.mount();
    let looked = look::look(&disk.root().join("data"));
    disk.unmount();
    looked
}

/// The control: a cut before the write that carries an acknowledged message shows that it is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_before_the_write_is_noticed() {
    let Recorded { before, log, books } = &record().await;
    // What is at the idle subscription has to be there until the end.
    let ids: Vec<_> = books.lives.keys().copied().filter(|id| places(*id) == SUBSCRIPTIONS).collect();
    let some = ids.iter().step_by(ids.len() / LOOKED_FOR);
    let mut writes: Vec<_> = some.filter_map(|id| Some((write_of(*id, log, books)?, *id))).collect();
    assert!(writes.len() > FOUND, "only the writes of {writes:?} are in the log");
    writes.sort_unstable();
    let mut replica = Replica::new(log, before);
    for (write, id) in &writes {
        replica.cut_at(*write, None);
        let found = looked_at(&replica.disk).expect("it starts");
        let problems = books.problems(&found, books.lives[id].sent.answered);
        let lost = format!("I1 lost: {id} at");
        assert!(problems.iter().any(|problem| problem.starts_with(&lost)), "{id}: {problems:#?}");
    }
    println!("{} cuts before a write were noticed", writes.len());
}

/// The first entry that has an acknowledged message, unless its first bytes are in two of them.
fn write_of(id: u64, log: &Log, books: &Books) -> Option<usize> {
    let sent = books.lives[&id].sent;
    let body = load::message(id).body;
    let (asked, answered) = (sent.asked as usize, usize::try_from(sent.answered).ok()?);
    let entries = log.entries.get(asked..answered)?;
    let carries = |data: &[u8]| data.windows(BEGINNING).any(|window| window == &body[..BEGINNING]);
    Some(asked + entries.iter().position(|entry| carries(log.data(entry)))?)
}
