//! `postrider backup`.

use super::connect::Global;
use super::failure::Failure;
use super::output::Row;
use super::parse::rfc3339_ms;
use clap::Args;
use indicatif::ProgressBar;
use postrider_client::{BackedUp, BackupInfo};
use std::time::Duration;

/// Have the broker make a backup of its store while it runs
///
/// It is made in the folder that the broker was started with as --backup-dir, and holds everything that was acknowledged
/// before. What earlier backups have is not copied again. Bring it back with `postrider restore`.
#[derive(Args)]
#[command(after_help = examples!(
    "postrider backup",
    "postrider backup --keep 7",
    "postrider backup --list",
))]
pub struct Backup {
    /// Show which backups there are instead
    #[arg(long, conflicts_with = "keep")]
    list: bool,
    /// Remove all but the newest so many backups then; 0 for none
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    keep: u32,
}

impl Backup {
    /// Makes it, or lists those that there are.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let admin = global.connect().await?.admin();
        if self.list {
            let rows: Vec<_> = admin.backups().await?.iter().map(row).collect();
            return Ok(global.printer().list(&rows, "no backups")?);
        }
        // On stderr, and only where that is a terminal.
        let waiting = ProgressBar::new_spinner().with_message("the broker makes a backup");
        waiting.enable_steady_tick(Duration::from_millis(200));
        let made = admin.backup(self.keep).await;
        waiting.finish_and_clear();
        let made = made?;
        let millis = u64::try_from(made.duration.as_millis()).unwrap_or(u64::MAX);
        let row = row(&made.backup).column("added_bytes", made.added_bytes).column("duration_ms", millis);
        Ok(global.printer().done(&sentence(&made), &row)?)
    }
}

fn sentence(made: &BackedUp) -> String {
    let BackupInfo { number, bytes, files, .. } = made.backup;
    format!(
        "backup {number} was made in {:?}: {bytes} bytes in {files} files, {} of them new",
        made.duration, made.added_bytes
    )
}

fn row(backup: &BackupInfo) -> Row {
    Row::new()
        .column("number", backup.number)
        .column("when", rfc3339_ms(backup.when_ms))
        .column("files", backup.files)
        .column("bytes", backup.bytes)
}
