//! The broker as a process of its own, with a data directory that goes when it goes.

use crate::process;
use anyhow::{Context, Result, ensure};
use postrider_client::{Client, StatusInfo};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a start may take, recovery included.
const START_WITHIN: Duration = Duration::from_secs(60);
const READY: &str = "listening on ";

/// What is started.
#[derive(Debug, Clone)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Variables of its environment, beside those of this program.
    pub environment: Vec<(&'static str, String)>,
}

impl Program {
    /// The one named, or `postrider` in the folder of this program.
    pub fn or_beside_this(named: Option<PathBuf>) -> Result<Self> {
        let beside = || {
            let own = std::env::current_exe().context("cannot find out where this program is")?;
            anyhow::Ok(own.with_file_name("postrider"))
        };
        let path = named.map_or_else(beside, Ok)?;
        Ok(Program { path, environment: Vec::new() })
    }
}

/// A broker that takes connections.
pub struct Broker {
    program: Program,
    dir: TempDir,
    child: Child,
    pid: u32,
    url: String,
    control: Client,
}

impl Broker {
    /// Starts one with an empty data directory in `parent`.
    pub async fn start(program: Program, parent: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("postrider-bench-").tempdir_in(parent)?;
        Self::start_in(program, dir).await
    }

    async fn start_in(program: Program, dir: TempDir) -> Result<Self> {
        let token = "bench".repeat(8);
        let mut command = Command::new(&program.path);
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"]).arg(dir.path());
        command.env("POSTRIDER_TOKEN", &token).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command.envs(program.environment.iter().map(|(name, value)| (name, value)));
        let started = command.spawn();
        let mut child =
            started.with_context(|| format!("cannot start {}; see --postrider", program.path.display()))?;
        let address =
            timeout(START_WITHIN, ready(&mut child)).await.context("the broker did not start in time")??;
        let url = format!("postrider://{token}@{address}");
        let pid = child.id().context("the broker ended early")?;
        let control = Client::connect(&url).await?;
        Ok(Broker { program, dir, child, pid, url, control })
    }

    /// Kills it in whatever it is doing and starts it on what it left.
    pub async fn kill_and_start(mut self) -> Result<Self> {
        self.child.kill().await?;
        Self::start_in(self.program, self.dir).await
    }

    /// How to reach it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection to manage entities with.
    pub fn control(&self) -> &Client {
        &self.control
    }

    /// What it says about itself.
    pub async fn status(&self) -> Result<StatusInfo> {
        Ok(self.control.admin().status().await?)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Resident memory in MiB.
    pub fn resident_mib(&self) -> Result<f64> {
        process::resident_mib(self.pid)
    }

    /// The most resident memory there was, in MiB.
    pub fn peak_mib(&self) -> Result<f64> {
        process::peak_mib(self.pid)
    }

    /// Ends it; nobody needs its data any more.
    pub async fn end(mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "the broker ended early");
        Ok(self.child.kill().await?)
    }
}

/// Waits until the broker says where it listens.
async fn ready(child: &mut Child) -> Result<String> {
    let stdout = child.stdout.take().context("the broker has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix(READY) {
            return Ok(address.to_owned());
        }
    }
    anyhow::bail!("the broker ended before it listened; what it said is above")
}
