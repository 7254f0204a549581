//! `postrider purge`.

use super::bulk::{Meter, SelectionFlags, StateFlags, confirm};
use super::connect::Global;
use super::failure::Failure;
use super::output::{Row, messages};
use clap::Args;
use postrider_client::{Admin, Selection};

/// Remove messages that nobody holds, all of them or those that are meant
#[derive(Args)]
#[command(after_help = examples!(
    "postrider purge email-queue",
    "postrider purge 'email-queue/$dead-letter' --cause BadAddress --yes",
    "postrider purge orders --filter \"region = 'eu'\" --older-than 7d",
    "postrider purge orders --state scheduled,deferred",
))]
pub struct Purge {
    /// A queue, <topic>/subscriptions/<name>, or one of these with /$dead-letter behind
    pub address: String,
    #[command(flatten)]
    pub what: What,
    #[command(flatten)]
    states: StateFlags,
}

/// Which messages, and whether to ask.
#[derive(Args)]
pub struct What {
    #[command(flatten)]
    selection: SelectionFlags,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Purge {
    /// Removes them.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        self.what.purge(global, &self.address, &self.states).await
    }
}

impl What {
    /// Removes what is meant from `address`, if the user agrees.
    pub async fn purge(&self, global: &Global, address: &str, states: &StateFlags) -> Result<(), Failure> {
        let admin = global.connect().await?.admin();
        let selection = self.selection.selection(&admin, address, states.states()).await?;
        let all = if selection.is_all() { "all messages" } else { "these messages" };
        confirm(&format!("Remove {all} from {address} for ever?"), self.yes)?;
        purge(global, &admin, address, selection).await
    }
}

/// Removes the messages of a selection, and shows how far it has come.
pub async fn purge(
    global: &Global,
    admin: &Admin,
    address: &str,
    selection: Selection,
) -> Result<(), Failure> {
    let (meter, mut work) = (Meter::new(), admin.purge_selected(address, selection));
    let mut total = None;
    while let Some(progress) = work.next().await? {
        meter.show("removed", &progress);
        total = Some(progress);
    }
    drop(meter);
    let total = total.unwrap_or_default();
    let row = Row::new().column("address", address).column("purged", total.done);
    let row = row.column("examined", total.examined);
    Ok(global.printer().done(&format!("{} removed from {address}", messages(total.done)), &row)?)
}
