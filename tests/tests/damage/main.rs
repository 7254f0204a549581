//! Damaged stores: a broker's data directory is copied, one file of the copy is damaged at random, and the copy must be
//! refused by name or be all there. Never less in silence.

mod fault;
mod recovery;
mod sample;

use fault::{Fault, Kind};
use postrider::offline::verify;
use postrider::store::{DataDir, RocksStore, StoreError, open};
use postrider_core::context::Rows;
use postrider_core::key::{Key, KeyRange};
use postrider_tests::tee::AllRows;
use postrider_tests::wait::eventually;
use postrider_tests::{DEADLINE, dose};
use sample::{Ending, Sample};
use std::collections::BTreeMap;
use std::path::Path;

/// Damages of one run, unless `POSTRIDER_DAMAGES` says how many.
const DAMAGES: usize = 500;
/// One of so many goes through the real program as well.
const THROUGH_THE_PROGRAM: usize = 20;

/// One of so many is recovered as well.
const RECOVERED: usize = 5;

/// What a damaged store came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// All there, and right.
    Whole,
    /// Refused when it was opened.
    Refused,
    /// Refused when it was opened, because of its watermark.
    ByWatermark,
    /// Opened, and a read said that something is damaged.
    FoundByReading,
}

#[test]
fn a_damaged_store_is_refused_or_whole() {
    let seed = dose("POSTRIDER_SEED", fastrand::usize(..)) as u64;
    let damages = dose("POSTRIDER_DAMAGES", DAMAGES);
    eprintln!("seed {seed}, {damages} damages");
    let mut random = fastrand::Rng::with_seed(seed);
    let samples = [Ending::Killed, Ending::Stopped].map(Sample::make);
    let rows = samples.each_ref().map(whole);
    let mut fates = BTreeMap::<(Kind, &str, Fate), usize>::new();
    for number in 0..damages {
        let which = random.usize(..samples.len());
        let (sample, rows) = (&samples[which], &rows[which]);
        let copy = sample.copy();
        let fault = Fault::random(copy.path(), &mut random);
        fault.inflict(copy.path());
        let what = format!("seed {seed}, damage {number}: {fault:?}");
        if number % THROUGH_THE_PROGRAM == 0 {
            sample.check_program(copy.path(), &what);
        } else {
            let verified = alone(|| verify(copy.path(), &mut |_| ()));
            let problems = verified.expect("a data directory").problems;
            let fate = fate(copy.path(), rows, &mut random, &what);
            // Only it reads parts of tables that no row needs.
            let agrees = problems.is_empty() == (fate == Fate::Whole) || fault.kind == Kind::Table;
            assert!(agrees, "{what}: {fate:?}, but `verify` says {problems:?}");
            if fate != Fate::Whole && number % RECOVERED == 1 {
                recovery::sound_or_refused(copy.path(), &what);
            }
            *fates.entry((fault.kind, fault.harm.name(), fate)).or_default() += 1;
        }
    }
    for ((kind, harm, fate), count) in &fates {
        eprintln!("{kind:?} | {harm} | {fate:?} | {count}");
    }
    let count = |wanted: Fate| {
        fates.iter().filter(|((_, _, fate), _)| *fate == wanted).map(|(_, n)| n).sum::<usize>()
    };
    assert!(count(Fate::Whole) > 0 && count(Fate::Refused) > 0, "random damage shows both");
    assert!(count(Fate::ByWatermark) > 0 || damages < DAMAGES, "the watermark is needed");
}

/// The control: a log that is gone is noticed by the watermark alone.
#[test]
fn without_the_watermark_a_lost_log_is_not_noticed() {
    let sample = Sample::make(Ending::Killed);
    let (copy, whole) = (sample.copy(), whole(&sample));
    fault::logs(copy.path()).iter().for_each(|log| std::fs::remove_file(log).expect("it is there"));
    let less = read_all(&RocksStore::open(&copy.path().join("store")).expect("RocksDB starts without it"));
    assert!(less.expect("it can be read").len() < whole.len(), "the log held rows that no table has");
    let error = open_copy(copy.path()).err().expect("a refusal");
    assert!(error.what.contains("writes are missing"), "{error}");
}

/// RocksDB alone would read such a file for ever.
#[test]
fn a_record_that_looks_recycled_is_refused() {
    let sample = Sample::make(Ending::Killed);
    for file in fault::framed(sample.copy().path()) {
        let copy = sample.copy();
        fault::make_recycled(&copy.path().join(&file));
        let error = open_copy(copy.path()).err().expect("a refusal");
        assert!(error.what.contains("cannot be read from "), "{error}");
    }
}

/// A commit that was cut off by the end of the process or of the power is no damage: nobody was told that it is stored.
#[test]
fn a_torn_write_at_the_end_of_the_log_is_no_damage() {
    let sample = Sample::make(Ending::Killed);
    let (seed, all) = (fastrand::u64(..), whole(&sample));
    let mut random = fastrand::Rng::with_seed(seed);
    for number in 0..40 {
        let copy = sample.torn_copy(&mut random);
        let store =
            open_copy(copy.path()).unwrap_or_else(|error| panic!("seed {seed}, tear {number}: {error}"));
        let pages =
            |rows: &AllRows| rows.keys().filter(|key| matches!(Key::decode(key), Ok(Key::Page(..)))).count();
        let missing = pages(&all) - pages(&read_all(&store).expect("it can be read"));
        assert!(missing <= 3, "seed {seed}, tear {number}: {missing} pages are missing");
    }
}

/// All rows of a sample, which has what was acknowledged.
fn whole(sample: &Sample) -> AllRows {
    let store = open_copy(sample.copy().path()).expect("the sample is sound");
    let rows = read_all(&store).expect("it can be read");
    sample.check_rows(&rows);
    rows
}

/// Opens a copy and reads all of it; panics where something is missing or wrong.
fn fate(dir: &Path, rows: &AllRows, random: &mut fastrand::Rng, what: &str) -> Fate {
    let store = match open_copy(dir) {
        Ok(store) => store,
        Err(error) => {
            assert!(is_named(&error.what), "{what}: {error}");
            let by_watermark = error.what.contains("writes are missing") || error.what.contains("it is gone");
            return if by_watermark { Fate::ByWatermark } else { Fate::Refused };
        }
    };
    let found = read_all(&store).and_then(|found| {
        look_up(&store, rows, random, what)?;
        Ok(found)
    });
    match found {
        Ok(found) => {
            let differs = rows.iter().find(|(key, value)| found.get(*key) != Some(value));
            let differs = differs.map(|(key, _)| Key::decode(key));
            assert!(differs.is_none() && found.len() == rows.len(), "{what}: less in silence, {differs:?}");
            Fate::Whole
        }
        Err(error) => {
            assert!(is_named(&error.what), "{what}: {error}");
            Fate::FoundByReading
        }
    }
}

/// Reads some rows one by one: another way through the tables than a scan.
fn look_up(
    store: &RocksStore,
    rows: &AllRows,
    random: &mut fastrand::Rng,
    what: &str,
) -> Result<(), StoreError> {
    let keys: Vec<_> = rows.keys().collect();
    for _ in 0..200 {
        let bytes = keys[random.usize(..keys.len())];
        let key = Key::decode(bytes).expect("the sample has sound keys");
        assert_eq!(store.get(&key)?.as_ref(), rows.get(bytes), "{what}: {key:?}");
    }
    Ok(())
}

fn is_named(text: &str) -> bool {
    ["the store", "the watermark", "a row could not be read"].iter().any(|name| text.contains(name))
}

fn open_copy(dir: &Path) -> Result<RocksStore, StoreError> {
    alone(|| Ok(open(&DataDir::claim(dir)?, 1)?.0))
}

/// Does what needs a data directory for itself. Where another test starts a process just now, that has all that is open here
/// until it runs its program, locks included.
fn alone<T>(mut act: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut done = act();
    eventually(DEADLINE, "nobody else has the directory", || match &done {
        Err(error) if error.what.contains("is in use by another broker") => {
            done = act();
            false
        }
        _ => true,
    });
    done
}

fn read_all(store: &RocksStore) -> Result<AllRows, StoreError> {
    let mut rows = AllRows::new();
    let all = KeyRange { from: vec![], to: vec![0xff; 64] };
    store.scan(&all, &mut |key, value| {
        rows.insert(key.to_vec(), bytes::Bytes::copy_from_slice(value));
        Ok(true)
    })?;
    Ok(rows)
}
