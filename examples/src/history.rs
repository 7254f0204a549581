//! What a service did: a file with one line of JSON for each event.
//!
//! Each line is handed to the system with one write before the service goes on, so that it outlives a service that is
//! killed. The demo reads these files to find out whether anything was lost.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The broker confirmed that it is stored.
    Published,
    /// It was delivered to this service.
    Received,
    /// Its work was done; the broker may not know yet.
    Handled,
    /// The broker confirmed that it is completed.
    Completed,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// The message's id.
    pub id: String,
    /// Its number in the queue or subscription; the topic's answer for a published one.
    pub sequence: u64,
}

/// A history that is being written.
pub struct History(Option<File>);

impl History {
    /// Appends to the file at `path`; without one, nothing is kept.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let append = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(History(path.map(append).transpose()?))
    }

    /// Adds a line.
    pub fn record(&self, event: Event, id: impl Display, sequence: u64) -> io::Result<()> {
        let Some(mut file) = self.0.as_ref() else { return Ok(()) };
        let mut line = serde_json::to_vec(&Entry { event, id: id.to_string(), sequence })?;
        line.push(b'\n');
        file.write_all(&line)
    }
}

/// Reads a whole history.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let entry = |(line, number): (&str, u64)| {
        serde_json::from_str(line).with_context(|| format!("{name}, line {number}: not an event"))
    };
    text.lines().zip(1..).map(entry).collect()
}
