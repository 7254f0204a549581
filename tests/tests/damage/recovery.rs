//! `recover`: what can be had from a damaged store, and what is said about the rest.

use super::fault;
use super::sample::{Ending, Sample};
use super::{alone, open_copy, read_all, whole};
use postrider::offline::{Recovered, recover, verify};
use postrider_tests::broker::{self, Process};
use rustix::process::Signal;
use std::fs::{self, OpenOptions};
use std::path::Path;
use tempfile::TempDir;

/// Recovers a store. What comes out is sound, and the damaged database is kept; or no way is found, which is said.
pub fn sound_or_refused(dir: &Path, what: &str) {
    match alone(|| recover(dir, true, &mut |_| ())) {
        Ok(recovered) => {
            assert_eq!(
                alone(|| verify(dir, &mut |_| ())).expect("it is there").problems,
                [""; 0],
                "{what}: {recovered:?}"
            );
            open_copy(dir).unwrap_or_else(|error| panic!("{what}: {recovered:?}, but {error}"));
            assert!(recovered.kept.is_some_and(|kept| kept.is_dir()), "{what}");
        }
        Err(error) => assert!(error.what.contains("restore a backup"), "{what}: {error}"),
    }
    assert!(!dir.join("store.recovering").exists(), "{what}");
}

/// A killed broker's directory, with this done to it; says first what recovering would come to, then does it.
fn recovered(sample: &Sample, harm: impl Fn(&Path)) -> (TempDir, Recovered) {
    let copy = sample.copy();
    harm(copy.path());
    open_copy(copy.path()).err().expect("it is refused");
    let would = alone(|| recover(copy.path(), false, &mut |_| ())).expect("there is a way");
    assert!(would.kept.is_none() && !would.problems.is_empty());
    open_copy(copy.path()).err().expect("nothing was changed");
    let did = alone(|| recover(copy.path(), true, &mut |_| ())).expect("there is a way");
    assert_eq!((&did.how, did.lost_writes, did.messages), (&would.how, would.lost_writes, would.messages));
    (copy, did)
}

#[test]
fn what_the_log_has_lost_is_given_up() {
    let sample = Sample::make(Ending::Killed);
    let all = whole(&sample);
    let (copy, did) = recovered(&sample, |dir| {
        for log in fault::logs(dir) {
            let file = OpenOptions::new().write(true).open(log).expect("it is there");
            file.set_len(file.metadata().expect("it is there").len() * 2 / 3).expect("it can be cut");
        }
    });
    assert_eq!(did.how, "opened as it is");
    assert!(did.lost_writes.is_some_and(|writes| writes > 0), "{did:?}");
    let left = read_all(&open_copy(copy.path()).expect("it is sound")).expect("it can be read");
    assert!(left.len() < all.len() && left.len() > all.len() / 2);
    // The next start says so once.
    for (start, told) in [("first", true), ("second", false)] {
        let mut process = Process::start(&mut broker::serve(copy.path(), "127.0.0.1:0"));
        broker::greeting(&process).expect("it serves");
        process.signal(Signal::TERM);
        process.wait();
        assert_eq!(
            process.stderr().contains("the store was recovered"),
            told,
            "{start}: {}",
            process.stderr()
        );
    }
}

#[test]
fn a_flipped_bit_ends_the_log() {
    let sample = Sample::make(Ending::Killed);
    let (_copy, did) = recovered(&sample, |dir| {
        for log in fault::logs(dir) {
            let mut content = fs::read(&log).expect("it is there");
            let middle = content.len() / 2;
            content.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
            fs::write(&log, content).expect("it can be written");
        }
    });
    assert_eq!(did.how, "its log read up to the damage");
    assert!(did.lost_writes.is_some_and(|writes| writes > 0), "{did:?}");
}

/// RocksDB alone would read such a log for ever, in whatever way it is opened.
#[test]
fn a_record_that_looks_recycled_ends_the_log() {
    let sample = Sample::make(Ending::Killed);
    let (_copy, did) = recovered(&sample, |dir| {
        fault::logs(dir).iter().filter(|log| fs::metadata(log).is_ok_and(|log| log.len() > 0)).for_each(
            |log| {
                fault::make_recycled(log);
            },
        );
    });
    assert_eq!(did.how, "its log read up to the damage");
    assert!(did.lost_writes.is_some_and(|writes| writes > 0), "{did:?}");
}

#[test]
fn without_current_or_a_watermark_nothing_is_lost() {
    let sample = Sample::make(Ending::Killed);
    let all = whole(&sample);
    for file in ["store/CURRENT", "watermark"] {
        let (copy, did) = recovered(&sample, |dir| fs::remove_file(dir.join(file)).expect("it is there"));
        let rows = read_all(&open_copy(copy.path()).expect("it is sound")).expect("it can be read");
        assert!(rows == all, "{file}: {did:?}");
        assert_eq!(did.lost_writes, (file == "store/CURRENT").then_some(0));
    }
}
