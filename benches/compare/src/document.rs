//! Everything that was measured, for programs.

use crate::case::Case;
use crate::goals::{Against, Goal};
use crate::results::{Figure, Results};
use crate::system::System;
use anyhow::Result;
use postrider_benches::disk::SyncLatency;
use serde::Serialize;

/// Prints it as JSON.
pub fn print(results: &Results) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&document(results))?);
    Ok(())
}

fn document(results: &Results) -> Document<'_> {
    let (cases, cores) = (results.cases(), std::thread::available_parallelism().map_or(0, usize::from));
    let both = |case: Case| System::ALL.map(|system| (system, case));
    let measured = cases.iter().copied().flat_map(both);
    let medians = measured.filter_map(|(system, case)| {
        let figures = results.medians(system, case)?;
        let [msg_per_s, server_us, p50_us, p99_us] = Figure::ALL.map(|figure| figure.of(&figures));
        Some(Medians { system, case, msg_per_s, server_us, client_us: figures.client_us, p50_us, p99_us })
    });
    let rows = cases.iter().flat_map(|&case| Figure::ALL.map(|figure| (case, figure)));
    let goals = rows.flat_map(|(case, figure)| {
        let judged = move |goal: Goal| Judged {
            case,
            figure,
            against: goal.against,
            limit: goal.limit,
            met: goal.is_met(results, case),
        };
        Goal::of(results, case, figure).into_iter().map(judged)
    });
    Document {
        cores,
        seconds: results.seconds,
        repeat: results.repeat,
        slow_sync_us: results.slow_sync_us,
        sync: &results.sync,
        results: medians.collect(),
        goals: goals.collect(),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    cores: usize,
    seconds: f64,
    repeat: u32,
    slow_sync_us: Option<u64>,
    sync: &'a [SyncLatency],
    results: Vec<Medians>,
    goals: Vec<Judged>,
}

#[derive(Serialize)]
struct Medians {
    system: System,
    #[serde(flatten)]
    case: Case,
    msg_per_s: Option<f64>,
    server_us: Option<f64>,
    client_us: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

#[derive(Serialize)]
struct Judged {
    #[serde(flatten)]
    case: Case,
    figure: Figure,
    against: Against,
    limit: f64,
    met: Option<bool>,
}
