//! What happened between two moments.

use super::site::Site;
use crate::figures::Figures;
use crate::process;
use anyhow::Result;
use std::time::{Duration, Instant};

/// Which messages count.
#[derive(Clone, Copy)]
pub enum Counted {
    /// Those that were confirmed.
    Published,
    /// Those whose completion was confirmed.
    Completed,
}

/// Everything that is counted, at one moment.
pub struct Moment {
    at: Instant,
    published: u64,
    completed: u64,
    server: Duration,
    clients: Duration,
    commits: u64,
}

impl Moment {
    /// This moment.
    pub async fn now(site: &Site<'_>) -> Result<Self> {
        let commits = site.broker.status().await?.commits;
        Ok(Moment {
            at: Instant::now(),
            published: site.load.published(),
            completed: site.load.completed(),
            server: site.broker.cpu_time()?,
            clients: process::cpu_time(std::process::id())?,
            commits,
        })
    }

    /// The figures from this moment until now.
    pub async fn until_now(&self, site: &Site<'_>, counted: Counted) -> Result<Figures> {
        let end = Moment::now(site).await?;
        let seconds = (end.at - self.at).as_secs_f64();
        let published = (end.published - self.published) as f64;
        let messages = match counted {
            Counted::Published => published,
            Counted::Completed => (end.completed - self.completed) as f64,
        };
        let micros = |from: Duration, to: Duration| Some((to - from).as_secs_f64() * 1e6 / messages);
        Ok(Figures {
            rate: Some(messages / seconds),
            published: Some(published / seconds),
            server_us: micros(self.server, end.server),
            client_us: micros(self.clients, end.clients),
            per_commit: Some(messages / (end.commits - self.commits) as f64),
            resident_mib: Some(site.broker.resident_mib()?),
            ..Figures::default()
        })
    }
}
