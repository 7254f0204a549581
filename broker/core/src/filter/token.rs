//! Cuts a filter's text into tokens.

use super::names::is_word;
use std::fmt;

/// What is wrong with a text, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The character, counted from 1.
    pub at: usize,
    pub what: String,
}

impl Wrong {
    pub fn new(at: usize, what: impl Into<String>) -> Self {
        Wrong { at, what: what.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at, self.what)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name or a word of the language.
    Word(String),
    /// A name in brackets or double quotes.
    Name(String),
    Text(String),
    /// A whole number without its sign, which is a token of its own.
    Whole(u64),
    Decimal(f64),
    /// A parameter's name without the `@`.
    Parameter(String),
    Symbol(&'static str),
    End,
}

/// A token and where it was found.
#[derive(Debug)]
pub(super) struct Placed {
    /// The character it begins at, counted from 1.
    pub at: usize,
    /// There is a line break before it.
    pub begins_line: bool,
    pub token: Token,
}

/// As an error names it.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(word) => f.write_str(word),
            Token::Name(name) => write!(f, "[{}]", name.replace(']', "]]")),
            Token::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Token::Whole(number) => number.fmt(f),
            Token::Decimal(number) => write!(f, "{number:?}"),
            Token::Parameter(name) => write!(f, "@{name}"),
            Token::Symbol(symbol) => f.write_str(symbol),
            Token::End => f.write_str("the end"),
        }
    }
}

/// Longer ones first: `<=` is not `<` and `=`.
const SYMBOLS: &[&str] =
    &["<>", "!=", ">=", "<=", "=", ">", "<", "+", "-", "*", "/", "%", "(", ")", ",", ".", ";"];

/// The tokens; the last one is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Wrong> {
    let mut scanner = Scanner { rest: text, at: 1 };
    let mut tokens = Vec::new();
    loop {
        let begins_line = scanner.take_while(char::is_whitespace).contains('\n');
        let at = scanner.at;
        let token = scanner.token()?;
        let ended = token == Token::End;
        tokens.push(Placed { at, begins_line, token });
        if ended {
            return Ok(tokens);
        }
    }
}

struct Scanner<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn token(&mut self) -> Result<Token, Wrong> {
        let Some(first) = self.rest.chars().next() else { return Ok(Token::End) };
        match first {
            '\'' => Ok(Token::Text(self.delimited('\'', "text")?)),
            '"' => self.name('"'),
            '[' => self.name(']'),
            '@' => self.parameter(),
            c if c.is_ascii_digit() => self.number(),
            c if c.is_alphabetic() => Ok(Token::Word(self.take_while(is_word).to_owned())),
            _ => self.symbol(),
        }
    }

    fn symbol(&mut self) -> Result<Token, Wrong> {
        let found = SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol));
        let Some(symbol) = found else {
            let first = self.rest.chars().next().unwrap_or_default();
            return Err(Wrong::new(self.at, format!("{first:?} has no meaning here")));
        };
        self.skip(symbol.len());
        Ok(Token::Symbol(symbol))
    }

    fn parameter(&mut self) -> Result<Token, Wrong> {
        let at = self.at;
        self.skip(1);
        let name = self.take_while(is_word);
        if name.is_empty() {
            return Err(Wrong::new(at, "expected a parameter's name after @"));
        }
        Ok(Token::Parameter(name.to_owned()))
    }

    fn name(&mut self, close: char) -> Result<Token, Wrong> {
        let at = self.at;
        let name = self.delimited(close, "name")?;
        if name.is_empty() {
            return Err(Wrong::new(at, "a property's name cannot be empty"));
        }
        Ok(Token::Name(name))
    }

    /// What stands between the delimiter that is next and `close`, which is written twice to stand for itself.
    fn delimited(&mut self, close: char, what: &str) -> Result<String, Wrong> {
        let open = self.at;
        self.skip(1);
        let mut found = String::new();
        loop {
            found += self.take_while(|c| c != close);
            if self.rest.is_empty() {
                return Err(Wrong::new(open, format!("the {what} that begins here has no closing {close}")));
            }
            self.skip(1);
            if !self.rest.starts_with(close) {
                return Ok(found);
            }
            found.push(close);
            self.skip(1);
        }
    }

    /// Digits, then perhaps a point and digits, then perhaps an exponent; either of these makes it a decimal.
    fn number(&mut self) -> Result<Token, Wrong> {
        let at = self.at;
        let digits = count_digits(self.rest);
        let fraction = after(&self.rest[digits..], &["."]);
        let exponent = after(&self.rest[digits + fraction..], &["e+", "e-", "E+", "E-", "e", "E"]);
        let number = &self.rest[..digits + fraction + exponent];
        self.skip(number.len());
        if number.len() == digits {
            let out_of_range = |_| Wrong::new(at, out_of_range());
            return number.parse().map(Token::Whole).map_err(out_of_range);
        }
        match number.parse::<f64>() {
            Ok(decimal) if decimal.is_finite() => Ok(Token::Decimal(decimal)),
            _ => Err(Wrong::new(at, "the decimal number is out of range; decimals go to 1.79e308")),
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let taken = &self.rest[..end];
        self.skip(end);
        taken
    }

    /// Goes on by so many bytes.
    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.at += skipped.chars().count();
        self.rest = rest;
    }
}

fn count_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Bytes of one of the marks and the digits after it; 0 if the text begins otherwise.
fn after(text: &str, marks: &[&str]) -> usize {
    let Some(mark) = marks.iter().find(|mark| text.starts_with(**mark)) else { return 0 };
    match count_digits(&text[mark.len()..]) {
        0 => 0,
        digits => mark.len() + digits,
    }
}

/// What to say of a whole number that is too large.
pub(super) fn out_of_range() -> String {
    format!("the whole number is out of range; whole numbers go from {} to {}", i64::MIN, i64::MAX)
}
