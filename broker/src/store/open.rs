//! Opening the store of a data directory: making it, taking over an older one, and refusing one that is not all there.

use super::identity::WITHOUT_WATERMARK;
use super::watermark::{self, Found, Mark, Watermark};
use super::{ADVICE, DataDir, Identity, RocksStore, Store, StoreError, StoreRow};
use postrider_core::apply::Write;
use postrider_core::key::Key;
use std::fs;
use std::io;
use std::path::Path;

/// Opens the store of `dir`. Where there is none yet, one with so many shards is made. A store that is not all there is
/// refused, with what is missing and what to do.
pub fn open(dir: &DataDir, shards: u16) -> Result<(RocksStore, StoreRow), StoreError> {
    let found = watermark::read(&dir.watermark())?;
    let is_there = has_database(&dir.store())?;
    match found {
        Found::Unreadable => Err(refusal(dir, "its watermark is unreadable")),
        Found::Mark(mark) if mark.sequence > 0 && !is_there => {
            Err(refusal(dir, &format!("it is gone; its watermark counts {} writes", mark.sequence)))
        }
        // The watermark comes before the first write: a first start may have been cut off in between.
        Found::Mark(mark) if mark.sequence == 0 => make(dir, mark, shards),
        Found::Mark(mark) => reopen(dir, mark),
        Found::Nothing if !is_there => make(dir, Mark { identity: new_identity()?, sequence: 0 }, shards),
        Found::Nothing => adopt(dir, shards),
    }
}

/// What a data directory was found to hold, without a change to it.
pub struct Examined {
    /// The store, to be read; none where it cannot be opened.
    pub store: Option<RocksStore>,
    /// What it was made as.
    pub row: Option<StoreRow>,
    /// Writes that the watermark counts.
    pub watermark: Option<u64>,
    /// Why a start would refuse it.
    pub problem: Option<StoreError>,
}

/// Looks at the store of `dir` as a start does, and changes nothing.
pub fn examine(dir: &DataDir) -> Result<Examined, StoreError> {
    let found = watermark::read(&dir.watermark())?;
    let watermark = match found {
        Found::Mark(mark) => Some(mark.sequence),
        Found::Nothing | Found::Unreadable => None,
    };
    let opened = has_database(&dir.store()).and_then(|is_there| match is_there {
        true => RocksStore::open_read_only(&dir.store()),
        false => Err(refusal(dir, "it is gone")),
    });
    let store = match opened {
        Ok(store) => store,
        Err(problem) => return Ok(Examined { store: None, row: None, watermark, problem: Some(problem) }),
    };
    let row = store.row();
    let problem = match (&row, found) {
        (Err(error), _) => Some(error.clone()),
        (Ok(_), Found::Mark(mark)) => checked(dir, &store, mark).err(),
        (Ok(_), Found::Unreadable) => Some(refusal(dir, "its watermark is unreadable")),
        (Ok(None), Found::Nothing) => Some(refusal(dir, ROW_MISSING)),
        (Ok(Some(row)), Found::Nothing) => {
            (row.format != WITHOUT_WATERMARK).then(|| refusal(dir, "its watermark is missing"))
        }
    };
    Ok(Examined { store: Some(store), row: row.unwrap_or_default(), watermark, problem })
}

/// Makes a store, or goes on making it.
fn make(dir: &DataDir, mark: Mark, shards: u16) -> Result<(RocksStore, StoreRow), StoreError> {
    let path = dir.watermark();
    watermark::stamp(&path, mark)?;
    let store = RocksStore::open(&dir.store())?;
    if let Some(row) = store.row()? {
        check_owner(dir, &row, mark)?;
        return guarded(dir, store, row);
    }
    let row = StoreRow::new(mark.identity, shards);
    store.commit(&[Write::Put(Key::Store, row.encode())])?;
    guarded(dir, store, row)
}

fn reopen(dir: &DataDir, mark: Mark) -> Result<(RocksStore, StoreRow), StoreError> {
    let store = RocksStore::open_existing(&dir.store())?;
    let row = checked(dir, &store, mark)?;
    guarded(dir, store, row)
}

/// Whether the store is the watermark's and has all that it counts; what it was made as.
fn checked(dir: &DataDir, store: &RocksStore, mark: Mark) -> Result<StoreRow, StoreError> {
    let sequence = store.sequence();
    if sequence < mark.sequence {
        let missing = mark.sequence - sequence;
        return Err(refusal(
            dir,
            &format!(
                "its last {missing} writes are missing: {sequence} are there, its watermark counts {}",
                mark.sequence
            ),
        ));
    }
    let row = store.row()?.ok_or_else(|| refusal(dir, ROW_MISSING))?;
    check_owner(dir, &row, mark)?;
    Ok(row)
}

/// Takes over a store of the format that had no watermark: nobody can say whether it is all there.
fn adopt(dir: &DataDir, shards: u16) -> Result<(RocksStore, StoreRow), StoreError> {
    let store = RocksStore::open_existing(&dir.store())?;
    let sequence = store.sequence();
    let Some(row) = store.row()? else {
        // The first start of an older version may have been cut off as well.
        return match sequence {
            0 => {
                drop(store);
                make(dir, Mark { identity: new_identity()?, sequence: 0 }, shards)
            }
            _ => Err(refusal(dir, ROW_MISSING)),
        };
    };
    if row.format != WITHOUT_WATERMARK {
        return Err(refusal(dir, "its watermark is missing"));
    }
    tracing::warn!(
        writes = sequence,
        "the store had no watermark until now: what it lost before is not noticed"
    );
    watermark::stamp(&dir.watermark(), Mark { identity: row.identity, sequence })?;
    let row = StoreRow::new(row.identity, row.shards);
    store.commit(&[Write::Put(Key::Store, row.encode())])?;
    guarded(dir, store, row)
}

/// Makes a store that was restored into `dir` the one that a broker starts with: it gets its tokens, and a watermark, without
/// which it is refused. Returns what that counts.
pub fn settle_in(dir: &DataDir, store: RocksStore, row: StoreRow, tokens: &[u8]) -> Result<u64, StoreError> {
    store.flush()?;
    let mark = Mark { identity: row.identity, sequence: store.sequence() };
    drop(store);
    dir.write_tokens(tokens)?;
    watermark::stamp(&dir.watermark(), mark)?;
    Ok(mark.sequence)
}

/// The store with its watermark, which follows every commit from now on.
fn guarded(dir: &DataDir, store: RocksStore, row: StoreRow) -> Result<(RocksStore, StoreRow), StoreError> {
    let mark = Mark { identity: row.identity, sequence: store.sequence() };
    let watermark = Watermark::open(&dir.watermark(), mark)?;
    Ok((store.guarded_by(watermark), row))
}

fn check_owner(dir: &DataDir, row: &StoreRow, mark: Mark) -> Result<(), StoreError> {
    if row.identity == mark.identity {
        return Ok(());
    }
    let (store, other) = (row.identity.cluster, mark.identity.cluster);
    Err(refusal(
        dir,
        &format!(
            "its watermark is another store's: the store is {store:032x}, the watermark of {other:032x}"
        ),
    ))
}

/// Whether there is a database. Without its file `CURRENT` RocksDB would make an empty one over what is there.
fn has_database(store: &Path) -> Result<bool, StoreError> {
    if store.join("CURRENT").exists() {
        return Ok(true);
    }
    let here = store.display();
    let entries = match fs::read_dir(store) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StoreError::new(format!("{here} cannot be read: {error}"))),
    };
    let holds_data = |name: &str| name.ends_with(".sst") || name.ends_with(".log");
    let has_data = entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(holds_data));
    if has_data {
        return Err(StoreError::new(format!(
            "the store in {here} is damaged: its file CURRENT is missing; {ADVICE}"
        )));
    }
    Ok(false)
}

fn new_identity() -> Result<Identity, StoreError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| StoreError::new(format!("no random bits for a fresh store: {error}")))?;
    Ok(Identity { cluster: u128::from_ne_bytes(random), node: 1 })
}

fn refusal(dir: &DataDir, what: &str) -> StoreError {
    StoreError::new(format!("the store in {} is damaged: {what}; {ADVICE}", dir.store().display()))
}

const ROW_MISSING: &str = "the row that says what it is is missing";

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use postrider_core::context::Rows;
    use postrider_core::key::{KeyRange, QueueId};
    use std::fs::OpenOptions;
    use tempfile::TempDir;

    fn claimed() -> (TempDir, DataDir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::claim(folder.path()).unwrap();
        (folder, dir)
    }

    fn put(store: &RocksStore, number: u64) {
        let key = Key::Page(0, QueueId::main(1), number);
        store.commit(&[Write::Put(key, Bytes::from(vec![7; 100]))]).unwrap();
    }

    /// A store of ten writes behind its first row, all of them in its log.
    fn written() -> (TempDir, DataDir) {
        let (folder, dir) = claimed();
        let (store, _) = open(&dir, 3).unwrap();
        (0..10).for_each(|number| put(&store, number));
        drop(store);
        (folder, dir)
    }

    #[track_caller]
    fn refused(dir: &DataDir, text: &str) {
        let error = open(dir, 3).err().expect("a refusal").to_string();
        assert!(error.contains(text) && error.contains(ADVICE), "{error}");
    }

    fn logs(dir: &DataDir) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(dir.store()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|end| end == "log")).collect()
    }

    fn cut(path: &Path, bytes: u64) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
    }

    #[test]
    fn a_store_is_found_again_as_it_was_made() {
        let (_folder, dir) = written();
        let (store, row) = open(&dir, 5).unwrap();
        assert_eq!((row.shards, store.sequence()), (3, 11));
        assert!(store.get(&Key::Page(0, QueueId::main(1), 9)).unwrap().is_some());
    }

    #[test]
    fn every_kind_of_write_counts_when_the_log_is_read_again() {
        let (_folder, dir) = written();
        let (store, _) = open(&dir, 3).unwrap();
        let pages = |from, to| Write::DeleteRange(KeyRange::pages(0, QueueId::main(1), from, to));
        let key = |number| Key::Page(0, QueueId::main(1), number);
        let writes =
            [pages(5, 5), pages(9, 3), pages(0, 4), Write::Delete(key(99)), Write::SingleDelete(key(7))];
        store.commit(&writes).unwrap();
        store.commit(&[pages(3, 3)]).unwrap();
        let counted = store.sequence();
        drop(store);
        assert_eq!(open(&dir, 3).unwrap().0.sequence(), counted);
    }

    #[test]
    fn a_flushed_store_counts_on() {
        let (_folder, dir) = written();
        let (store, _) = open(&dir, 3).unwrap();
        store.flush().unwrap();
        drop(store);
        assert_eq!(open(&dir, 3).unwrap().0.sequence(), 11);
    }

    #[test]
    fn synced_writes_missing_at_the_end_of_the_log_are_noticed() {
        let (_folder, dir) = written();
        // One byte less: the last record looks like a torn write.
        logs(&dir).iter().for_each(|log| cut(log, 1));
        refused(&dir, "its last 1 writes are missing: 10 are there, its watermark counts 11");
        refused(&dir, "its last 1 writes are missing");
    }

    #[test]
    fn a_last_write_that_was_never_synced_is_left_out() {
        let (_folder, dir) = written();
        // A power cut makes the log longer, by a write that is not all there; the watermark knows nothing of it.
        let log = logs(&dir).pop().unwrap();
        let sound = fs::read(&log).unwrap();
        let torn = [&sound[..], &[0; 20_000], &[9; 200_000], &[0; 5_000]].concat();
        fs::write(&log, torn).unwrap();
        assert_eq!(examine(&dir).unwrap().problem, None);
        assert_eq!(open(&dir, 3).unwrap().0.sequence(), 11);
        assert_eq!(open(&dir, 3).unwrap().0.sequence(), 11, "once and for all");
    }

    #[test]
    fn damage_before_the_last_write_is_refused() {
        let (_folder, dir) = written();
        let log = logs(&dir).pop().unwrap();
        let mut damaged = fs::read(&log).unwrap();
        let place = damaged.len() - 200;
        damaged[place] ^= 1;
        fs::write(&log, damaged).unwrap();
        refused(&dir, "000004.log cannot be read from ");
    }

    #[test]
    fn a_log_that_is_gone_is_noticed() {
        let (_folder, dir) = written();
        logs(&dir).iter().for_each(|log| fs::remove_file(log).unwrap());
        refused(&dir, "its last 11 writes are missing");
    }

    #[test]
    fn a_watermark_that_is_missing_unreadable_or_foreign_is_refused() {
        let (_folder, dir) = written();
        let (_other, other) = written();
        fs::copy(other.watermark(), dir.watermark()).unwrap();
        refused(&dir, "its watermark is another store's");
        fs::write(dir.watermark(), b"").unwrap();
        refused(&dir, "its watermark is unreadable");
        fs::remove_file(dir.watermark()).unwrap();
        refused(&dir, "its watermark is missing");
    }

    #[test]
    fn a_database_that_is_gone_is_not_made_anew() {
        let (_folder, dir) = written();
        fs::remove_file(dir.store().join("CURRENT")).unwrap();
        refused(&dir, "its file CURRENT is missing");
        fs::remove_dir_all(dir.store()).unwrap();
        refused(&dir, "it is gone; its watermark counts 11 writes");
    }

    #[test]
    fn a_first_start_that_was_cut_off_begins_again() {
        let (_folder, dir) = claimed();
        let mark = Mark { identity: new_identity().unwrap(), sequence: 0 };
        watermark::stamp(&dir.watermark(), mark).unwrap();
        assert_eq!(open(&dir, 3).unwrap().1.identity, mark.identity, "before the database was made");
        watermark::stamp(&dir.watermark(), mark).unwrap();
        assert_eq!(
            open(&dir, 5).unwrap().1,
            StoreRow::new(mark.identity, 3),
            "before the first write counted"
        );
    }

    #[test]
    fn a_store_without_a_watermark_is_taken_over_once() {
        let (_folder, dir) = written();
        let (store, row) = open(&dir, 3).unwrap();
        let older = StoreRow { format: WITHOUT_WATERMARK, ..row };
        store.commit(&[Write::Put(Key::Store, older.encode())]).unwrap();
        drop(store);
        fs::remove_file(dir.watermark()).unwrap();
        let (store, taken_over) = open(&dir, 3).unwrap();
        assert_eq!((taken_over, store.sequence()), (row, 13));
        drop(store);
        fs::remove_file(dir.watermark()).unwrap();
        refused(&dir, "its watermark is missing");
    }
}
