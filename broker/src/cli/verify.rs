//! `postrider verify`.

use super::connect::Global;
use super::failure::Failure;
use super::offline::{Reading, Where};
use super::output::{Row, messages};
use clap::Args;
use postrider::offline::{Verified, verify};
use std::fmt::Write as _;

/// Read a whole store and say whether it is sound, without a broker and without a change
///
/// Every row is read and its checksum compared, every message decoded, what is counted compared with what is there, and
/// the watermark with how far the store has come. The exit code is 1 where something is wrong.
#[derive(Args)]
#[command(after_help = examples!(
    "postrider verify --data-dir /var/lib/postrider",
    "postrider verify --data-dir /var/lib/postrider --output json",
))]
pub struct Verify {
    #[command(flatten)]
    place: Where,
}

impl Verify {
    /// Verifies it.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let reading = Reading::new();
        let verified = verify(&self.place.data_dir, &mut |progress| reading.show(progress));
        drop(reading);
        let verified = verified.map_err(|error| Failure::usage(error.to_string()))?;
        global.printer().told(&text(&verified), &row(&verified))?;
        match verified.problems.len() as u64 + verified.more_problems {
            0 => Ok(()),
            1 => Err(Failure::refused("the store is damaged").hint(HINT)),
            problems => {
                Err(Failure::refused(format!("the store is damaged: {problems} problems")).hint(HINT))
            }
        }
    }
}

const HINT: &str = "keep the directory as it is and restore a backup; where there is none: postrider recover";

fn text(verified: &Verified) -> String {
    let mut text = String::new();
    for problem in &verified.problems {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "- {problem}");
    }
    if verified.more_problems > 0 {
        let _ = writeln!(text, "- and {} more", verified.more_problems);
    }
    if text.is_empty() {
        let (entities, rows) = (verified.entities, verified.read.rows);
        let _ = writeln!(text, "sound: {} in {entities} entities, {rows} rows", messages(verified.messages));
    }
    text
}

fn row(verified: &Verified) -> Row {
    Row::new()
        .column("sound", verified.problems.is_empty())
        .column("shards", verified.shards)
        .column("entities", verified.entities)
        .column("messages", verified.messages)
        .column("rows", verified.read.rows)
        .column("bytes", verified.read.bytes)
        .column("writes", verified.writes)
        .column("watermark", verified.watermark)
        .column("problems", verified.problems.clone())
        .column("more_problems", verified.more_problems)
}
