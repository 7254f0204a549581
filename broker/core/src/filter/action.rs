//! What a rule changes on its copy of a message: properties are set and removed.

use super::expression::{Expression, Property};
use super::kind::{Kind, kind};
use super::operand::check_length;
use super::parse::{Parsed, Parser};
use super::token::{Token, Wrong};
use super::{ACTION_STEPS, check_chars};
use postrider_protocol::error::Refusal;
use postrider_protocol::limits::PROPERTY_NAME_CHARS;
use postrider_protocol::value::Value;
use std::fmt;

/// Changes of a message's properties, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    pub(super) steps: Vec<Step>,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Set(Property, Expression),
    Remove(Property),
}

impl Action {
    /// Reads an action: `SET property = expression` and `REMOVE property`, parted by semicolons or line breaks, at most
    /// [`ACTION_STEPS`]. `parameters` are as those of a filter.
    ///
    /// Refuses with `InvalidArgument` about `action`, saying at which character, counted from 1, what was expected.
    pub fn parse(text: &str, parameters: &[(String, Value)]) -> Result<Action, Refusal> {
        check_chars("action", text)?;
        let read = |mut parser: Parser<'_>| parser.steps();
        Parser::of_action(text, parameters)
            .and_then(read)
            .map(|steps| Action { steps })
            .map_err(|wrong| Refusal::invalid("action", wrong.to_string()))
    }
}

/// The canonical text: parsed again with the same parameters, it is the same action.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().enumerate().try_for_each(|(at, step)| {
            f.write_str(if at == 0 { "" } else { "; " })?;
            step.fmt(f)
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Set(property, expression) => write!(f, "SET {property} = {expression}"),
            Step::Remove(property) => write!(f, "REMOVE {property}"),
        }
    }
}

impl Parser<'_> {
    fn steps(&mut self) -> Parsed<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            if steps.len() == ACTION_STEPS {
                return Err(
                    self.wrong(format!("an action has at most {ACTION_STEPS} steps, this is one more"))
                );
            }
            steps.push(self.step()?);
            let parted = self.take(";");
            if *self.peek() == Token::End {
                return Ok(steps);
            }
            if !parted && !self.begins_line() {
                return Err(self.expected("an operator, a semicolon, a line break or the end"));
            }
        }
    }

    fn step(&mut self) -> Parsed<Step> {
        if self.take_word("REMOVE") {
            return self.target().map(Step::Remove);
        }
        if !self.take_word("SET") {
            return Err(self.expected("SET or REMOVE"));
        }
        let property = self.target()?;
        self.expect("=")?;
        let at = self.at();
        let expression = self.or()?;
        check_kind(&property, at, &expression)?;
        Ok(Step::Set(property, expression))
    }

    fn target(&mut self) -> Parsed<Property> {
        let at = self.at();
        let property = self.property()?;
        match &property {
            Property::System(name) if takes(name).is_none() => {
                let all: Vec<_> = SETTABLE.iter().map(|(name, _)| *name).collect();
                let what = format!("sys.{name} cannot be changed; an action changes {}", all.join(", "));
                Err(Wrong::new(at, what))
            }
            Property::User(name) => check_length(name, at, PROPERTY_NAME_CHARS).map(|()| property),
            Property::System(_) => Ok(property),
        }
    }
}

/// What a system property can be.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    Text,
    /// A text, a number, a UUID or bytes.
    Id,
    Number,
}

/// What an action changes. When a message is delivered and when it expires is decided when it comes in, and its body
/// is none of a rule's business.
const SETTABLE: &[(&str, Takes)] = &[
    ("MessageId", Takes::Id),
    ("CorrelationId", Takes::Id),
    ("Subject", Takes::Text),
    ("To", Takes::Text),
    ("ReplyTo", Takes::Text),
    ("ReplyToSessionId", Takes::Text),
    ("SessionId", Takes::Text),
    ("PartitionKey", Takes::Text),
    ("ContentType", Takes::Text),
    ("Priority", Takes::Number),
    ("Cost", Takes::Number),
];

fn takes(name: &str) -> Option<Takes> {
    SETTABLE.iter().find(|(known, _)| *known == name).map(|(_, takes)| *takes)
}

/// Refuses what a system property can never be set to.
fn check_kind(property: &Property, at: usize, expression: &Expression) -> Parsed<()> {
    let Property::System(name) = property else { return Ok(()) };
    let (Some(takes), Some(found)) = (takes(name), kind(expression)) else { return Ok(()) };
    let (fits, needs) = match takes {
        Takes::Text => (found == Kind::Text, "a text"),
        Takes::Number => (found == Kind::Number, "a number"),
        Takes::Id => (!matches!(found, Kind::Truth | Kind::Time), "a text, a number, a UUID or bytes"),
    };
    if fits {
        return Ok(());
    }
    Err(Wrong::new(at, format!("sys.{name} needs {needs}, {expression} is {found}")))
}
