//! What happened between two moments.

use super::Load;
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
}

impl Moment {
    /// This moment of a load on the process `server`.
    pub fn now(load: &Load, server: u32) -> Result<Self> {
        Ok(Moment {
            at: Instant::now(),
            published: load.published(),
            completed: load.completed(),
            server: process::cpu_time(server)?,
            clients: process::cpu_time(std::process::id())?,
        })
    }

    /// Messages that were counted from this moment until `end`.
    pub fn messages_until(&self, end: &Moment, counted: Counted) -> u64 {
        match counted {
            Counted::Published => end.published - self.published,
            Counted::Completed => end.completed - self.completed,
        }
    }

    /// The figures from this moment until `end`.
    pub fn until(&self, end: &Moment, counted: Counted) -> Figures {
        let seconds = (end.at - self.at).as_secs_f64();
        let messages = self.messages_until(end, counted) as f64;
        let micros = |from: Duration, to: Duration| Some((to - from).as_secs_f64() * 1e6 / messages);
        Figures {
            rate: Some(messages / seconds),
            published: Some((end.published - self.published) as f64 / seconds),
            server_us: micros(self.server, end.server),
            client_us: micros(self.clients, end.clients),
            ..Figures::default()
        }
    }
}
