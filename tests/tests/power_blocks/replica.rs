//! The disk as it was at any point of its log.

use super::log::{Entry, Log};
use fastrand::Rng;
use postrider_tests::disk::Disk;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// What is written at once, and what is known to be empty.
const CHUNK: usize = 64 * 1024;
/// What a disk writes whole: ext4 relies on it for its superblocks.
const SECTOR: usize = 4096;

/// A disk that goes along its log.
pub struct Replica<'a> {
    log: &'a Log,
    /// The disk with the first `next` entries.
    bytes: Vec<u8>,
    next: usize,
    /// Which chunks have anything.
    used: Vec<bool>,
    /// Where it can be mounted.
    pub disk: Disk,
}

impl<'a> Replica<'a> {
    /// A disk as it was before the log began.
    pub fn new(log: &'a Log, before: &[u8]) -> Replica<'a> {
        let used = before.chunks(CHUNK).map(|chunk| chunk.iter().any(|byte| *byte != 0)).collect();
        let disk = Disk::unformatted(before.len() as u64);
        disk.attach();
        Replica { log, bytes: before.to_vec(), next: 0, used, disk }
    }

    /// Makes the disk what a power cut after `point` entries leaves of it, points in rising order: with all of them, or
    /// with chance deciding about those that came after the last flush.
    pub fn cut_at(&mut self, point: usize, chance: Option<Rng>) {
        let flushed = self.log.flushed(point);
        assert!(flushed >= self.next, "points rise");
        for entry in &self.log.entries[self.next..flushed] {
            let data = self.log.data(entry);
            self.bytes[entry.place..entry.place + data.len()].copy_from_slice(data);
            let chunks = entry.place / CHUNK..(entry.place + data.len()).div_ceil(CHUNK);
            self.used[chunks].fill(true);
        }
        self.next = flushed;
        let image = self.lay_down();
        let unsure = &self.log.entries[flushed..point];
        let kept = unsure.iter().map(|entry| (entry, self.log.data(entry)));
        match chance {
            None => kept.for_each(|(entry, data)| put(&image, entry.place, data)),
            Some(mut random) => kept.for_each(|(entry, data)| maybe_put(&image, entry, data, &mut random)),
        }
    }

    /// Writes what is sure over what the last look has left. Chunks without anything become holes again.
    fn lay_down(&self) -> File {
        let image = File::options().write(true).open(self.disk.image()).expect("an image");
        let mut at = 0;
        for run in self.used.chunk_by(|one, next| one == next) {
            let place = at * CHUNK..((at + run.len()) * CHUNK).min(self.bytes.len());
            if run[0] {
                put(&image, place.start, &self.bytes[place]);
            } else {
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let emptied = fallocate(&image, hole, place.start as u64, place.len() as u64);
                emptied.expect("holes are possible where images are");
            }
            at += run.len();
        }
        image
    }
}

/// Half of what is not sure is not there, and an eighth is there in part.
fn maybe_put(image: &File, entry: &Entry, data: &[u8], random: &mut Rng) {
    match random.u8(..8) {
        _ if entry.is_forced => put(image, entry.place, data),
        0..4 => {}
        4 => {
            let torn = random.usize(..=data.len() / SECTOR) * SECTOR;
            let (front, back) = data.split_at(torn);
            if random.bool() {
                put(image, entry.place, front);
            } else {
                put(image, entry.place + torn, back);
            }
        }
        _ => put(image, entry.place, data),
    }
}

fn put(image: &File, place: usize, data: &[u8]) {
    image.write_all_at(data, place as u64).expect("an image can be written");
}
