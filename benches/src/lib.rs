//! Measures Postrider: its parts alone, and the real program end to end. `benches/README.md` says what the numbers mean.
//!
//! A library as well, so that `benches/compare` puts the same load on other brokers.

pub mod args;
pub mod bodies;
pub mod broker;
pub mod client;
pub mod disk;
mod end_to_end;
pub mod figures;
pub mod load;
mod micro;
pub mod ours;
pub mod process;
pub mod report;
pub mod shape;

use anyhow::Result;
use args::Args;
use report::Report;

/// Measures what is asked for, and prints it.
pub fn run(args: &Args) -> Result<()> {
    let mut report = Report::new(args)?;
    let measured = measure(args, &mut report);
    // What was measured before a failure is worth showing.
    report.measure_disk_again(args)?;
    report.print(args.json)?;
    measured
}

fn measure(args: &Args, report: &mut Report) -> Result<()> {
    micro::run(args, report)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(end_to_end::run(args, report))
}
