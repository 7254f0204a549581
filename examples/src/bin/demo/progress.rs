//! What is told while the demo runs: a line for each step, and a bar on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

/// Tells how far it is.
pub struct Progress(ProgressBar);

impl Progress {
    /// Of so many orders.
    pub fn new(orders: u64) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} orders acknowledged{msg}");
        let bar = ProgressBar::new(orders);
        Progress(style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style)))
    }

    /// Something happened that is worth a line.
    pub fn step(&self, text: &str) {
        self.0.suspend(|| eprintln!("{text}"));
    }

    /// So many orders are acknowledged.
    pub fn acknowledged(&self, orders: u64) {
        self.0.set_position(orders);
    }

    /// So many messages wait in the broker.
    pub fn waiting(&self, messages: u64) {
        self.0.set_message(format!(", {messages} messages to go"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Counts the lines of a file that grows.
pub struct Tail {
    path: PathBuf,
    file: Option<BufReader<File>>,
    lines: u64,
}

impl Tail {
    /// Of the file at `path`, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Tail { path, file: None, lines: 0 }
    }

    /// Lines so far.
    pub fn lines(&mut self) -> io::Result<u64> {
        if self.file.is_none() && self.path.exists() {
            self.file = Some(BufReader::new(File::open(&self.path)?));
        }
        let Some(file) = &mut self.file else { return Ok(0) };
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line)? > 0 {
            self.lines += u64::from(line.ends_with(b"\n"));
            line.clear();
        }
        Ok(self.lines)
    }
}
