//! The main road on real input: orders go through a real broker, which is killed on the way and started again, and
//! afterwards everybody's history must add up. `make demo` runs it.
//!
//! ```text
//! order-service --> order-events --+-- inventory     --> subscriber
//!                                  +-- payment       --> subscriber
//!                                  +-- notification  --> subscriber --> email-queue --> worker-1, worker-2, worker-3
//!                                  +-- analytics     --> subscriber         |
//!                                   (priority = high)                       +--> dead letters
//! ```

mod broker;
mod check;
mod evidence;
mod play;
mod process;
mod progress;
mod stage;
mod table;
mod topology;
mod wait;

use anyhow::{Result, bail};
use clap::Parser;
use play::Played;
use postrider_examples::service;
use stage::Stage;
use std::path::PathBuf;
use std::process::ExitCode;

/// Take CloudMart's orders through a broker that is killed on the way, and check that nothing was lost
#[derive(Parser)]
#[command(version)]
struct Args {
    /// How many orders to make, instead of the 1,000 in the repository
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    orders: Option<u64>,
    /// When to kill the broker, as shares of the orders that are acknowledged; several with commas between
    #[arg(long, value_name = "SHARE", default_value = "0.5", value_delimiter = ',', value_parser = share)]
    kill_at: Vec<f64>,
    /// The broker's program, instead of the one beside this program
    #[arg(long, value_name = "PATH")]
    postrider: Option<PathBuf>,
    /// Keep the data directory, the logs and the histories
    #[arg(long)]
    keep: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "allowed is a number from 0 to 1".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whatever happens, the processes end with what is dropped here.
async fn run(args: Args) -> Result<()> {
    let interrupted = service::stop_signal()?;
    let mut stage = Stage::set(args.orders, args.postrider)?;
    let outcome = tokio::select! {
        played = play::play(&stage, args.kill_at) => played.and_then(|played| judge(&played)),
        () = interrupted => bail!("interrupted"),
    };
    if args.keep || outcome.is_err() {
        eprintln!("\nThe data directory, logs and histories are in {}", stage.keep());
    }
    outcome
}

/// Shows the numbers, and fails if one of them is wrong.
fn judge(played: &Played) -> Result<()> {
    let lines = check::lines(&played.evidence);
    println!("\n{}", table::render(played, &lines));
    let wrong: Vec<_> = lines.iter().filter(|line| !line.is_right()).map(ToString::to_string).collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => bail!("{}", wrong.join("; ")),
    }
}
