//! `postrider status`.

use super::connect::Global;
use super::failure::Failure;
use super::output::Row;
use clap::Args;
use postrider_protocol::reply::StatusInfo;
use std::time::Duration;

/// Show how the broker is
#[derive(Args)]
#[command(after_help = examples!("postrider status", "postrider status --output json"))]
pub struct Status {}

impl Status {
    /// Shows it.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.connect().await?;
        let status = client.admin().status().await?;
        Ok(global.printer().one(&row(&status))?)
    }
}

fn row(status: &StatusInfo) -> Row {
    let uptime = Duration::from_secs(status.uptime_ms / 1000);
    Row::new()
        .column("version", status.version.as_str())
        .column("cluster", format!("{:032x}", status.cluster))
        .column("node", status.node)
        .column("uptime", humantime::format_duration(uptime).to_string())
        .data("uptime_ms", status.uptime_ms)
        .column("connections", status.connections)
        .column("entities", status.entities)
        .column("messages", status.messages)
        .column("bytes", status.bytes)
        .column("published", status.published)
        .column("delivered", status.delivered)
        .column("settled", status.settled)
        .column("commits", status.commits)
        .column("breakers_open", status.breakers_open)
        .column("storage_full", status.storage_full)
        .column("disk_free", status.disk_free)
        .column("disk_reserve", status.disk_reserve)
}
