//! What an index over many filters can know of one of them.

use super::Filter;
use super::expression::{Comparison, Expression, Property, Test};
use postrider_protocol::value::Value;

/// The equality that a filter begins with: `property = constant`, alone or followed by AND.
///
/// The filter is TRUE for no message whose property is not equal to the constant, and fails for none of them; so it
/// need not be asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leading<'a> {
    /// The property.
    pub property: Named<'a>,
    /// What it must be.
    pub constant: Constant,
}

/// A property as a filter names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named<'a> {
    /// A system property, by its first name in [`SYSTEM_PROPERTIES`](super::SYSTEM_PROPERTIES).
    System(&'static str),
    /// An application property, in whatever case the filter has it; see
    /// [`is_same_name`](postrider_protocol::message::is_same_name).
    User(&'a str),
}

/// A value that equals another one of this form exactly where a filter says that they are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Constant {
    /// A truth.
    Bool(bool),
    /// A whole number, or a decimal that is one and within the range: `5.0` is 5, and `-0.0` is 0.
    Whole(i64),
    /// A text.
    Text(String),
}

impl Constant {
    /// None for what no constant equals: null, other kinds, and decimals with a fraction or out of range.
    pub fn of(value: &Value) -> Option<Constant> {
        /// 2^63, the first that is too large; the lowest whole number is its negative.
        const BEYOND: f64 = 9_223_372_036_854_775_808.0;
        match value {
            Value::Bool(truth) => Some(Constant::Bool(*truth)),
            Value::Int(number) => Some(Constant::Whole(*number)),
            Value::Float(number) if number.fract() == 0.0 && (-BEYOND..BEYOND).contains(number) => {
                Some(Constant::Whole(*number as i64))
            }
            Value::Text(text) => Some(Constant::Text(text.clone())),
            Value::Null | Value::Float(_) | Value::Bytes(_) | Value::Timestamp(_) | Value::Uuid(_) => None,
        }
    }
}

impl Filter {
    /// The equality that the filter begins with; none where asking the filter cannot be saved.
    ///
    /// What follows the equality must not calculate: where the property is missing the equality is unknown, AND looks
    /// on, and a calculation could fail.
    pub fn leading(&self) -> Option<Leading<'_>> {
        leading(&self.0)
    }
}

fn leading(expression: &Expression) -> Option<Leading<'_>> {
    match expression {
        Expression::And(all) => {
            let (first, rest) = all.split_first()?;
            leading(first).filter(|_| rest.iter().all(cannot_fail))
        }
        Expression::Compare(Comparison::Equal, operands) => match operands.as_ref() {
            [Expression::Property(property), other] | [other, Expression::Property(property)] => {
                equality(property, other)
            }
            _ => None,
        },
        _ => None,
    }
}

fn equality<'a>(property: &'a Property, constant: &Expression) -> Option<Leading<'a>> {
    let constant = match constant {
        Expression::Literal(value) => Constant::of(value)?,
        Expression::Parameter(_, value) => Constant::of(value)?,
        _ => return None,
    };
    let property = match property {
        Property::System(name) => Named::System(name),
        Property::User(name) => Named::User(name),
    };
    Some(Leading { property, constant })
}

/// Whether there is nothing in it that calculates.
fn cannot_fail(expression: &Expression) -> bool {
    match expression {
        Expression::Literal(_)
        | Expression::Parameter(..)
        | Expression::Property(_)
        | Expression::Exists(_)
        | Expression::NewId(_) => true,
        Expression::Sign(..) | Expression::Arithmetic { .. } => false,
        Expression::Not(operand) => cannot_fail(operand),
        Expression::Compare(_, operands) => operands.iter().all(cannot_fail),
        Expression::And(all) | Expression::Or(all) => all.iter().all(cannot_fail),
        Expression::Test { operand, test: Test::In(all), .. } => {
            cannot_fail(operand) && all.iter().all(cannot_fail)
        }
        Expression::Test { operand, test: Test::Null | Test::Like(_), .. } => cannot_fail(operand),
    }
}
