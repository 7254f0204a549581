//! What a message that is only being published has to show.

use super::Properties;
use postrider_protocol::message::Message;
use postrider_protocol::value::{Id, Value};
use std::borrow::Cow;

/// What the sender has set; the broker has set nothing yet.
impl Properties for Message {
    fn system(&self, name: &'static str) -> Option<Cow<'_, Value>> {
        header(self, name).map(Cow::Owned)
    }

    fn user(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.property(name).map(Cow::Borrowed)
    }
}

fn header(message: &Message, name: &str) -> Option<Value> {
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let id = |id: &Option<Id>| id.as_ref().map(|id| Value::Text(id.to_string()));
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    match name {
        "MessageId" => id(&message.message_id),
        "CorrelationId" => id(&message.correlation_id),
        "Subject" => text(&message.subject),
        "To" => text(&message.to),
        "ReplyTo" => text(&message.reply_to),
        "ReplyToSessionId" => text(&message.reply_to_session_id),
        "SessionId" => text(&message.session_id),
        "PartitionKey" => text(&message.partition_key),
        "ContentType" => text(&message.content_type),
        "TimeToLive" => message.time_to_live_ms.map(|ms| Value::Int(whole(ms))),
        "ScheduledEnqueueTimeUtc" => message.scheduled_enqueue_time_ms.map(|ms| Value::Timestamp(whole(ms))),
        "Priority" => message.priority.map(|priority| Value::Int(i64::from(priority))),
        "Cost" => message.cost.map(|units| Value::Int(i64::from(units))),
        _ => None,
    }
}
