//! Messages and parameters as the tables write them: `a=5 [b c]='text' sys.Subject='x' @p=NULL`.

use bytes::Bytes;
use postrider_protocol::message::Message;
use postrider_protocol::value::{Id, Value};

/// What a filter is tried on.
#[derive(Debug, Default)]
pub struct Given {
    pub message: Message,
    pub parameters: Vec<(String, Value)>,
}

/// Reads a row's properties; none where they are not written as they must be.
pub fn given(text: &str) -> Option<Given> {
    let mut given = Given::default();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, behind) = name(rest)?;
        let (value, behind) = value(behind)?;
        rest = behind.trim_start();
        if let Some(parameter) = name.strip_prefix('@') {
            given.parameters.push((parameter.to_owned(), value));
        } else if let Some(field) = name.strip_prefix("sys.") {
            set(&mut given.message, field, value)?;
        } else {
            given.message.properties.push((name.to_owned(), value));
        }
    }
    Some(given)
}

fn name(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(inner) => inner.split_once("]="),
        None => text.split_once('='),
    }
}

fn value(text: &str) -> Option<(Value, &str)> {
    if let Some(inner) = text.strip_prefix('\'') {
        return quoted(inner);
    }
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some((plain(word)?, rest))
}

fn quoted(mut text: &str) -> Option<(Value, &str)> {
    let mut found = String::new();
    loop {
        let (before, behind) = text.split_once('\'')?;
        found += before;
        let Some(more) = behind.strip_prefix('\'') else { return Some((Value::Text(found), behind)) };
        found.push('\'');
        text = more;
    }
}

fn plain(word: &str) -> Option<Value> {
    Some(match word.split_once(':') {
        Some(("time", ms)) => Value::Timestamp(ms.parse().ok()?),
        Some(("uuid", number)) => Value::Uuid(number.parse().ok()?),
        Some(("bytes", text)) => Value::Bytes(Bytes::copy_from_slice(text.as_bytes())),
        Some(_) => return None,
        None => match word {
            "NULL" => Value::Null,
            "TRUE" => Value::Bool(true),
            "FALSE" => Value::Bool(false),
            _ => word.parse().map(Value::Int).or_else(|_| word.parse().map(Value::Float)).ok()?,
        },
    })
}

fn set(message: &mut Message, field: &str, value: Value) -> Option<()> {
    let target = match field {
        "MessageId" => return id(&mut message.message_id, value),
        "CorrelationId" => return id(&mut message.correlation_id, value),
        "TimeToLive" => return number(&mut message.time_to_live_ms, &value),
        "ScheduledEnqueueTimeUtc" => return number(&mut message.scheduled_enqueue_time_ms, &value),
        "Priority" => return number(&mut message.priority, &value),
        "Cost" => return number(&mut message.cost, &value),
        "Subject" => &mut message.subject,
        "To" => &mut message.to,
        "ReplyTo" => &mut message.reply_to,
        "ReplyToSessionId" => &mut message.reply_to_session_id,
        "SessionId" => &mut message.session_id,
        "PartitionKey" => &mut message.partition_key,
        "ContentType" => &mut message.content_type,
        _ => return None,
    };
    let Value::Text(text) = value else { return None };
    *target = Some(text);
    Some(())
}

fn id(target: &mut Option<Id>, value: Value) -> Option<()> {
    *target = Some(match value {
        Value::Text(text) => Id::Text(text),
        Value::Int(number) => Id::Number(number.try_into().ok()?),
        Value::Uuid(bits) => Id::Uuid(bits),
        Value::Bytes(bytes) => Id::Bytes(bytes),
        Value::Null | Value::Bool(_) | Value::Float(_) | Value::Timestamp(_) => return None,
    });
    Some(())
}

fn number<T: TryFrom<i64>>(target: &mut Option<T>, value: &Value) -> Option<()> {
    let Value::Int(number) = value else { return None };
    *target = Some(T::try_from(*number).ok()?);
    Some(())
}

/// What a sender set, as `given` reads it.
pub fn written(message: &Message) -> String {
    let id = |id: &Option<Id>| {
        id.as_ref().map(|id| match id {
            Id::Text(text) => Value::Text(text.clone()),
            Id::Number(number) => Value::Int(i64::try_from(*number).unwrap()),
            Id::Uuid(bits) => Value::Uuid(*bits),
            Id::Bytes(bytes) => Value::Bytes(bytes.clone()),
        })
    };
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let number = |number: Option<u64>| number.map(|number| Value::Int(i64::try_from(number).unwrap()));
    let fields = [
        ("MessageId", id(&message.message_id)),
        ("CorrelationId", id(&message.correlation_id)),
        ("Subject", text(&message.subject)),
        ("To", text(&message.to)),
        ("ReplyTo", text(&message.reply_to)),
        ("ReplyToSessionId", text(&message.reply_to_session_id)),
        ("SessionId", text(&message.session_id)),
        ("PartitionKey", text(&message.partition_key)),
        ("ContentType", text(&message.content_type)),
        ("TimeToLive", number(message.time_to_live_ms)),
        ("ScheduledEnqueueTimeUtc", number(message.scheduled_enqueue_time_ms)),
        ("Priority", number(message.priority.map(u64::from))),
        ("Cost", number(message.cost.map(u64::from))),
    ];
    let set = fields.into_iter().filter_map(|(name, value)| Some((format!("sys.{name}"), value?)));
    let all = set.chain(message.properties.iter().cloned());
    let words: Vec<_> = all.map(|(name, value)| format!("{}={}", bracketed(&name), shown(&value))).collect();
    words.join(" ")
}

fn bracketed(name: &str) -> String {
    if name.contains(' ') { format!("[{name}]") } else { name.to_owned() }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(true) => "TRUE".to_owned(),
        Value::Bool(false) => "FALSE".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Bytes(bytes) => format!("bytes:{}", String::from_utf8_lossy(bytes)),
        Value::Timestamp(ms) => format!("time:{ms}"),
        Value::Uuid(bits) => format!("uuid:{bits}"),
    }
}

/// The rows of a table: its columns, without the space around them.
pub fn rows<const COLUMNS: usize>(table: &str) -> Vec<[&str; COLUMNS]> {
    let lines = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(columns).collect()
}

fn columns<const COLUMNS: usize>(line: &str) -> [&str; COLUMNS] {
    let columns: Vec<_> = line.split('|').map(str::trim).collect();
    columns.try_into().unwrap_or_else(|_| panic!("not {COLUMNS} columns: {line}"))
}
