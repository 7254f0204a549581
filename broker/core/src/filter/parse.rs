//! Builds an expression from tokens, from the loosest operator to the tightest.

use super::expression::{Comparison, Expression, Level, Operator, Pattern, Sign, Test};
use super::kind::{Kind, kind};
use super::like::Like;
use super::token::{Placed, Token, Wrong, out_of_range, tokens};
use super::{FILTER_CHARS, FILTER_DEPTH};
use postrider_protocol::value::Value;
use std::sync::Arc;

pub(super) type Parsed<T> = Result<T, Wrong>;

/// Reads a whole text; the caller has checked its length.
pub(super) fn parse(text: &str, parameters: &[(String, Value)]) -> Parsed<Expression> {
    let mut parser = Parser::new(text, parameters)?;
    let at = parser.at();
    let expression = parser.or()?;
    parser.end()?;
    need(Kind::Truth, "a filter", at, &expression)?;
    Ok(expression)
}

pub(super) struct Parser<'a> {
    tokens: Vec<Placed>,
    next: usize,
    /// Parentheses, NOTs and signs around the next token.
    depth: usize,
    pub parameters: &'a [(String, Value)],
    /// The parameters met so far.
    pub used: Vec<(&'a str, Arc<Value>)>,
    /// Characters of the LIKE patterns met so far.
    pattern_chars: usize,
    /// How many `newid()` there were; none where there cannot be one.
    pub new_ids: Option<u32>,
}

impl<'a> Parser<'a> {
    fn new(text: &str, parameters: &'a [(String, Value)]) -> Parsed<Self> {
        Ok(Parser {
            tokens: tokens(text)?,
            next: 0,
            depth: 0,
            parameters,
            used: Vec::new(),
            pattern_chars: 0,
            new_ids: None,
        })
    }

    /// A parser that knows `newid()`.
    pub fn of_action(text: &str, parameters: &'a [(String, Value)]) -> Parsed<Self> {
        Ok(Parser { new_ids: Some(0), ..Self::new(text, parameters)? })
    }
}

impl Parser<'_> {
    pub fn or(&mut self) -> Parsed<Expression> {
        self.chain("OR", Self::and, Expression::Or)
    }

    fn and(&mut self) -> Parsed<Expression> {
        self.chain("AND", Self::not, Expression::And)
    }

    fn chain(
        &mut self,
        word: &'static str,
        tighter: fn(&mut Self) -> Parsed<Expression>,
        build: fn(Vec<Expression>) -> Expression,
    ) -> Parsed<Expression> {
        let mut at = self.at();
        let mut last = tighter(self)?;
        let mut all = Vec::new();
        while self.is_word(word) {
            need(Kind::Truth, word, at, &last)?;
            all.push(last);
            self.skip();
            at = self.at();
            last = tighter(self)?;
        }
        if all.is_empty() {
            return Ok(last);
        }
        need(Kind::Truth, word, at, &last)?;
        all.push(last);
        Ok(build(all))
    }

    fn not(&mut self) -> Parsed<Expression> {
        if !self.is_word("NOT") {
            return self.comparison();
        }
        self.deeper(|parser| {
            let at = parser.at();
            let operand = parser.not()?;
            need(Kind::Truth, "NOT", at, &operand)?;
            Ok(Expression::Not(Box::new(operand)))
        })
    }

    fn comparison(&mut self) -> Parsed<Expression> {
        let at = self.at();
        let left = self.sum()?;
        let found = match self.comparing() {
            Some(comparison) => {
                self.skip();
                let right = self.sum()?;
                Expression::Compare(comparison, Box::new([left, right]))
            }
            None if self.begins_test() => self.test(at, left)?,
            None => return Ok(left),
        };
        if self.comparing().is_some() || self.begins_test() {
            let what = format!(
                "comparisons cannot be chained, put the first into parentheses; found {}",
                self.peek()
            );
            return Err(self.wrong(what));
        }
        Ok(found)
    }

    fn comparing(&self) -> Option<Comparison> {
        let Token::Symbol(symbol) = self.peek() else { return None };
        Comparison::of(symbol)
    }

    fn begins_test(&self) -> bool {
        ["IS", "NOT", "IN", "LIKE"].iter().any(|word| self.is_word(word))
    }

    fn test(&mut self, at: usize, operand: Expression) -> Parsed<Expression> {
        let (negated, test) = if self.take_word("IS") {
            let negated = self.take_word("NOT");
            self.expect_word("NULL")?;
            (negated, Test::Null)
        } else {
            let negated = self.take_word("NOT");
            let test = if self.take_word("IN") {
                Test::In(self.list()?)
            } else if self.take_word("LIKE") {
                need(Kind::Text, "LIKE", at, &operand)?;
                Test::Like(Box::new(self.pattern()?))
            } else {
                return Err(self.expected("IN or LIKE after NOT"));
            };
            (negated, test)
        };
        Ok(Expression::Test { operand: Box::new(operand), negated, test })
    }

    fn list(&mut self) -> Parsed<Vec<Expression>> {
        self.expect("(")?;
        let mut all = vec![self.sum()?];
        while self.take(",") {
            all.push(self.sum()?);
        }
        if !self.take(")") {
            return Err(self.expected(", or )"));
        }
        Ok(all)
    }

    fn pattern(&mut self) -> Parsed<Pattern> {
        let at = self.at();
        let (pattern, text) = self.constant_text("LIKE")?;
        self.pattern_chars += text.chars().count();
        if self.pattern_chars > FILTER_CHARS {
            let what = format!("LIKE patterns of a filter can have {FILTER_CHARS} characters together");
            return Err(Wrong::new(at, format!("{what}, with this one they have {}", self.pattern_chars)));
        }
        let escape = if self.take_word("ESCAPE") { Some(self.escape()?) } else { None };
        let character = escape.as_ref().map(|(_, character)| *character);
        let ends_in_it = || {
            let what = "the pattern ends in its escape character, a character must follow it";
            Wrong::new(at, what)
        };
        let like = Like::read(&text, character).ok_or_else(ends_in_it)?;
        Ok(Pattern { pattern, escape: escape.map(|(written, _)| written), like })
    }

    fn escape(&mut self) -> Parsed<(Expression, char)> {
        let at = self.at();
        let (expression, text) = self.constant_text("ESCAPE")?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(escape), None) => Ok((expression, escape)),
            _ => {
                let found = text.chars().count();
                Err(Wrong::new(at, format!("ESCAPE needs exactly one character, found {found}")))
            }
        }
    }

    fn sum(&mut self) -> Parsed<Expression> {
        self.arithmetic(Level::Sum, Self::product)
    }

    fn product(&mut self) -> Parsed<Expression> {
        self.arithmetic(Level::Product, Self::signed)
    }

    fn arithmetic(
        &mut self,
        level: Level,
        tighter: fn(&mut Self) -> Parsed<Expression>,
    ) -> Parsed<Expression> {
        let at = self.at();
        let first = tighter(self)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator(level) {
            let symbol = operator.symbol().to_string();
            if rest.is_empty() {
                need(Kind::Number, &symbol, at, &first)?;
            }
            self.skip();
            let at = self.at();
            let operand = tighter(self)?;
            need(Kind::Number, &symbol, at, &operand)?;
            rest.push((operator, operand));
        }
        Ok(if rest.is_empty() { first } else { Expression::Arithmetic { first: Box::new(first), rest } })
    }

    fn operator(&self, level: Level) -> Option<Operator> {
        let Token::Symbol(symbol) = self.peek() else { return None };
        Operator::of(symbol).filter(|operator| operator.level() == level)
    }

    fn signed(&mut self) -> Parsed<Expression> {
        let sign = match self.peek() {
            Token::Symbol("-") => Sign::Minus,
            Token::Symbol("+") => Sign::Plus,
            _ => return self.single(),
        };
        if sign == Sign::Minus
            && let Some(number) = self.negative_number()?
        {
            return Ok(number);
        }
        self.deeper(|parser| {
            let at = parser.at();
            let operand = parser.signed()?;
            need(Kind::Number, &sign.symbol().to_string(), at, &operand)?;
            Ok(Expression::Sign(sign, Box::new(operand)))
        })
    }

    /// A minus and the number right behind it are one literal: the lowest whole number has no positive one.
    fn negative_number(&mut self) -> Parsed<Option<Expression>> {
        let at = self.at();
        let value = match self.behind() {
            Some(Token::Whole(number)) => {
                let negative = 0_i64.checked_sub_unsigned(*number);
                Value::Int(negative.ok_or_else(|| Wrong::new(at, out_of_range()))?)
            }
            Some(Token::Decimal(number)) => Value::Float(-number),
            _ => return Ok(None),
        };
        self.skip();
        self.skip();
        Ok(Some(Expression::Literal(value)))
    }

    /// Goes over the token that is next, and reads what it holds one step deeper.
    pub fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<Expression>) -> Parsed<Expression> {
        if self.depth == FILTER_DEPTH {
            let what =
                format!("parentheses, NOT and signs can be nested {FILTER_DEPTH} deep, this is one more");
            return Err(self.wrong(what));
        }
        self.skip();
        self.depth += 1;
        let found = inner(self);
        self.depth -= 1;
        found
    }

    fn end(&self) -> Parsed<()> {
        if *self.peek() == Token::End {
            return Ok(());
        }
        Err(self.expected("an operator or the end"))
    }

    pub fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |placed| &placed.token)
    }

    /// The token behind the next one.
    fn behind(&self) -> Option<&Token> {
        self.tokens.get(self.next + 1).map(|placed| &placed.token)
    }

    /// Whether the next token is the first of its line.
    pub fn begins_line(&self) -> bool {
        self.tokens.get(self.next).is_some_and(|placed| placed.begins_line)
    }

    /// Where the next token begins.
    pub fn at(&self) -> usize {
        self.tokens.get(self.next).or(self.tokens.last()).map_or(1, |placed| placed.at)
    }

    pub fn skip(&mut self) {
        self.next += 1;
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    pub fn is_symbol_after(&self, symbol: &str) -> bool {
        matches!(self.behind(), Some(Token::Symbol(found)) if *found == symbol)
    }

    pub fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.next += usize::from(found);
        found
    }

    pub fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(found) if *found == symbol);
        self.next += usize::from(found);
        found
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.take_word(word) { Ok(()) } else { Err(self.expected(word)) }
    }

    pub fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.expected(symbol)) }
    }

    pub fn expected(&self, what: &str) -> Wrong {
        self.wrong(format!("expected {what}, found {}", self.peek()))
    }

    pub fn wrong(&self, what: impl Into<String>) -> Wrong {
        Wrong::new(self.at(), what)
    }
}

/// Refuses an expression that can never be of the kind that its place needs.
fn need(needed: Kind, whose: &str, at: usize, expression: &Expression) -> Parsed<()> {
    match kind(expression) {
        Some(found) if found != needed => {
            Err(Wrong::new(at, format!("{whose} needs {needed}, {expression} is {found}")))
        }
        _ => Ok(()),
    }
}
