//! The filter language on one message: cases of `language.txt`, limits, and what holds for every text.

use bytes::Bytes;
use postrider_core::filter::{Filter, Properties, SYSTEM_PROPERTIES, Truth};
use postrider_protocol::limits::{FILTER_CHARS, PROPERTY_BYTES};
use postrider_protocol::message::is_same_name;
use postrider_protocol::value::Value;
use proptest::prelude::*;
use std::borrow::Cow;

const CASES: &str = include_str!("language.txt");

/// What the head of `language.txt` gives to all cases.
#[derive(Default)]
struct Given {
    system: Vec<(String, Value)>,
    user: Vec<(String, Value)>,
    parameters: Vec<(String, Value)>,
}

fn find<'a>(all: &'a [(String, Value)], name: &str) -> Option<Cow<'a, Value>> {
    all.iter().find(|(given, _)| is_same_name(given, name)).map(|(_, value)| Cow::Borrowed(value))
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
        list.push((name.replace('+', " "), read_value(kind, text)));
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

fn parse(text: &str) -> Result<Filter, String> {
    let parameters: Vec<(String, Value)> =
        vec![("x".to_owned(), Value::Int(5)), ("@t".to_owned(), Value::from("a%"))];
    Filter::parse(text, &parameters).map_err(|refusal| refusal.message)
}

#[test]
fn nesting_has_a_limit_and_no_other_end() {
    for (open, inner, close) in [("(", "a", ")"), ("NOT ", "a", ""), ("-", "a", ""), ("1 + (", "a", ")")] {
        let nested = |depth: usize| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
        let test = |depth| parse(&format!("({}) IS NULL", nested(depth)));
        assert!(test(31).is_ok(), "{open}");
        comes_back(&format!("({}) IS NULL", nested(31)));
        assert!(test(32).unwrap_err().contains("nested 32 deep"), "{open}");
        assert!(parse(&open.repeat(FILTER_CHARS / open.len())).is_err(), "{open}");
    }
    let wide = vec!["a"; 200].join(" OR ");
    assert!(parse(&wide).is_ok());
    let siblings = vec!["(NOT a)"; 80].join(" AND ");
    assert!(parse(&siblings).is_ok());
}

#[test]
fn the_length_limit_counts_characters() {
    let text = |chars: usize| format!("a = '{}'", "ß".repeat(chars - 6));
    assert!(parse(&text(FILTER_CHARS)).is_ok());
    assert_eq!(parse(&text(FILTER_CHARS + 1)).unwrap_err(), "has 1025 characters, at most 1024 are allowed");
}

/// The most work that a pattern and a property can be, and many times: the test ends in time only if LIKE goes over the
/// text once.
#[test]
fn no_pattern_makes_like_slow() {
    let text = "a".repeat(PROPERTY_BYTES);
    let message = Given { user: vec![("a".to_owned(), Value::Text(text))], ..Given::default() };
    let patterns = [
        "%a".repeat(500) + "b",
        "%".repeat(1000) + "b",
        "%".to_owned() + &"a".repeat(999) + "b",
        "%".to_owned() + &"a".repeat(999) + "b%",
        "%".to_owned() + &"a_".repeat(499) + "b%",
        "%_".repeat(400) + "b%" + &"_a".repeat(90) + "b",
    ];
    for pattern in patterns {
        let filter = parse(&format!("a LIKE '{pattern}'")).unwrap();
        (0..100).for_each(|_| assert_eq!(filter.matches(&message), Ok(Truth::False), "{pattern}"));
    }
}

/// Pieces of the language, so that random texts come far.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "[c d]",
        "sys.To",
        "user.a",
        "p('a')",
        "EXISTS(a)",
        "newid()",
        "foo.a",
        "1",
        "0",
        "5.5",
        "1e300",
        "'x'",
        "'it''s'",
        "9223372036854775808",
        "TRUE",
        "FALSE",
        "NULL",
        "@x",
        "@t",
        "(",
        "(",
        ")",
        ")",
        "-",
        "+",
        "*",
        "/",
        "%",
        "=",
        "<>",
        "<",
        ">=",
        "AND",
        "OR",
        "NOT",
        "IS NULL",
        "IS NOT NULL",
        "IN (",
        "NOT IN (",
        ",",
        "LIKE 'a%'",
        "NOT LIKE @t",
        "ESCAPE '!'",
        ".",
        "'",
        "[",
    ])
}

/// Expressions that are of the language by their form; some are refused for their kinds or their depth.
fn well_formed() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "[c d]",
        "sys.To",
        "EXISTS(a)",
        "1",
        "-5",
        "0.5",
        "-9223372036854775808",
        "'it''s'",
        "TRUE",
        "NULL",
        "@x",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(6, 40, 3, |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "/", "%", "=", "<>", "<", ">=", "AND", "OR"]);
        let test =
            prop::sample::select(vec!["IS NULL", "IS NOT NULL", "LIKE 'a!%' ESCAPE '!'", "NOT LIKE @t"]);
        let before = prop::sample::select(vec!["NOT ", "-", "+", "- "]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, by, b)| format!("{a} {by} {b}")),
            (inner.clone(), test).prop_map(|(a, test)| format!("{a} {test}")),
            (before, inner.clone()).prop_map(|(before, a)| format!("{before}{a}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{a} IN ({b}, {c})")),
            inner.prop_map(|a| format!("({a})")),
        ]
    })
}

/// Whatever the text: no panic, and what is a filter prints as the same filter.
fn comes_back(text: &str) {
    let Ok(filter) = parse(text) else { return };
    let _ = filter.matches(&given());
    let printed = filter.to_string();
    if printed.chars().count() > FILTER_CHARS {
        return;
    }
    let again = parse(&printed).unwrap_or_else(|refused| panic!("{text} prints {printed}: {refused}"));
    assert_eq!(again, filter, "{text} prints {printed}");
    assert_eq!(again.to_string(), printed);
    assert_eq!(again.matches(&given()), filter.matches(&given()));
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        comes_back(&text);
    }

    #[test]
    fn no_pieces_panic(pieces in prop::collection::vec(piece(), 0..14)) {
        comes_back(&pieces.join(" "));
        comes_back(&pieces.concat());
    }

    #[test]
    fn what_is_printed_is_the_same_filter(text in well_formed()) {
        comes_back(&text);
        comes_back(&format!("({text}) IS NULL"));
    }
}
