//! What Postrider is to reach beside the others.

use crate::case::{Case, Scenario};
use crate::results::{Figure, Results};
use crate::system::System;
use serde::Serialize;

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The better of those that sync before they answer.
    Synced,
    Rabbitmq,
    NatsUnsynced,
    /// Nothing: the limit is the figure itself.
    Nothing,
}

/// A limit for a figure of ours, or for its ratio to that of others. Rates are to reach it, all else is to stay below.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    scenario: Scenario,
    figure: Figure,
    /// Bytes of a body.
    size: usize,
    pub against: Against,
    pub limit: f64,
}

const fn goal(scenario: Scenario, figure: Figure, size: usize, against: Against, limit: f64) -> Goal {
    Goal { scenario, figure, size, against, limit }
}

use Against::{NatsUnsynced, Nothing, Rabbitmq, Synced};
use Figure::{P50, P99, Rate, ServerCpu};
use Scenario::{Drain, FanOut, Fill, Flow, Paced};

const GOALS: &[Goal] = &[
    goal(Fill, Rate, 256, Synced, 4.0),
    goal(Fill, Rate, 1024, Synced, 4.0),
    goal(Fill, Rate, 16384, Synced, 1.3),
    goal(Drain, Rate, 256, Synced, 3.0),
    goal(Drain, Rate, 1024, Synced, 3.0),
    goal(Drain, Rate, 16384, Synced, 1.5),
    goal(Flow, Rate, 256, Synced, 5.0),
    goal(Flow, Rate, 1024, Synced, 4.0),
    goal(Flow, Rate, 16384, Synced, 2.0),
    goal(Flow, ServerCpu, 256, Synced, 1.0 / 5.0),
    goal(Flow, ServerCpu, 1024, Synced, 1.0 / 5.0),
    goal(Flow, ServerCpu, 16384, Synced, 1.0 / 3.0),
    goal(Paced, P99, 256, Synced, 0.5),
    goal(Paced, P99, 1024, Synced, 0.5),
    goal(Paced, P99, 16384, Synced, 0.5),
    goal(FanOut, Rate, 1024, Rabbitmq, 4.0),
    goal(Fill, Rate, 256, NatsUnsynced, 1.0),
    goal(Fill, Rate, 1024, NatsUnsynced, 1.0),
    goal(Drain, Rate, 256, NatsUnsynced, 1.5),
    goal(Drain, Rate, 1024, NatsUnsynced, 1.5),
    goal(Flow, Rate, 256, NatsUnsynced, 1.5),
    goal(Flow, Rate, 1024, NatsUnsynced, 1.5),
    goal(Flow, ServerCpu, 256, NatsUnsynced, 0.6),
    goal(Flow, ServerCpu, 1024, NatsUnsynced, 0.6),
    goal(Paced, P50, 256, Nothing, 150.0),
    goal(Paced, P50, 1024, Nothing, 150.0),
    goal(Paced, P99, 256, Nothing, 400.0),
    goal(Paced, P99, 1024, Nothing, 400.0),
];

/// Messages a second that the goals of `paced` are for.
const PACE: u32 = 2_000;

impl Goal {
    /// The goals of one row; none where syncs are slower than the disk's.
    pub fn of(results: &Results, case: Case, figure: Figure) -> Vec<Goal> {
        let paced = case.pace.is_none_or(|pace| pace == PACE) && results.slow_sync_us.is_none();
        let about = |goal: &&Goal| {
            (goal.scenario, goal.size, goal.figure) == (case.scenario, case.size, figure) && paced
        };
        GOALS.iter().filter(about).copied().collect()
    }

    /// Whether it is met; `None` where something was not measured.
    pub fn is_met(&self, results: &Results, case: Case) -> Option<bool> {
        let value = match self.against {
            Synced => results.ratio_to_synced(case, self.figure)?,
            Rabbitmq => results.ratio_to(System::Rabbitmq, case, self.figure)?,
            NatsUnsynced => results.ratio_to(System::NatsUnsynced, case, self.figure)?,
            Nothing => results.value(System::Postrider, case, self.figure)?,
        };
        Some(if self.figure.is_rate() { value >= self.limit } else { value <= self.limit })
    }

    /// As it stands in the table.
    pub fn text(&self, results: &Results, case: Case) -> String {
        let sign = if self.figure.is_rate() { ">=" } else { "<=" };
        let limit = match self.against {
            Synced => format!("{:.1}x synced", self.limit),
            Rabbitmq => format!("{:.1}x rabbitmq", self.limit),
            NatsUnsynced => format!("{:.1}x unsynced", self.limit),
            Nothing => format!("{:.0}", self.limit),
        };
        let met = match self.is_met(results, case) {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "not measured",
        };
        format!("{sign} {limit} {met}")
    }
}
