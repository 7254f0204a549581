//! Which of the messages that a walk comes to a request is about.

use crate::context::Damage;
use crate::filter::{self, Properties, Truth};
use crate::verbs::bulk::causes;
use crate::verbs::bulk::walk::{Found, Where};
use crate::verbs::settle::moves::decode;
use postrider_protocol::error::Refusal;
use postrider_protocol::message::{Message, Record};
use postrider_protocol::request::{Cause, Selection, States};
use postrider_protocol::value::Value;
use std::borrow::Cow;

/// A selection that was read.
pub(crate) struct Chooser {
    states: States,
    filter: Option<filter::Filter>,
    before_ms: u64,
    cause: Option<Cause>,
}

impl Chooser {
    /// Reads a selection, but for its numbers; refuses a filter that is none.
    pub fn of(selection: &Selection) -> Result<Self, Refusal> {
        let filter = Self::within(selection.states, &selection.filter)?;
        Ok(Chooser { before_ms: selection.before_ms, cause: selection.cause.clone(), ..filter })
    }

    /// Messages in some states that a filter lets through; an empty one lets all through.
    pub fn within(states: States, text: &str) -> Result<Self, Refusal> {
        let parsed = (!text.is_empty()).then(|| filter::Filter::parse(text, &[]));
        Ok(Chooser { states, filter: parsed.transpose()?, before_ms: 0, cause: None })
    }

    /// Whether it takes a message. Where the filter cannot judge it, it does not.
    pub fn takes(&self, found: &Found) -> Result<bool, Damage> {
        if !self.states.contains(found.state()) {
            return Ok(false);
        }
        if self.filter.is_none() && self.before_ms == 0 && self.cause.is_none() {
            return Ok(true);
        }
        let record = found.record()?;
        Ok(self.takes_age(found, &record)
            && self.takes_cause(&record)
            && self.takes_content(found, &record)?)
    }

    fn takes_age(&self, found: &Found, record: &Record) -> bool {
        let is_enqueued = matches!(found.at, Where::Stored { .. });
        self.before_ms == 0 || is_enqueued && record.enqueued_time_ms < self.before_ms
    }

    fn takes_cause(&self, record: &Record) -> bool {
        let is_it = |wanted: &Cause| {
            let info = record.dead_letter.as_ref();
            info.is_some_and(|info| {
                info.reason == wanted.reason && causes::normalised(&info.description) == wanted.description
            })
        };
        self.cause.as_ref().is_none_or(is_it)
    }

    fn takes_content(&self, found: &Found, record: &Record) -> Result<bool, Damage> {
        let Some(filter) = &self.filter else { return Ok(true) };
        let message = decode(record.message.clone())?;
        Ok(filter.matches(&Seen { found, record, message: &message }) == Ok(Truth::True))
    }
}

/// A message as filters see it.
struct Seen<'a> {
    found: &'a Found,
    record: &'a Record,
    message: &'a Message,
}

impl Properties for Seen<'_> {
    fn system(&self, name: &'static str) -> Option<Cow<'_, Value>> {
        let dead = self.record.dead_letter.as_ref();
        let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let time = |ms: u64| Value::Timestamp(i64::try_from(ms).unwrap_or(i64::MAX));
        let value = match name {
            "EnqueuedTimeUtc" => self.enqueued_ms().map(time),
            "ExpiresAtUtc" => self.record.expires_at_ms.map(time),
            "SequenceNumber" => Some(int(self.found.number)),
            "EnqueuedSequenceNumber" => Some(int(self.record.enqueued_sequence)),
            "DeliveryCount" => Some(int(u64::from(self.found.attempts()))),
            "DeadLetterReason" => dead.map(|info| Value::Text(info.reason.clone())),
            "DeadLetterErrorDescription" => dead.map(|info| Value::Text(info.description.clone())),
            "DeadLetterSource" => dead.map(|info| Value::Text(info.source.clone())),
            _ => return self.message.system(name),
        };
        value.map(Cow::Owned)
    }

    fn user(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.message.user(name)
    }
}

impl Seen<'_> {
    /// Scheduled messages are not enqueued yet.
    fn enqueued_ms(&self) -> Option<u64> {
        let is_enqueued = matches!(self.found.at, Where::Stored { .. });
        is_enqueued.then_some(self.record.enqueued_time_ms)
    }
}
