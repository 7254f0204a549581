//! What can go wrong, told apart by what the application must do.

use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::wire::Malformed;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why something was not done. Each text says what to do next.
///
/// ```
/// use postrider_client::{Error, ErrorCode, Refusal};
///
/// let error = Error::from(Refusal::new(ErrorCode::Busy, "the mailbox is full"));
/// assert!(error.is_retryable());
/// assert_eq!(error.code(), Some(ErrorCode::Busy));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The broker understood the request and did not carry it out.
    Refused(Refusal),
    /// There is no connection: it could not be made, or the client gave up making it again.
    Connection(String),
    /// The broker does not accept the token. The client does not try again.
    Unauthorized(Refusal),
    /// Nothing was sent: too many sends failed in a row. See [`CircuitBreaker`](crate::CircuitBreaker).
    CircuitOpen {
        /// From when on a send may try again.
        until: SystemTime,
    },
    /// The client, sender or receiver was closed.
    Closed,
    /// No answer in time. Whether the request was carried out is not known.
    Timeout(String),
    /// The client refused it before anything was sent, or could not read a body as asked.
    InvalidArgument(String),
    /// The other side does not speak the protocol.
    Protocol(String),
}

impl Error {
    /// Whether the same call can succeed later without anybody changing it.
    ///
    /// After [`Error::Timeout`] on a send, repeat it with the same `message_id` into an entity with a dedup window, or
    /// accept that the message may be there twice.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Refused(refusal) => refusal.is_retryable(),
            Error::Connection(_) | Error::Timeout(_) | Error::CircuitOpen { .. } => true,
            _ => false,
        }
    }

    /// The broker's code, where the broker answered.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Refused(refusal) | Error::Unauthorized(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    pub(crate) fn unexpected(what: &str, reply: &impl fmt::Debug) -> Self {
        let mut reply = format!("{reply:?}");
        reply.truncate(reply.floor_char_boundary(80));
        Error::Protocol(format!("{what} was answered with {reply}"))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal.code {
            ErrorCode::Unauthorized => Error::Unauthorized(refusal),
            _ => Error::Refused(refusal),
        }
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Error::Protocol(malformed.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(refusal) => write!(f, "{refusal}; {}", advice(refusal)),
            Error::Connection(text) | Error::Timeout(text) | Error::InvalidArgument(text) => {
                f.write_str(text)
            }
            Error::Unauthorized(refusal) => {
                write!(f, "{refusal}; connect with a token that the broker knows")
            }
            Error::CircuitOpen { until } => write!(
                f,
                "not sent: the sends before failed in a row; try again from {} UTC on, and see how the broker is",
                time_of_day(*until)
            ),
            Error::Closed => f.write_str("closed; open a new client, sender or receiver to go on"),
            Error::Protocol(text) => write!(
                f,
                "not the Postrider protocol: {text}; check that the address is a Postrider broker's, and that client and broker are of versions that fit"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Hours, minutes, seconds, milliseconds.
fn time_of_day(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() % 86_400;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{:03}", since.subsec_millis())
}

/// What to do about a refusal, by its code.
fn advice(refusal: &Refusal) -> &'static str {
    match refusal.code {
        ErrorCode::NotFound => "or check the name",
        ErrorCode::AlreadyExists => "use another name, or update the one that exists",
        ErrorCode::Disabled => "try again when that is done",
        ErrorCode::Unauthorized => "connect with a token that the broker knows",
        ErrorCode::Forbidden => "ask an administrator for the right",
        ErrorCode::Busy | ErrorCode::Throttled => "slow down and try again",
        ErrorCode::QuotaExceeded => "consume messages or raise the limit, then try again",
        ErrorCode::StorageFull => "make room on the broker's disk, then try again",
        ErrorCode::MessageTooLarge => "send a smaller message, or raise max_message_bytes of the entity",
        ErrorCode::LockLost => {
            "settle a message once, and before its lock runs out: renew it, or lengthen lock_duration_ms"
        }
        ErrorCode::SessionLockLost => "accept the session again",
        ErrorCode::SessionCannotBeLocked => "wait until the other receiver lets go, or take another session",
        ErrorCode::MessageNotFound => "look up which messages there are",
        ErrorCode::NotLeader | ErrorCode::Unavailable | ErrorCode::Timeout => "try again in a moment",
        ErrorCode::UnknownOutcome => "look whether it was done before you repeat it",
        ErrorCode::Duplicate => "nothing needs to be done",
        ErrorCode::InvalidArgument => "correct the field and try again",
        ErrorCode::Internal => "report it with the tracking id",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_do_next() {
        let refused = Error::from(Refusal::not_found("orders"));
        assert_eq!(
            refused.to_string(),
            "NotFound orders: does not exist; create it first; or check the name"
        );
        assert!(!refused.is_retryable());
        assert!(matches!(Error::from(Refusal::new(ErrorCode::Unauthorized, "no")), Error::Unauthorized(_)));
        assert!(Error::Timeout(String::new()).is_retryable());
        assert_eq!(Error::Closed.code(), None);
        let until = UNIX_EPOCH + std::time::Duration::from_millis(86_400_000 + 3_723_004);
        assert!(Error::CircuitOpen { until }.to_string().contains("from 01:02:03.004 UTC on"));
    }
}
