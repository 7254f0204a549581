//! The tasks of a load: the failure of one is the failure of the measurement.

use super::Load;
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How often counters are looked at.
const LOOK: Duration = Duration::from_millis(1);
/// A count that stands still for so long will not move again.
const STALL: Duration = Duration::from_secs(30);

/// Producers and consumers that are at work.
pub struct Crew {
    load: Arc<Load>,
    tasks: JoinSet<Result<()>>,
}

impl Crew {
    /// Nobody yet.
    pub fn new(load: Arc<Load>) -> Self {
        Crew { load, tasks: JoinSet::new() }
    }

    /// One more.
    pub fn add(&mut self, task: impl Future<Output = Result<()>> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Lets them work until `count` has come to `goal`; fails when one of them does.
    pub async fn work_until(&mut self, count: impl Fn(&Load) -> u64, goal: u64) -> Result<()> {
        let (mut last, mut moved) = (0, Instant::now());
        while last < goal {
            sleep(LOOK).await;
            self.check()?;
            let now = count(&self.load);
            if now > last {
                (last, moved) = (now, Instant::now());
            }
            ensure!(moved.elapsed() < STALL, "nothing moves any more: {now} of {goal} messages");
        }
        Ok(())
    }

    /// Lets them work for so long, or until the producers have nothing left to send.
    pub async fn work_for(&mut self, duration: Duration) -> Result<()> {
        let until = Instant::now() + duration;
        while Instant::now() < until && !self.tasks.is_empty() {
            sleep(LOOK).await;
            self.check()?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        while let Some(ended) = self.tasks.try_join_next() {
            ended.context("a task of the load failed")??;
        }
        Ok(())
    }

    /// Sends them home.
    pub async fn end(mut self) -> Result<()> {
        self.load.end();
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a task of the load failed")??;
        }
        Ok(())
    }
}

impl Drop for Crew {
    /// The thread of a paced producer is not aborted with its task.
    fn drop(&mut self) {
        self.load.end();
    }
}
