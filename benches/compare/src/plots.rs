//! Plots: throughput against the size of a body, latency against the load.

use crate::case::{Case, Scenario};
use crate::results::{Figure, Results};
use crate::system::System;
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::error::Error;
use std::fs;
use std::path::Path;

const PIXELS: (u32, u32) = (800, 480);
/// Numbers along an axis, about.
const LABELS: usize = 6;
/// Bytes of a body in the plots of latency.
const SIZE: usize = 1024;

type Points = Vec<(f64, f64)>;

/// What a plot shows, beside its lines.
struct Plot<'a> {
    name: &'a str,
    title: String,
    across: &'a str,
    up: &'a str,
    /// Where lines leave room.
    legend: SeriesLabelPosition,
}

/// Writes the plots whose lines have two points at least.
pub fn draw(dir: &Path, results: &Results) -> Result<()> {
    for (scenario, name) in [(Scenario::Fill, "fill"), (Scenario::Drain, "drain"), (Scenario::Flow, "flow")] {
        let plot = Plot {
            name,
            title: format!("{name}: throughput"),
            across: "bytes of a body",
            up: "messages/s",
            legend: SeriesLabelPosition::LowerLeft,
        };
        plot.draw(dir, &lines(|system| throughput(results, system, scenario)))?;
    }
    for (figure, name) in [(Figure::P50, "latency-p50"), (Figure::P99, "latency-p99")] {
        let plot = Plot {
            name,
            title: format!("latency from end to end, {} bytes, {}", SIZE, figure.name()),
            across: "messages/s",
            up: "microseconds",
            legend: SeriesLabelPosition::UpperLeft,
        };
        plot.draw(dir, &lines(|system| latency(results, system, figure)))?;
    }
    Ok(())
}

fn lines(points: impl Fn(System) -> Points) -> Vec<(System, Points)> {
    System::ALL
        .map(|system| (system, points(system)))
        .into_iter()
        .filter(|(_, points)| points.len() > 1)
        .collect()
}

fn throughput(results: &Results, system: System, scenario: Scenario) -> Points {
    let cases = results.cases().into_iter().filter(|case| case.scenario == scenario);
    sorted(cases.filter_map(|case| Some((case.size as f64, results.value(system, case, Figure::Rate)?))))
}

fn latency(results: &Results, system: System, figure: Figure) -> Points {
    let point = |case: Case| {
        let pace = f64::from(case.pace.filter(|_| case.size == SIZE)?);
        let keeps_up = results.keeps_up(system, case)?;
        keeps_up.then_some((pace, results.value(system, case, figure)?))
    };
    sorted(results.cases().into_iter().filter_map(point))
}

fn sorted(points: impl Iterator<Item = (f64, f64)>) -> Points {
    let mut points: Points = points.collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    points
}

impl Plot<'_> {
    fn draw(&self, dir: &Path, lines: &[(System, Points)]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(dir)?;
        let path = dir.join(self.name).with_extension("svg");
        self.draw_lines(&path, lines).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
    }

    fn draw_lines(&self, path: &Path, lines: &[(System, Points)]) -> Result<(), Box<dyn Error>> {
        let area = SVGBackend::new(path, PIXELS).into_drawing_area();
        area.fill(&WHITE)?;
        let all = || lines.iter().flat_map(|(_, points)| points.iter());
        let (x, y) = (bounds(all().map(|point| point.0), 1.1), bounds(all().map(|point| point.1), 1.5));
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(x.log_scale(), y.log_scale())?;
        let number = |value: &f64| postrider_benches::report::number(Some(*value), 0);
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.across).x_labels(LABELS).x_label_formatter(&number);
        mesh.y_desc(self.up).y_labels(LABELS).y_label_formatter(&number);
        mesh.light_line_style(TRANSPARENT).draw()?;
        for (system, points) in lines {
            let colour = colour(*system);
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
            let sample = move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], colour.stroke_width(2));
            chart.draw_series(line)?.label(system.name()).legend(sample);
        }
        let mut legend = chart.configure_series_labels();
        legend.position(self.legend.clone()).border_style(BLACK).background_style(WHITE.mix(0.8)).draw()?;
        Ok(area.present()?)
    }
}

/// From the least to the most, with some room.
fn bounds(values: impl Iterator<Item = f64> + Clone, room: f64) -> std::ops::Range<f64> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(0.0, f64::max);
    least / room..most * room
}

fn colour(system: System) -> RGBColor {
    match system {
        System::Postrider => RGBColor(200, 30, 60),
        System::Rabbitmq => RGBColor(240, 140, 0),
        System::Nats => RGBColor(30, 90, 200),
        System::NatsUnsynced => RGBColor(120, 180, 240),
    }
}
