//! What can go wrong on the command line, what to do next, and the exit code that says it to scripts.

use crate::config::ConfigError;
use postrider_client::{EntityKind, Error, ErrorCode, Refusal};
use std::io;
use std::process::ExitCode;

/// Exit codes, as `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Refused = 1,
    Usage = 2,
    NoConnection = 3,
}

/// Why a command did not do what it was asked to do.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    /// Empty: nothing to tell, because nobody reads on.
    text: String,
    hint: Option<String>,
}

impl Failure {
    fn new(exit: Exit, text: impl Into<String>) -> Self {
        Failure { exit, text: text.into(), hint: None }
    }

    /// Wrong usage or configuration.
    pub fn usage(text: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, text)
    }

    /// Some of what was asked for was refused, as was told already.
    pub fn refused(text: impl Into<String>) -> Self {
        Failure::new(Exit::Refused, text)
    }

    /// The same with what to do next.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// The same about a line of input, counted from 1.
    pub fn at_line(self, line: u64) -> Self {
        Failure { text: format!("line {line}: {}", self.text), ..self }
    }

    /// The same about a message, by its number.
    pub fn about_message(self, number: u64) -> Self {
        Failure { text: format!("message {number}: {}", self.text), ..self }
    }

    /// The first of several.
    pub fn and_more(self, more: usize) -> Self {
        Failure { text: format!("{}; and {more} more failed", self.text), ..self }
    }

    /// A failure of the file or stream `name`.
    pub fn file(name: &str, error: &io::Error) -> Self {
        Failure::usage(format!("{name}: {error}"))
    }

    /// The client's error about an entity that is taken for a `kind`.
    pub fn about(kind: EntityKind) -> impl Fn(Error) -> Failure {
        move |error| match &error {
            Error::Refused(refusal) | Error::Unauthorized(refusal) => match advice(refusal, kind) {
                Some(hint) => Failure::refused(refusal.to_string()).hint(hint),
                None => Failure::refused(error.to_string()),
            },
            Error::InvalidArgument(text) => Failure::usage(text),
            Error::Connection(text) | Error::Timeout(text) => {
                Failure::new(Exit::NoConnection, text).hint(NO_CONNECTION)
            }
            _ => Failure::new(Exit::NoConnection, error.to_string()),
        }
    }

    /// Tells it on stderr.
    pub fn report(self) -> ExitCode {
        if !self.text.is_empty() {
            eprintln!("error: {}", self.text);
        }
        if let Some(hint) = self.hint {
            eprintln!("  hint: {hint}");
        }
        ExitCode::from(self.exit as u8)
    }
}

const NO_CONNECTION: &str = "is the broker running? start it with: postrider serve";

/// What to do about a refusal, in commands; the client says it in general.
fn advice(refusal: &Refusal, kind: EntityKind) -> Option<String> {
    let entity = refusal.entity.as_str();
    match refusal.code {
        ErrorCode::NotFound if !entity.is_empty() && refusal.message.starts_with("does not exist") => {
            Some(format!("create it with: {}", creation(entity, kind)))
        }
        ErrorCode::AlreadyExists if !entity.is_empty() => {
            Some(format!("look at it with: {}", command(entity, kind, "show")))
        }
        ErrorCode::MessageTooLarge if !entity.is_empty() => Some(format!(
            "raise the limit with: {} --max-message-bytes BYTES",
            command(entity, kind, "update")
        )),
        ErrorCode::Disabled if !entity.is_empty() => {
            Some(format!("switch it on with: {} --option status=active", command(entity, kind, "update")))
        }
        ErrorCode::Unauthorized => Some(UNAUTHORIZED.to_owned()),
        _ if refusal.retry_after_ms > 0 => Some(format!("try again in {} ms", refusal.retry_after_ms)),
        _ => None,
    }
}

const UNAUTHORIZED: &str = "give the token that the broker printed when it first started: \
    export POSTRIDER_URL=postrider://TOKEN@127.0.0.1:7707";

fn creation(entity: &str, kind: EntityKind) -> String {
    command(entity, kind, "create")
}

/// The command that does `verb` with an entity. A subscription shows in its name.
fn command(entity: &str, kind: EntityKind, verb: &str) -> String {
    match (entity.split_once("/subscriptions/"), kind) {
        (Some((topic, name)), _) => format!("postrider subscription {verb} {topic} {name}"),
        (None, EntityKind::Queue) => format!("postrider queue {verb} {entity}"),
        (None, EntityKind::Topic | EntityKind::Subscription) => format!("postrider topic {verb} {entity}"),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::about(EntityKind::Queue)(error)
    }
}

/// A value that the command line or a line of input has wrong.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::usage(refusal.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::usage(error.to_string())
    }
}

/// Output that cannot be written. A reader that went away, as `head` does, is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::Done, ""),
            _ => Failure::usage(format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(error: Error, kind: EntityKind) -> String {
        Failure::about(kind)(error).hint.expect("a hint")
    }

    #[test]
    fn what_is_missing_can_be_created() {
        let missing = |name: &str| Error::Refused(Refusal::not_found(name));
        let queue = hint(missing("email-queue"), EntityKind::Queue);
        assert_eq!(queue, "create it with: postrider queue create email-queue");
        let topic = hint(missing("order-events"), EntityKind::Subscription);
        assert_eq!(topic, "create it with: postrider topic create order-events");
        let subscription = hint(missing("order-events/subscriptions/payment"), EntityKind::Queue);
        assert_eq!(subscription, "create it with: postrider subscription create order-events payment");
    }

    #[test]
    fn exit_codes_tell_refusals_from_usage_from_connections() {
        let exit = |error: Error| Failure::from(error).exit;
        assert_eq!(exit(Error::Refused(Refusal::not_found("q"))), Exit::Refused);
        let unauthorized = Refusal::new(ErrorCode::Unauthorized, "wrong token");
        assert_eq!(exit(Error::Unauthorized(unauthorized)), Exit::Refused);
        assert_eq!(exit(Error::Connection("refused".to_owned())), Exit::NoConnection);
        assert_eq!(exit(Error::Closed), Exit::NoConnection);
        assert_eq!(Failure::from(Refusal::invalid("x", "bad")).exit, Exit::Usage);
    }

    #[test]
    fn a_broken_pipe_is_quiet() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.text.as_str()), (Exit::Done, ""));
    }
}
