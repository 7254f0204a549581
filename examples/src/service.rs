//! What every service needs: a connection, a history, and a way to be told to stop.

use crate::history::History;
use anyhow::{Context, Result};
use clap::Args;
use postrider_client::{Client, Delivery};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// The options of every service.
#[derive(Args)]
pub struct Service {
    /// The broker, as postrider://TOKEN@HOST:PORT
    #[arg(long, env = "POSTRIDER_URL", hide_env_values = true)]
    url: String,
    /// A file to append a line of JSON to for each message that was published, received, handled or completed
    #[arg(long, value_name = "PATH")]
    history: Option<PathBuf>,
}

impl Service {
    /// Connects. From then on the client reconnects by itself.
    pub async fn connect(&self, name: &str) -> Result<Client> {
        let client = Client::builder().url(&self.url).name(name).connect().await;
        client.context("cannot connect to the broker; start one with: postrider serve")
    }

    /// Opens the history that was asked for.
    pub fn history(&self) -> Result<History> {
        History::open(self.history.as_deref())
    }
}

/// Resolves when the service is asked to stop, by SIGTERM or Ctrl-C. Asked from the moment of this call on.
pub fn stop_signal() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The id of a delivered message; empty if its sender gave none.
pub fn message_id(delivery: &Delivery) -> String {
    delivery.message().message_id.as_ref().map(ToString::to_string).unwrap_or_default()
}
