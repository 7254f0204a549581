//! Carries an action out on a message.

use super::EvaluationError;
use super::action::{Action, Step};
use super::eval::{Given, value};
use super::expression::Property;
use postrider_protocol::message::{Message, is_same_name};
use postrider_protocol::value::{Id, Value};

impl Action {
    /// Changes the message, step by step; each sees what those before it did. `bits` are random and belong to this
    /// message alone: `newid()` is made of them and of its place among the action's.
    ///
    /// Fails, and leaves the message as it was, where an expression fails and where a property would get a value that
    /// a sender cannot give it.
    pub fn apply(&self, message: &mut Message, bits: u128) -> Result<(), EvaluationError> {
        let mut changed = message.clone();
        for step in &self.steps {
            step.take(&mut changed, bits)?;
        }
        changed.check().map_err(|refusal| EvaluationError::NotAllowed(refusal.to_string()))?;
        *message = changed;
        Ok(())
    }
}

impl Step {
    fn take(&self, message: &mut Message, bits: u128) -> Result<(), EvaluationError> {
        match self {
            Step::Remove(Property::User(name)) => {
                message.properties.retain(|(known, _)| !is_same_name(known, name));
                Ok(())
            }
            Step::Remove(Property::System(name)) => set_system(message, name, Value::Null),
            Step::Set(property, expression) => {
                let found = value(expression, &Given { view: message, bits })?.into_owned();
                match property {
                    Property::User(name) => set_user(message, name, found),
                    Property::System(name) => set_system(message, name, found)?,
                }
                Ok(())
            }
        }
    }
}

/// A property that is there keeps the spelling of its name.
fn set_user(message: &mut Message, name: &str, value: Value) {
    match message.properties.iter_mut().find(|(known, _)| is_same_name(known, name)) {
        Some((_, old)) => *old = value,
        None => message.properties.push((name.to_owned(), value)),
    }
}

/// Null unsets it.
fn set_system(message: &mut Message, name: &str, value: Value) -> Result<(), EvaluationError> {
    let found = value.to_string();
    let is_set = match name {
        "MessageId" => set(&mut message.message_id, value, id),
        "CorrelationId" => set(&mut message.correlation_id, value, id),
        "Subject" => set(&mut message.subject, value, text),
        "To" => set(&mut message.to, value, text),
        "ReplyTo" => set(&mut message.reply_to, value, text),
        "ReplyToSessionId" => set(&mut message.reply_to_session_id, value, text),
        "SessionId" => set(&mut message.session_id, value, text),
        "PartitionKey" => set(&mut message.partition_key, value, text),
        "ContentType" => set(&mut message.content_type, value, text),
        "Priority" => set(&mut message.priority, value, number),
        "Cost" => set(&mut message.cost, value, number),
        _ => false,
    };
    let not_allowed = || EvaluationError::NotAllowed(format!("sys.{name} cannot be {found}"));
    is_set.then_some(()).ok_or_else(not_allowed)
}

/// Whether the value was of a kind that the field can have.
fn set<T>(field: &mut Option<T>, value: Value, read: impl FnOnce(Value) -> Option<T>) -> bool {
    let read = if value == Value::Null { Some(None) } else { read(value).map(Some) };
    let is_set = read.is_some();
    *field = read.flatten();
    is_set
}

fn text(value: Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn id(value: Value) -> Option<Id> {
    Some(match value {
        Value::Text(text) => Id::Text(text),
        Value::Uuid(bits) => Id::Uuid(bits),
        Value::Bytes(bytes) => Id::Bytes(bytes),
        whole => Id::Number(number(whole)?),
    })
}

/// A decimal without a fraction is as good as a whole number, as far as it is exact.
fn number<T: TryFrom<i64>>(value: Value) -> Option<T> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = match value {
        Value::Int(number) => number,
        Value::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT => number as i64,
        _ => return None,
    };
    T::try_from(whole).ok()
}
