//! What to compare.

use crate::case::Job;
use crate::system::System;
use crate::tree;
use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use postrider_benches::broker::Program;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of a body where the load or the number of queues is what varies.
const SIZE: usize = 1024;
/// Queues that a fan-out goes to.
pub const FAN: usize = 10;

/// Compare Postrider with RabbitMQ and NATS
#[derive(Parser, Debug, Clone)]
#[command(name = "postrider-compare")]
pub struct Args {
    /// What to measure; everything where nothing is named
    #[arg(value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// Bytes of a message's body
    #[arg(long = "size", value_delimiter = ',', default_values_t = [256, 1024, 4096, 16 * 1024, 64 * 1024])]
    sizes: Vec<usize>,
    /// Messages a second of `load`
    #[arg(long = "rate", value_delimiter = ',', default_values_t = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000])]
    rates: Vec<u32>,
    /// Messages a second of `paced`
    #[arg(long, default_value_t = 2_000)]
    pace: u32,
    /// Systems to compare; all of them where none is named
    #[arg(long = "system", value_enum, value_delimiter = ',')]
    systems: Vec<System>,
    /// Seconds that each figure is measured for
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds before that
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// How often each case is measured; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Messages after which a fill ends early
    #[arg(long, default_value_t = 4_000_000)]
    pub messages: u64,
    /// Producers, each with its own connection
    #[arg(long, default_value_t = 2)]
    pub producers: usize,
    /// Consumers of a queue, each with its own connection
    #[arg(long, default_value_t = 2)]
    pub consumers: usize,
    /// Messages of a producer that wait for their confirm
    #[arg(long, default_value_t = 256)]
    pub unconfirmed: usize,
    /// Messages on their way to a consumer
    #[arg(long, default_value_t = 500)]
    pub prefetch: u16,
    /// Messages that a consumer takes and acknowledges at once
    #[arg(long, default_value_t = 256)]
    pub take: usize,
    /// The folder of the scripts that start and end the other brokers
    #[arg(long, value_name = "DIR")]
    pub peers: PathBuf,
    /// Time that each sync takes longer, such as 1ms or 200us; leaves out NATS, which cannot be slowed down
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub slow_sync: Option<Duration>,
    /// Postrider's program; the one beside this program where nothing is said
    #[arg(long, value_name = "PATH")]
    postrider: Option<PathBuf>,
    /// Where Postrider's data is kept meanwhile; beside the other brokers' data where nothing is said
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where plots are written to
    #[arg(long, value_name = "DIR", default_value = "benches/plots")]
    pub plots: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// One thing to measure.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// Publish with confirm into an empty queue; then receive and acknowledge all of it
    Fill,
    /// Both at once
    Flow,
    /// Latency from end to end at a fixed rate, for each size
    Paced,
    /// Latency from end to end for each rate
    Load,
    /// Each message to ten queues with a consumer each
    Fanout,
}

impl Args {
    /// What is asked for, in order.
    pub fn jobs(&self) -> Vec<Job> {
        let mut jobs = Vec::new();
        for &size in &self.sizes {
            self.push(&mut jobs, Scenario::Fill, Job::FillAndDrain { size });
            self.push(&mut jobs, Scenario::Flow, Job::Flow { size });
            self.push(&mut jobs, Scenario::Paced, Job::Paced { size, rate: self.pace });
        }
        for &rate in &self.rates {
            self.push(&mut jobs, Scenario::Load, Job::Paced { size: SIZE, rate });
        }
        self.push(&mut jobs, Scenario::Fanout, Job::FanOut { size: SIZE });
        jobs
    }

    fn push(&self, jobs: &mut Vec<Job>, scenario: Scenario, job: Job) {
        let wanted = self.scenarios.is_empty() || self.scenarios.contains(&scenario);
        // A rate of `load` may be that of `paced`.
        if wanted && !jobs.contains(&job) {
            jobs.push(job);
        }
    }

    /// The systems to compare.
    pub fn systems(&self) -> Vec<System> {
        let wanted = |system: &System| self.systems.is_empty() || self.systems.contains(system);
        let reached = |system: &System| self.slow_sync.is_none() || system.takes_libraries();
        System::ALL.into_iter().filter(|system| wanted(system) && reached(system)).collect()
    }

    /// How long each figure is measured for.
    pub fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// How long a load runs before it is measured.
    pub fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup)
    }

    /// Where Postrider's data is kept: on the same disk as that of the others.
    pub fn dir(&self) -> Result<PathBuf> {
        match &self.dir {
            Some(dir) => Ok(dir.clone()),
            None => Ok(tree::root()?.join("var/lib")),
        }
    }

    /// Postrider's program.
    pub fn postrider(&self) -> Result<Program> {
        Program::or_beside_this(self.postrider.clone())
    }
}

fn time(text: &str) -> Result<Duration> {
    let (number, unit) = match (text.strip_suffix("us"), text.strip_suffix("ms")) {
        (Some(number), _) => (number, 1e-6),
        (_, Some(number)) => (number, 1e-3),
        _ => anyhow::bail!("a time ends with us or ms"),
    };
    let number: f64 = number.parse().context("a time is a number and a unit")?;
    ensure!((1e-6..=1.0).contains(&(number * unit)), "a sync may take 1us to 1000ms longer");
    Ok(Duration::from_secs_f64(number * unit))
}
