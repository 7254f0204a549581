//! `postrider`: the broker, and the command line to talk to one.

mod cli;
mod config;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _points = fail::FailScenario::setup();
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return cli::Failure::usage(format!("cannot start the runtime: {error}")).report(),
    };
    let outcome = runtime.block_on(cli.run());
    // A read of the standard input may still wait for a line; nobody needs it any more.
    runtime.shutdown_background();
    outcome.map_or_else(cli::Failure::report, |()| ExitCode::SUCCESS)
}
