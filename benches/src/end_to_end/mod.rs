//! The real program under load, each case with a fresh one.

mod backlog;
mod capacity;
mod meter;
mod scenarios;
mod sessions;
mod site;

use crate::args::{Args, Mode, Scenario};
use crate::figures::Figures;
use crate::report::Report;
use anyhow::Result;

/// Measures all that is asked for.
pub async fn run(args: &Args, report: &mut Report) -> Result<()> {
    for &size in &args.sizes {
        for &mode in &args.modes {
            fill_and_drain(args, report, size, mode).await?;
            if args.wants(Scenario::Flow) {
                report.add(repeated!(args, scenarios::flow(args, size, mode)));
            }
        }
        if args.wants(Scenario::Paced) {
            report.add(repeated!(args, scenarios::paced(args, size)));
        }
        for &fan in args.fan.iter().filter(|_| args.wants(Scenario::Fanout)) {
            report.add(repeated!(args, scenarios::fan_out(args, size, fan)));
        }
    }
    if args.wants(Scenario::Backlog) {
        report.add_backlog(backlog::measure(args).await?);
    }
    if args.wants(Scenario::Sessions) {
        report.add_sessions(sessions::measure(args).await?);
    }
    if args.wants(Scenario::Capacity) {
        report.add_capacity(capacity::measure(args).await?);
    }
    Ok(())
}

async fn fill_and_drain(args: &Args, report: &mut Report, size: usize, mode: Mode) -> Result<()> {
    let (mut fills, mut drains) = (Vec::new(), Vec::new());
    if !args.wants(Scenario::Fill) && !args.wants(Scenario::Drain) {
        return Ok(());
    }
    for _ in 0..args.repeat {
        let (fill, drain) = scenarios::fill_and_drain(args, size, mode).await?;
        fills.push(fill);
        drains.extend(drain);
    }
    if args.wants(Scenario::Fill) {
        report.add(Figures::medians(&fills));
    }
    if args.wants(Scenario::Drain) {
        report.add(Figures::medians(&drains));
    }
    Ok(())
}

/// Runs a case as often as asked for; its medians.
macro_rules! repeated {
    ($args:expr, $case:expr) => {{
        let mut runs = Vec::new();
        for _ in 0..$args.repeat {
            runs.push($case.await?);
        }
        Figures::medians(&runs)
    }};
}
use repeated;
