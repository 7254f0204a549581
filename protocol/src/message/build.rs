//! Messages as their sender makes them, field by field.

use super::Message;
use crate::value::{Id, Value};
use bytes::Bytes;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Message {
    /// A message with this body and nothing else set.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Message { body: body.into(), ..Message::default() }
    }

    /// The same message with this `message_id`.
    pub fn with_id(self, id: impl Into<Id>) -> Self {
        Message { message_id: Some(id.into()), ..self }
    }

    /// The same message with this `correlation_id`.
    pub fn with_correlation_id(self, id: impl Into<Id>) -> Self {
        Message { correlation_id: Some(id.into()), ..self }
    }

    /// The same message with this subject.
    pub fn with_subject(self, subject: impl Into<String>) -> Self {
        Message { subject: Some(subject.into()), ..self }
    }

    /// The same message with this media type for its body.
    pub fn with_content_type(self, content_type: impl Into<String>) -> Self {
        Message { content_type: Some(content_type.into()), ..self }
    }

    /// The same message with one more application property.
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// The same message, to be answered at this address.
    pub fn with_reply_to(self, address: impl Into<String>) -> Self {
        Message { reply_to: Some(address.into()), ..self }
    }

    /// The same message in the session of this id.
    pub fn with_session_id(self, id: impl Into<String>) -> Self {
        Message { session_id: Some(id.into()), ..self }
    }

    /// The same message, which expires when it was not delivered after so long. Rounded up to a millisecond.
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Message { time_to_live_ms: Some(milliseconds(ttl).max(1)), ..self }
    }

    /// The same message, not to be delivered before `utc_ms`, in UTC milliseconds since the epoch.
    pub fn with_scheduled_at_ms(self, utc_ms: u64) -> Self {
        Message { scheduled_enqueue_time_ms: Some(utc_ms), ..self }
    }

    /// The same message, not to be delivered before `time`.
    pub fn with_scheduled_at(self, time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.with_scheduled_at_ms(milliseconds(since))
    }

    /// The same message, not to be delivered before so long from now, by this machine's clock.
    pub fn with_delay(self, delay: Duration) -> Self {
        let now = SystemTime::now();
        self.with_scheduled_at(now.checked_add(delay).unwrap_or(now))
    }

    /// The same message with this priority, 1 to 10; higher goes first in a queue with `priority_levels`.
    pub fn with_priority(self, priority: u8) -> Self {
        Message { priority: Some(priority), ..self }
    }

    /// The same message, which takes so many capacity units while it is in flight.
    pub fn with_cost(self, units: u32) -> Self {
        Message { cost: Some(units), ..self }
    }
}

/// Whole milliseconds, rounded up.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_milliseconds() {
        let message = Message::new("x").with_ttl(Duration::from_nanos(1)).with_scheduled_at_ms(7);
        assert_eq!((message.time_to_live_ms, message.scheduled_enqueue_time_ms), (Some(1), Some(7)));
        let at = UNIX_EPOCH + Duration::from_micros(1_500);
        assert_eq!(Message::default().with_scheduled_at(at).scheduled_enqueue_time_ms, Some(2));
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let delayed = Message::default().with_delay(Duration::from_secs(60)).scheduled_enqueue_time_ms;
        assert!(delayed.unwrap() >= before + 60_000);
    }
}
