//! The log of a disk: every write and every flush, in their order. The layout is that of Linux's dm-log-writes.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const SECTOR: usize = 512;
/// Where the first sector says how many entries there are.
const ENTRIES: usize = 16;

const FLUSH: u64 = 1;
const FUA: u64 = 2;

/// One write or flush, or both.
pub struct Entry {
    /// Where it is written, in bytes from the disk's beginning.
    pub place: usize,
    data: Range<usize>,
    /// All that was written before is on the disk.
    pub is_flush: bool,
    /// It is on the disk when it is done.
    pub is_forced: bool,
}

/// What happened to a disk.
pub struct Log {
    bytes: Vec<u8>,
    pub entries: Vec<Entry>,
}

impl Log {
    /// Reads a log that nobody writes any more.
    pub fn read(path: &Path) -> Log {
        let bytes = std::fs::read(path).expect("a log");
        assert_eq!(number(&bytes, 0), MAGIC, "a log of block writes");
        let mut log = Log { entries: Vec::new(), bytes };
        let mut at = SECTOR;
        for _ in 0..number(&log.bytes, ENTRIES) {
            let [sector, sectors, flags] = [0, 8, 16].map(|field| number(&log.bytes, at + field));
            assert_eq!(flags & !(FLUSH | FUA), 0, "entries are writes and flushes");
            let data = at + SECTOR..at + SECTOR * (1 + sectors as usize);
            at = data.end;
            let (is_flush, is_forced) = (flags & FLUSH != 0, flags & FUA != 0);
            log.entries.push(Entry { place: sector as usize * SECTOR, data, is_flush, is_forced });
        }
        log
    }

    /// What an entry writes.
    pub fn data(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.data.clone()]
    }

    /// The entries of the first `point` that are on the disk for sure, whatever became of the others.
    pub fn flushed(&self, point: usize) -> usize {
        self.entries[..point].iter().rposition(|entry| entry.is_flush).map_or(0, |flush| flush + 1)
    }
}

/// A log that is being written.
pub struct Growing(File);

impl Growing {
    pub fn open(path: &Path) -> Growing {
        Growing(File::open(path).expect("a log"))
    }

    /// Entries so far, as the log said with its last flush: what is durable now is among them.
    pub fn entries(&self) -> u64 {
        let mut bytes = [0; SECTOR];
        // Before its first flush it is empty.
        self.0.read_exact_at(&mut bytes, 0).map_or(0, |()| number(&bytes, ENTRIES))
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
