//! Which rules of a topic can let a message through, without asking each of them.
//!
//! A rule that wants certain values is found by the *names* of the properties that it wants something of, and a hash of
//! the *values*: for a message, each list of names that any rule has is looked up once. So the cost is that of the
//! different lists and of the rules that are found, however many rules there are. The hash is a filter and no more:
//! whoever is found is asked.

use super::parsed::ParsedRule;
use crate::filter::{self, Constant, Leading, Named, Properties};
use crate::keys;
use postrider_protocol::rule::{Condition, Filter};
use postrider_protocol::value::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A rule of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId {
    /// The number of its subscription.
    pub subscription: u64,
    /// Its name in lower case.
    pub name: String,
}

/// A property that a rule wants a value of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    /// By its first name in [`SYSTEM_PROPERTIES`](filter::SYSTEM_PROPERTIES).
    System(&'static str),
    /// By its name in lower case.
    User(String),
}

/// Rules by the hash of the values that they want.
type ByValues = BTreeMap<u64, BTreeSet<RuleId>>;

/// The rules of a topic's subscriptions.
#[derive(Debug, Clone, Default)]
pub struct Index {
    by_fields: BTreeMap<Vec<Field>, ByValues>,
    /// Rules that no value rules out.
    others: BTreeSet<RuleId>,
    /// How many there are: SQL, and all others.
    counts: [usize; 2],
}

impl Index {
    /// Adds a rule that is not there.
    pub fn insert(&mut self, subscription: u64, rule: &ParsedRule) {
        self.counts[kind(rule)] += 1;
        let id = RuleId { subscription, name: rule.key() };
        match wanted(rule) {
            Wanted::Anything => {
                self.others.insert(id);
            }
            Wanted::Values(fields, hash) => {
                self.by_fields.entry(fields).or_default().entry(hash).or_default().insert(id);
            }
            Wanted::Nothing => {}
        }
    }

    /// Removes a rule that is there.
    pub fn remove(&mut self, subscription: u64, rule: &ParsedRule) {
        self.counts[kind(rule)] -= 1;
        let id = RuleId { subscription, name: rule.key() };
        match wanted(rule) {
            Wanted::Anything => {
                self.others.remove(&id);
            }
            Wanted::Values(fields, hash) => self.remove_values(&fields, hash, &id),
            Wanted::Nothing => {}
        }
    }

    fn remove_values(&mut self, fields: &[Field], hash: u64, id: &RuleId) {
        let Some(by_values) = self.by_fields.get_mut(fields) else { return };
        if let Some(rules) = by_values.get_mut(&hash) {
            rules.remove(id);
            if rules.is_empty() {
                by_values.remove(&hash);
            }
        }
        if by_values.is_empty() {
            self.by_fields.remove(fields);
        }
    }

    /// The rules that may let a message through, in the order of their subscriptions and names. All that do are among
    /// them.
    pub fn candidates(&self, view: &dyn Properties) -> Vec<&RuleId> {
        let mut found: Vec<_> = self.others.iter().collect();
        for (fields, by_values) in &self.by_fields {
            let rules = hash_of(fields, view).and_then(|hash| by_values.get(&hash));
            found.extend(rules.into_iter().flatten());
        }
        if found.len() > self.others.len() {
            found.sort_unstable();
        }
        found
    }

    /// How many rules have an SQL filter.
    pub fn sql_rules(&self) -> usize {
        self.counts[0]
    }

    /// How many rules have another one.
    pub fn other_rules(&self) -> usize {
        self.counts[1]
    }
}

fn kind(rule: &ParsedRule) -> usize {
    usize::from(rule.sql().is_none())
}

/// What a message must have for a rule to let it through.
enum Wanted {
    Anything,
    /// Values of these properties with this hash.
    Values(Vec<Field>, u64),
    Nothing,
}

fn wanted(rule: &ParsedRule) -> Wanted {
    match &rule.rule().filter {
        Filter::True => Wanted::Anything,
        Filter::False => Wanted::Nothing,
        Filter::Correlation(conditions) => values(conditions.iter().filter_map(of_condition).collect()),
        Filter::Sql(_) => {
            let leading = rule.sql().and_then(filter::Filter::leading).map(of_leading);
            leading.map_or(Wanted::Anything, |(field, value)| values(vec![(field, &value)]))
        }
    }
}

fn values(mut pairs: Vec<(Field, &Value)>) -> Wanted {
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    let hash = pairs.iter().fold(keys::SEED, |hash, (_, value)| mixed(hash, value));
    Wanted::Values(pairs.into_iter().map(|(field, _)| field).collect(), hash)
}

/// The equality that an SQL filter begins with.
fn of_leading(leading: Leading<'_>) -> (Field, Value) {
    let field = match leading.property {
        Named::System(name) => Field::System(name),
        Named::User(name) => Field::User(folded(name)),
    };
    let value = match leading.constant {
        Constant::Bool(truth) => Value::Bool(truth),
        Constant::Whole(number) => Value::Int(number),
        Constant::Text(text) => Value::Text(text),
    };
    (field, value)
}

fn of_condition(condition: &Condition) -> Option<(Field, &Value)> {
    let field = if condition.system {
        Field::System(filter::system_property(&condition.name)?)
    } else {
        Field::User(folded(&condition.name))
    };
    Some((field, &condition.value))
}

/// As [`is_same_name`](postrider_protocol::message::is_same_name) compares names.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

/// The hash of the values that a message has; none where it lacks one that must be there.
fn hash_of(fields: &[Field], view: &dyn Properties) -> Option<u64> {
    fields.iter().try_fold(keys::SEED, |hash, field| match field {
        // A system property that is not set equals null.
        Field::System(name) => {
            Some(view.system(name).map_or_else(|| mixed(hash, &Value::Null), |value| mixed(hash, &value)))
        }
        Field::User(name) => view.user(name).map(|value| mixed(hash, &value)),
    })
}

/// Mixes a value in. Values that are equal for any filter are mixed in the same way: whole and decimal numbers alike.
fn mixed(hash: u64, value: &Value) -> u64 {
    let with = |kind: u8, bytes: &[u8]| keys::fnv(keys::fnv(hash, &[kind]), bytes);
    match value {
        Value::Null => with(0, &[]),
        Value::Bool(value) => with(1, &[u8::from(*value)]),
        Value::Int(number) => with(2, &number_bits(*number as f64)),
        Value::Float(number) => with(2, &number_bits(*number)),
        Value::Text(text) => with(3, text.as_bytes()),
        Value::Bytes(bytes) => with(4, bytes),
        Value::Timestamp(time) => with(5, &time.to_be_bytes()),
        Value::Uuid(bits) => with(6, &bits.to_be_bytes()),
    }
}

/// Both zeros are one number.
fn number_bits(number: f64) -> [u8; 8] {
    (if number == 0.0 { 0.0 } else { number }).to_bits().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Now;
    use postrider_protocol::message::Message;
    use postrider_protocol::rule::Rule;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    /// Few of them, so that they meet; some are one number, some one another's neighbours.
    fn value() -> impl Strategy<Value = Value> {
        const WHOLE: i64 = 1 << 53;
        select(vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(0),
            Value::Int(1),
            Value::Int(WHOLE),
            Value::Int(WHOLE + 1),
            Value::Float(-0.0),
            Value::Float(1.0),
            Value::Float(1.5),
            Value::Float(WHOLE as f64),
            Value::Text("1".to_owned()),
            Value::Text("x".to_owned()),
            Value::Timestamp(1),
        ])
    }

    fn user_name() -> impl Strategy<Value = &'static str> {
        select(vec!["a", "A", "b", "ß", "Σ", "ς", "σ"])
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let system = select(vec!["subject", "Label", "MESSAGE_ID", "to"]);
        let name =
            prop_oneof![user_name().prop_map(|name| (false, name)), system.prop_map(|name| (true, name)),];
        (name, value()).prop_map(|((system, name), value)| Condition { system, name: name.to_owned(), value })
    }

    /// Filters that begin with an equality, and others; some fail where it does not hold.
    fn filter() -> impl Strategy<Value = Filter> {
        let sql = select(vec![
            "a = @v",
            "@v = A AND b = 1",
            "[Σ] = 1 AND sys.Subject = 'x'",
            "sys.Label = 'x' AND a IS NULL",
            "sys.MessageId = @v",
            "a = @v AND 1 / b > 0",
            "a = 'x' OR b = 1",
            "a = 1 AND b = 1 OR a = 'x'",
            "NOT a = 1",
            "a <> 1",
            "(a = 1) AND a LIKE 'x%'",
            "1 / a > 0",
            "TRUE",
        ]);
        prop_oneof![
            Just(Filter::True),
            Just(Filter::False),
            vec(condition(), 1..4).prop_map(Filter::Correlation),
            sql.prop_map(|text| Filter::Sql(text.to_owned())),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        let text = || proptest::option::of(select(vec!["x".to_owned(), "1".to_owned()]));
        let id = text().prop_map(|text| text.map(Into::into));
        let properties = proptest::collection::btree_map(select(vec!["A", "b", "ß", "σ"]), value(), 0..4);
        (id, text(), text(), properties).prop_map(|(message_id, subject, to, properties)| Message {
            message_id,
            subject,
            to,
            properties: properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ..Message::default()
        })
    }

    fn parsed(name: u8, filter: Filter, value: Value) -> ParsedRule {
        let rule = Rule::new(format!("R{name}"), filter).with_parameter("v", value);
        ParsedRule::parse(rule, Now::default()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Rules come, take the place of others, and go; then whoever has something to say of a message is found.
        #[test]
        fn who_is_not_found_says_no(
            changes in vec((0..3u64, 0..4u8, proptest::option::of((filter(), value()))), 1..30),
            messages in vec(message(), 1..8),
        ) {
            let (mut index, mut all) = (Index::default(), BTreeMap::new());
            for (subscription, name, rule) in changes {
                if let Some(old) = all.remove(&(subscription, name)) {
                    index.remove(subscription, &old);
                }
                if let Some((filter, value)) = rule {
                    let rule = parsed(name, filter, value);
                    index.insert(subscription, &rule);
                    all.insert((subscription, name), rule);
                }
            }
            for message in &messages {
                let found = index.candidates(message);
                prop_assert!(found.is_sorted());
                for ((subscription, _), rule) in &all {
                    let id = RuleId { subscription: *subscription, name: rule.key() };
                    prop_assert!(rule.judge(message) == Ok(false) || found.contains(&&id), "{rule:?} of {message:?}");
                }
            }
            prop_assert_eq!(index.sql_rules() + index.other_rules(), all.len());
            all.iter().for_each(|((subscription, _), rule)| index.remove(*subscription, rule));
            prop_assert!(index.by_fields.is_empty() && index.others.is_empty() && index.counts == [0, 0]);
        }
    }

    /// What the index is for.
    #[test]
    fn only_rules_of_the_same_values_are_asked() {
        let mut index = Index::default();
        for at in 0..100i64 {
            let both = [("tenant", Value::Int(at)), ("kind", "order".into())];
            index.insert(1, &parsed(at as u8, Filter::properties(both), Value::Null));
            index.insert(
                2,
                &parsed(at as u8, Filter::Sql(format!("tenant = {at} AND kind LIKE 'o%'")), Value::Null),
            );
        }
        let message = Message::new("x").with_property("tenant", 7i64).with_property("KIND", "order");
        let found: Vec<_> = index.candidates(&message).into_iter().map(|id| id.name.as_str()).collect();
        assert_eq!(found, ["r7", "r7"]);
    }
}
