//! Order and arithmetic of values: whole numbers never wrap, and nothing is rounded to be compared.

use super::expression::{Operator, Sign};
use postrider_protocol::value::Value;
use std::cmp::Ordering;

/// None where the two have no order: unknown, of different kinds, or not a number.
pub(super) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
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
pub(super) enum Failure {
    Overflow,
    DivisionByZero,
}

/// A number with a sign before it; null where it is none.
pub(super) fn signed(sign: Sign, operand: &Value) -> Result<Value, Failure> {
    match (sign, operand) {
        (Sign::Plus, Value::Int(_) | Value::Float(_)) => Ok(operand.clone()),
        (Sign::Minus, Value::Float(number)) => Ok(Value::Float(-number)),
        (Sign::Minus, Value::Int(number)) => number.checked_neg().map(Value::Int).ok_or(Failure::Overflow),
        _ => Ok(Value::Null),
    }
}

/// Null where one of them is no number.
pub(super) fn calculate(operator: Operator, left: &Value, right: &Value) -> Result<Value, Failure> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => calculate_whole(operator, *left, *right),
        (Value::Int(left), Value::Float(right)) => calculate_decimal(operator, *left as f64, *right),
        (Value::Float(left), Value::Int(right)) => calculate_decimal(operator, *left, *right as f64),
        (Value::Float(left), Value::Float(right)) => calculate_decimal(operator, *left, *right),
        _ => Ok(Value::Null),
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
