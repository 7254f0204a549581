//! `postrider restore`.

use super::connect::Global;
use super::failure::Failure;
use super::offline::Reading;
use super::output::{Row, messages};
use super::parse::rfc3339_ms;
use clap::Args;
use postrider::offline::{Restored, restore};
use std::path::{Path, PathBuf};

/// Make a data directory out of a backup, without a broker
///
/// What is restored is read and verified as `postrider verify` does it. The backup is not changed. A data directory that is
/// not empty is refused.
#[derive(Args)]
#[command(after_help = examples!(
    "postrider restore --from /backup/postrider --data-dir /var/lib/postrider-2",
    "postrider restore --from /backup/postrider --data-dir /tmp/look --number 3",
))]
pub struct Restore {
    /// The folder with backups
    #[arg(long, value_name = "PATH")]
    from: PathBuf,
    /// The data directory to make; empty, or not there
    #[arg(long, value_name = "PATH")]
    data_dir: PathBuf,
    /// Which backup; without it the newest
    #[arg(long, value_name = "NUMBER")]
    number: Option<u32>,
}

impl Restore {
    /// Restores it.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let reading = Reading::new();
        let restored =
            restore(&self.from, self.number, &self.data_dir, &mut |progress| reading.show(progress));
        drop(reading);
        let restored = restored.map_err(|error| Failure::usage(error.to_string()).hint(HINT))?;
        Ok(global.printer().told(&text(&restored, &self.data_dir), &row(&restored))?)
    }
}

const HINT: &str = "choose another backup with --number, or another data directory with --data-dir";

fn text(Restored { backup, verified }: &Restored, data_dir: &Path) -> String {
    let (there, dir) = (messages(verified.messages), data_dir.display());
    format!(
        "restored backup {} of {}: {there} in {} entities, sound\nstart it with: postrider serve --data-dir {dir}\n",
        backup.number,
        rfc3339_ms(backup.when_ms),
        verified.entities
    )
}

fn row(Restored { backup, verified }: &Restored) -> Row {
    Row::new()
        .column("number", backup.number)
        .column("when", rfc3339_ms(backup.when_ms))
        .column("files", backup.files)
        .column("backup_bytes", backup.bytes)
        .column("entities", verified.entities)
        .column("messages", verified.messages)
        .column("rows", verified.read.rows)
        .column("writes", verified.writes)
}
