//! Reads what stands between operators: literals, parameters, properties, functions.

use super::expression::{Expression, Property};
use super::kind::Kind;
use super::names::{all_system, is_reserved, system};
use super::parse::{Parsed, Parser};
use super::token::{Token, Wrong, out_of_range};
use postrider_protocol::message::is_same_name;
use postrider_protocol::value::Value;
use std::sync::Arc;

impl Parser<'_> {
    /// A text that no message can change.
    pub fn constant_text(&mut self, whose: &str) -> Parsed<(Expression, String)> {
        let at = self.at();
        if !matches!(self.peek(), Token::Text(_) | Token::Parameter(_)) {
            return Err(self.expected(&format!("a text or a parameter after {whose}")));
        }
        let expression = self.single()?;
        match &expression {
            Expression::Literal(Value::Text(text)) => Ok((expression.clone(), text.clone())),
            Expression::Parameter(_, value) => match value.as_ref() {
                Value::Text(text) => Ok((expression.clone(), text.clone())),
                other => {
                    let found = Kind::of(other).map_or("null".to_owned(), |kind| kind.to_string());
                    Err(Wrong::new(at, format!("{whose} needs a text, {expression} is {found}")))
                }
            },
            _ => Err(Wrong::new(at, format!("{whose} needs a text or a parameter"))),
        }
    }

    pub fn single(&mut self) -> Parsed<Expression> {
        let at = self.at();
        match self.peek().clone() {
            Token::Whole(number) => {
                let number = i64::try_from(number).map_err(|_| Wrong::new(at, out_of_range()))?;
                Ok(self.literal(Value::Int(number)))
            }
            Token::Decimal(number) => Ok(self.literal(Value::Float(number))),
            Token::Text(text) => Ok(self.literal(Value::Text(text))),
            Token::Parameter(name) => self.parameter(name),
            Token::Word(word) => self.word(&word),
            Token::Name(_) => self.property().map(Expression::Property),
            Token::Symbol("(") => self.deeper(Self::rest_of_parentheses),
            Token::Symbol(_) | Token::End => Err(self.expected("a value")),
        }
    }

    fn rest_of_parentheses(&mut self) -> Parsed<Expression> {
        let inner = self.or()?;
        self.expect(")")?;
        Ok(inner)
    }

    fn literal(&mut self, value: Value) -> Expression {
        self.skip();
        Expression::Literal(value)
    }

    fn word(&mut self, word: &str) -> Parsed<Expression> {
        match word.to_ascii_uppercase().as_str() {
            "TRUE" => Ok(self.literal(Value::Bool(true))),
            "FALSE" => Ok(self.literal(Value::Bool(false))),
            "NULL" => Ok(self.literal(Value::Null)),
            "NOT" => Err(self.wrong("NOT needs parentheses around it here, as in a = (NOT b)")),
            _ if is_reserved(word) => Err(self.expected("a value")),
            _ if self.is_symbol_after("(") => self.function(word),
            _ => self.property().map(Expression::Property),
        }
    }

    fn function(&mut self, name: &str) -> Parsed<Expression> {
        let read = match name.to_ascii_uppercase().as_str() {
            "EXISTS" => |parser: &mut Self| parser.property().map(Expression::Exists),
            "P" | "PROPERTY" => {
                |parser: &mut Self| Ok(Expression::Property(Property::User(parser.user_name()?)))
            }
            "NEWID" => return self.new_id(),
            _ => {
                let what = format!("there is no function {name}; there are EXISTS, p, property and newid");
                return Err(self.wrong(what));
            }
        };
        self.skip();
        self.skip();
        let found = read(self)?;
        self.expect(")")?;
        Ok(found)
    }

    fn new_id(&mut self) -> Parsed<Expression> {
        let Some(index) = self.new_ids else {
            return Err(
                self.wrong("newid() is another value each time: an action can have it, a filter cannot")
            );
        };
        self.new_ids = Some(index + 1);
        self.skip();
        self.skip();
        self.expect(")")?;
        Ok(Expression::NewId(index))
    }

    /// The argument of `p`: a name, or a text that is one.
    fn user_name(&mut self) -> Parsed<String> {
        let at = self.at();
        let name = match self.peek() {
            Token::Text(_) | Token::Parameter(_) => self.constant_text("p")?.1,
            _ => self.name()?,
        };
        if name.is_empty() {
            return Err(Wrong::new(at, "a property's name cannot be empty"));
        }
        Ok(name)
    }

    pub fn property(&mut self) -> Parsed<Property> {
        let at = self.at();
        let scope = self.name()?;
        if !self.take(".") {
            return Ok(Property::User(scope));
        }
        match scope.to_ascii_lowercase().as_str() {
            "user" => self.name().map(Property::User),
            "sys" => self.system_property(),
            _ => Err(Wrong::new(at, format!("there is no scope {scope}; there are sys and user"))),
        }
    }

    fn system_property(&mut self) -> Parsed<Property> {
        let at = self.at();
        let name = self.name()?;
        let unknown = || Wrong::new(at, format!("there is no sys.{name}; there are {}", all_system()));
        system(&name).map(Property::System).ok_or_else(unknown)
    }

    fn name(&mut self) -> Parsed<String> {
        let name = match self.peek() {
            Token::Word(word) if !is_reserved(word) => word.clone(),
            Token::Name(name) => name.clone(),
            _ => return Err(self.expected("a property's name")),
        };
        self.skip();
        Ok(name)
    }

    fn parameter(&mut self, name: String) -> Parsed<Expression> {
        let value = match self.used.iter().find(|(used, _)| is_same_name(used, &name)) {
            Some((_, value)) => Arc::clone(value),
            None => self.bind(&name)?,
        };
        self.skip();
        Ok(Expression::Parameter(name, value))
    }

    fn bind(&mut self, name: &str) -> Parsed<Arc<Value>> {
        let without_mark = |given: &str| is_same_name(given.strip_prefix('@').unwrap_or(given), name);
        let Some((given, value)) = self.parameters.iter().find(|(given, _)| without_mark(given)) else {
            return Err(self.wrong(format!("the parameter @{name} has no value")));
        };
        let value = Arc::new(value.clone());
        self.used.push((given.strip_prefix('@').unwrap_or(given), Arc::clone(&value)));
        Ok(value)
    }
}

/// Refuses a property's name that no message can have.
pub(super) fn check_length(name: &str, at: usize, most: usize) -> Parsed<()> {
    let chars = name.chars().count();
    if chars <= most {
        return Ok(());
    }
    Err(Wrong::new(at, format!("a property's name has at most {most} characters, this one has {chars}")))
}
