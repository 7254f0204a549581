//! Why a filter says of a message what it says.

use super::eval::{Given, judge, value};
use super::expression::{Comparison, Expression, Test, write_literal};
use super::kind::{Kind, kind};
use super::token::Token;
use super::{Filter, Properties, Truth};
use postrider_protocol::value::Value;
use std::fmt;

/// A part of a filter, and what it was for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The part, as the filter prints it.
    pub text: String,
    /// `TRUE`, `FALSE` or `UNKNOWN` for a condition; else the value as a filter writes it, with bytes, times and UUIDs
    /// after their kind, and `NULL`, `missing` for a property that is not there, and `UNKNOWN` for what was calculated
    /// with either; `error: ` and why; or `not looked at`. A long text is cut behind [`SHOWN_CHARS`] characters.
    pub value: String,
    /// The parts of it, in the order in which they are looked at; constants, which say all themselves, are left out.
    pub children: Vec<Explanation>,
}

/// How much of a text is shown.
pub const SHOWN_CHARS: usize = 100;

/// How a value that nobody asked for is shown.
const NOT_LOOKED_AT: &str = "not looked at";

impl Filter {
    /// Judges a message as [`Filter::matches`] does, and says what each part came to. What is behind the operand that
    /// decided was not looked at.
    pub fn explain(&self, view: &dyn Properties) -> Explanation {
        explain(&self.0, &Given { view, bits: 0 })
    }
}

/// One part a line, indented by two spaces more than the part that it belongs to: `a > 5: TRUE`.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Explanation {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        writeln!(f, "{:indent$}{}: {}", "", self.text, self.value, indent = 2 * depth)?;
        self.children.iter().try_for_each(|child| child.write(f, depth + 1))
    }
}

fn explain(expression: &Expression, given: &Given<'_>) -> Explanation {
    let looked_at = looked_at(expression, given);
    let children = operands(expression).into_iter().enumerate().map(|(at, operand)| {
        let child = if at < looked_at { explain(operand, given) } else { unseen(operand) };
        (operand, child)
    });
    let children = children.filter(|(operand, _)| !matches!(operand, Expression::Literal(_)));
    Explanation {
        text: expression.to_string(),
        value: shown(expression, given),
        children: children.map(|(_, child)| child).collect(),
    }
}

fn unseen(expression: &Expression) -> Explanation {
    Explanation { text: expression.to_string(), value: NOT_LOOKED_AT.to_owned(), children: Vec::new() }
}

/// In the order in which they are evaluated.
fn operands(expression: &Expression) -> Vec<&Expression> {
    match expression {
        Expression::Literal(_)
        | Expression::Parameter(..)
        | Expression::Property(_)
        | Expression::Exists(_)
        | Expression::NewId(_) => Vec::new(),
        Expression::Sign(_, operand) | Expression::Not(operand) => vec![operand],
        Expression::Arithmetic { first, rest } => {
            [first.as_ref()].into_iter().chain(rest.iter().map(|(_, operand)| operand)).collect()
        }
        Expression::Compare(_, operands) => operands.iter().collect(),
        Expression::And(all) | Expression::Or(all) => all.iter().collect(),
        Expression::Test { operand, test: Test::In(all), .. } => {
            [operand.as_ref()].into_iter().chain(all).collect()
        }
        Expression::Test { operand, test: Test::Like(like), .. } => vec![operand, &like.pattern],
        Expression::Test { operand, test: Test::Null, .. } => vec![operand],
    }
}

/// How many of its operands an expression looks at: up to the one that decides or fails.
fn looked_at(expression: &Expression, given: &Given<'_>) -> usize {
    let operands = operands(expression);
    let stops_at = |stops: &dyn Fn(usize, &Expression) -> bool| {
        let last = operands.iter().enumerate().position(|(at, operand)| stops(at, operand));
        last.map_or(operands.len(), |at| at + 1)
    };
    match expression {
        Expression::And(_) => stops_at(&|_, one| matches!(judge(one, given), Ok(Truth::False) | Err(_))),
        Expression::Or(_) => stops_at(&|_, one| matches!(judge(one, given), Ok(Truth::True) | Err(_))),
        Expression::Test { operand, test: Test::In(_), .. } => stops_at(&|at, one| match value(one, given) {
            Err(_) => true,
            Ok(found) if at == 0 => *found == Value::Null,
            Ok(found) => value(operand, given)
                .is_ok_and(|operand| Comparison::Equal.judge(&operand, &found) == Truth::True),
        }),
        Expression::Arithmetic { first, rest } => stops_at(&|at, _| {
            let so_far = Expression::Arithmetic { first: first.clone(), rest: rest[..at].to_vec() };
            value(&so_far, given).is_err()
        }),
        _ => stops_at(&|_, one| value(one, given).is_err()),
    }
}

fn shown(expression: &Expression, given: &Given<'_>) -> String {
    match expression {
        Expression::Property(property) => match given.property(property) {
            Some(found) => Shown(&found).to_string(),
            None => "missing".to_owned(),
        },
        Expression::Literal(value) => Shown(value).to_string(),
        Expression::Parameter(_, value) => Shown(value).to_string(),
        _ if kind(expression) == Some(Kind::Truth) => match judge(expression, given) {
            Ok(Truth::True) => "TRUE".to_owned(),
            Ok(Truth::False) => "FALSE".to_owned(),
            Ok(Truth::Unknown) => "UNKNOWN".to_owned(),
            Err(error) => format!("error: {error}"),
        },
        _ => match value(expression, given) {
            Ok(found) if *found == Value::Null => "UNKNOWN".to_owned(),
            Ok(found) => Shown(&found).to_string(),
            Err(error) => format!("error: {error}"),
        },
    }
}

/// A value as explanations show it.
pub(crate) fn shown_value(value: &Value) -> String {
    Shown(value).to_string()
}

struct Shown<'a>(&'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Text(text) => match text.char_indices().nth(SHOWN_CHARS) {
                Some((end, _)) => write!(f, "{}...", Token::Text(text[..end].to_owned())),
                None => Token::Text(text.clone()).fmt(f),
            },
            Value::Bytes(bytes) => {
                f.write_str("bytes ")?;
                bytes.iter().take(SHOWN_CHARS / 2).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(if bytes.len() > SHOWN_CHARS / 2 { "..." } else { "" })
            }
            Value::Timestamp(ms) => write!(f, "time {ms}"),
            Value::Uuid(_) => write!(f, "uuid {}", self.0),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => write_literal(f, self.0),
        }
    }
}
