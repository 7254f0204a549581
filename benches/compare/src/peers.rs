//! The other brokers: started and ended by scripts that are not part of the project.

use crate::args::Args;
use crate::slow_sync::{self, SlowSync};
use crate::system::System;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long they may take to end.
const END_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// Brokers that take connections; they end with this.
pub struct Peers {
    scripts: PathBuf,
    /// Process of RabbitMQ.
    pub rabbitmq: u32,
    /// Process of NATS with a sync before each answer.
    pub nats: u32,
    /// Process of NATS as it comes.
    pub nats_unsynced: u32,
}

impl Peers {
    /// Starts them, with slower syncs where that is asked for.
    pub fn up(args: &Args, slow: Option<&SlowSync>) -> Result<Self> {
        eprintln!("starting the other brokers; the first time takes some minutes");
        // From here on they are ended whatever happens.
        let mut peers = Peers { scripts: args.peers.clone(), rabbitmq: 0, nats: 0, nats_unsynced: 0 };
        let mut up = Command::new(peers.scripts.join("up.sh"));
        up.stdin(Stdio::null()).stderr(Stdio::inherit());
        up.envs(slow.map_or_else(Vec::new, SlowSync::environment));
        let up = up.output().with_context(|| format!("cannot run {}/up.sh", peers.scripts.display()))?;
        ensure!(up.status.success(), "up.sh failed: {}", up.status);
        let said = String::from_utf8(up.stdout).context("up.sh has to say text")?;
        peers.rabbitmq = process(&said, "PEER_RABBITMQ_PID", "beam.smp")?;
        peers.nats = process(&said, "PEER_NATS_PID", "nats-server")?;
        peers.nats_unsynced = process(&said, "PEER_NATS_UNSYNCED_PID", "nats-server")?;
        if args.systems().contains(&System::Rabbitmq) {
            slow_sync::check(peers.rabbitmq, slow)?;
        }
        Ok(peers)
    }

    /// Ends them and waits until they are gone, so that the next ones are not taken for these.
    pub async fn down(self) -> Result<()> {
        let until = Instant::now() + END_WITHIN;
        let all = [self.rabbitmq, self.nats, self.nats_unsynced];
        drop(self);
        while all.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            ensure!(Instant::now() < until, "the other brokers did not end");
            sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        match Command::new(self.scripts.join("down.sh")).stdin(Stdio::null()).status() {
            Ok(status) if status.success() => (),
            failed => eprintln!("down.sh failed: {failed:?}"),
        }
    }
}

/// The process that a line names; a shell or `su` that waits for the server would have no CPU time to count.
fn process(said: &str, name: &str, program: &str) -> Result<u32> {
    let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let Some(pid) = value.and_then(|value| value.trim().parse().ok()) else {
        bail!("up.sh did not say {name}=…");
    };
    let path = format!("/proc/{pid}/comm");
    let found = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    ensure!(found.trim() == program, "{name}={pid} is {}, not {program}", found.trim());
    Ok(pid)
}
