//! What is not taken in while the disk is nearly full.

use crate::store::Disk;
use postrider_core::command::{Change, Command, Operation};
use postrider_core::shard::Shard;
use postrider_protocol::error::{ErrorCode, Refusal};

/// When to try again: the disk is looked at each second.
const RETRY_AFTER_MS: u64 = 1000;

/// Refuses what would make the store larger while the disk has no more room than its reserve. What was carried out before
/// gets the answer that is recorded.
pub fn check_room(disk: &Disk, shards: &[Shard], command: &Command) -> Result<(), Refusal> {
    let Command::Once { client, stamp, change, .. } = command else { return Ok(()) };
    let has_answered = || shards.iter().any(|shard| shard.has_answered(*client, *stamp));
    if !disk.is_full() || !grows(change) || has_answered() {
        return Ok(());
    }
    let text = format!(
        "the broker's disk has {} bytes free, and {} are kept for what makes room",
        disk.free(),
        disk.reserve()
    );
    Err(Refusal { retry_after_ms: RETRY_AFTER_MS, ..Refusal::new(ErrorCode::StorageFull, text) })
}

/// Whether a change makes the store larger because a client wants it. What settles, removes, cancels or locks does not, nor
/// does what is due or under way already: consumers and whoever clears up must get on.
///
/// A redrive does: each dead letter is stored once more, and its page goes only with the last one in it.
fn grows(change: &Change) -> bool {
    match change {
        Change::Publish { .. }
        | Change::Create { .. }
        | Change::PutRule { .. }
        | Change::PutSchedule { .. }
        | Change::Replay { .. } => true,
        Change::Transact(operations) => {
            operations.iter().any(|operation| matches!(operation, Operation::Send { .. }))
        }
        Change::SetSessionState { state, .. } => state.is_some(),
        Change::Redrive { dry_run, .. } => !dry_run,
        Change::Settle(_)
        | Change::Update { .. }
        | Change::Delete { .. }
        | Change::DeleteRule { .. }
        | Change::PromoteRule { .. }
        | Change::Scheduled { .. }
        | Change::DeleteSchedule { .. }
        | Change::ReceiveDeferred { .. }
        | Change::Purge { .. } => false,
    }
}
