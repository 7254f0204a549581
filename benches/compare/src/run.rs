//! Every load on every system.

use crate::args::Args;
use crate::case::{Case, Job};
use crate::peers::Peers;
use crate::results::Results;
use crate::slow_sync::SlowSync;
use crate::system::System;
use crate::{nats, ours, rabbitmq, scenarios};
use anyhow::{Result, anyhow, bail};
use postrider_benches::figures::Figures;
use std::time::Duration;
use tokio::time::timeout;

/// How long one load on one system may take, removing what it left included.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures each case with each system, as often as asked for. A case that fails leaves a gap.
pub async fn all(args: &Args, peers: &Peers, slow: Option<&SlowSync>, results: &mut Results) -> Result<()> {
    let mut failures = 0;
    for run in 0..args.repeat {
        for job in args.jobs() {
            let mut systems = args.systems();
            if run % 2 == 1 {
                systems.reverse();
            }
            for system in systems {
                if results.is_hopeless(system, &job) {
                    continue;
                }
                let measuring = timeout(PATIENCE, one(system, args, &job, peers, slow)).await;
                match measuring.unwrap_or_else(|_| Err(anyhow!("not done within {PATIENCE:?}"))) {
                    Ok(figures) => results.add(system, figures),
                    Err(error) => {
                        failures += 1;
                        eprintln!("{} {job:?}: {error:#}", system.name());
                    }
                }
            }
        }
    }
    match failures {
        0 => Ok(()),
        _ => bail!("{failures} cases failed; see above"),
    }
}

/// Measures one load on one system.
async fn one(
    system: System,
    args: &Args,
    job: &Job,
    peers: &Peers,
    slow: Option<&SlowSync>,
) -> Result<Vec<(Case, Figures)>> {
    let queues = job.queues();
    let measured = match system {
        System::Postrider => scenarios::run(args, job, ours::Place::open(args, queues, slow).await?).await,
        System::Rabbitmq => {
            scenarios::run(args, job, rabbitmq::Place::open(args, queues, peers.rabbitmq).await?).await
        }
        System::Nats => {
            scenarios::run(args, job, nats::Place::open(nats::SYNCED, args, queues, peers.nats).await?).await
        }
        System::NatsUnsynced => {
            let place = nats::Place::open(nats::UNSYNCED, args, queues, peers.nats_unsynced).await?;
            scenarios::run(args, job, place).await
        }
    }?;
    for (case, figures) in &measured {
        eprintln!("{:13} {:14} {:5} B  {}", system.name(), case.name(), case.size, line(figures));
    }
    Ok(measured)
}

/// The figures of one case in one line, for those who watch.
fn line(figures: &Figures) -> String {
    let known = [
        ("msg/s", figures.rate),
        ("published/s", figures.published),
        ("server us/msg", figures.server_us),
        ("clients us/msg", figures.client_us),
        ("p50 us", figures.p50_us),
        ("p99 us", figures.p99_us),
    ];
    let texts = known.iter().filter_map(|(name, value)| value.map(|value| format!("{value:.1} {name}")));
    texts.collect::<Vec<_>>().join("  ")
}
