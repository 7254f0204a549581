//! What commands have in common that look after a data directory without a broker.

use clap::Args;
use indicatif::ProgressBar;
use postrider::offline::Progress;
use std::path::PathBuf;

/// Which data directory.
#[derive(Args)]
pub struct Where {
    /// The data directory; no broker may have it open
    #[arg(
        long,
        env = "POSTRIDER_DATA_DIR",
        hide_env_values = true,
        default_value = "postrider-data",
        value_name = "PATH"
    )]
    pub data_dir: PathBuf,
}

/// Shows how far a look at all rows has come, on stderr and only where that is a terminal.
pub struct Reading(ProgressBar);

impl Reading {
    /// Nothing read yet.
    pub fn new() -> Self {
        Reading(ProgressBar::new_spinner())
    }

    /// So much was read.
    pub fn show(&self, progress: &Progress) {
        self.0.set_message(format!("{} rows read, {} MiB", progress.rows, progress.bytes >> 20));
        self.0.tick();
    }
}

/// Takes it away, also where reading failed.
impl Drop for Reading {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
