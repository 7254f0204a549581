//! The filter language: cases of `filters.txt`, and what holds for every text.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

use bytes::Bytes;
use postrider_core::filter::{Filter, Properties, SYSTEM_PROPERTIES, Truth};
use postrider_protocol::limits::{FILTER_CHARS, PROPERTY_BYTES};
use postrider_protocol::value::Value;
use proptest::prelude::*;
use std::borrow::Cow;

const CASES: &str = include_str!("filters.txt");

/// What the head of `filters.txt` gives to all cases.
#[derive(Default)]
struct Given {
    system: Vec<(String, Value)>,
    user: Vec<(String, Value)>,
    parameters: Vec<(String, Value)>,
}

fn find<'a>(all: &'a [(String, Value)], name: &str) -> Option<Cow<'a, Value>> {
    all.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| Cow::Borrowed(value))
}

impl Properties for Given {
    fn system(&self, name: &'static str) -> Option<Cow<'_, Value>> {
        assert!(SYSTEM_PROPERTIES.iter().any(|(first, _)| *first == name), "asked for {name}");
        find(&self.system, name)
    }

    fn user(&self, name: &str) -> Option<Cow<'_, Value>> {
        find(&self.user, name)
    }
}

fn read_value(kind: &str, text: &str) -> Value {
    match kind {
        "null" => Value::Null,
        "bool" => Value::Bool(text.parse().unwrap()),
        "int" => Value::Int(text.parse().unwrap()),
        "float" => Value::Float(text.parse().unwrap()),
        "text" => Value::Text(text.to_owned()),
        "repeated" => Value::Text("%a".repeat(text.parse().unwrap())),
        "bytes" => Value::Bytes(Bytes::copy_from_slice(text.as_bytes())),
        "time" => Value::Timestamp(text.parse().unwrap()),
        "uuid" => Value::Uuid(text.parse().unwrap()),
        other => panic!("there is no kind {other}"),
    }
}

/// Lines before `---`: `system|user|parameter <name> <kind> <value>`.
fn given() -> Given {
    let mut given = Given::default();
    let (head, _) = CASES.split_once("\n---\n").unwrap();
    for line in head.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (place, name, kind, text) = (word(), word(), word(), word());
        let list = match place {
            "system" => &mut given.system,
            "user" => &mut given.user,
            "parameter" => &mut given.parameters,
            other => panic!("there is no {other}"),
        };
        list.push((name.to_owned(), read_value(kind, text)));
    }
    given
}

fn outcome(text: &str, given: &Given) -> String {
    let filter = match Filter::parse(text, &given.parameters) {
        Ok(filter) => filter,
        Err(refusal) => {
            assert_eq!(refusal.field, "filter");
            return format!("refused: {}", refusal.message);
        }
    };
    match filter.matches(given) {
        Ok(Truth::True) => "true".to_owned(),
        Ok(Truth::False) => "false".to_owned(),
        Ok(Truth::Unknown) => "unknown".to_owned(),
        Err(error) => format!("fails: {error}"),
    }
}

fn canonical(text: &str, given: &Given) -> String {
    Filter::parse(text, &given.parameters).map_or_else(|refusal| refusal.message, |filter| filter.to_string())
}

/// `<text> => <outcome>`, or `<text> -> <canonical text>`.
#[test]
fn every_case_comes_out_as_written() {
    let given = given();
    let (_, cases) = CASES.split_once("\n---\n").unwrap();
    let mut wrong = Vec::new();
    for case in cases.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (text, wanted, found) = match (case.split_once(" => "), case.split_once(" -> ")) {
            (Some((text, wanted)), _) => (text, wanted, outcome(text, &given)),
            (None, Some((text, wanted))) => (text, wanted, canonical(text, &given)),
            (None, None) => panic!("no case: {case}"),
        };
        if found != wanted {
            wrong.push(format!("{text}\n  wanted {wanted}\n  found  {found}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
