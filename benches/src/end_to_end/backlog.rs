//! Many messages and nobody receiving: memory, the rate at the end, and the way back after SIGKILL.

use super::site::{ADDRESS, Site};
use crate::args::{Args, Mode};
use crate::broker::Broker;
use crate::client::Consumer as _;
use crate::figures::Backlog;
use crate::load::{Crew, Load};
use crate::ours::Consumer;
use anyhow::{Result, ensure};
use std::time::Instant;

const SIZE: usize = 200;

/// Measures it.
pub async fn measure(args: &Args) -> Result<Backlog> {
    let site = Site::with_queue(args, SIZE, args.backlog).await?;
    let mut crew = site.crew();
    site.add_producers(&mut crew, Mode::Single).await?;
    let tenth = args.backlog / 10;
    let rate_at_start = rate(&mut crew, tenth, 0).await?;
    crew.work_until(Load::published, args.backlog - tenth).await?;
    let rate_at_end = rate(&mut crew, args.backlog, args.backlog - tenth).await?;
    crew.end().await?;
    let (resident_mib, peak_mib) = (site.broker.resident_mib()?, site.broker.peak_mib()?);
    let start = Instant::now();
    let broker = site.broker.kill_and_start().await?;
    let restart_ms = start.elapsed().as_secs_f64() * 1e3;
    let first_delivery_ms = first_delivery_ms(&broker, args).await?;
    let resident_after_restart_mib = broker.resident_mib()?;
    let messages = broker.status().await?.messages;
    ensure!(messages == args.backlog, "{messages} of {} messages came through the restart", args.backlog);
    broker.end().await?;
    Ok(Backlog {
        messages,
        rate_at_start,
        rate_at_end,
        resident_mib,
        peak_mib,
        restart_ms,
        first_delivery_ms,
        resident_after_restart_mib,
    })
}

/// Messages a second from now, when there are `from`, until there are `to`.
async fn rate(crew: &mut Crew, to: u64, from: u64) -> Result<f64> {
    let start = Instant::now();
    crew.work_until(Load::published, to).await?;
    Ok((to - from) as f64 / start.elapsed().as_secs_f64())
}

async fn first_delivery_ms(broker: &Broker, args: &Args) -> Result<f64> {
    let start = Instant::now();
    let mut consumer = Consumer::open(broker.url(), ADDRESS, args.prefetch, args.take).await?;
    while consumer.receive().await?.is_empty() {}
    let waited = start.elapsed().as_secs_f64() * 1e3;
    consumer.close().await?;
    Ok(waited)
}
