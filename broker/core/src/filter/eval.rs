//! Judges a message: three-valued logic, and arithmetic that never wraps.

use super::expression::{Comparison, Expression, Pattern, Property, Test};
use super::number::{Failure, calculate, compare, signed};
use postrider_protocol::value::Value;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// What a filter says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The filter lets the message through.
    True,
    /// It does not.
    False,
    /// It depends on a value that is missing, null or of another kind; the message is not let through.
    Unknown,
}

/// The properties of a message, for a filter to see.
pub trait Properties {
    /// The value of a system property, by its first name in [`SYSTEM_PROPERTIES`](super::SYSTEM_PROPERTIES); none
    /// where it is not set.
    fn system(&self, name: &'static str) -> Option<Cow<'_, Value>>;

    /// The value of an application property, found without regard to case; none where there is no such property.
    fn user(&self, name: &str) -> Option<Cow<'_, Value>>;
}

/// Why a filter could not judge a message, or an action not change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvaluationError {
    /// A whole number left the range of i64, or a decimal that of finite f64; with the part that failed.
    Overflow(String),
    /// The right side of `/` or `%` was 0; with the part that failed.
    DivisionByZero(String),
    /// An action gave a property a value that it cannot have; the text says which and why.
    NotAllowed(String),
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvaluationError::Overflow(part) => write!(f, "a number is out of range in {part}"),
            EvaluationError::DivisionByZero(part) => write!(f, "division by zero in {part}"),
            EvaluationError::NotAllowed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for EvaluationError {}

type Evaluated<T> = Result<T, EvaluationError>;

/// Null is what is unknown.
const UNKNOWN: Value = Value::Null;

/// What an expression is evaluated with.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub view: &'a dyn Properties,
    /// What `newid()` is made of.
    pub bits: u128,
}

pub(super) fn judge(expression: &Expression, given: &Given<'_>) -> Evaluated<Truth> {
    Ok(match expression {
        Expression::Not(operand) => judge(operand, given)?.negated(),
        Expression::And(all) => chain(all, Truth::False, |one| judge(one, given))?,
        Expression::Or(all) => chain(all, Truth::True, |one| judge(one, given))?,
        Expression::Exists(wanted) => Truth::from(given.property(wanted).is_some()),
        Expression::Compare(comparison, operands) => {
            let [left, right] = operands.as_ref();
            comparison.judge(value(left, given)?.as_ref(), value(right, given)?.as_ref())
        }
        Expression::Test { operand, negated, test } => {
            let truth = test.judge(value(operand, given)?.as_ref(), given)?;
            if *negated { truth.negated() } else { truth }
        }
        Expression::Literal(_)
        | Expression::Parameter(..)
        | Expression::Property(_)
        | Expression::NewId(_)
        | Expression::Sign(..)
        | Expression::Arithmetic { .. } => Truth::of(value(expression, given)?.as_ref()),
    })
}

/// Stops at the first that is `decider`. Without one it is unknown if any was, else the opposite.
fn chain<'a>(
    all: &'a [Expression],
    decider: Truth,
    mut judge: impl FnMut(&'a Expression) -> Evaluated<Truth>,
) -> Evaluated<Truth> {
    let mut so_far = decider.negated();
    for one in all {
        match judge(one)? {
            truth if truth == decider => return Ok(decider),
            Truth::Unknown => so_far = Truth::Unknown,
            Truth::True | Truth::False => {}
        }
    }
    Ok(so_far)
}

pub(super) fn value<'a>(expression: &'a Expression, given: &Given<'a>) -> Evaluated<Cow<'a, Value>> {
    Ok(match expression {
        Expression::Literal(value) => Cow::Borrowed(value),
        Expression::Parameter(_, value) => Cow::Borrowed(value.as_ref()),
        Expression::NewId(index) => Cow::Owned(Value::Uuid(given.new_id(*index))),
        Expression::Property(wanted) => given.property(wanted).unwrap_or(Cow::Owned(UNKNOWN)),
        Expression::Sign(sign, operand) => {
            let result = signed(*sign, value(operand, given)?.as_ref());
            Cow::Owned(result.map_err(|failure| failure.of(expression))?)
        }
        Expression::Arithmetic { first, rest } => {
            let mut so_far = value(first, given)?;
            for (operator, operand) in rest {
                let result = calculate(*operator, so_far.as_ref(), value(operand, given)?.as_ref());
                so_far = Cow::Owned(result.map_err(|failure| failure.of(expression))?);
            }
            so_far
        }
        Expression::Exists(_)
        | Expression::Not(_)
        | Expression::Compare(..)
        | Expression::And(_)
        | Expression::Or(_)
        | Expression::Test { .. } => Cow::Owned(judge(expression, given)?.into()),
    })
}

impl<'a> Given<'a> {
    pub fn property(&self, property: &Property) -> Option<Cow<'a, Value>> {
        match property {
            Property::System(name) => self.view.system(name),
            Property::User(name) => self.view.user(name),
        }
    }

    /// A UUID of version 4. Other bits give another one, and so does another index: each half is mixed by the finaliser
    /// of splitmix64, which maps no two numbers to the same.
    fn new_id(&self, index: u32) -> u128 {
        let half = |bits: u64| {
            let bits = bits.wrapping_add(u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            u128::from(bits ^ (bits >> 31))
        };
        let mixed = half((self.bits >> 64) as u64) << 64 | half(self.bits as u64);
        let version = 0xf << 76 | 0b11 << 62;
        mixed & !version | 4 << 76 | 0b10 << 62
    }
}

impl Failure {
    fn of(&self, expression: &Expression) -> EvaluationError {
        match self {
            Failure::Overflow => EvaluationError::Overflow(expression.to_string()),
            Failure::DivisionByZero => EvaluationError::DivisionByZero(expression.to_string()),
        }
    }
}

impl Truth {
    fn of(value: &Value) -> Truth {
        match value {
            Value::Bool(value) => Truth::from(*value),
            _ => Truth::Unknown,
        }
    }

    fn negated(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Truth {
        if value { Truth::True } else { Truth::False }
    }
}

impl From<Truth> for Value {
    fn from(truth: Truth) -> Value {
        match truth {
            Truth::True => Value::Bool(true),
            Truth::False => Value::Bool(false),
            Truth::Unknown => UNKNOWN,
        }
    }
}

impl Test {
    fn judge(&self, operand: &Value, given: &Given<'_>) -> Evaluated<Truth> {
        match self {
            Test::Null => Ok(Truth::from(*operand == UNKNOWN)),
            Test::In(_) if *operand == UNKNOWN => Ok(Truth::Unknown),
            Test::In(all) => chain(all, Truth::True, |one| {
                let one = value(one, given)?;
                Ok(Comparison::Equal.judge(operand, &one))
            }),
            Test::Like(pattern) => Ok(pattern.judge(operand)),
        }
    }
}

impl Pattern {
    fn judge(&self, operand: &Value) -> Truth {
        match operand {
            Value::Text(text) => Truth::from(self.like.is_met_by(text)),
            _ => Truth::Unknown,
        }
    }
}

impl Comparison {
    pub fn judge(self, left: &Value, right: &Value) -> Truth {
        compare(left, right).map_or(Truth::Unknown, |order| Truth::from(self.holds(order)))
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
        }
    }
}
