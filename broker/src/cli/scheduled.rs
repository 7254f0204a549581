//! `postrider scheduled`.

use super::bulk::confirm;
use super::connect::Global;
use super::failure::Failure;
use super::message;
use super::output::Row;
use super::purge::purge;
use clap::{Args, Subcommand};
use postrider_client::{Error, PeekQuery, PeekState, Selection, States};

#[derive(Subcommand)]
pub enum Scheduled {
    /// List the messages that wait for their time, and until when
    #[command(after_help = examples!("postrider scheduled list orders", "postrider scheduled list orders --output json"))]
    List {
        /// The queue or subscription
        address: String,
    },
    /// Remove scheduled messages by the numbers they got when they were sent
    #[command(after_help = examples!("postrider scheduled cancel orders 17 23"))]
    Cancel(Which),
    /// Have scheduled messages delivered now
    #[command(after_help = examples!("postrider scheduled deliver orders 17 23"))]
    Deliver(Which),
    /// Remove all scheduled messages
    #[command(after_help = examples!("postrider scheduled purge orders", "postrider scheduled purge orders --yes"))]
    Purge {
        /// The queue or subscription
        address: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Scheduled messages.
#[derive(Args)]
pub struct Which {
    /// The queue or topic they were sent to
    address: String,
    /// Their numbers
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<u64>,
}

impl Scheduled {
    /// Does what was asked for.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Scheduled::List { address } => list(global, &address).await,
            Scheduled::Cancel(which) => {
                let admin = global.connect().await?.admin();
                let outcomes = admin.cancel_scheduled(&which.address, &which.numbers).await?;
                each(global, &which, &outcomes, "cancelled")
            }
            Scheduled::Deliver(which) => {
                let admin = global.connect().await?.admin();
                let outcomes = admin.deliver_scheduled_now(&which.address, &which.numbers).await?;
                each(global, &which, &outcomes, "delivered")
            }
            Scheduled::Purge { address, yes } => {
                confirm(&format!("Remove all scheduled messages from {address} for ever?"), yes)?;
                let selection = Selection { states: scheduled(), ..Selection::default() };
                let admin = global.connect().await?.admin();
                purge(global, &admin, &address, selection).await
            }
        }
    }
}

fn scheduled() -> States {
    States::of(&[PeekState::Scheduled])
}

async fn list(global: &Global, address: &str) -> Result<(), Failure> {
    let client = global.connect().await?;
    let mut printer = global.printer();
    let mut query = PeekQuery { states: scheduled(), ..PeekQuery::default() };
    loop {
        let page = client.admin().peek_page(address, &query).await?;
        printer.part(&page.messages.iter().map(message::scheduled).collect::<Vec<_>>())?;
        match page.next {
            Some(next) => query.from = next,
            None => return Ok(printer.finish(&format!("no scheduled messages in {address}"))?),
        }
    }
}

/// Shows what became of each number. That some were refused is a failure.
fn each(global: &Global, which: &Which, outcomes: &[Result<(), Error>], done: &str) -> Result<(), Failure> {
    let rows: Vec<_> =
        which.numbers.iter().zip(outcomes).map(|(number, outcome)| row(*number, outcome, done)).collect();
    global.printer().list(&rows, "nothing to do")?;
    match outcomes.iter().filter(|outcome| outcome.is_err()).count() {
        0 => Ok(()),
        refused => Err(Failure::refused(format!("{refused} of {} refused", outcomes.len()))
            .hint(format!("see what is scheduled with: postrider scheduled list {}", which.address))),
    }
}

fn row(number: u64, outcome: &Result<(), Error>, done: &str) -> Row {
    let row = Row::new().column("sequence", number);
    let result = if outcome.is_ok() { done } else { "refused" };
    row.column("result", result).column("error", outcome.as_ref().err().map(short))
}

/// The broker's words alone: a cell is short, and what to do next stands below.
fn short(error: &Error) -> String {
    match error {
        Error::Refused(refusal) => refusal.message.clone(),
        other => other.to_string(),
    }
}
