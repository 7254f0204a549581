//! Makes a file of CloudMart orders.

use anyhow::{Context, Result};
use clap::Parser;
use postrider_examples::generator;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Make realistic orders, one JSON document a line
#[derive(Parser)]
#[command(version)]
struct Args {
    /// How many
    #[arg(long, default_value_t = 1_000)]
    count: u64,
    /// The same seed makes the same orders
    #[arg(long, default_value_t = generator::SEED)]
    seed: u64,
    /// Where to write them; the standard output if not given
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut out: Box<dyn Write> = match &args.out {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(io::stdout())),
    };
    for order in generator::orders(args.count, args.seed) {
        serde_json::to_writer(&mut out, &order)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
