//! The options that every command to a broker has, and the way to the broker.

use super::failure::Failure;
use super::output::{Output, Printer};
use super::parse;
use crate::config::{DEFAULT_ADDRESS, TOKEN_VARIABLE};
use clap::Args;
use postrider_client::{Client, ClientBuilder, ReconnectPolicy};
use std::io::{self, BufWriter, Stdout};
use std::time::Duration;

/// Where the broker is, and how to show what it says.
#[derive(Args)]
#[command(next_help_heading = "Options to talk to a broker")]
pub struct Global {
    /// The broker, as postrider://TOKEN@HOST:PORT [default: the token in POSTRIDER_TOKEN at 127.0.0.1:7707]
    #[arg(long, global = true, env = "POSTRIDER_URL", hide_env_values = true, value_name = "URL")]
    url: Option<String>,
    /// How to show results: table, json (one document), jsonl (one document a line)
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table, hide_possible_values = true, value_name = "FORMAT")]
    output: Output,
    /// How long to wait for the broker's answer
    #[arg(long, global = true, default_value = "10s", value_parser = parse::duration, value_name = "DURATION")]
    timeout: Duration,
}

impl Global {
    /// Connects. Nobody wants to wait for longer than the timeout for a broker that is gone.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let policy = ReconnectPolicy {
            first: Duration::from_millis(50),
            most: Duration::from_secs(1),
            give_up_after: Some(self.timeout),
        };
        let builder = self.target(std::env::var(TOKEN_VARIABLE).ok());
        let builder = builder.name("postrider-cli").reconnect(policy);
        Ok(builder.connect_timeout(self.timeout).request_timeout(self.timeout).connect().await?)
    }

    /// A token in the URL wins over the one in the environment.
    fn target(&self, token: Option<String>) -> ClientBuilder {
        let url = self.url.as_deref().filter(|url| !url.is_empty());
        let builder = match url {
            Some(url) => Client::builder().url(url),
            None => Client::builder().address(DEFAULT_ADDRESS),
        };
        match token.filter(|token| !token.is_empty() && !url.is_some_and(|url| url.contains('@'))) {
            Some(token) => builder.token(&token),
            None => builder,
        }
    }

    /// The format that was asked for.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Shows results on stdout.
    pub fn printer(&self) -> Printer<BufWriter<Stdout>> {
        Printer::new(self.output, BufWriter::new(io::stdout()))
    }
}
