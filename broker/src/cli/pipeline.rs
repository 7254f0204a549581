//! Sending many messages: one task reads lines and sends, the other counts the broker's confirmations.

use super::connect::Global;
use super::failure::Failure;
use super::line;
use super::output::{Output, Row, messages};
use indicatif::{ProgressBar, ProgressStyle};
use postrider_client::{Confirm, Error, SendOutcome, Sender};
use std::io::IsTerminal;
use std::path::Path;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

/// Messages whose confirmations are waited for at most. The client has its own bound; this one is for memory here.
const IN_FLIGHT: usize = 4096;
/// Confirmations that are counted, and shown, together.
const TOGETHER: usize = 256;
/// Refusals that are told one by one.
const TOLD: u64 = 10;

type Lines = Box<dyn AsyncBufRead + Send + Unpin>;

/// A message that is on its way.
struct Sent {
    /// Its line, from 1.
    line: u64,
    /// Bytes of the input up to and with it.
    bytes: u64,
    confirm: Confirm,
}

/// Sends every line of `file`, or of standard input, to `address`.
pub async fn send_lines(global: &Global, address: &str, file: Option<&Path>) -> Result<(), Failure> {
    let (lines, size) = open(global.output(), file).await?;
    let client = global.connect().await?;
    let sender = client.sender(address).await?;
    let (sent, confirms) = mpsc::channel(IN_FLIGHT);
    let feeding = tokio::spawn(feed(sender, lines, sent));
    let mut tally = Tally::new(size);
    let counted = tally.count(global, confirms).await;
    tally.progress.finish_and_clear();
    if counted.is_err() {
        feeding.abort();
    }
    if global.output() != Output::Jsonl {
        global.printer().done(&tally.sentence(address), &tally.row(address))?;
    }
    counted?;
    feeding.await.map_err(|error| Failure::usage(format!("cannot read on: {error}")))??;
    client.close().await?;
    tally.verdict()
}

/// The lines, and how many bytes there are where that is known.
async fn open(output: Output, file: Option<&Path>) -> Result<(Lines, Option<u64>), Failure> {
    let Some(path) = file.filter(|path| path.as_os_str() != "-") else {
        announce_terminal(output);
        return Ok((Box::new(BufReader::new(tokio::io::stdin())), None));
    };
    let failure = |error| Failure::file(&path.to_string_lossy(), &error);
    let file = File::open(path).await.map_err(failure)?;
    let metadata = file.metadata().await.map_err(failure)?;
    Ok((Box::new(BufReader::new(file)), metadata.is_file().then_some(metadata.len())))
}

/// Reads and sends until the input ends, a line is wrong, or nobody counts any more. What was sent before a wrong
/// line stays sent.
async fn feed(sender: Sender, mut lines: Lines, sent: mpsc::Sender<Sent>) -> Result<(), Failure> {
    let (mut text, mut line, mut bytes) = (String::new(), 0, 0);
    loop {
        line += 1;
        text.clear();
        let read =
            lines.read_line(&mut text).await.map_err(|error| Failure::file("input", &error).at_line(line))?;
        bytes += read as u64;
        if read == 0 {
            return Ok(());
        }
        if text.trim().is_empty() {
            continue;
        }
        let message = line::parse(&text).map_err(|problem| Failure::usage(problem).at_line(line))?;
        let confirm = sender.enqueue(message).await.map_err(|error| Failure::from(error).at_line(line))?;
        if sent.send(Sent { line, bytes, confirm }).await.is_err() {
            return Ok(());
        }
    }
}

/// What became of the messages so far.
struct Tally {
    sent: u64,
    duplicates: u64,
    refused: u64,
    first: Option<u64>,
    last: Option<u64>,
    /// On stderr, and only where that is a terminal.
    progress: ProgressBar,
}

impl Tally {
    fn new(size: Option<u64>) -> Self {
        Tally { sent: 0, duplicates: 0, refused: 0, first: None, last: None, progress: progress(size) }
    }

    /// Counts until all is confirmed, or the connection is gone for good.
    async fn count(&mut self, global: &Global, mut confirms: mpsc::Receiver<Sent>) -> Result<(), Failure> {
        let mut printer = global.printer();
        let mut batch = Vec::with_capacity(TOGETHER);
        while confirms.recv_many(&mut batch, TOGETHER).await > 0 {
            let mut rows = Vec::new();
            for Sent { line, bytes, confirm } in batch.drain(..) {
                rows.push(self.one(line, confirm.await)?);
                self.progress.set_position(bytes);
            }
            self.progress.set_message(format!("{} messages", self.sent));
            if global.output() == Output::Jsonl {
                printer.part(&rows)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, line: u64, outcome: Result<SendOutcome, Error>) -> Result<Row, Failure> {
        match outcome {
            Ok(outcome) => {
                self.sent += 1;
                self.duplicates += u64::from(outcome.duplicate);
                self.first = self.first.or(Some(outcome.sequence));
                self.last = Some(outcome.sequence);
                Ok(outcome_row(&outcome))
            }
            Err(Error::Refused(refusal)) => {
                self.refused += 1;
                if self.refused <= TOLD {
                    self.progress.suspend(|| eprintln!("error: line {line}: {refusal}"));
                }
                Ok(Row::new().column("line", line).column("error", refusal.to_string()))
            }
            Err(error) => Err(Failure::from(error).at_line(line)),
        }
    }

    fn sentence(&self, address: &str) -> String {
        let more = |count, what| if count == 0 { String::new() } else { format!(", {count} {what}") };
        let (seen, refused) = (more(self.duplicates, "of them seen before"), more(self.refused, "refused"));
        format!("{} sent to {address}{seen}{refused}", messages(self.sent))
    }

    fn row(&self, address: &str) -> Row {
        let row = Row::new().column("address", address).column("sent", self.sent);
        let row = row.column("duplicates", self.duplicates).column("refused", self.refused);
        row.column("first_sequence", self.first).column("last_sequence", self.last)
    }

    fn verdict(&self) -> Result<(), Failure> {
        match self.refused {
            0 => Ok(()),
            refused => {
                Err(Failure::refused(format!("{refused} of {} messages were refused", self.sent + refused)))
            }
        }
    }
}

fn progress(size: Option<u64>) -> ProgressBar {
    let (bar, template) = match size {
        Some(size) => (ProgressBar::new(size), "{bar:40} {percent}%  {msg}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}  {elapsed}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What became of one message.
pub fn outcome_row(outcome: &SendOutcome) -> Row {
    Row::new().column("sequence", outcome.sequence).column("duplicate", outcome.duplicate)
}

/// Says on a terminal what is waited for, so that `postrider send queue` does not look stuck.
fn announce_terminal(output: Output) {
    if output == Output::Table && std::io::stdin().is_terminal() {
        eprintln!("reading JSON lines such as {{\"body\": \"Hello\"}}; end with Ctrl-D");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_protocol::error::Refusal;

    #[test]
    fn the_tally_counts_every_outcome() {
        let mut tally = Tally::new(None);
        for sequence in 5..8 {
            tally.one(sequence, Ok(SendOutcome { sequence, duplicate: sequence == 6 })).ok().unwrap();
        }
        assert_eq!(tally.sentence("q"), "3 messages sent to q, 1 of them seen before");
        assert!(tally.verdict().is_ok());
        tally.one(9, Err(Error::Refused(Refusal::invalid("body", "bad")))).ok().unwrap();
        assert_eq!((tally.first, tally.last, tally.refused), (Some(5), Some(7), 1));
        assert!(tally.verdict().is_err());
        assert!(tally.one(10, Err(Error::Closed)).is_err());
    }
}
