//! Values of application properties, and identifiers that keep their kind.

use crate::limits;
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

/// The value of an application property.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Present without a value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// A text.
    Text(String),
    /// Opaque bytes.
    Bytes(Bytes),
    /// UTC milliseconds since the epoch.
    Timestamp(i64),
    /// A UUID.
    Uuid(u128),
}

impl Value {
    /// Writes a tag byte (0 to 7 in the order of the variants) and the value.
    pub fn put(&self, out: &mut BytesMut) {
        match self {
            Value::Null => out.put_u8(0),
            Value::Bool(value) => {
                out.put_u8(1);
                out.put_u8(u8::from(*value));
            }
            Value::Int(value) => {
                out.put_u8(2);
                out.put_i64(*value);
            }
            Value::Float(value) => {
                out.put_u8(3);
                out.put_f64(*value);
            }
            Value::Text(value) => {
                out.put_u8(4);
                wire::put_text(out, value);
            }
            Value::Bytes(value) => {
                out.put_u8(5);
                wire::put_short_blob(out, value);
            }
            Value::Timestamp(value) => {
                out.put_u8(6);
                out.put_i64(*value);
            }
            Value::Uuid(value) => {
                out.put_u8(7);
                out.put_u128(*value);
            }
        }
    }

    /// Reads a value.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        const FIELD: &str = "property.value";
        Ok(match reader.u8("property.kind")? {
            0 => Value::Null,
            1 => Value::Bool(reader.bool(FIELD)?),
            2 => Value::Int(reader.i64(FIELD)?),
            3 => Value::Float(reader.f64(FIELD)?),
            4 => Value::Text(reader.text(FIELD)?),
            5 => Value::Bytes(reader.short_blob(FIELD)?),
            6 => Value::Timestamp(reader.i64(FIELD)?),
            7 => Value::Uuid(reader.u128(FIELD)?),
            other => return Err(Malformed::new("property.kind", format!("found {other}, kinds are 0 to 7"))),
        })
    }

    /// Bytes of the value itself, for [`limits::PROPERTY_BYTES`].
    pub fn size(&self) -> usize {
        match self {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int(_) | Value::Float(_) | Value::Timestamp(_) => 8,
            Value::Uuid(_) => 16,
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether two values are equal for a correlation filter: same kind, or whole and decimal of the same number.
    pub fn matches(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Int(whole), Value::Float(decimal)) | (Value::Float(decimal), Value::Int(whole)) => {
                *whole as f64 == *decimal
            }
            (a, b) => a == b,
        }
    }
}

/// As a person would write it; bytes as hexadecimal digits.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => value.fmt(f),
            Value::Int(value) | Value::Timestamp(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
            Value::Text(value) => f.write_str(value),
            Value::Bytes(value) => value.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Value::Uuid(value) => write_uuid(f, *value),
        }
    }
}

fn write_uuid(f: &mut fmt::Formatter<'_>, bits: u128) -> fmt::Result {
    let (a, b, c) = ((bits >> 96) as u32, (bits >> 80) as u16, (bits >> 64) as u16);
    let (d, e) = ((bits >> 48) as u16, bits as u64 & 0xffff_ffff_ffff);
    write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self { Value::$variant(value.into()) }
        })*
    };
}

value_from!(bool => Bool, i64 => Int, i32 => Int, u32 => Int, f64 => Float, String => Text, &str => Text, Bytes => Bytes);

/// Writes application properties: a list of (text name, value).
pub fn put_properties(out: &mut BytesMut, properties: &[(String, Value)]) {
    wire::put_list(out, properties, |out, (name, value)| {
        wire::put_text(out, name);
        value.put(out);
    });
}

/// Reads application properties.
pub fn read_properties(reader: &mut Reader) -> Read<Vec<(String, Value)>> {
    reader.list("properties", 3, limits::PROPERTIES_BYTES, |reader| {
        Ok((reader.text("property.name")?, Value::read(reader)?))
    })
}

/// A `message_id` or `correlation_id`: keeps the kind it was sent with; its text is what duplicate detection compares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Id {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
    /// A UUID.
    Uuid(u128),
    /// Opaque bytes.
    Bytes(Bytes),
}

impl Id {
    /// Writes a kind byte (0 to 3 in the order of the variants) and the id.
    pub fn put(&self, out: &mut BytesMut) {
        match self {
            Id::Text(text) => {
                out.put_u8(0);
                wire::put_text(out, text);
            }
            Id::Number(number) => {
                out.put_u8(1);
                out.put_u64(*number);
            }
            Id::Uuid(bits) => {
                out.put_u8(2);
                out.put_u128(*bits);
            }
            Id::Bytes(bytes) => {
                out.put_u8(3);
                wire::put_short_blob(out, bytes);
            }
        }
    }

    /// Reads an id.
    pub fn read(reader: &mut Reader, field: &'static str) -> Read<Self> {
        Ok(match reader.u8(field)? {
            0 => Id::Text(reader.text(field)?),
            1 => Id::Number(reader.u64(field)?),
            2 => Id::Uuid(reader.u128(field)?),
            3 => Id::Bytes(reader.short_blob(field)?),
            other => return Err(Malformed::new(field, format!("found id kind {other}, kinds are 0 to 3"))),
        })
    }

    /// Whether the id stays within [`limits::ID_CHARS`].
    pub fn is_within_limit(&self) -> bool {
        match self {
            Id::Text(text) => text.chars().count() <= limits::ID_CHARS,
            Id::Bytes(bytes) => bytes.len() <= limits::ID_CHARS,
            Id::Number(_) | Id::Uuid(_) => true,
        }
    }
}

/// The canonical text.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Text(text) => f.write_str(text),
            Id::Number(number) => number.fmt(f),
            Id::Uuid(bits) => write_uuid(f, *bits),
            Id::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        Id::Text(text.to_owned())
    }
}

impl From<String> for Id {
    fn from(text: String) -> Self {
        Id::Text(text)
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Id::Number(number)
    }
}
