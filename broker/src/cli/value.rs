//! Values, identifiers and bodies as JSON, there and back.
//!
//! What JSON has no kind for is an object with one key: `{"base64": ...}` for bytes, `{"uuid": ...}`, `{"time": ...}`.

use super::parse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use postrider_protocol::value::{Id, Value};
use serde_json::{Value as Json, json};

/// A property's value as JSON.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => base64(bytes),
        Value::Timestamp(ms) => json!({ "time": parse::rfc3339_ms(u64::try_from(*ms).unwrap_or(0)) }),
        Value::Uuid(_) => json!({ "uuid": value.to_string() }),
    }
}

/// A property's value from JSON.
pub fn from_json(json: &Json) -> Result<Value, String> {
    let value = match json {
        Json::Null => Some(Value::Null),
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(number) if number.is_f64() => number.as_f64().map(Value::Float),
        Json::Number(number) => number.as_i64().map(Value::Int),
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Object(_) => special(json),
        Json::Array(_) => None,
    };
    value.ok_or_else(|| format!("{json} is not a value; {ALLOWED}"))
}

const ALLOWED: &str =
    "values are null, true, false, numbers, texts, {\"base64\": ...}, {\"uuid\": ...} and {\"time\": ...}";

fn special(json: &Json) -> Option<Value> {
    let (kind, text) = only_key(json)?;
    match kind {
        "base64" => STANDARD.decode(text).ok().map(|bytes| Value::Bytes(bytes.into())),
        "uuid" => parse::uuid(text).map(Value::Uuid),
        "time" => parse::timestamp(text).map(Value::Timestamp),
        _ => None,
    }
}

fn only_key(json: &Json) -> Option<(&str, &str)> {
    let object = json.as_object().filter(|object| object.len() == 1)?;
    let (key, value) = object.iter().next()?;
    Some((key, value.as_str()?))
}

/// An identifier as JSON.
pub fn id_to_json(id: &Id) -> Json {
    match id {
        Id::Text(text) => json!(text),
        Id::Number(number) => json!(number),
        Id::Uuid(_) => json!({ "uuid": id.to_string() }),
        Id::Bytes(bytes) => base64(bytes),
    }
}

/// An identifier from JSON.
pub fn id_from_json(json: &Json) -> Result<Id, String> {
    if let Some(number) = json.as_u64() {
        return Ok(Id::Number(number));
    }
    match from_json(json)? {
        Value::Text(text) => Ok(Id::Text(text)),
        Value::Uuid(bits) => Ok(Id::Uuid(bits)),
        Value::Bytes(bytes) => Ok(Id::Bytes(bytes)),
        _ => Err(format!(
            "{json} is not an id; ids are texts, numbers from 0, {{\"uuid\": ...}}, {{\"base64\": ...}}"
        )),
    }
}

/// The media type of bodies that are JSON.
pub const JSON_TYPE: &str = "application/json";

/// A body as JSON: parsed if it is declared to be JSON and is, else as text, else in base 64.
pub fn body_to_json(body: &[u8], content_type: Option<&str>) -> Json {
    let parsed = is_json(content_type).then(|| serde_json::from_slice(body).ok()).flatten();
    parsed.unwrap_or_else(|| std::str::from_utf8(body).map_or_else(|_| base64(body), |text| json!(text)))
}

/// The bytes of a body in a JSON line and, if it says nothing else, its media type. `raw` is the JSON as it was written.
pub fn body_from_json(raw: &str, json: &Json, content_type: Option<&str>) -> (Bytes, Option<&'static str>) {
    let verbatim = || Bytes::copy_from_slice(raw.as_bytes());
    match (json, special(json)) {
        (Json::String(text), _) => (text.clone().into(), None),
        (_, Some(Value::Bytes(bytes))) if !is_json(content_type) => (bytes, None),
        _ => (verbatim(), Some(JSON_TYPE)),
    }
}

fn is_json(content_type: Option<&str>) -> bool {
    let media_type = content_type.and_then(|text| text.split(';').next());
    media_type.is_some_and(|text| text.trim().eq_ignore_ascii_case(JSON_TYPE))
}

fn base64(bytes: &[u8]) -> Json {
    json!({ "base64": STANDARD.encode(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_json() {
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(-5),
            Value::Float(1.5),
            Value::Text("high".to_owned()),
            Value::Bytes(Bytes::from_static(b"\xff\0")),
            Value::Timestamp(1_700_000_000_123),
            Value::Uuid(255),
        ];
        for value in values {
            assert_eq!(from_json(&to_json(&value)), Ok(value));
        }
        assert!(from_json(&json!([1])).is_err());
        assert!(from_json(&json!(u64::MAX)).is_err());
        assert!(from_json(&json!({ "uuid": "x" })).is_err());
    }

    #[test]
    fn ids_keep_their_kind() {
        let ids = [Id::from("a"), Id::from(u64::MAX), Id::Uuid(7), Id::Bytes(Bytes::from_static(b"\xff"))];
        for id in ids {
            assert_eq!(id_from_json(&id_to_json(&id)), Ok(id));
        }
        assert!(id_from_json(&json!(true)).is_err());
        assert!(id_from_json(&json!(-1)).is_err());
    }

    #[test]
    fn bodies_are_shown_as_what_they_are() {
        assert_eq!(
            body_to_json(b"{\"b\":1,\"a\":2}", Some("application/json; charset=utf-8")).to_string(),
            r#"{"b":1,"a":2}"#
        );
        assert_eq!(body_to_json(b"{\"a\":1}", None), json!("{\"a\":1}"));
        assert_eq!(body_to_json(b"not json", Some(JSON_TYPE)), json!("not json"));
        assert_eq!(body_to_json(b"\xff", Some(JSON_TYPE)), json!({ "base64": "/w==" }));
    }

    #[test]
    fn bodies_survive_json() {
        let bodies: [(&[u8], Option<&str>); 5] = [
            (b"hello", None),
            (b"\xff\0", None),
            (b"{\"b\":1,\"a\":[2]}", Some(JSON_TYPE)),
            (b"{\"base64\":\"/w==\"}", Some(JSON_TYPE)),
            (b"42", Some(JSON_TYPE)),
        ];
        for (body, content_type) in bodies {
            let json = body_to_json(body, content_type);
            let (read, implied) = body_from_json(&json.to_string(), &json, content_type);
            assert_eq!((&read[..], implied.is_some()), (body, content_type.is_some()));
        }
    }
}
