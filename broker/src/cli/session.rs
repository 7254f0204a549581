//! `postrider session`.

use super::connect::Global;
use super::failure::Failure;
use super::output::Row;
use super::parse::rfc3339_ms;
use clap::Subcommand;
use postrider_client::SessionInfo;

#[derive(Subcommand)]
pub enum Session {
    /// List the sessions of a queue or subscription, with their messages and who holds them
    #[command(after_help = examples!(
        "postrider session list orders",
        "postrider session list order-events/subscriptions/payment --output json",
    ))]
    List {
        /// A queue or <topic>/subscriptions/<name>
        address: String,
    },
}

impl Session {
    /// Does what was asked for.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let Session::List { address } = self;
        let client = global.connect().await?;
        let rows: Vec<_> = client.admin().sessions(&address).await?.iter().map(row).collect();
        Ok(global.printer().list(&rows, &format!("no sessions in {address}"))?)
    }
}

fn row(info: &SessionInfo) -> Row {
    let time = |ms: u64| (ms != 0).then(|| rfc3339_ms(ms));
    Row::new()
        .column("session", info.id.as_str())
        .column("messages", info.messages)
        .column("owner", (info.owner != 0).then(|| format!("{:032x}", info.owner)))
        .column("locked_until", time(info.locked_until_ms))
        .column("oldest", time(info.oldest_ms))
        .column("state_bytes", info.state_bytes)
        .data("state_changed", time(info.state_changed_ms))
}
