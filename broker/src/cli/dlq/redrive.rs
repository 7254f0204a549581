//! `postrider dlq redrive`.

use super::Which;
use crate::cli::bulk::{Meter, SelectionFlags};
use crate::cli::connect::Global;
use crate::cli::failure::Failure;
use crate::cli::output::{Row, messages};
use clap::Args;
use postrider_client::{RedriveOutcome, States};

/// Move dead letters back to where they failed: those that are there now
///
/// Stops by itself when the dead letters that come back for one cause are at least ten and at least half of what was
/// moved so far; the exit code is 1 then. Ctrl-C stops it as well: what was moved stays moved.
#[derive(Args)]
#[command(after_help = examples!(
    "postrider dlq redrive email-queue --dry-run",
    "postrider dlq redrive email-queue --cause MailServerDown --rate 50",
    "postrider dlq redrive order-events/subscriptions/payment --filter \"region = 'eu'\"",
))]
pub struct Redrive {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    selection: SelectionFlags,
    /// Messages a second, at most
    #[arg(long, value_name = "NUMBER")]
    rate: Option<f64>,
    /// Count what would be moved, and move nothing
    #[arg(long)]
    dry_run: bool,
}

impl Redrive {
    /// Moves them, and shows how far it has come.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let (client, address) = (global.connect().await?, self.which.address());
        let admin = client.admin();
        let selection = self.selection.selection(&admin, &address, States::ALL).await?;
        let plan = admin.redrive(&address).selection(selection).dry_run(self.dry_run);
        let plan = self.rate.into_iter().fold(plan, postrider_client::RedriveBuilder::rate);
        let (mut redrive, meter) = (plan.start().await?, Meter::new());
        while let Some(progress) = redrive.next().await? {
            meter.show("moved", &progress);
        }
        drop(meter);
        let outcome = redrive.outcome();
        global.printer().done(&self.sentence(&address, &outcome), &self.row(&address, &outcome))?;
        verdict(&outcome)
    }

    fn sentence(&self, address: &str, outcome: &RedriveOutcome) -> String {
        let verb = if self.dry_run { "would be moved back" } else { "moved back" };
        format!("{} of {} {verb} from {address}", outcome.moved, messages(outcome.examined))
    }

    fn row(&self, address: &str, outcome: &RedriveOutcome) -> Row {
        let stopped = outcome.stopped.as_ref();
        Row::new()
            .column("address", address)
            .column("moved", outcome.moved)
            .column("examined", outcome.examined)
            .column("dry_run", self.dry_run)
            .column("came_back", stopped.map(|back| back.messages))
            .column("reason", stopped.map(|back| back.cause.reason.clone()))
            .column("description", stopped.map(|back| back.cause.description.clone()))
    }
}

fn verdict(outcome: &RedriveOutcome) -> Result<(), Failure> {
    let Some(back) = &outcome.stopped else { return Ok(()) };
    let (count, moved, cause) = (back.messages, outcome.moved, &back.cause);
    let text = format!(
        "stopped: {count} of {moved} came back as dead letters, {}: {}",
        cause.reason, cause.description
    );
    Err(Failure::refused(text).hint("look after the cause, then redrive the rest"))
}
