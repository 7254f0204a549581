//! The names that a filter can use.

/// What a filter can ask for under `sys.`: the name that a view is asked by, and the other spellings of it. All are
/// found without regard to case. A message that is only being published has none of those that the broker sets.
pub const SYSTEM_PROPERTIES: &[(&str, &[&str])] = &[
    ("MessageId", &["message_id"]),
    ("CorrelationId", &["correlation_id"]),
    ("Subject", &["Label"]),
    ("To", &[]),
    ("ReplyTo", &["reply_to"]),
    ("ReplyToSessionId", &["reply_to_session_id"]),
    ("SessionId", &["session_id"]),
    ("PartitionKey", &["partition_key"]),
    ("ContentType", &["content_type"]),
    ("TimeToLive", &["time_to_live", "time_to_live_ms"]),
    ("ScheduledEnqueueTimeUtc", &["scheduled_enqueue_time_utc", "scheduled_enqueue_time"]),
    ("Priority", &[]),
    ("Cost", &[]),
    ("EnqueuedTimeUtc", &["enqueued_time_utc", "enqueued_time"]),
    ("ExpiresAtUtc", &["expires_at_utc", "expires_at"]),
    ("SequenceNumber", &["sequence_number"]),
    ("EnqueuedSequenceNumber", &["enqueued_sequence_number", "enqueued_sequence"]),
    ("DeliveryCount", &["delivery_count"]),
    ("DeadLetterReason", &["dead_letter_reason"]),
    (
        "DeadLetterErrorDescription",
        &["dead_letter_error_description", "DeadLetterDescription", "dead_letter_description"],
    ),
    ("DeadLetterSource", &["dead_letter_source"]),
];

/// Words that are a property's name only in brackets or quotes.
const RESERVED: &[&str] = &["AND", "OR", "NOT", "IS", "IN", "LIKE", "ESCAPE", "NULL", "TRUE", "FALSE"];

/// The first name of a system property in any of its spellings.
pub fn system(name: &str) -> Option<&'static str> {
    let is_it = |spelling: &&str| spelling.eq_ignore_ascii_case(name);
    let found = SYSTEM_PROPERTIES.iter().find(|(first, others)| is_it(first) || others.iter().any(is_it));
    found.map(|(first, _)| *first)
}

/// All system properties by their first name, for a person to read.
pub(super) fn all_system() -> String {
    let names: Vec<_> = SYSTEM_PROPERTIES.iter().map(|(first, _)| *first).collect();
    names.join(", ")
}

/// Whether the word is part of the language.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

/// Whether a name can stand by itself, without brackets.
pub(super) fn is_plain(name: &str) -> bool {
    name.starts_with(char::is_alphabetic) && name.chars().all(is_word) && !is_reserved(name)
}

/// Whether the character can be part of a name that stands by itself.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
