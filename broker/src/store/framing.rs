//! A look at the files that RocksDB reads record by record, its logs and manifests, before it reads them. It can name the
//! place of damage in a log, and sees two things that RocksDB 11.12 does not:
//!
//! - A flipped bit that makes a record into one of a recycled log: RocksDB takes it for a bad one, comes back to it, and reads
//!   for ever. Logs are never recycled here, so that such a record is damage.
//! - A log whose last write did not come to its end, as a power cut can leave it: where the file is longer than what was
//!   written of it, RocksDB takes that for damage, unless it is told to read up to there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Records do not cross the blocks of a file.
const BLOCK: usize = 32 * 1024;
/// Bytes of a record's header: u32 checksum, u16 length, u8 type; the integers in little-endian.
const HEADER: usize = 7;
/// The types of a record that is a whole write, and of the parts of a longer one.
const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
/// The types of a recycled log's records.
const RECYCLED: [RangeInclusive<u8>; 3] = [5..=8, 11..=11, 131..=131];

/// What stands at a place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// A record of this type, as it was written.
    Sound(u8),
    /// No record, or part of one.
    Bad,
    /// A record of a recycled log.
    Recycled,
}

/// What the logs and manifests of a database are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing is wrong that is seen here.
    Sound,
    /// The last write in the last log is not all there. Only that one may not have been synced.
    EndsTorn,
    /// This file is damaged at this place.
    Damaged(PathBuf, u64),
}

/// What one log is like, and where something is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Whole,
    /// Its last write is not all there.
    Torn(u64),
    /// A write follows what is not all there.
    Damaged(u64),
}

/// Looks at the logs and manifests of a database.
pub fn look(store: &Path) -> io::Result<Look> {
    let (mut logs, manifests): (Vec<_>, Vec<_>) = files(store)?.into_iter().partition(|path| is_log(path));
    // Their names are numbers with zeros in front.
    logs.sort();
    let mut last = Log::Whole;
    for log in logs {
        last = look_at(&log)?;
        if let Log::Damaged(place) = last {
            return Ok(Look::Damaged(log, place));
        }
    }
    for manifest in manifests {
        if let Some(place) = recycled(&manifest)? {
            return Ok(Look::Damaged(manifest, place));
        }
    }
    Ok(if last == Log::Whole { Look::Sound } else { Look::EndsTorn })
}

/// The first file of a database, and the place in it, that RocksDB would not get past.
pub fn first_recycled(store: &Path) -> io::Result<Option<(PathBuf, u64)>> {
    for path in files(store)? {
        if let Some(place) = recycled(&path)? {
            return Ok(Some((path, place)));
        }
    }
    Ok(None)
}

fn recycled(path: &Path) -> io::Result<Option<u64>> {
    let mut first = None;
    walk(path, &mut |place, found| {
        first = first.or((found == Found::Recycled).then_some(place));
    })?;
    Ok(first)
}

fn look_at(log: &Path) -> io::Result<Log> {
    let (mut what, mut open) = (Log::Whole, None);
    walk(log, &mut |place, found| match (found, what) {
        (Found::Sound(WHOLE | FIRST), Log::Torn(bad)) => what = Log::Damaged(bad),
        (Found::Sound(kind), _) => open = matches!(kind, FIRST | MIDDLE).then_some(place),
        (Found::Bad, Log::Whole) => what = Log::Torn(place),
        (Found::Recycled, Log::Whole | Log::Torn(_)) => what = Log::Damaged(place),
        (Found::Bad | Found::Recycled, _) => {}
    })?;
    Ok(match (what, open) {
        (Log::Whole, Some(place)) => Log::Torn(place),
        _ => what,
    })
}

/// The logs and manifests of a database; none where there is no database yet.
fn files(store: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(store) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.filter(|path| path.as_ref().is_ok_and(|path| is_log(path) || is_manifest(path))).collect()
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "log")
}

fn is_manifest(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("MANIFEST-"))
}

/// Tells what stands at each place of a file, block by block.
fn walk(path: &Path, tell: &mut dyn FnMut(u64, Found)) -> io::Result<()> {
    let mut file = File::open(path)?;
    let (mut block, mut begin) = (Vec::with_capacity(BLOCK), 0);
    loop {
        block.clear();
        let read = (&mut file).take(BLOCK as u64).read_to_end(&mut block)?;
        walk_block(&block, &mut |at, found| tell(begin + at as u64, found));
        if read < BLOCK {
            return Ok(());
        }
        begin += BLOCK as u64;
    }
}

fn walk_block(block: &[u8], tell: &mut dyn FnMut(usize, Found)) {
    let mut at = 0;
    // What is too short for a header at the end of a block is left free.
    while at < block.len() && at <= BLOCK - HEADER {
        let (found, bytes) = record_at(&block[at..]);
        tell(at, found);
        match found {
            Found::Sound(_) => at += bytes,
            Found::Bad => match next_write(block, at + 1) {
                Some(next) => at = next,
                None => return,
            },
            Found::Recycled => return,
        }
    }
}

/// Where the next write begins. What is wrong may be a length, which says nothing then about where that is.
fn next_write(block: &[u8], from: usize) -> Option<usize> {
    let begins = |at: &usize| matches!(record_at(&block[*at..]).0, Found::Sound(WHOLE | FIRST));
    (from..block.len()).find(begins)
}

/// What is at the beginning of `bytes`, and how many of them it takes.
fn record_at(bytes: &[u8]) -> (Found, usize) {
    let Some((header, content)) = bytes.split_at_checked(HEADER) else { return (Found::Bad, 0) };
    let kind = header[6];
    if RECYCLED.iter().any(|kinds| kinds.contains(&kind)) {
        return (Found::Recycled, 0);
    }
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let Some(content) = content.get(..length) else { return (Found::Bad, 0) };
    let checksum = masked(crc32c::crc32c_append(crc32c::crc32c(&[kind]), content));
    match header[..4] == checksum.to_le_bytes() {
        true => (Found::Sound(kind), HEADER + length),
        false => (Found::Bad, 0),
    }
}

/// A checksum as RocksDB writes it.
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: u8 = 4;

    fn record(kind: u8, bytes: usize) -> Vec<u8> {
        let content = vec![7; bytes];
        let checksum = masked(crc32c::crc32c_append(crc32c::crc32c(&[kind]), &content)).to_le_bytes();
        let length = (bytes as u16).to_le_bytes();
        [&checksum[..], &[length[0], length[1], kind], &content].concat()
    }

    /// A write of one record, and one of three that fills the rest of the block, and 24 bytes of the next.
    fn sound() -> Vec<u8> {
        [record(WHOLE, 100), record(FIRST, BLOCK - 114), record(MIDDLE, 10), record(LAST, 0)].concat()
    }

    /// What is said about a log of this content, behind a whole one.
    fn with_log<T>(content: &[u8], say: impl Fn(&Path) -> T) -> T {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("000001.log"), record(WHOLE, 10)).unwrap();
        fs::write(dir.path().join("000002.log"), content).unwrap();
        say(dir.path())
    }

    #[test]
    fn a_record_of_a_recycled_log_is_found_wherever_it_is() {
        let found =
            |content: &[u8]| with_log(content, |dir| first_recycled(dir).unwrap().map(|(_, place)| place));
        assert_eq!(found(&sound()), None);
        assert_eq!(found(&[record(WHOLE, 100), record(5, 3)].concat()), Some(107));
        assert_eq!(found(&[sound(), record(7, 3)].concat()), Some(BLOCK as u64 + 24));
        assert_eq!(found(&vec![0; 3 * BLOCK]), None, "zeros are none");
        assert_eq!(found(&record(WHOLE, 100)[..50]), None, "a torn write is none");
    }

    #[test]
    fn a_log_ends_torn_wherever_its_last_write_is_cut_or_empty() {
        let torn = |content: &[u8]| with_log(content, |dir| look(dir).unwrap()) == Look::EndsTorn;
        let (sound, begin) = (sound(), 107);
        assert!(!torn(&[]) && !torn(&sound[..begin]) && !torn(&sound));
        for from in (begin + 1..begin + 20).chain(BLOCK - 20..sound.len()) {
            assert!(torn(&sound[..from]), "cut at {from}");
            let mut emptied = sound.clone();
            emptied[from..].fill(0);
            // The last record has nothing but a header, whose length is zero anyway.
            let is_same = emptied == sound;
            assert_eq!(torn(&emptied), !is_same, "zeros from {from}");
        }
        let mut hole = sound.clone();
        hole[begin..BLOCK].fill(0);
        assert!(torn(&hole), "the last write's first part is not there");
        assert!(torn(&[&sound[..], &[0; 3 * BLOCK]].concat()), "the file is longer than what was written");
    }

    #[test]
    fn a_log_that_goes_on_behind_what_is_wrong_is_damaged_there() {
        let damaged = |content: &[u8]| match with_log(content, |dir| look(dir).unwrap()) {
            Look::Damaged(file, place) => file.ends_with("000002.log").then_some(place),
            Look::Sound | Look::EndsTorn => None,
        };
        let followed = [sound(), record(WHOLE, 10)].concat();
        // The first write's checksum, length, type and content, and the second one's parts.
        for (place, record) in
            [(3, 0), (4, 0), (5, 0), (50, 0), (107, 107), (BLOCK - 1, 107), (BLOCK + 12, BLOCK as u64)]
        {
            let mut flipped = followed.clone();
            flipped[place] ^= 1;
            assert_eq!(damaged(&flipped), Some(record), "{place}");
        }
        assert_eq!(damaged(&[record(WHOLE, 1), record(5, 3)].concat()), Some(8), "a recycled one is damage");
    }

    #[test]
    fn only_the_last_log_may_end_torn() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("000009.log"), &sound()[..200]).unwrap();
        assert_eq!(look(dir.path()).unwrap(), Look::EndsTorn);
        fs::write(dir.path().join("000010.log"), sound()).unwrap();
        assert_eq!(look(dir.path()).unwrap(), Look::Sound, "RocksDB says what it thinks of the other");
    }
}
