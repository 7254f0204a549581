//! Judges a message: three-valued logic, and arithmetic that never wraps.

use super::expression::{Comparison, Expression, Operator, Pattern, Property, Sign, Test};
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

/// Why a filter could not judge a message; the text is the part of the filter that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvaluationError {
    /// A whole number left the range of i64, or a decimal that of finite f64.
    Overflow(String),
    /// The right side of `/` or `%` was 0.
    DivisionByZero(String),
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvaluationError::Overflow(part) => write!(f, "a number is out of range in {part}"),
            EvaluationError::DivisionByZero(part) => write!(f, "division by zero in {part}"),
        }
    }
}

impl std::error::Error for EvaluationError {}

type Evaluated<T> = Result<T, EvaluationError>;

/// Null is what is unknown.
const UNKNOWN: Value = Value::Null;

pub(super) fn judge(expression: &Expression, view: &dyn Properties) -> Evaluated<Truth> {
    Ok(match expression {
        Expression::Not(operand) => judge(operand, view)?.negated(),
        Expression::And(all) => chain(all, Truth::False, |one| judge(one, view))?,
        Expression::Or(all) => chain(all, Truth::True, |one| judge(one, view))?,
        Expression::Exists(wanted) => Truth::from(property(wanted, view).is_some()),
        Expression::Compare(comparison, operands) => {
            let [left, right] = operands.as_ref();
            comparison.judge(value(left, view)?.as_ref(), value(right, view)?.as_ref())
        }
        Expression::Test { operand, negated, test } => {
            let truth = test.judge(value(operand, view)?.as_ref(), view)?;
            if *negated { truth.negated() } else { truth }
        }
        Expression::Literal(_)
        | Expression::Parameter(..)
        | Expression::Property(_)
        | Expression::Sign(..)
        | Expression::Arithmetic { .. } => Truth::of(value(expression, view)?.as_ref()),
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

fn value<'a>(expression: &'a Expression, view: &'a dyn Properties) -> Evaluated<Cow<'a, Value>> {
    Ok(match expression {
        Expression::Literal(value) => Cow::Borrowed(value),
        Expression::Parameter(_, value) => Cow::Borrowed(value.as_ref()),
        Expression::Property(wanted) => property(wanted, view).unwrap_or(Cow::Owned(UNKNOWN)),
        Expression::Sign(sign, operand) => {
            Cow::Owned(signed(*sign, value(operand, view)?.as_ref(), expression)?)
        }
        Expression::Arithmetic { first, rest } => {
            let mut so_far = value(first, view)?;
            for (operator, operand) in rest {
                let result = calculate(*operator, so_far.as_ref(), value(operand, view)?.as_ref());
                so_far = Cow::Owned(result.map_err(|wrong| wrong.of(expression))?);
            }
            so_far
        }
        Expression::Exists(_)
        | Expression::Not(_)
        | Expression::Compare(..)
        | Expression::And(_)
        | Expression::Or(_)
        | Expression::Test { .. } => Cow::Owned(judge(expression, view)?.into()),
    })
}

fn property<'a>(property: &Property, view: &'a dyn Properties) -> Option<Cow<'a, Value>> {
    match property {
        Property::System(name) => view.system(name),
        Property::User(name) => view.user(name),
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
    fn judge(&self, operand: &Value, view: &dyn Properties) -> Evaluated<Truth> {
        match self {
            Test::Null => Ok(Truth::from(*operand == UNKNOWN)),
            Test::In(_) if *operand == UNKNOWN => Ok(Truth::Unknown),
            Test::In(all) => chain(all, Truth::True, |one| {
                let one = value(one, view)?;
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
    fn judge(self, left: &Value, right: &Value) -> Truth {
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

/// None where the two have no order: unknown, of different kinds, or not a number.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Int(left), Value::Float(right)) => compare_exactly(*left, *right),
        (Value::Float(left), Value::Int(right)) => compare_exactly(*right, *left).map(Ordering::reverse),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        (Value::Timestamp(left), Value::Timestamp(right)) => Some(left.cmp(right)),
        (Value::Uuid(left), Value::Uuid(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// Without rounding the whole number, which beyond 2^53 would make different numbers equal.
fn compare_exactly(whole: i64, decimal: f64) -> Option<Ordering> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if decimal.is_nan() {
        None
    } else if decimal >= BEYOND {
        Some(Ordering::Less)
    } else if decimal < -BEYOND {
        Some(Ordering::Greater)
    } else {
        let by_whole = whole.cmp(&(decimal.trunc() as i64));
        0.0.partial_cmp(&decimal.fract()).map(|by_fraction| by_whole.then(by_fraction))
    }
}

/// What went wrong, before it is said where.
enum Failure {
    Overflow,
    DivisionByZero,
}

impl Failure {
    fn of(&self, expression: &Expression) -> EvaluationError {
        match self {
            Failure::Overflow => EvaluationError::Overflow(expression.to_string()),
            Failure::DivisionByZero => EvaluationError::DivisionByZero(expression.to_string()),
        }
    }
}

fn signed(sign: Sign, operand: &Value, expression: &Expression) -> Evaluated<Value> {
    match (sign, operand) {
        (Sign::Plus, Value::Int(_) | Value::Float(_)) => Ok(operand.clone()),
        (Sign::Minus, Value::Float(number)) => Ok(Value::Float(-number)),
        (Sign::Minus, Value::Int(number)) => {
            let negative = number.checked_neg().map(Value::Int);
            negative.ok_or_else(|| Failure::Overflow.of(expression))
        }
        _ => Ok(UNKNOWN),
    }
}

fn calculate(operator: Operator, left: &Value, right: &Value) -> Result<Value, Failure> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => calculate_whole(operator, *left, *right),
        (Value::Int(left), Value::Float(right)) => calculate_decimal(operator, *left as f64, *right),
        (Value::Float(left), Value::Int(right)) => calculate_decimal(operator, *left, *right as f64),
        (Value::Float(left), Value::Float(right)) => calculate_decimal(operator, *left, *right),
        _ => Ok(UNKNOWN),
    }
}

fn calculate_whole(operator: Operator, left: i64, right: i64) -> Result<Value, Failure> {
    if operator.divides() && right == 0 {
        return Err(Failure::DivisionByZero);
    }
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        // The lowest number by -1 leaves 0; only the quotient is out of range.
        Operator::Remainder => Some(left.wrapping_rem(right)),
    };
    result.map(Value::Int).ok_or(Failure::Overflow)
}

fn calculate_decimal(operator: Operator, left: f64, right: f64) -> Result<Value, Failure> {
    if operator.divides() && right == 0.0 {
        return Err(Failure::DivisionByZero);
    }
    let result = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        Operator::Remainder => left % right,
    };
    if result.is_finite() { Ok(Value::Float(result)) } else { Err(Failure::Overflow) }
}

impl Operator {
    fn divides(self) -> bool {
        matches!(self, Operator::Divide | Operator::Remainder)
    }
}
