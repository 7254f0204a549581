//! Measures Postrider: its parts alone, and the real program end to end. `benches/README.md` says what the numbers mean.

mod args;
mod bodies;
mod broker;
mod disk;
mod end_to_end;
mod figures;
mod load;
mod micro;
mod ours;
mod process;
mod report;
mod shape;

use anyhow::Result;
use args::Args;
use clap::Parser;
use report::Report;

fn main() -> Result<()> {
    let args = Args::parse();
    let mut report = Report::new(&args)?;
    let measured = measure(&args, &mut report);
    // What was measured before a failure is worth showing.
    report.measure_disk_again(&args)?;
    report.print(args.json)?;
    measured
}

fn measure(args: &Args, report: &mut Report) -> Result<()> {
    micro::run(args, report)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(end_to_end::run(args, report))
}
