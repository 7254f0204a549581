//! Filters against an evaluator of a few lines, which knows the rules and nothing of the code.

use super::fuzzed;
use postrider_core::filter::{Filter, Truth};
use postrider_protocol::limits::FILTER_CHARS;
use postrider_protocol::message::Message;
use postrider_protocol::value::Value;
use proptest::prelude::*;
use std::cmp::Ordering;

/// An expression. Where it is written, everything in it is in parentheses.
#[derive(Debug, Clone)]
pub enum Tree {
    Constant(Value),
    Property(&'static str),
    Sign(char, Box<Tree>),
    Arithmetic(Box<Tree>, char, Box<Tree>),
    Compare(Box<Tree>, &'static str, Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
    Not(Box<Tree>),
    Exists(&'static str),
    IsNull(Box<Tree>, bool),
    In(Box<Tree>, Vec<Tree>, bool),
    Like(Box<Tree>, String, bool),
}

impl Tree {
    /// As a filter is written. A `!` escapes in patterns.
    pub fn text(&self) -> String {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            Tree::Constant(Value::Null) => "NULL".to_owned(),
            Tree::Constant(Value::Text(text)) => format!("'{text}'"),
            Tree::Constant(Value::Float(number)) => format!("{number:?}"),
            Tree::Constant(value) => value.to_string(),
            Tree::Property(name) => (*name).to_owned(),
            Tree::Sign(sign, operand) => format!("{sign}({})", operand.text()),
            Tree::Arithmetic(left, by, right) => format!("({}) {by} ({})", left.text(), right.text()),
            Tree::Compare(left, by, right) => format!("({}) {by} ({})", left.text(), right.text()),
            Tree::And(left, right) => format!("({}) AND ({})", left.text(), right.text()),
            Tree::Or(left, right) => format!("({}) OR ({})", left.text(), right.text()),
            Tree::Not(operand) => format!("NOT ({})", operand.text()),
            Tree::Exists(name) => format!("EXISTS({name})"),
            Tree::IsNull(operand, negated) => format!("({}) IS {}NULL", operand.text(), not(negated)),
            Tree::In(operand, all, negated) => {
                let all: Vec<_> = all.iter().map(|one| format!("({})", one.text())).collect();
                format!("({}) {}IN ({})", operand.text(), not(negated), all.join(", "))
            }
            Tree::Like(operand, pattern, negated) => {
                format!("({}) {}LIKE '{pattern}' ESCAPE '!'", operand.text(), not(negated))
            }
        }
    }

    /// None where it cannot be calculated.
    fn value(&self, message: &Message) -> Option<Value> {
        let truth = |truth: Option<bool>| Some(truth.map_or(Value::Null, Value::Bool));
        let negated = |truth: Option<bool>, negated: bool| truth.map(|truth| truth != negated);
        match self {
            Tree::Constant(value) => Some(value.clone()),
            Tree::Property(name) => Some(message.property(name).cloned().unwrap_or(Value::Null)),
            Tree::Exists(name) => Some(Value::Bool(message.property(name).is_some())),
            // A sign cannot leave the range of decimals, whatever they are.
            Tree::Sign(sign, operand) => match (sign, operand.value(message)?) {
                ('-', Value::Float(number)) => Some(Value::Float(-number)),
                (_, Value::Float(number)) => Some(Value::Float(number)),
                ('-', value) => calculate(&Value::Int(0), '-', &value),
                (_, value) => calculate(&Value::Int(0), '+', &value),
            },
            Tree::Arithmetic(left, by, right) => {
                calculate(&left.value(message)?, *by, &right.value(message)?)
            }
            Tree::Compare(left, by, right) => {
                truth(compare(&left.value(message)?, &right.value(message)?).map(|order| holds(by, order)))
            }
            Tree::And(left, right) => match left.truth(message)? {
                Some(false) => truth(Some(false)),
                left => truth(match (left, right.truth(message)?) {
                    (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                }),
            },
            // By de Morgan.
            Tree::Or(left, right) => {
                let not = |tree: &Tree| Box::new(Tree::Not(Box::new(tree.clone())));
                Tree::Not(Box::new(Tree::And(not(left), not(right)))).value(message)
            }
            Tree::Not(operand) => truth(operand.truth(message)?.map(|truth| !truth)),
            Tree::IsNull(operand, negated) => {
                Some(Value::Bool((operand.value(message)? == Value::Null) != *negated))
            }
            // By the equalities that it stands for; nothing is unknown to be in a list before the list is looked at.
            Tree::In(operand, all, is_negated) => {
                if operand.value(message)? == Value::Null {
                    return Some(Value::Null);
                }
                let equal = |one: &Tree| Tree::Compare(operand.clone(), "=", Box::new(one.clone()));
                let any = all.iter().map(equal).rev();
                let any = any.reduce(|rest, one| Tree::Or(Box::new(one), Box::new(rest)));
                truth(negated(any?.truth(message)?, *is_negated))
            }
            Tree::Like(operand, pattern, is_negated) => match operand.value(message)? {
                Value::Text(text) => {
                    let (text, pattern): (Vec<_>, Vec<_>) =
                        (text.chars().collect(), pattern.chars().collect());
                    truth(negated(Some(is_like(&text, &pattern)), *is_negated))
                }
                _ => truth(None),
            },
        }
    }

    fn truth(&self, message: &Message) -> Option<Option<bool>> {
        Some(match self.value(message)? {
            Value::Bool(truth) => Some(truth),
            _ => None,
        })
    }
}

/// Whole numbers in so many bits that nothing wraps before its range is looked at.
fn calculate(left: &Value, by: char, right: &Value) -> Option<Value> {
    let decimal = |value: &Value| match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    if let (Value::Int(left), Value::Int(right)) = (left, right) {
        let (left, right) = (i128::from(*left), i128::from(*right));
        let result = match by {
            '+' => left + right,
            '-' => left - right,
            '*' => left * right,
            '/' => left.checked_div(right)?,
            _ => left.checked_rem(right)?,
        };
        return i64::try_from(result).ok().map(Value::Int);
    }
    let (Some(left), Some(right)) = (decimal(left), decimal(right)) else { return Some(Value::Null) };
    let result = match by {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        '/' => left / right,
        _ => left % right,
    };
    result.is_finite().then_some(Value::Float(result))
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.chars().cmp(right.chars())),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Float(_), Value::Int(_)) => compare(right, left).map(Ordering::reverse),
        (Value::Int(_), Value::Float(decimal)) if decimal.is_nan() => None,
        (Value::Int(whole), Value::Float(decimal)) => {
            let (whole, below) = (i128::from(*whole), decimal.floor() as i128);
            let is_between = decimal.floor() != *decimal;
            Some(if is_between && whole == below { Ordering::Less } else { whole.cmp(&below) })
        }
        _ => None,
    }
}

fn holds(by: &str, order: Ordering) -> bool {
    match by {
        "=" => order == Ordering::Equal,
        "<>" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }
}

fn is_like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|taken| is_like(&text[taken..], rest)),
        ['_', rest @ ..] => !text.is_empty() && is_like(&text[1..], rest),
        ['!', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && is_like(&text[1..], rest),
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![0, 1, -1, 2, 5, i64::MIN, i64::MAX, 9_007_199_254_740_993])
            .prop_map(Value::Int),
        prop::sample::select(vec![0.0, -0.0, 0.5, -1.5, 5.0, 9_007_199_254_740_992.0, 9.3e18, 1e308])
            .prop_map(Value::Float),
    ]
}

fn short_text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!['a', 'b', '%', '_', 'ß']), 0..6)
        .prop_map(|chars| chars.into_iter().collect())
}

fn pattern() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "%", "_", "ß", "!%", "!_", "!!", "!a"]), 0..7)
        .prop_map(|pieces| pieces.concat())
}

fn constant() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => number(),
        2 => any::<bool>().prop_map(Value::Bool),
        3 => short_text().prop_map(Value::Text),
        1 => Just(Value::Null),
    ]
}

fn property() -> impl Strategy<Value = Tree> {
    prop::sample::select(NAMES.to_vec()).prop_map(Tree::Property)
}

/// What may stand where a number is needed.
fn numeric(depth: u32) -> BoxedStrategy<Tree> {
    let leaf = prop_oneof![number().prop_map(Tree::Constant), property()];
    if depth == 0 {
        return leaf.boxed();
    }
    let inner = move || numeric(depth - 1).prop_map(Box::new);
    let operator = prop::sample::select(vec!['+', '-', '*', '/', '%']);
    prop_oneof![
        leaf,
        (inner(), operator, inner()).prop_map(|(left, by, right)| Tree::Arithmetic(left, by, right)),
        (prop::sample::select(vec!['+', '-']), inner()).prop_map(|(sign, operand)| Tree::Sign(sign, operand)),
    ]
    .boxed()
}

/// What may stand beside a comparison.
fn operand(depth: u32) -> BoxedStrategy<Tree> {
    let leaf = prop_oneof![constant().prop_map(Tree::Constant), property()];
    if depth == 0 {
        return leaf.boxed();
    }
    prop_oneof![3 => leaf, 2 => numeric(depth), 1 => condition(depth - 1)].boxed()
}

fn condition(depth: u32) -> BoxedStrategy<Tree> {
    let operand = move || operand(depth.saturating_sub(1)).prop_map(Box::new);
    let comparison = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let text = prop_oneof![property(), short_text().prop_map(|text| Tree::Constant(Value::Text(text)))];
    let list =
        prop::collection::vec(operand(), 1..4).prop_map(|all| all.into_iter().map(|one| *one).collect());
    let test = prop_oneof![
        4 => (operand(), comparison, operand()).prop_map(|(left, by, right)| Tree::Compare(left, by, right)),
        1 => property(),
        1 => any::<bool>().prop_map(|truth| Tree::Constant(Value::Bool(truth))),
        1 => prop::sample::select(NAMES.to_vec()).prop_map(Tree::Exists),
        1 => (operand(), any::<bool>()).prop_map(|(operand, negated)| Tree::IsNull(operand, negated)),
        2 => (operand(), list, any::<bool>()).prop_map(|(operand, all, negated)| Tree::In(operand, all, negated)),
        2 => (text, pattern(), any::<bool>())
            .prop_map(|(text, pattern, negated)| Tree::Like(Box::new(text), pattern, negated)),
    ];
    if depth == 0 {
        return test.boxed();
    }
    let inner = move || condition(depth - 1).prop_map(Box::new);
    prop_oneof![
        3 => test,
        2 => (inner(), inner()).prop_map(|(left, right)| Tree::And(left, right)),
        2 => (inner(), inner()).prop_map(|(left, right)| Tree::Or(left, right)),
        1 => inner().prop_map(Tree::Not),
    ]
    .boxed()
}

/// A random condition.
pub fn expression() -> impl Strategy<Value = Tree> {
    condition(3)
}

fn message() -> impl Strategy<Value = Message> {
    let nan = Just(Value::Float(f64::NAN));
    let value = prop_oneof![1 => Just(None), 6 => constant().prop_map(Some), 1 => nan.prop_map(Some)];
    prop::collection::vec(value, NAMES.len()).prop_map(|values| {
        let given = NAMES.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Message { properties: given.collect(), ..Message::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_say_what_the_naive_evaluator_says(tree in expression(), message in message()) {
        let text = tree.text();
        prop_assume!(text.chars().count() <= FILTER_CHARS);
        let filter = Filter::parse(&text, &[]).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
        let printed = Filter::parse(&filter.to_string(), &[]).unwrap();
        let wanted = tree.truth(&message);
        for filter in [filter, printed] {
            let found = filter.matches(&message).ok().map(|truth| match truth {
                Truth::True => Some(true),
                Truth::False => Some(false),
                Truth::Unknown => None,
            });
            prop_assert_eq!(found, wanted, "{}", &filter);
            fuzzed::judge(&filter, &message);
        }
    }

    #[test]
    fn like_is_what_the_naive_one_is(text in "[ab%_ß!]{0,12}", pattern in pattern()) {
        let filter = Filter::parse(&format!("a LIKE '{pattern}' ESCAPE '!'"), &[]).unwrap();
        let (chars, places): (Vec<_>, Vec<_>) = (text.chars().collect(), pattern.chars().collect());
        let message = Message::default().with_property("a", text);
        prop_assert_eq!(filter.matches(&message), Ok(if is_like(&chars, &places) { Truth::True } else { Truth::False }));
    }
}

/// The bits of a segment with `_` go on in the next word.
#[test]
fn like_finds_long_segments() {
    for places in [63, 64, 65, 127, 128, 129, 200] {
        let segment = "a_".repeat(places / 2) + &"b".repeat(places % 2 + 1);
        let filter = Filter::parse(&format!("a LIKE '%{segment}%'"), &[]).unwrap();
        let says = |text: String| filter.matches(&Message::default().with_property("a", text));
        let met = "ax".repeat(places / 2) + &"b".repeat(places % 2 + 1);
        assert_eq!(says(format!("aaax{met}ax")), Ok(Truth::True), "{places}");
        assert_eq!(says(format!("aaax{}ax", &met[1..])), Ok(Truth::False), "{places}");
        assert_eq!(says(format!("aaax{}", &met[..met.len() - 1])), Ok(Truth::False), "{places}");
    }
}
