//! What to measure.

use crate::broker::Program;
use crate::shape::Shape;
use anyhow::Result;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Measure Postrider: its parts alone, and the real program end to end
#[derive(Parser, Debug, Clone)]
#[command(name = "postrider-benches")]
pub struct Args {
    /// What to measure; everything where nothing is named
    #[arg(value_enum, value_name = "SCENARIO")]
    pub scenarios: Vec<Scenario>,
    /// Bytes of a message's body
    #[arg(long = "size", value_delimiter = ',', default_values_t = [256, 1024, 16 * 1024], value_parser = body_size)]
    pub sizes: Vec<usize>,
    /// How producers publish
    #[arg(long = "mode", value_enum, value_delimiter = ',', default_values_t = [Mode::Single, Mode::Batch])]
    pub modes: Vec<Mode>,
    /// Seconds that each figure is measured for
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds before that
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// How often each case is measured; medians are shown
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Messages after which a fill ends early
    #[arg(long, default_value_t = 4_000_000)]
    pub messages: u64,
    /// Producers, each with its own connection
    #[arg(long, default_value_t = 2)]
    pub producers: usize,
    /// Consumers, each with its own connection
    #[arg(long, default_value_t = 2)]
    pub consumers: usize,
    /// Messages of a producer that wait for their confirm; also the size of a batch
    #[arg(long, default_value_t = 256)]
    pub unconfirmed: usize,
    /// Batches that a producer in batch mode has on their way
    #[arg(long, default_value_t = 1)]
    pub batches: usize,
    /// Messages on their way to a consumer
    #[arg(long, default_value_t = 500)]
    pub prefetch: u32,
    /// Messages that a consumer takes and completes at once
    #[arg(long, default_value_t = 256)]
    pub take: usize,
    /// Messages a second of the paced scenario
    #[arg(long, default_value_t = 2_000.0)]
    pub rate: f64,
    /// Subscriptions of the fan-out
    #[arg(long = "subscriptions", value_delimiter = ',', default_values_t = [1, 10])]
    pub fan: Vec<usize>,
    /// Messages of the backlog scenario, 200 bytes each
    #[arg(long, default_value_t = 1_000_000)]
    pub backlog: u64,
    /// Sessions of the sessions scenario, three messages each
    #[arg(long, default_value_t = 100_000)]
    pub sessions: u64,
    /// How many of them are accepted, one after the other
    #[arg(long, default_value_t = 5_000)]
    pub accepts: u64,
    /// Messages of the capacity scenario
    #[arg(long, default_value_t = 10_000)]
    pub capacity_messages: u64,
    /// Milliseconds that its consumers work on each
    #[arg(long, default_value_t = 10)]
    pub work_ms: u64,
    /// The broker's program; the one beside this program where nothing is said
    #[arg(long, value_name = "PATH")]
    postrider: Option<PathBuf>,
    /// Where data directories are made and removed again; the system's temporary folder where nothing is said
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
    /// What is not plain about messages and their queue.
    #[command(flatten)]
    pub shape: Shape,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// One thing to measure.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Frames to bytes and back
    Codec,
    /// A turn of the core: publish, deliver, settle, without I/O
    Core,
    /// SQL filters, asked about messages
    Filter,
    /// Synced commits of pages and leases
    Store,
    /// Publish with confirm into an empty queue
    Fill,
    /// Receive and complete the backlog that a fill made
    Drain,
    /// Both at once
    Flow,
    /// Latency from end to end at a fixed rate
    Paced,
    /// A topic with subscriptions, each with its own consumer
    Fanout,
    /// Many messages and nobody receiving; then a restart after SIGKILL
    Backlog,
    /// Accepting the next session, where there are many
    Sessions,
    /// Work that capacity units bound
    Capacity,
}

/// How producers publish.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One by one, pipelined
    Single,
    /// In batches
    Batch,
}

impl Args {
    /// Whether a scenario is to be measured.
    pub fn wants(&self, scenario: Scenario) -> bool {
        self.scenarios.is_empty() || self.scenarios.contains(&scenario)
    }

    /// How long each figure is measured for.
    pub fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// How long a load runs before it is measured.
    pub fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup)
    }

    /// Where data directories are made.
    pub fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// The broker's program.
    pub fn postrider(&self) -> Result<Program> {
        Program::or_beside_this(self.postrider.clone())
    }
}

/// The largest body that fits into a message of the default size limit, its header beside it.
const MOST_BODY_BYTES: usize = 1_000_000;

fn body_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        // Eight bytes hold the moment of sending.
        Ok(size @ 8..=MOST_BODY_BYTES) => Ok(size),
        _ => Err(format!("a body has 8 to {MOST_BODY_BYTES} bytes")),
    }
}
