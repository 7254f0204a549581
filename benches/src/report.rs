//! Everything that was measured, for people or as JSON.

use crate::args::Args;
use crate::disk::SyncLatency;
use crate::figures::{Backlog, Capacity, Figures, Micro, Sessions};
use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

/// The figures so far.
#[derive(Serialize)]
pub struct Report {
    cores: usize,
    /// Before and after everything else.
    sync: Vec<SyncLatency>,
    micro: Vec<Micro>,
    end_to_end: Vec<Figures>,
    backlog: Option<Backlog>,
    sessions: Option<Sessions>,
    capacity: Option<Capacity>,
}

impl Report {
    /// An empty report, and the disk's latency before it.
    pub fn new(args: &Args) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let sync = SyncLatency::measure(&args.dir())?;
        Ok(Report {
            cores,
            sync: vec![sync],
            micro: Vec::new(),
            end_to_end: Vec::new(),
            backlog: None,
            sessions: None,
            capacity: None,
        })
    }

    /// Measures the disk's latency once more, when everything is done.
    pub fn measure_disk_again(&mut self, args: &Args) -> Result<()> {
        self.sync.push(SyncLatency::measure(&args.dir())?);
        Ok(())
    }

    /// Adds a part's figures.
    pub fn add_micro(&mut self, micro: Micro) {
        eprintln!("{} {} B x {}: {:.0} ns a message", micro.what, micro.size, micro.messages, micro.ns);
        self.micro.push(micro);
    }

    /// Adds a case.
    pub fn add(&mut self, figures: Figures) {
        self.end_to_end.push(figures);
    }

    /// Adds the backlog.
    pub fn add_backlog(&mut self, backlog: Backlog) {
        self.backlog = Some(backlog);
    }

    /// Adds the sessions.
    pub fn add_sessions(&mut self, sessions: Sessions) {
        self.sessions = Some(sessions);
    }

    /// Adds the work within a capacity.
    pub fn add_capacity(&mut self, capacity: Capacity) {
        self.capacity = Some(capacity);
    }

    /// Prints everything.
    pub fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        println!("{} cores", self.cores);
        for (when, SyncLatency { p50_us, p99_us }) in ["before", "after"].into_iter().zip(&self.sync) {
            println!("append of 4 KiB with fdatasync, {when}: p50 {p50_us:.0} us, p99 {p99_us:.0} us");
        }
        println!();
        if !self.micro.is_empty() {
            println!("{}\n", self.micro_table());
        }
        if !self.end_to_end.is_empty() {
            println!("{}\n", self.end_to_end_table());
        }
        if let Some(backlog) = &self.backlog {
            println!("{}\n", backlog_table(backlog));
        }
        if let Some(sessions) = &self.sessions {
            println!("{}\n", sessions_table(sessions));
        }
        if let Some(capacity) = &self.capacity {
            println!("{}\n", capacity_table(capacity));
        }
        Ok(())
    }

    fn micro_table(&self) -> Table {
        let mut table = table(&["part", "body B", "together", "ns/msg", "msg/s"], 1);
        for micro in &self.micro {
            let cells = [micro.size as f64, micro.messages as f64, micro.ns, 1e9 / micro.ns];
            table.add_row([micro.what.to_owned()].into_iter().chain(cells.map(|cell| number(Some(cell), 0))));
        }
        table
    }

    fn end_to_end_table(&self) -> Table {
        let mut table = table(&HEAD, 2);
        for figures in &self.end_to_end {
            table.add_row(cells(figures));
        }
        table
    }
}

const HEAD: [&str; 11] = [
    "scenario",
    "mode",
    "body B",
    "msg/s",
    "published/s",
    "server us/msg",
    "clients us/msg",
    "msg/commit",
    "RSS MiB",
    "p50 us",
    "p99 us",
];

fn cells(figures: &Figures) -> [String; 11] {
    [
        figures.scenario.clone(),
        figures.mode.to_owned(),
        number(Some(figures.size as f64), 0),
        number(figures.rate, 0),
        number(figures.published, 0),
        number(figures.server_us, 1),
        number(figures.client_us, 1),
        number(figures.per_commit, 0),
        number(figures.resident_mib, 0),
        number(figures.p50_us, 0),
        number(figures.p99_us, 0),
    ]
}

/// One case in one line, for those who watch.
pub fn line(figures: &Figures) -> String {
    let named = HEAD.into_iter().zip(cells(figures)).filter(|(_, cell)| !cell.is_empty());
    let texts: Vec<_> = named
        .enumerate()
        .map(|(at, (name, cell))| if at < 2 { cell } else { format!("{name} {cell}") })
        .collect();
    texts.join("  ")
}

fn backlog_table(backlog: &Backlog) -> Table {
    let mut table = table(&["backlog of 200-byte messages", ""], 1);
    let rows = [
        ("messages", backlog.messages as f64),
        ("published/s over the first tenth", backlog.rate_at_start),
        ("published/s over the last tenth", backlog.rate_at_end),
        ("RSS MiB", backlog.resident_mib),
        ("peak RSS MiB", backlog.peak_mib),
        ("restart after SIGKILL, ms until it listens", backlog.restart_ms),
        ("ms from there to the first delivery", backlog.first_delivery_ms),
        ("RSS MiB after the restart", backlog.resident_after_restart_mib),
    ];
    for (name, value) in rows {
        table.add_row([name.to_owned(), number(Some(value), 0)]);
    }
    table
}

fn sessions_table(figures: &Sessions) -> Table {
    let title = format!("{} of {} sessions, one after the other", figures.accepts, figures.sessions);
    let mut table = table(&[&title, "p50 us", "p99 us"], 1);
    let rows = [
        ("accept the next one", figures.accept_us),
        ("and its first message", figures.first_message_us),
        ("and complete it, and close", figures.whole_us),
    ];
    for (name, (p50, p99)) in rows {
        table.add_row([name.to_owned(), number(Some(p50), 0), number(Some(p99), 0)]);
    }
    table.add_row(["RSS MiB".to_owned(), number(Some(figures.resident_mib), 0), String::new()]);
    table
}

fn capacity_table(figures: &Capacity) -> Table {
    let mut table = table(&["work within a capacity", ""], 1);
    let rows = [
        ("messages", figures.messages as f64, 0),
        ("ms of work on each", figures.work_ms as f64, 0),
        ("units", figures.units as f64, 0),
        ("most units in flight", figures.most as f64, 0),
        ("% of the units worked on", figures.worked_on * 100.0, 1),
        ("% of the units in use", figures.in_use * 100.0, 1),
        ("seconds", figures.seconds, 1),
    ];
    for (name, value, decimals) in rows {
        table.add_row([name.to_owned(), number(Some(value), decimals)]);
    }
    table
}

/// An empty table whose columns are numbers but for the first `names`.
pub fn table(head: &[&str], names: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(head.iter().map(Cell::new));
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A number with its thousands apart; nothing where there is none.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else { return String::new() };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let first = whole.len() % 3;
    let groups = [&whole[..first]].into_iter().filter(|group| !group.is_empty()).map(str::to_owned);
    let rest = whole.as_bytes()[first..].chunks(3).map(|chunk| String::from_utf8_lossy(chunk).into_owned());
    groups.chain(rest).collect::<Vec<_>>().join(",") + fraction
}
