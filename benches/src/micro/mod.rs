//! Parts alone, without a process.

mod codec;
mod core;
mod filter;
mod rules;
mod store;

use crate::args::{Args, Scenario};
use crate::figures::{Micro, median};
use crate::report::Report;
use anyhow::Result;
use postrider_core::context::{Calendar, Now, Places};
use postrider_protocol::limits::BATCH_BYTES;
use postrider_protocol::name::EntityName;
use std::time::{Duration, Instant};

/// Messages of a frame or turn; fewer where they would be larger than a batch may be.
const TOGETHER: [usize; 3] = [1, 16, 256];
/// How long a part runs for one figure, which is the median of its rounds.
const WINDOW: Duration = Duration::from_millis(500);

/// Measures all that is asked for.
pub fn run(args: &Args, report: &mut Report) -> Result<()> {
    if args.wants(Scenario::Filter) {
        filter::measure()?.into_iter().for_each(|micro| report.add_micro(micro));
    }
    for &size in &args.sizes {
        for messages in TOGETHER.map(|messages| messages.min(BATCH_BYTES / size).max(1)) {
            if args.wants(Scenario::Codec) {
                codec::measure(size, messages)?.into_iter().for_each(|micro| report.add_micro(micro));
            }
            if args.wants(Scenario::Core) {
                core::measure(size, messages)?.into_iter().for_each(|micro| report.add_micro(micro));
                rules::measure(size, messages)?.into_iter().for_each(|micro| report.add_micro(micro));
            }
            if args.wants(Scenario::Store) {
                report.add_micro(store::measure(args, size, messages)?);
            }
        }
    }
    Ok(())
}

/// The moment of every turn.
const NOW: Now = Now { wall_ms: 1_700_000_000_000, mono_ms: 5_000 };

/// What surrounds a shard that is measured alone: no schedules, and no other shards.
struct Alone;

impl Calendar for Alone {
    fn next_ms(&self, cron: &str, _: &str, _: u64) -> Result<u64, String> {
        Err(format!("{cron} never comes"))
    }
}

impl Places for Alone {
    fn shard_of(&self, _: &EntityName) -> u16 {
        0
    }
}

/// The rounds of one figure: how long each took.
#[derive(Default)]
struct Rounds {
    seconds: Vec<f64>,
}

impl Rounds {
    /// Times one round of `work`.
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.seconds.push(start.elapsed().as_secs_f64());
        done
    }

    fn micro(self, what: &'static str, size: usize, messages: usize) -> Micro {
        let seconds = median(self.seconds).unwrap_or_default();
        Micro { what, size, messages, ns: seconds * 1e9 / messages as f64 }
    }

    /// The mean, for what is cheap most of the time and pays later.
    fn mean(self, what: &'static str, size: usize, messages: usize) -> Micro {
        let seconds = self.seconds.iter().sum::<f64>() / self.seconds.len() as f64;
        Micro { what, size, messages, ns: seconds * 1e9 / messages as f64 }
    }
}

/// Repeats `round` for the length of a window.
fn repeat(mut round: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < WINDOW {
        round()?;
    }
    Ok(())
}
