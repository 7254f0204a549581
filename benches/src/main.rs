//! Measures Postrider: its parts alone, and the real program end to end. `benches/README.md` says what the numbers mean.

use anyhow::Result;
use clap::Parser;
use postrider_benches::args::Args;

fn main() -> Result<()> {
    postrider_benches::run(&Args::parse())
}
