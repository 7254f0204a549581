//! `postrider recover`.

use super::connect::Global;
use super::failure::Failure;
use super::offline::{Reading, Where};
use super::output::{Row, messages};
use clap::Args;
use postrider::offline::{Recovered, recover};
use std::fmt::Write as _;

/// Make a damaged store sound again by giving up what it has lost
///
/// Without --accept-loss it only says what would be lost. The damaged database is kept beside the new one. Restore a
/// backup instead where there is one.
#[derive(Args)]
#[command(after_help = examples!(
    "postrider recover --data-dir /var/lib/postrider",
    "postrider recover --data-dir /var/lib/postrider --accept-loss",
))]
pub struct Recover {
    #[command(flatten)]
    place: Where,
    /// Do it: what was lost is given up
    #[arg(long)]
    accept_loss: bool,
}

impl Recover {
    /// Recovers it, or says what would come of it.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let reading = Reading::new();
        let recovered =
            recover(&self.place.data_dir, self.accept_loss, &mut |progress| reading.show(progress));
        drop(reading);
        let recovered = recovered.map_err(|error| Failure::usage(error.to_string()))?;
        Ok(global.printer().told(&text(&recovered), &row(&recovered))?)
    }
}

fn text(recovered: &Recovered) -> String {
    if recovered.problems.is_empty() {
        return format!("{}\n", recovered.how);
    }
    let mut text = String::new();
    for problem in &recovered.problems {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "- {problem}");
    }
    let lost = recovered.lost_writes.map_or("an unknown number of".to_owned(), |writes| writes.to_string());
    let (how, there) = (&recovered.how, messages(recovered.messages));
    let _ = match &recovered.kept {
        Some(kept) => writeln!(
            text,
            "recovered, {how}: {lost} writes are lost, {there} are there; the damaged database is in {}",
            kept.display()
        ),
        None => writeln!(
            text,
            "can be recovered, {how}: {lost} writes would be lost, {there} would be there; nothing was changed, do it with --accept-loss"
        ),
    };
    text
}

fn row(recovered: &Recovered) -> Row {
    Row::new()
        .column("recovered", recovered.kept.is_some())
        .column("how", recovered.how.as_str())
        .column("lost_writes", recovered.lost_writes)
        .column("messages", recovered.messages)
        .column("kept", recovered.kept.as_ref().map(|path| path.display().to_string()))
        .column("problems", recovered.problems.clone())
}
