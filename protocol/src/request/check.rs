//! What a request can say rightly laid out and is still not allowed, whatever it is about.

use super::transact::check_operations;
use super::{Request, SessionWish};
use crate::error::{ErrorCode, Refusal};
use crate::limits;
use crate::selection::check_filter;
use bytes::Bytes;

impl Request {
    /// Refuses an id, a filter, a schedule, a session's name or its state, and a message to be explained beyond their
    /// limits, a list of numbers without any, and a transaction of nothing or of too much.
    ///
    /// Names, options, rules and messages have checks of their own.
    pub fn check(&self) -> Result<(), Refusal> {
        match self {
            Request::OpenReceiver(open) => check_session(&open.session),
            Request::SetSessionState { state: Some(state), .. } => check_state(state),
            Request::ReceiveDeferred { sequences, .. } | Request::Scheduled { sequences, .. } => {
                check_sequences(sequences)
            }
            Request::Explain { message, .. } => check_explained(message),
            Request::PutSchedule { schedule, .. } => schedule.check(),
            Request::Transact { operations, .. } => check_operations(operations),
            Request::Peek { filter, .. } => check_filter(filter),
            Request::Trace { message_id, .. } => check_traced(message_id),
            Request::Purge { selection, .. } | Request::Redrive { selection, .. } => selection.check(),
            _ => Ok(()),
        }
    }
}

fn check_session(session: &SessionWish) -> Result<(), Refusal> {
    let SessionWish::Named(id) = session else { return Ok(()) };
    let (chars, most) = (id.chars().count(), limits::ID_CHARS);
    if (1..=most).contains(&chars) {
        return Ok(());
    }
    Err(Refusal::invalid("session", format!("has {chars} characters, 1 to {most} are allowed")))
}

fn check_traced(id: &str) -> Result<(), Refusal> {
    // As long as an id's text can be: characters have up to four bytes, and bytes are written as two digits each.
    let (bytes, most) = (id.len(), 4 * limits::ID_CHARS);
    if (1..=most).contains(&bytes) {
        return Ok(());
    }
    Err(Refusal::invalid("message_id", format!("has {bytes} bytes, 1 to {most} are allowed")))
}

fn check_state(state: &Bytes) -> Result<(), Refusal> {
    let (size, most) = (state.len(), limits::SESSION_STATE_BYTES);
    if size <= most {
        return Ok(());
    }
    let text = format!("the session's state has {size} bytes, at most {most} are allowed");
    Err(Refusal::new(ErrorCode::MessageTooLarge, text))
}

fn check_explained(message: &Bytes) -> Result<(), Refusal> {
    let (size, most) = (message.len(), limits::EXPLAINED_MESSAGE_BYTES);
    if size <= most {
        return Ok(());
    }
    let text = format!(
        "the message has {size} bytes, at most {most} are explained; leave out the body, which rules do not see"
    );
    Err(Refusal::new(ErrorCode::MessageTooLarge, text))
}

fn check_sequences(sequences: &[u64]) -> Result<(), Refusal> {
    if sequences.is_empty() {
        let most = limits::SEQUENCES;
        return Err(Refusal::invalid("sequences", format!("is empty; name 1 to {most} messages")));
    }
    Ok(())
}
