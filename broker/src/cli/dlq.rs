//! `postrider dlq`.

mod redrive;
mod resend;

use super::bulk::{StateFlags, dead_letters};
use super::connect::Global;
use super::failure::Failure;
use super::output::Row;
use super::parse::rfc3339_ms;
use super::{peek, purge};
use clap::{Args, Subcommand};
use postrider_client::CauseInfo;

#[derive(Subcommand)]
pub enum Dlq {
    /// Look at dead letters, with their reasons
    #[command(after_help = examples!("postrider dlq list email-queue", "postrider dlq list email-queue --all", "postrider dlq list orders --transfer"))]
    List(List),
    /// Group dead letters by why they are there, the most frequent cause first
    #[command(after_help = examples!("postrider dlq causes email-queue", "postrider dlq causes orders --output json"))]
    Causes(Which),
    Redrive(redrive::Redrive),
    Resend(resend::Resend),
    /// Remove dead letters
    #[command(after_help = examples!(
        "postrider dlq purge email-queue --older-than 30d",
        "postrider dlq purge email-queue --cause BadAddress --yes",
    ))]
    Purge(Purge),
}

/// A dead-letter queue.
#[derive(Args)]
pub struct Which {
    /// The queue or <topic>/subscriptions/<name> whose dead letters are meant
    entity: String,
    /// What could not be passed on to another entity, instead of dead letters
    #[arg(long)]
    transfer: bool,
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    what: peek::What,
    #[command(flatten)]
    states: StateFlags,
}

#[derive(Args)]
pub struct Purge {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    what: purge::What,
    #[command(flatten)]
    states: StateFlags,
}

impl Which {
    fn address(&self) -> String {
        dead_letters(&self.entity, self.transfer)
    }
}

impl Dlq {
    /// Does what was asked for.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Dlq::List(list) => list.what.show(global, &list.which.address(), &list.states).await,
            Dlq::Causes(which) => causes(global, &which.address()).await,
            Dlq::Redrive(redrive) => redrive.run(global).await,
            Dlq::Resend(resend) => resend.run(global).await,
            Dlq::Purge(purge) => purge.what.purge(global, &purge.which.address(), &purge.states).await,
        }
    }
}

async fn causes(global: &Global, address: &str) -> Result<(), Failure> {
    let client = global.connect().await?;
    let rows: Vec<_> = client.admin().causes(address).await?.iter().map(row).collect();
    Ok(global.printer().list(&rows, &format!("no messages in {address}"))?)
}

fn row(info: &CauseInfo) -> Row {
    Row::new()
        .column("reason", info.cause.reason.as_str())
        .column("messages", info.messages)
        .column("redriven", info.redriven)
        .column("first", rfc3339_ms(info.first_ms))
        .column("last", rfc3339_ms(info.last_ms))
        .column("sample", info.sample)
        .column("description", info.cause.description.as_str())
}
