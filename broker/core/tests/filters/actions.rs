//! What actions change, and what they refuse.

use super::naive::expression;
use super::notation::{given, rows, written};
use postrider_core::filter::{ACTION_STEPS, Action, Filter, Truth};
use postrider_protocol::limits::{FILTER_CHARS, PROPERTIES_BYTES, PROPERTY_NAME_CHARS};
use postrider_protocol::message::Message;
use postrider_protocol::value::{Id, Value};
use proptest::prelude::*;

const TABLE: &str = include_str!("actions.txt");
const BITS: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

fn parse(text: &str) -> Action {
    Action::parse(text, &[]).unwrap()
}

fn made_of(text: &str, properties: &str, wanted: &str) -> String {
    let given = given(properties).unwrap_or_else(|| panic!("not as properties are written: {properties}"));
    let action = match Action::parse(text, &given.parameters) {
        Ok(action) if wanted.starts_with("prints: ") => return format!("prints: {action}"),
        Ok(action) => action,
        Err(refusal) => {
            assert_eq!(refusal.field, "action");
            return format!("refused: {}", refusal.message);
        }
    };
    let mut message = given.message.clone();
    match action.apply(&mut message, BITS) {
        Ok(()) => written(&message),
        Err(error) => {
            assert_eq!(message, given.message, "{text} failed and changed the message");
            format!("error: {error}")
        }
    }
}

#[test]
fn actions_make_what_the_table_says() {
    let rows = rows::<3>(TABLE);
    assert!(rows.len() > 90, "the table was not read");
    let mut wrong = Vec::new();
    for [text, properties, wanted] in rows {
        let found = made_of(text, properties, wanted);
        if found != wanted {
            wrong.push(format!("{text} | {properties} | {wanted}\n  but found {found}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn line_breaks_part_steps() {
    let action = parse("\n SET a =\n 1\nREMOVE b\r\n\r\nSET c = 'x\ny' ; \n REMOVE d\n");
    assert_eq!(action.to_string(), "SET a = 1; REMOVE b; SET c = 'x\ny'; REMOVE d");
}

#[test]
fn an_action_has_limits() {
    let steps = |count: usize| vec!["SET a = 1"; count].join(";");
    assert!(Action::parse(&steps(ACTION_STEPS), &[]).is_ok());
    let refused = Action::parse(&steps(ACTION_STEPS + 1), &[]).unwrap_err();
    assert_eq!(refused.message, "at character 321: an action has at most 32 steps, this is one more");
    let long = |chars: usize| format!("SET a = '{}'", "ß".repeat(chars - 10));
    assert!(Action::parse(&long(FILTER_CHARS), &[]).is_ok());
    assert!(Action::parse(&long(FILTER_CHARS + 1), &[]).unwrap_err().message.contains("1025 characters"));
    let named = |chars: usize| format!("SET {} = 1", "a".repeat(chars));
    assert!(Action::parse(&named(PROPERTY_NAME_CHARS), &[]).is_ok());
    let refused = Action::parse(&named(PROPERTY_NAME_CHARS + 1), &[]).unwrap_err();
    assert_eq!(
        refused.message,
        "at character 5: a property's name has at most 128 characters, this one has 129"
    );
    let nested = |depth: usize| format!("SET a = {}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Action::parse(&nested(32), &[]).is_ok());
    assert!(Action::parse(&nested(33), &[]).unwrap_err().message.contains("nested 32 deep"));
}

/// A message that a sender could not send does not come out of an action either.
#[test]
fn a_message_that_grows_too_large_is_not_changed() {
    let half = "x".repeat(PROPERTIES_BYTES / 2 - 10);
    let mut message = Message::default().with_property("a", half.clone());
    let action = parse("SET b = a; SET c = a");
    assert!(action.apply(&mut message, BITS).unwrap_err().to_string().contains("at most 65536 are allowed"));
    assert_eq!(message, Message::default().with_property("a", half));
}

fn ids_of(bits: u128) -> Vec<u128> {
    let mut message = Message::default();
    parse("SET a = newid(); SET sys.MessageId = newid(); SET b = newid()").apply(&mut message, bits).unwrap();
    let Some(Id::Uuid(id)) = message.message_id else { panic!("no id") };
    let user = |name: &str| match message.property(name) {
        Some(Value::Uuid(id)) => *id,
        other => panic!("{other:?}"),
    };
    vec![user("a"), id, user("b")]
}

#[test]
fn new_ids_are_made_of_the_bits_and_their_place() {
    let (first, second) = (ids_of(BITS), ids_of(BITS + 1));
    assert_eq!(first, ids_of(BITS));
    let mut all = [first, second, ids_of(0), ids_of(u128::MAX)].concat();
    all.iter()
        .for_each(|id| assert_eq!((id >> 76 & 0xf, id >> 62 & 0b11), (4, 0b10), "{id:x} is not version 4"));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 12);
    assert_eq!(Value::Uuid(ids_of(0)[0]).to_string(), "00000000-0000-4000-8000-000000000000");
    let equal = Filter::parse("EXISTS(a) AND a <> b", &[]).unwrap();
    let mut message = Message::default();
    parse("SET a = newid(); SET b = newid()").apply(&mut message, BITS).unwrap();
    assert_eq!(equal.matches(&message), Ok(Truth::True));
}

fn step() -> impl Strategy<Value = String> {
    let property =
        prop::sample::select(vec!["a", "[b c]", "\"d\"\"e\"", "user.f", "sys.Subject", "sys.cost", "SET"]);
    (property, any::<bool>(), expression()).prop_map(|(property, sets, expression)| {
        if sets { format!("SET {property} = {}", expression.text()) } else { format!("remove {property}") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_the_same_action(
        steps in prop::collection::vec(step(), 1..5),
        by in prop::sample::select(vec![";", "\n", " ; \n"]),
    ) {
        if let Ok(action) = Action::parse(&steps.join(by), &[]) {
            let printed = action.to_string();
            prop_assert_eq!(Action::parse(&printed, &[]).unwrap(), action, "{}", printed);
        }
    }

    #[test]
    fn no_text_panics(text in "(SET|REMOVE|;|\n| |a|=|sys\\.To|newid\\(|\\)|'x'|5|\\[|.){0,20}") {
        super::fuzzed::parse(&text);
    }
}
