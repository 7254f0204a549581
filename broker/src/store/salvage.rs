//! Getting what can be had from a damaged database. All of it happens in a copy; the damaged files stay as they are.

use super::watermark::{self, Mark};
use super::{DataDir, RocksStore, Store, StoreError, StoreRow, framing};
use postrider_core::apply::Write;
use postrider_core::key::Key;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A way to open a damaged database, the gentle ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As a start does, which is refused because of the watermark alone.
    AsItIs,
    /// The log up to the first damage in it.
    UpToTheDamage,
    /// A new manifest, from the tables and logs that can be read.
    Rebuilt,
}

impl Way {
    /// All ways, in their order.
    pub const ALL: [Way; 3] = [Way::AsItIs, Way::UpToTheDamage, Way::Rebuilt];

    /// What is done, in words.
    pub fn text(self) -> &'static str {
        match self {
            Way::AsItIs => "opened as it is",
            Way::UpToTheDamage => "its log read up to the damage",
            Way::Rebuilt => "its manifest rebuilt from the tables and logs that can be read",
        }
    }
}

/// Opens a copy of the database of `dir` in one way. Tables are shared with the damaged one, as nothing changes them.
pub fn attempt(dir: &DataDir, way: Way) -> Result<(RocksStore, StoreRow), StoreError> {
    let copy = dir.salvaged();
    copy_database(&dir.store(), &copy, way).map_err(|error| cannot(dir, &error))?;
    let store = match way {
        Way::AsItIs => RocksStore::open_existing(&copy),
        Way::UpToTheDamage => RocksStore::open_up_to_the_damage(&copy),
        Way::Rebuilt => RocksStore::rebuild(&copy),
    }?;
    let row = store.row()?;
    let row = row.ok_or_else(|| StoreError::new("the row that says what the store is could not be found"))?;
    Ok((store, row))
}

/// Removes the copy of an attempt.
pub fn discard(dir: &DataDir) -> Result<(), StoreError> {
    remove(&dir.salvaged()).map_err(|error| cannot(dir, &error))
}

/// Puts the copy of an attempt in the place of the damaged database, with a watermark that fits, and leaves `note` for the
/// next start. Returns where the damaged one is kept.
pub fn put_in_place(
    dir: &DataDir,
    store: RocksStore,
    row: StoreRow,
    note: &str,
) -> Result<PathBuf, StoreError> {
    let row = StoreRow::new(row.identity, row.shards);
    store.commit(&[Write::Put(Key::Store, row.encode())])?;
    store.flush()?;
    let mark = Mark { identity: row.identity, sequence: store.sequence() };
    drop(store);
    let kept = free_name(dir.path());
    let placed = fs::write(dir.note(), note)
        .and_then(|()| fs::rename(dir.store(), &kept))
        .and_then(|()| fs::rename(dir.salvaged(), dir.store()))
        .and_then(|()| File::open(dir.path())?.sync_all());
    placed.map_err(|error| cannot(dir, &error))?;
    watermark::stamp(&dir.watermark(), mark)?;
    Ok(kept)
}

/// A name beside the database that is not taken.
fn free_name(dir: &Path) -> PathBuf {
    let names = (1..).map(|number: u32| dir.join(format!("store.damaged-{number}")));
    let mut free = names.skip_while(|path| path.exists());
    free.next().expect("numbers do not run out")
}

fn copy_database(from: &Path, to: &Path, way: Way) -> io::Result<()> {
    remove(to)?;
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let (Some(name), true) = (path.file_name(), path.is_file()) else { continue };
        let copied = to.join(name);
        if path.extension().is_some_and(|end| end == "sst") {
            fs::hard_link(&path, &copied)?;
        } else {
            fs::copy(&path, &copied)?;
        }
    }
    if way != Way::AsItIs {
        while let Some((file, place)) = framing::first_recycled(to)? {
            OpenOptions::new().write(true).open(file)?.set_len(place)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn cannot(dir: &DataDir, error: &io::Error) -> StoreError {
    StoreError::new(format!("{} cannot be recovered: {error}", dir.path().display()))
}
