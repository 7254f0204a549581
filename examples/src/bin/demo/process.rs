//! A process of the demo's: started, watched, ended. It never outlives its [`Process`].

use crate::wait::{Patience, wait_until};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, ChildStdout, Command};

/// For an orderly end.
const END: Patience = Patience { every: Duration::from_millis(5), within: Duration::from_secs(20) };
/// Lines of a log that are shown when its process failed.
const LOG_LINES: usize = 8;

/// A process that runs, or has ended and was not looked at yet.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it says on stderr is added to `log`.
    pub fn start(name: &str, command: &mut Command, log: PathBuf) -> Result<Self> {
        let stderr = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        let program = Path::new(command.as_std().get_program()).display().to_string();
        let child = command.spawn().with_context(|| format!("cannot start {name} ({program})"))?;
        Ok(Process { name: name.to_owned(), child, log })
    }

    /// What it says on stdout; once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether it has ended; a failure of it is ours.
    pub fn has_ended(&mut self) -> Result<bool> {
        match self.child.try_wait()? {
            Some(status) if !status.success() => Err(self.failure(status)),
            ended => Ok(ended.is_some()),
        }
    }

    /// Fails if it has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        ensure!(!self.has_ended()?, "{} ended early", self.name);
        Ok(())
    }

    /// Ends it at once, as a crash would: SIGKILL.
    pub async fn kill(mut self) -> Result<()> {
        self.ensure_running()?;
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks it to end, with SIGTERM, and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        self.ensure_running()?;
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let Some(pid) = pid else { bail!("{} has no process id", self.name) };
        kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop {}", self.name))?;
        let what = format!("{} to stop", self.name);
        wait_until(&what, END, async || Ok(self.has_ended()?.then_some(()))).await
    }

    /// Why it ended, for one that should not have.
    pub async fn ended_early(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => self.failure(status),
            Err(error) => error.into(),
        }
    }

    /// An error with the end of the log.
    fn failure(&self, status: ExitStatus) -> anyhow::Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last: String = lines
            .iter()
            .skip(lines.len().saturating_sub(LOG_LINES))
            .map(|line| format!("\n  {line}"))
            .collect();
        let said = if last.is_empty() { "nothing" } else { &last };
        anyhow::anyhow!("{} ended with {status} and said: {said}", self.name)
    }
}
