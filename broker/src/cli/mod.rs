//! The command line: what can be asked for, and who does it. One file a noun or verb.

/// Makes the examples at the end of a command's help.
macro_rules! examples {
    ($($line:literal),+ $(,)?) => { concat!("Examples:", $("\n  ", $line),+) };
}

mod backup;
mod bulk;
mod completions;
mod connect;
mod consumers;
mod dlq;
mod entity;
mod explain;
mod failure;
mod filter;
mod line;
mod message;
mod offline;
mod options;
mod output;
mod parse;
mod peek;
mod pipeline;
mod purge;
mod queue;
mod receive;
mod recover;
mod restore;
mod rule;
mod schedule;
mod scheduled;
mod send;
mod serve;
mod session;
mod status;
mod subscription;
mod topic;
mod trace;
mod value;
mod verify;

pub use failure::Failure;

use clap::{CommandFactory, Parser, Subcommand};
use connect::Global;

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  the broker refused
  2  wrong usage or configuration
  3  no connection to the broker

Examples:
  postrider serve --data-dir /var/lib/postrider
  postrider queue create email-queue --lock-duration 30s
  postrider send email-queue '{\"to\": \"ada@example.com\"}'";

/// A persistent message broker, and the command line to talk to one
#[derive(Parser)]
#[command(name = "postrider", version = postrider::VERSION, after_help = AFTER_HELP, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    /// Create, list, show, update, delete and purge queues
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Create, list, show, update and delete topics
    #[command(subcommand)]
    Topic(topic::Topic),
    /// Create, list, show, update, replay to and delete subscriptions of topics
    #[command(subcommand)]
    Subscription(subscription::Subscription),
    /// Create, list, show, update and delete the rules of a subscription
    #[command(subcommand)]
    Rule(rule::RuleCommand),
    Send(send::Send),
    Receive(receive::Receive),
    Peek(peek::Peek),
    Purge(purge::Purge),
    /// List, cancel, deliver and purge messages that wait for their time
    #[command(subcommand)]
    Scheduled(scheduled::Scheduled),
    /// Have messages sent again and again by a cron expression
    #[command(subcommand)]
    Schedule(schedule::Schedule),
    /// List, group, redrive, edit and resend, and purge dead letters
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// List sessions
    #[command(subcommand)]
    Session(session::Session),
    Consumers(consumers::Consumers),
    Trace(trace::Trace),
    Verify(verify::Verify),
    Recover(recover::Recover),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Status(status::Status),
    Completions(completions::Completions),
}

impl Cli {
    /// Does what was asked for.
    pub async fn run(self) -> Result<(), Failure> {
        let global = &self.global;
        match self.command {
            Command::Serve(serve) => serve.run().await,
            Command::Queue(queue) => queue.run(global).await,
            Command::Topic(topic) => topic.run(global).await,
            Command::Subscription(subscription) => subscription.run(global).await,
            Command::Rule(rule) => rule.run(global).await,
            Command::Send(send) => send.run(global).await,
            Command::Receive(receive) => receive.run(global).await,
            Command::Peek(peek) => peek.run(global).await,
            Command::Purge(purge) => purge.run(global).await,
            Command::Scheduled(scheduled) => scheduled.run(global).await,
            Command::Schedule(schedule) => schedule.run(global).await,
            Command::Dlq(dlq) => dlq.run(global).await,
            Command::Session(session) => session.run(global).await,
            Command::Consumers(consumers) => consumers.run(global).await,
            Command::Trace(trace) => trace.run(global).await,
            Command::Verify(verify) => verify.run(global),
            Command::Recover(recover) => recover.run(global),
            Command::Backup(backup) => backup.run(global).await,
            Command::Restore(restore) => restore.run(global),
            Command::Status(status) => status.run(global).await,
            Command::Completions(completions) => completions.run(&mut Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        fn check(command: &clap::Command) {
            let nouns = command.has_subcommands();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(nouns || help.starts_with("Examples:\n  postrider "), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn every_example_is_a_command_that_can_be_parsed() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter_map(|line| line.trim().strip_prefix("postrider ")) {
                assert!(line.len() < 90, "{line} is too long for a terminal");
                let command = line.split(['|', '<', '>']).next().unwrap_or_default();
                let words = std::iter::once("postrider".to_owned()).chain(words(command));
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{line}: {error}");
                }
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    /// Splits at blanks outside of quotes.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quote, mut new) = (Vec::<String>::new(), None, true);
        for c in line.chars() {
            match quote {
                Some(open) if c == open => quote = None,
                None if c == ' ' => new = true,
                _ => {
                    if std::mem::take(&mut new) {
                        words.push(String::new());
                    }
                    match c {
                        '\'' | '"' if quote.is_none() => quote = Some(c),
                        c => words.last_mut().unwrap().push(c),
                    }
                }
            }
        }
        words
    }
}
