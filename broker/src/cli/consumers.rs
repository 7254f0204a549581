//! `postrider consumers`.

use super::connect::Global;
use super::failure::Failure;
use super::output::{Output, Row};
use clap::Args;
use postrider_client::{ConsumerInfo, ConsumersInfo};

/// Show who receives from a queue, what each holds, and how its capacity is used
#[derive(Args)]
#[command(after_help = examples!(
    "postrider consumers email-queue",
    "postrider consumers order-events/subscriptions/payment --output json",
))]
pub struct Consumers {
    /// A queue, <topic>/subscriptions/<name>, or one of these with /$dead-letter behind
    address: String,
}

impl Consumers {
    /// Shows them. JSON is one document: the queue's capacity, and its consumers in a list.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.connect().await?;
        let info = client.admin().consumers(&self.address).await?;
        let rows: Vec<_> = info.consumers.iter().map(row).collect();
        let mut printer = global.printer();
        if global.output() != Output::Table {
            let consumers: Vec<_> = rows.iter().map(Row::json).collect();
            return Ok(printer.one(&capacity(&info).data("consumers", consumers))?);
        }
        if info.capacity_units > 0 {
            printer.one(&capacity(&info))?;
            println!();
        }
        Ok(printer.list(&rows, &format!("nobody receives from {}", self.address))?)
    }
}

fn capacity(info: &ConsumersInfo) -> Row {
    Row::new()
        .column("capacity_units", info.capacity_units)
        .column("in_use", info.in_use)
        .column("waiting", info.waiting)
        .column("refilled", info.refilled)
}

fn row(info: &ConsumerInfo) -> Row {
    Row::new()
        .column("client", format!("{:032x}", info.client))
        .column("receiver", info.handle)
        .column("weight", info.weight)
        .column("credit", info.credit)
        .column("messages", info.messages)
        .column("units", info.units)
        .column("delivered", info.delivered)
        .column("latency_ms", info.latency_ms)
}
