//! What can happen to a file.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The kinds of files that a data directory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Log,
    Table,
    Manifest,
    Current,
    Watermark,
    /// What the database keeps beside: options, identity, its own log of what it does.
    Other,
}

/// A harm, with the place where it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    FlipBit(u64, u8),
    CutAt(u64),
    Zero(u64),
    Delete,
}

/// A harm to a file.
#[derive(Debug)]
pub struct Fault {
    pub kind: Kind,
    /// Below the data directory.
    file: PathBuf,
    pub harm: Harm,
}

const ZEROED: u64 = 4096;

impl Harm {
    pub fn name(self) -> &'static str {
        match self {
            Harm::FlipBit(..) => "bit flipped",
            Harm::CutAt(_) => "cut",
            Harm::Zero(_) => "4 KiB zeroed",
            Harm::Delete => "deleted",
        }
    }
}

impl Fault {
    /// Any harm to any file; all kinds of files are as likely, however large they are.
    pub fn random(dir: &Path, random: &mut fastrand::Rng) -> Fault {
        let kinds = [Kind::Log, Kind::Table, Kind::Manifest, Kind::Current, Kind::Watermark, Kind::Other];
        let kind = kinds[random.usize(..kinds.len())];
        let files = files(dir, kind);
        let file = files[random.usize(..files.len())].clone();
        let size = dir.join(&file).metadata().expect("it is there").len();
        let place = random.u64(..size.max(1));
        let harm = match random.u8(..4) {
            0 => Harm::FlipBit(place, 1 << random.u8(..8)),
            1 => Harm::CutAt(place),
            2 => Harm::Zero(place),
            _ => Harm::Delete,
        };
        Fault { kind, file, harm }
    }

    /// Does it to the files in `dir`.
    pub fn inflict(&self, dir: &Path) {
        let path = dir.join(&self.file);
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("it is there");
        let size = file.metadata().expect("it is there").len();
        match self.harm {
            Harm::FlipBit(place, bit) if place < size => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, place).expect("it can be read");
                file.write_all_at(&[byte[0] ^ bit], place).expect("it can be written");
            }
            Harm::Zero(place) => {
                let zeros = vec![0; ZEROED.min(size - place.min(size)) as usize];
                file.write_all_at(&zeros, place).expect("it can be written");
            }
            Harm::CutAt(place) => file.set_len(place).expect("it can be cut"),
            Harm::Delete => fs::remove_file(&path).expect("it can be deleted"),
            Harm::FlipBit(..) => {}
        }
    }
}

/// The logs and manifests of a data directory, below it.
pub fn framed(dir: &Path) -> Vec<PathBuf> {
    let files = [Kind::Log, Kind::Manifest].into_iter().flat_map(|kind| files(dir, kind));
    files.filter(|file| dir.join(file).metadata().expect("it is there").len() > 0).collect()
}

/// Flips a bit of the second record's type: from the whole record of a log to that of a recycled one.
pub fn make_recycled(path: &Path) {
    let mut content = fs::read(path).expect("it is there");
    let second = 7 + usize::from(u16::from_le_bytes([content[4], content[5]]));
    content[second + 6] ^= 4;
    fs::write(path, content).expect("it can be written");
}

/// The logs of a data directory.
pub fn logs(dir: &Path) -> Vec<PathBuf> {
    files(dir, Kind::Log).iter().map(|file| dir.join(file)).collect()
}

fn files(dir: &Path, kind: Kind) -> Vec<PathBuf> {
    if kind == Kind::Watermark {
        return vec!["watermark".into()];
    }
    let names =
        fs::read_dir(dir.join("store")).expect("a store").map(|entry| entry.expect("a file").file_name());
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    names.into_iter().filter(|name| kind_of(name) == kind).map(|name| Path::new("store").join(name)).collect()
}

fn kind_of(name: &str) -> Kind {
    match name {
        "CURRENT" => Kind::Current,
        _ if name.starts_with("MANIFEST") => Kind::Manifest,
        _ if name.ends_with(".log") => Kind::Log,
        _ if name.ends_with(".sst") => Kind::Table,
        _ => Kind::Other,
    }
}
