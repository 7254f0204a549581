//! `postrider recover`: gives up what a damaged store has lost, and makes a sound one of the rest.

use super::verify::{Progress, Verified, look_through, verify_in};
use crate::store::salvage::{self, Way};
use crate::store::{DataDir, RocksStore, StoreError, StoreRow};
use std::path::{Path, PathBuf};

/// What a recovery comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// What is wrong with the store, in words; empty: it is sound, and nothing is done.
    pub problems: Vec<String>,
    /// What is done about it, in words.
    pub how: String,
    /// Writes that are lost; `None` where the watermark cannot tell.
    pub lost_writes: Option<u64>,
    /// Messages that are there afterwards.
    pub messages: u64,
    /// Where the damaged database was put; `None` where nothing was done.
    pub kept: Option<PathBuf>,
}

/// Finds the gentlest way that leads to a sound store. With `accept_loss` it is put in the place of the damaged one,
/// which is kept beside it; without, nothing changes. An error says why there is no way.
pub fn recover(
    data_dir: &Path,
    accept_loss: bool,
    report: &mut dyn FnMut(&Progress),
) -> Result<Recovered, StoreError> {
    let dir = DataDir::claim_existing(data_dir)?;
    let before = verify_in(&dir, report)?;
    if before.problems.is_empty() {
        let how = "the store is sound, nothing is to be recovered".to_owned();
        return Ok(Recovered {
            problems: Vec::new(),
            how,
            lost_writes: Some(0),
            messages: before.messages,
            kept: None,
        });
    }
    let outcome = first_way(&dir, report).and_then(|(way, store, row, after)| {
        let lost_writes = before.watermark.map(|watermark| watermark.saturating_sub(store.sequence()));
        let how = way.text().to_owned();
        let kept = match accept_loss {
            true => Some(salvage::put_in_place(&dir, store, row, &note(&how, lost_writes))?),
            false => None,
        };
        Ok(Recovered { problems: before.problems, how, lost_writes, messages: after.messages, kept })
    });
    salvage::discard(&dir)?;
    outcome
}

/// Tries one way after the other, until what comes out is sound.
fn first_way(
    dir: &DataDir,
    report: &mut dyn FnMut(&Progress),
) -> Result<(Way, RocksStore, StoreRow, Verified), StoreError> {
    let mut tried = Vec::new();
    for way in Way::ALL {
        let found = salvage::attempt(dir, way);
        let problem = match found {
            Err(error) => error.what,
            Ok((store, row)) => {
                let after = look_through(&store, row, report);
                match after.problems.first() {
                    None => return Ok((way, store, row, after)),
                    Some(problem) => problem.clone(),
                }
            }
        };
        tried.push(format!("{}: {problem}", way.text()));
    }
    Err(StoreError::new(format!(
        "no way leads to a sound store; restore a backup. Tried: {}",
        tried.join("; ")
    )))
}

fn note(how: &str, lost_writes: Option<u64>) -> String {
    let lost = lost_writes.map_or("an unknown number of".to_owned(), |writes| writes.to_string());
    format!("the store was recovered, {how}: {lost} writes are lost")
}
