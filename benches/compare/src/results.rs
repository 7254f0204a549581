//! Everything that was measured.

use crate::args::Args;
use crate::case::{Case, Job};
use crate::system::System;
use postrider_benches::disk::SyncLatency;
use postrider_benches::figures::Figures;
use serde::Serialize;

/// All runs so far.
pub struct Results {
    /// Microseconds that each sync took longer.
    pub slow_sync_us: Option<u64>,
    /// The disk, before and after everything else.
    pub sync: Vec<SyncLatency>,
    /// Seconds that each figure was measured for.
    pub seconds: f64,
    /// Runs of each case.
    pub repeat: u32,
    runs: Vec<(System, Case, Figures)>,
}

/// One of the figures that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// Messages a second.
    Rate,
    /// CPU of the server, us a message.
    ServerCpu,
    /// Median latency, us.
    P50,
    /// 99th percentile, us.
    P99,
}

impl Figure {
    /// All of them.
    pub const ALL: [Figure; 4] = [Figure::Rate, Figure::ServerCpu, Figure::P50, Figure::P99];

    /// As it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Figure::Rate => "msg/s",
            Figure::ServerCpu => "server us/msg",
            Figure::P50 => "p50 us",
            Figure::P99 => "p99 us",
        }
    }

    /// Whether more of it is better.
    pub fn is_rate(self) -> bool {
        self == Figure::Rate
    }

    /// Its value among the figures of a case.
    pub fn of(self, figures: &Figures) -> Option<f64> {
        let value = match self {
            Figure::Rate => figures.rate,
            Figure::ServerCpu => figures.server_us,
            Figure::P50 => figures.p50_us,
            Figure::P99 => figures.p99_us,
        };
        value.filter(|value| value.is_finite())
    }
}

impl Results {
    /// Nothing yet but the disk's latency.
    pub fn new(args: &Args, sync: SyncLatency) -> Self {
        let slow_sync_us = args.slow_sync.map(|delay| delay.as_micros() as u64);
        Results {
            slow_sync_us,
            sync: vec![sync],
            seconds: args.seconds,
            repeat: args.repeat,
            runs: Vec::new(),
        }
    }

    /// Adds a run of some cases.
    pub fn add(&mut self, system: System, measured: Vec<(Case, Figures)>) {
        self.runs.extend(measured.into_iter().map(|(case, figures)| (system, case, figures)));
    }

    /// What was measured, in order.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for (_, case, _) in &self.runs {
            if !cases.contains(case) {
                cases.push(*case);
            }
        }
        cases
    }

    /// Whether a system does as much as a paced case asks for.
    pub fn keeps_up(&self, system: System, case: Case) -> Option<bool> {
        case.is_kept_up_with(&self.medians(system, case)?)
    }

    /// Whether a system does not even keep up with a lower rate: the backlog would only grow faster.
    pub fn is_hopeless(&self, system: System, job: &Job) -> bool {
        let Job::Paced { size, rate } = *job else { return false };
        let lower = |case: &Case| case.size == size && case.pace.is_some_and(|pace| pace < rate);
        self.cases().into_iter().filter(lower).any(|case| self.keeps_up(system, case) == Some(false))
    }

    /// The medians of a case.
    pub fn medians(&self, system: System, case: Case) -> Option<Figures> {
        let runs = self.runs.iter().filter(|run| (run.0, run.1) == (system, case));
        let runs: Vec<_> = runs.map(|run| run.2.clone()).collect();
        (!runs.is_empty()).then(|| Figures::medians(&runs))
    }

    /// The median of one figure.
    pub fn value(&self, system: System, case: Case, figure: Figure) -> Option<f64> {
        figure.of(&self.medians(system, case)?)
    }

    /// Our figure divided by another's.
    pub fn ratio_to(&self, other: System, case: Case, figure: Figure) -> Option<f64> {
        Some(self.value(System::Postrider, case, figure)? / self.value(other, case, figure)?)
    }

    /// Our figure divided by the better of those that sync before they answer.
    pub fn ratio_to_synced(&self, case: Case, figure: Figure) -> Option<f64> {
        let ratios = [System::Rabbitmq, System::Nats].map(|other| self.ratio_to(other, case, figure));
        let harder = |one: f64, other: f64| match figure.is_rate() {
            true => one.min(other),
            false => one.max(other),
        };
        ratios.into_iter().flatten().reduce(harder)
    }
}
