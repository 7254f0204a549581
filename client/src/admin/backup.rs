//! Backups of the broker's store.

use super::Admin;
use crate::connection::Operation;
use crate::error::Error;
use postrider_protocol::reply::{BackupInfo, Reply};
use postrider_protocol::request::Request;
use std::time::Duration;

/// How long a backup may take beyond the request timeout; whoever waits for less drops the future.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// The backup.
    pub backup: BackupInfo,
    /// Bytes of the files that earlier backups did not have.
    pub added_bytes: u64,
    /// How long it took.
    pub duration: Duration,
}

impl Admin {
    /// Makes a backup of the whole store where the broker's operator has told it to, and waits until it is complete. Then
    /// all but the newest `keep` backups are removed; 0 removes none.
    ///
    /// ```no_run
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let made = client.admin().backup(7).await?;
    /// println!("backup {}: {} bytes more, {:?}", made.backup.number, made.added_bytes, made.duration);
    /// # Ok(()) }
    /// ```
    pub async fn backup(&self, keep: u32) -> Result<BackedUp, Error> {
        let what = "make a backup";
        let asking = |answer| Operation::Ask { request: Box::new(Request::Backup { keep }), answer };
        match self.connection.call_waiting(what, LONGEST, asking).await? {
            Reply::BackedUp { backup, added_bytes, duration_ms } => {
                Ok(BackedUp { backup, added_bytes, duration: Duration::from_millis(duration_ms) })
            }
            other => Err(Error::unexpected(what, &other)),
        }
    }

    /// The backups that there are, the oldest first; the newest 1,000 at most.
    pub async fn backups(&self) -> Result<Vec<BackupInfo>, Error> {
        let what = "list backups";
        match self.connection.ask(what, Request::ListBackups).await? {
            Reply::Backups(backups) => Ok(backups),
            other => Err(Error::unexpected(what, &other)),
        }
    }
}
