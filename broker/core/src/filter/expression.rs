//! What a filter says, as a tree.
//!
//! Chains of AND, OR and arithmetic are lists, so that only what is counted against
//! [`FILTER_DEPTH`](super::FILTER_DEPTH) makes the tree deeper.

use super::like::Like;
use super::names::is_plain;
use super::token::Token;
use postrider_protocol::value::Value;
use std::fmt::{self, Display};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// Null, a truth, a number or a text.
    Literal(Value),
    /// A parameter's name as the text has it, and its value, which all uses share.
    Parameter(String, Arc<Value>),
    Property(Property),
    Exists(Property),
    /// The place of this `newid()` among those of its action, from 0.
    NewId(u32),
    Sign(Sign, Box<Expression>),
    Not(Box<Expression>),
    /// From left to right; the operators are all of one [`Level`].
    Arithmetic {
        first: Box<Expression>,
        rest: Vec<(Operator, Expression)>,
    },
    Compare(Comparison, Box<[Expression; 2]>),
    /// Two or more.
    And(Vec<Expression>),
    /// Two or more.
    Or(Vec<Expression>),
    Test {
        operand: Box<Expression>,
        negated: bool,
        test: Test,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Property {
    /// By its first name in [`SYSTEM_PROPERTIES`](super::SYSTEM_PROPERTIES).
    System(&'static str),
    User(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Null,
    /// One or more.
    In(Vec<Expression>),
    Like(Box<Pattern>),
}

/// A pattern and an escape character as they were written, for the canonical text, and what they say together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pattern {
    pub pattern: Expression,
    pub escape: Option<Expression>,
    pub like: Like,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    pub fn of(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "=" => Comparison::Equal,
            "<>" | "!=" => Comparison::NotEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            _ => return None,
        })
    }

    fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
        }
    }
}

impl Operator {
    pub fn of(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "+" => Operator::Add,
            "-" => Operator::Subtract,
            "*" => Operator::Multiply,
            "/" => Operator::Divide,
            "%" => Operator::Remainder,
            _ => return None,
        })
    }

    pub fn symbol(self) -> char {
        match self {
            Operator::Add => '+',
            Operator::Subtract => '-',
            Operator::Multiply => '*',
            Operator::Divide => '/',
            Operator::Remainder => '%',
        }
    }

    pub fn level(self) -> Level {
        match self {
            Operator::Add | Operator::Subtract => Level::Sum,
            Operator::Multiply | Operator::Divide | Operator::Remainder => Level::Product,
        }
    }
}

impl Sign {
    pub fn symbol(self) -> char {
        match self {
            Sign::Plus => '+',
            Sign::Minus => '-',
        }
    }
}

/// How tightly an expression holds together, the loosest first.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum Level {
    Or,
    And,
    Not,
    Compare,
    Sum,
    Product,
    Sign,
    Single,
}

impl Expression {
    fn level(&self) -> Level {
        match self {
            Expression::Or(_) => Level::Or,
            Expression::And(_) => Level::And,
            Expression::Not(_) => Level::Not,
            Expression::Compare(..) | Expression::Test { .. } => Level::Compare,
            Expression::Arithmetic { rest, .. } => {
                rest.first().map_or(Level::Single, |(operator, _)| operator.level())
            }
            Expression::Sign(..) => Level::Sign,
            Expression::Literal(_)
            | Expression::Parameter(..)
            | Expression::Property(_)
            | Expression::Exists(_)
            | Expression::NewId(_) => Level::Single,
        }
    }

    /// A number that a minus before it would become part of.
    fn takes_a_sign(&self) -> bool {
        match self {
            Expression::Literal(Value::Int(number)) => *number >= 0,
            Expression::Literal(Value::Float(number)) => number.is_sign_positive(),
            _ => false,
        }
    }
}

/// The canonical text, with parentheses only where they are needed.
impl Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Literal(value) => write_literal(f, value),
            Expression::Parameter(name, _) => write!(f, "@{name}"),
            Expression::Property(property) => property.fmt(f),
            Expression::Exists(property) => write!(f, "EXISTS({property})"),
            Expression::NewId(_) => f.write_str("newid()"),
            Expression::Sign(sign, operand) => write_signed(f, *sign, operand),
            Expression::Not(operand) => write!(f, "NOT {}", Within(operand, Level::Not)),
            Expression::Arithmetic { first, rest } => write_arithmetic(f, first, rest),
            Expression::Compare(comparison, operands) => {
                let [left, right] = operands.as_ref();
                write!(
                    f,
                    "{} {} {}",
                    Within(left, Level::Sum),
                    comparison.symbol(),
                    Within(right, Level::Sum)
                )
            }
            Expression::And(all) => write_list(f, all, " AND ", Level::Not),
            Expression::Or(all) => write_list(f, all, " OR ", Level::And),
            Expression::Test { operand, negated, test } => write_test(f, operand, *negated, test),
        }
    }
}

/// An expression at a place that takes what holds together at least as tightly as the level; else in parentheses.
struct Within<'a>(&'a Expression, Level);

impl Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Within(expression, level) = self;
        if expression.level() >= *level { expression.fmt(f) } else { write!(f, "({expression})") }
    }
}

impl Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Property::System(name) => write!(f, "sys.{name}"),
            Property::User(name) if is_plain(name) => f.write_str(name),
            Property::User(name) => Token::Name(name.clone()).fmt(f),
        }
    }
}

pub(super) fn write_literal(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Bool(true) => f.write_str("TRUE"),
        Value::Bool(false) => f.write_str("FALSE"),
        Value::Null => f.write_str("NULL"),
        Value::Float(number) => write!(f, "{number:?}"),
        Value::Text(text) => Token::Text(text.clone()).fmt(f),
        Value::Int(_) | Value::Bytes(_) | Value::Timestamp(_) | Value::Uuid(_) => value.fmt(f),
    }
}

fn write_signed(f: &mut fmt::Formatter<'_>, sign: Sign, operand: &Expression) -> fmt::Result {
    if sign == Sign::Minus && operand.takes_a_sign() {
        return write!(f, "-({operand})");
    }
    write!(f, "{}{}", sign.symbol(), Within(operand, Level::Sign))
}

fn write_arithmetic(
    f: &mut fmt::Formatter<'_>,
    first: &Expression,
    rest: &[(Operator, Expression)],
) -> fmt::Result {
    let tighter =
        |operator: Operator| if operator.level() == Level::Sum { Level::Product } else { Level::Sign };
    write!(f, "{}", Within(first, rest.first().map_or(Level::Sign, |(operator, _)| tighter(*operator))))?;
    rest.iter().try_for_each(|(operator, operand)| {
        write!(f, " {} {}", operator.symbol(), Within(operand, tighter(*operator)))
    })
}

fn write_list(f: &mut fmt::Formatter<'_>, all: &[Expression], between: &str, level: Level) -> fmt::Result {
    all.iter().enumerate().try_for_each(|(index, one)| {
        write!(f, "{}{}", if index == 0 { "" } else { between }, Within(one, level))
    })
}

fn write_test(f: &mut fmt::Formatter<'_>, operand: &Expression, negated: bool, test: &Test) -> fmt::Result {
    let not = if negated { "NOT " } else { "" };
    write!(f, "{} ", Within(operand, Level::Sum))?;
    match test {
        Test::Null => write!(f, "IS {not}NULL"),
        Test::In(all) => {
            write!(f, "{not}IN (")?;
            write_list(f, all, ", ", Level::Sum)?;
            f.write_str(")")
        }
        Test::Like(like) => {
            write!(f, "{not}LIKE {}", like.pattern)?;
            like.escape.iter().try_for_each(|escape| write!(f, " ESCAPE {escape}"))
        }
    }
}
