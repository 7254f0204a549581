//! A look at the files that RocksDB reads record by record, its logs and manifests, before it reads them.
//!
//! RocksDB 11.12 reads for ever where one flipped bit makes a record into one of a recycled log: it takes the record for
//! a bad one and comes back to it. Logs are never recycled here, so that such a record is damage.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Records do not cross the blocks of a file.
const BLOCK: usize = 32 * 1024;
/// Bytes of a record's header: u32 checksum, u16 length, u8 type; the integers in little-endian.
const HEADER: usize = 7;
/// The types of a recycled log's records.
const RECYCLED: [std::ops::RangeInclusive<u8>; 3] = [5..=8, 11..=11, 131..=131];

/// The first file of a database, and the place in it, that RocksDB would not get past.
pub fn first_bad(store: &Path) -> io::Result<Option<(PathBuf, u64)>> {
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        if is_framed(&path)
            && let Some(place) = bad_record(&path)?
        {
            return Ok(Some((path, place)));
        }
    }
    Ok(None)
}

/// Whether a file is a log or a manifest.
fn is_framed(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(".log") || name.starts_with("MANIFEST-")
}

/// Where the first record stands that RocksDB would not get past. Whatever else is wrong it notices itself.
fn bad_record(path: &Path) -> io::Result<Option<u64>> {
    let mut file = File::open(path)?;
    let (mut block, mut begin) = (Vec::with_capacity(BLOCK), 0);
    loop {
        block.clear();
        let read = (&mut file).take(BLOCK as u64).read_to_end(&mut block)?;
        if let Some(place) = bad_in_block(&block) {
            return Ok(Some(begin + place as u64));
        }
        if read < BLOCK {
            return Ok(None);
        }
        begin += BLOCK as u64;
    }
}

fn bad_in_block(block: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some([_, _, _, _, low, high, kind]) = block.get(at..at + HEADER) {
        if RECYCLED.iter().any(|kinds| kinds.contains(kind)) {
            return Some(at);
        }
        at += HEADER + usize::from(u16::from_le_bytes([*low, *high]));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, bytes: usize) -> Vec<u8> {
        let length = (bytes as u16).to_le_bytes();
        [&[9, 9, 9, 9, length[0], length[1], kind][..], &vec![7; bytes]].concat()
    }

    #[test]
    fn a_record_of_a_recycled_log_is_found_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001.log");
        let found = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            bad_record(&path).unwrap()
        };
        let sound = [record(1, 100), record(2, BLOCK - 114), record(3, 10), record(4, 0)].concat();
        assert_eq!(found(&sound), None);
        assert_eq!(found(&[record(1, 100), record(5, 3)].concat()), Some(107));
        assert_eq!(found(&[sound, record(7, 3)].concat()), Some(BLOCK as u64 + 24));
        assert_eq!(found(&vec![0; 3 * BLOCK]), None, "zeros end a block");
        assert_eq!(found(&record(1, 100)[..50]), None, "a torn write is no damage");
    }
}
