//! The systems side by side, for people.

use crate::case::Case;
use crate::goals::Goal;
use crate::results::{Figure, Results};
use crate::system::System;
use postrider_benches::disk::SyncLatency;
use postrider_benches::report;

const HEAD: [&str; 10] = [
    "scenario",
    "body B",
    "figure",
    "postrider",
    "rabbitmq",
    "nats",
    "nats-unsynced",
    "to synced",
    "to unsynced",
    "goals",
];

/// Columns before the first number, the size aside.
const NAMES: usize = 3;

/// Prints the disk's latency and all rows.
pub fn print(results: &Results) {
    for (when, SyncLatency { p50_us, p99_us }) in ["before", "after"].into_iter().zip(&results.sync) {
        println!("append of 4 KiB with fdatasync, {when}: p50 {p50_us:.0} us, p99 {p99_us:.0} us");
    }
    if let Some(delay) = results.slow_sync_us {
        println!("each sync of a server takes {delay} us longer");
    }
    let mut table = report::table(&HEAD, NAMES);
    for case in results.cases() {
        for figure in Figure::ALL {
            if System::ALL.iter().any(|&system| results.value(system, case, figure).is_some()) {
                table.add_row(cells(results, case, figure));
            }
        }
    }
    if let Some(goals) = table.column_mut(HEAD.len() - 1) {
        goals.set_cell_alignment(comfy_table::CellAlignment::Left);
    }
    println!("\n{table}\n");
    println!("to synced: ours divided by the better of rabbitmq and nats; to unsynced: by nats-unsynced.");
}

fn cells(results: &Results, case: Case, figure: Figure) -> Vec<String> {
    let decimals = if figure == Figure::ServerCpu { 1 } else { 0 };
    let mut cells = vec![case.name(), case.size.to_string(), figure.name().to_owned()];
    cells.extend(System::ALL.map(|system| report::number(results.value(system, case, figure), decimals)));
    let ratios =
        [results.ratio_to_synced(case, figure), results.ratio_to(System::NatsUnsynced, case, figure)];
    cells.extend(ratios.map(|ratio| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x"))));
    let goals = Goal::of(results, case, figure);
    let goals: Vec<_> = goals.iter().map(|goal| goal.text(results, case)).collect();
    cells.push(goals.join(", "));
    cells
}
