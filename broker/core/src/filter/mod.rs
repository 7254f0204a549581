//! SQL filters and actions: a text becomes a [`Filter`] once, and a filter judges the properties of messages, never
//! their bodies. An [`Action`] changes them, on a rule's copy.
//!
//! [`Filter::parse`] cuts the text into tokens (`token.rs`), builds an expression (`parse.rs`, `operand.rs`,
//! `expression.rs`), looks names up (`names.rs`) and refuses what can never fit (`kind.rs`); [`Filter::matches`]
//! evaluates it (`eval.rs`, `number.rs`, `like.rs`). `action.rs` reads an action, `apply.rs` carries it out.
//! [`Filter::explain`] shows what a filter saw (`explain.rs`), [`Filter::leading`] what an index can know of it
//! (`leading.rs`). The language is described in `docs/semantics.md`.

mod action;
mod apply;
mod eval;
mod explain;
mod expression;
mod kind;
mod leading;
mod like;
mod names;
mod number;
mod operand;
mod parse;
mod token;
mod view;

pub use action::Action;
pub use eval::{EvaluationError, Properties, Truth};
pub(crate) use explain::shown_value as shown;
pub use explain::{Explanation, SHOWN_CHARS};
pub use leading::{Constant, Leading, Named};
pub use names::{SYSTEM_PROPERTIES, system as system_property};

use eval::Given;
use expression::Expression;
use postrider_protocol::error::Refusal;
use postrider_protocol::limits::FILTER_CHARS;
use postrider_protocol::value::Value;
use std::fmt;

/// How deep parentheses, NOT and signs may be nested.
pub const FILTER_DEPTH: usize = 32;

/// Steps of one action.
pub const ACTION_STEPS: usize = 32;

/// A condition on the properties of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Expression);

impl Filter {
    /// Reads a filter. `parameters` are (name, value), the name with or without its `@` and found without regard to
    /// case; the filter keeps the values it uses.
    ///
    /// Refuses with `InvalidArgument` about `filter`, saying at which character, counted from 1, what was expected.
    pub fn parse(text: &str, parameters: &[(String, Value)]) -> Result<Filter, Refusal> {
        check_chars("filter", text)?;
        parse::parse(text, parameters)
            .map(Filter)
            .map_err(|wrong| Refusal::invalid("filter", wrong.to_string()))
    }

    /// Judges a message. A rule lets it through only if this is [`Truth::True`].
    ///
    /// Fails where a number overflows or is divided by zero, unless AND, OR or IN was decided before it came to that:
    /// they stop at the first operand that decides, from left to right.
    pub fn matches(&self, view: &dyn Properties) -> Result<Truth, EvaluationError> {
        eval::judge(&self.0, &Given { view, bits: 0 })
    }
}

fn check_chars(field: &'static str, text: &str) -> Result<(), Refusal> {
    let chars = text.chars().count();
    if chars <= FILTER_CHARS {
        return Ok(());
    }
    let message = format!("has {chars} characters, at most {FILTER_CHARS} are allowed");
    Err(Refusal::invalid(field, message))
}

/// The canonical text: parsed again with the same parameters, it is the same filter. It has spaces around operators
/// and so can be longer than the text that was given, and longer than [`FILTER_CHARS`]: store the text that was given.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
