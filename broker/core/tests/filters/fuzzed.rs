//! What holds for every text and every message. `fuzz/` looks for texts that it does not hold for.

use super::notation::given;
use postrider_core::filter::{Action, Constant, Explanation, Filter, Named, Properties, Truth};
use postrider_protocol::limits::FILTER_CHARS;
use postrider_protocol::message::Message;
use postrider_protocol::value::Value;

/// A text is a filter or is not, an action or is not; what is printed is the same again.
pub fn parse(text: &str) {
    let parameters = [("x", Value::Int(5)), ("@t", Value::from("a%")), ("n", Value::Null)];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
    if let Ok(filter) = Filter::parse(text, &parameters) {
        same(&filter, |text| Filter::parse(text, &parameters).map_err(|refusal| refusal.to_string()));
    }
    if let Ok(action) = Action::parse(text, &parameters) {
        same(&action, |text| Action::parse(text, &parameters).map_err(|refusal| refusal.to_string()));
    }
}

fn same<T: ToString + PartialEq + std::fmt::Debug>(read: &T, parse: impl Fn(&str) -> Result<T, String>) {
    let printed = read.to_string();
    if printed.chars().count() <= FILTER_CHARS {
        let again = parse(&printed).unwrap_or_else(|refused| panic!("{printed}: {refused}"));
        assert_eq!(again, *read, "{printed}");
        assert_eq!(again.to_string(), printed);
    }
}

/// A row of a table, `text | properties`: whatever the filter says, the explanation says it too, and what an index
/// would leave out is not let through; an action makes a message that could have been sent, or nothing of it.
pub fn evaluate(row: &str) {
    let Some((text, properties)) = row.rsplit_once('|') else { return };
    let Some(given) = given(properties) else { return };
    if given.message.check().is_err() {
        return;
    }
    if let Ok(filter) = Filter::parse(text, &given.parameters) {
        judge(&filter, &given.message);
    }
    if let Ok(action) = Action::parse(text, &given.parameters) {
        let mut message = given.message.clone();
        match action.apply(&mut message, 7) {
            Ok(()) => message.check().unwrap(),
            Err(_) => assert_eq!(bits(&message), bits(&given.message)),
        }
    }
}

/// NaN equals nothing, itself included; its bytes do.
fn bits(message: &Message) -> bytes::Bytes {
    message.encode()
}

pub fn judge(filter: &Filter, message: &Message) {
    let said = filter.matches(message);
    let shown = match &said {
        Ok(Truth::True) => "TRUE".to_owned(),
        Ok(Truth::False) => "FALSE".to_owned(),
        Ok(Truth::Unknown) => "UNKNOWN".to_owned(),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(explained(&filter.explain(message)), shown, "{filter}");
    let Some(leading) = filter.leading() else { return };
    let found = match leading.property {
        Named::System(name) => message.system(name),
        Named::User(name) => message.user(name),
    };
    if found.and_then(|found| Constant::of(&found)) != Some(leading.constant) {
        assert!(matches!(said, Ok(Truth::False | Truth::Unknown)), "{filter} says {said:?}");
    }
}

/// What the root came to. A property or a parameter is shown as it is, and unknown as a condition unless it is a truth.
fn explained(root: &Explanation) -> String {
    let is_leaf = root.children.is_empty();
    match root.value.as_str() {
        "TRUE" | "FALSE" | "UNKNOWN" => root.value.clone(),
        _ if is_leaf => "UNKNOWN".to_owned(),
        _ => root.value.clone(),
    }
}
