//! The broker as a process, which can be killed and started again.

use crate::process::Process;
use crate::stage::Stage;
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

/// How long a start may take, recovery included.
const START_WITHIN: Duration = Duration::from_secs(30);
const READY: &str = "listening on ";

/// A broker that takes connections.
pub struct Broker {
    process: Process,
    token: String,
    address: String,
}

impl Broker {
    /// Starts a broker with an empty data directory, at a port that the system chooses.
    pub async fn start(stage: &Stage) -> Result<Self> {
        let token = format!("{:032x}", fastrand::u128(..));
        let (process, address) = launch(stage, &token, "127.0.0.1:0").await?;
        Ok(Broker { process, token, address })
    }

    /// Kills it in whatever it is doing, and starts it again where it was.
    pub async fn kill_and_start(self, stage: &Stage) -> Result<Self> {
        let Broker { process, token, address } = self;
        process.kill().await?;
        let (process, address) = launch(stage, &token, &address).await?;
        Ok(Broker { process, token, address })
    }

    /// How to reach it, token included.
    pub fn url(&self) -> String {
        format!("postrider://{}@{}", self.token, self.address)
    }

    /// Fails if it has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        self.process.ensure_running()
    }

    /// Stops it in order.
    pub async fn stop(self) -> Result<()> {
        self.process.stop().await
    }
}

/// Starts the process and waits until it says where it listens.
async fn launch(stage: &Stage, token: &str, listen: &str) -> Result<(Process, String)> {
    let mut command = stage.broker();
    command.args(["--listen", listen]).env("POSTRIDER_TOKEN", token);
    let mut process = Process::start("the broker", &mut command, stage.log("broker"))?;
    let stdout = process.stdout().context("the broker has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let address = timeout(START_WITHIN, async {
        while let Some(line) = lines.next_line().await? {
            if let Some(address) = line.strip_prefix(READY) {
                return Ok(address.to_owned());
            }
        }
        Err(process.ended_early().await)
    });
    let address = address.await.context("the broker did not start in time")??;
    Ok((process, address))
}
