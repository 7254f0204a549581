//! Measures Postrider beside RabbitMQ and NATS: the same work through each one's own client, on the same machine.
//! `benches/README.md` says how each of them is used.

mod args;
mod case;
mod document;
mod goals;
mod nats;
mod ours;
mod peers;
mod place;
mod plots;
mod rabbitmq;
mod results;
mod run;
mod scenarios;
mod slow_sync;
mod system;
mod table;
mod tree;

use anyhow::{Result, anyhow};
use args::Args;
use clap::Parser;
use peers::Peers;
use postrider_benches::disk::SyncLatency;
use results::Results;
use slow_sync::SlowSync;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let compared = runtime.block_on(compare(args));
    // The thread of a producer that waits for a confirm would keep the program from ending.
    runtime.shutdown_background();
    compared
}

async fn compare(args: Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let slow = args.slow_sync.map(SlowSync::prepare).transpose()?;
    let peers = Peers::up(&args, slow.as_ref())?;
    let mut results = Results::new(&args, SyncLatency::measure(&args.dir()?)?);
    let measured = tokio::select! {
        measured = run::all(&args, &peers, slow.as_ref(), &mut results) => measured,
        _ = ctrl_c() => Err(anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow!("terminated")),
    };
    let ended = peers.down().await;
    results.sync.push(SyncLatency::measure(&args.dir()?)?);
    // What was measured before a failure is worth showing.
    match args.json {
        true => document::print(&results)?,
        false => table::print(&results),
    }
    if slow.is_none() {
        plots::draw(&args.plots, &results)?;
    }
    measured.and(ended)
}
