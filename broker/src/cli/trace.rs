//! `postrider trace`.

use super::connect::Global;
use super::failure::Failure;
use super::output::{Output, Row};
use super::parse::rfc3339_ms;
use clap::Args;
use postrider_protocol::trace::{Step, StepKind};
use serde_json::Value;

/// Show what happened to a message, as far as the broker's journal goes back
#[derive(Args)]
#[command(after_help = examples!(
    "postrider trace order-17",
    "postrider trace order-17 --entity order-events --output json",
))]
pub struct Trace {
    /// The message's id
    message_id: String,
    /// Only what happened in this queue, topic with its subscriptions, or <topic>/subscriptions/<name>
    #[arg(long, value_name = "NAME")]
    entity: Option<String>,
}

const NOT_FOUND: &str = "the journal keeps what happened lately, and may be switched off: \
    see --journal-bytes in postrider serve --help";

impl Trace {
    /// Shows the steps.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.connect().await?;
        let trace = client.admin().trace(&self.message_id, self.entity.as_deref()).await?;
        if trace.steps.is_empty() {
            let text = format!("nothing is known of a message with the id {:?}", self.message_id);
            return Err(Failure::refused(text).hint(NOT_FOUND));
        }
        let is_table = global.output() == Output::Table;
        let rows: Vec<_> = trace.steps.iter().map(|step| row(step, is_table)).collect();
        global.printer().list(&rows, "")?;
        if trace.more {
            eprintln!("there is more; name one entity with --entity");
        }
        Ok(())
    }
}

fn row(step: &Step, is_table: bool) -> Row {
    let row = Row::new().column("time", rfc3339_ms(step.when_ms)).column("what", step.kind.name());
    if is_table {
        return row.column("where", place(&step.address, step.sequence)).column("details", details(step));
    }
    let text = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    let number = |number: u64| if number == 0 { Value::Null } else { Value::from(number) };
    let client = step.attempt > 0;
    row.data("address", text(&step.address))
        .data("sequence", number(step.sequence))
        .data("to_address", text(&step.to_address))
        .data("to_sequence", number(step.to_sequence))
        .data("client", if client { Value::from(format!("{:032x}", step.client)) } else { Value::Null })
        .data("receiver", if client { Value::from(step.handle) } else { Value::Null })
        .data("attempt", number(u64::from(step.attempt)))
        .data("until", if step.until_ms == 0 { Value::Null } else { rfc3339_ms(step.until_ms).into() })
        .data("reason", text(&step.reason))
        .data("description", text(&step.description))
}

/// An address, and the message's number there where it has one.
fn place(address: &str, sequence: u64) -> String {
    if sequence == 0 { address.to_owned() } else { format!("{address} {sequence}") }
}

/// What else there is to say of a step, in words.
fn details(step: &Step) -> String {
    let to = place(&step.to_address, step.to_sequence);
    let until = rfc3339_ms(step.until_ms);
    let got = format!("by {:032x}/{}, attempt {}", step.client, step.handle, step.attempt);
    match step.kind {
        StepKind::Copied => format!("of {to}"),
        StepKind::Duplicate => format!("of {}", step.to_sequence),
        StepKind::Scheduled => format!("for {until}"),
        StepKind::Delivered => format!("{got}, locked until {until}"),
        StepKind::Received => got,
        StepKind::Abandoned | StepKind::LockRanOut if step.until_ms > 0 => format!("delayed until {until}"),
        StepKind::DeadLettered => why(step, &to),
        StepKind::Redriven | StepKind::Forwarded => format!("to {to}"),
        _ => String::new(),
    }
}

fn why(step: &Step, to: &str) -> String {
    let why = [step.reason.as_str(), step.description.as_str()];
    let why = why.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    if to.is_empty() { why } else { format!("to {to}: {why}") }
}
