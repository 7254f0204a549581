//! Kinds that are known before there is a message.

use super::expression::Expression;
use postrider_protocol::value::Value;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Truth,
    Number,
    Text,
    Bytes,
    Time,
    Uuid,
}

impl Kind {
    /// None for null, which is unknown wherever it stands.
    pub fn of(value: &Value) -> Option<Kind> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(_) => Kind::Truth,
            Value::Int(_) | Value::Float(_) => Kind::Number,
            Value::Text(_) => Kind::Text,
            Value::Bytes(_) => Kind::Bytes,
            Value::Timestamp(_) => Kind::Time,
            Value::Uuid(_) => Kind::Uuid,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Truth => "true or false",
            Kind::Number => "a number",
            Kind::Text => "a text",
            Kind::Bytes => "bytes",
            Kind::Time => "a time",
            Kind::Uuid => "a UUID",
        })
    }
}

/// What an expression is whenever it is known; None where that is up to the message.
pub(super) fn kind(expression: &Expression) -> Option<Kind> {
    match expression {
        Expression::Literal(value) => Kind::of(value),
        Expression::Parameter(_, value) => Kind::of(value),
        Expression::Property(_) => None,
        Expression::NewId(_) => Some(Kind::Uuid),
        Expression::Sign(..) | Expression::Arithmetic { .. } => Some(Kind::Number),
        Expression::Exists(_)
        | Expression::Not(_)
        | Expression::Compare(..)
        | Expression::And(_)
        | Expression::Or(_)
        | Expression::Test { .. } => Some(Kind::Truth),
    }
}
