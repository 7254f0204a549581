//! What is measured, and what the figures of it are filed under.

use postrider_benches::figures::Figures;
use serde::Serialize;

/// A system that gets less of the load done than this has no latency: its backlog grows for as long as one waits.
const KEEPS_UP: f64 = 0.95;

/// One load on one system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Job {
    /// Publish into an empty queue; then receive and acknowledge all of it.
    FillAndDrain { size: usize },
    /// Both at once.
    Flow { size: usize },
    /// Both at so many messages a second.
    Paced { size: usize, rate: u32 },
    /// Each message to ten queues.
    FanOut { size: usize },
}

/// What figures are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Case {
    /// What was measured.
    pub scenario: Scenario,
    /// Bytes of a body.
    pub size: usize,
    /// Messages a second that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<u32>,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    Fill,
    Drain,
    Flow,
    Paced,
    FanOut,
}

impl Case {
    /// A case without a pace.
    pub fn of(scenario: Scenario, size: usize) -> Self {
        Case { scenario, size, pace: None }
    }

    /// Whether somebody did as much as a paced case asks for.
    pub fn is_kept_up_with(&self, figures: &Figures) -> Option<bool> {
        Some(figures.rate? >= f64::from(self.pace?) * KEEPS_UP)
    }

    /// What people call it.
    pub fn name(&self) -> String {
        match (self.scenario, self.pace) {
            (Scenario::Fill, _) => "fill".into(),
            (Scenario::Drain, _) => "drain".into(),
            (Scenario::Flow, _) => "flow".into(),
            (Scenario::Paced, pace) => format!("paced {}/s", pace.unwrap_or_default()),
            (Scenario::FanOut, _) => "fan-out 10".into(),
        }
    }
}
