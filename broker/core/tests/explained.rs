//! What is explained of a message is what becomes of it when it is published.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use postrider_core::command::{Change, Question};
use postrider_protocol::explain::{After, Explained, ExplainedSubscription, Fate, Verdict};
use postrider_protocol::limits::{BATCH_BYTES, LISTING_ENTRIES};
use postrider_protocol::message::{Message, Record};
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::States;
use postrider_protocol::rule::{Condition, Filter, Rule};
use postrider_protocol::value::Value;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use support::world::{World, incoming};

/// What is found in a subscription: the rule whose own copy it is, and either what is dead-lettered or the message.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    subscription: String,
    rule: String,
    why: Option<(String, String)>,
    message: Message,
}

fn create(world: &mut World, sequence: u64, name: &str, options: &[(&str, &str)], rules: Vec<Rule>) {
    let name = EntityName::new(name).unwrap();
    let kind = if name.subscription().is_some() { EntityKind::Subscription } else { EntityKind::Topic };
    let mut all = Options::new();
    options.iter().for_each(|(name, value)| all.set(name, value).unwrap());
    let change = Change::Create { name, kind, options: all, rules };
    assert_eq!(world.once(sequence, change), Reply::Done);
}

fn page(world: &World, message: &Message, after: After, limit: u32) -> Reply {
    let question = Question::Explain { message: Box::new(incoming(message)), after, limit };
    world.shards[0].answer(&world.rows, &Address::parse("t").unwrap(), &question).unwrap()
}

/// All pages, and how many rules and bytes each has.
fn explain(world: &World, message: &Message, limit: u32) -> (Explained, Vec<(usize, usize)>) {
    let (mut all, mut after, mut sizes) = (Explained::default(), After::default(), Vec::new());
    loop {
        let reply = page(world, message, after, limit);
        let Reply::Explained(page) = reply else { panic!("{reply:?}") };
        let mut laid_out = bytes::BytesMut::new();
        page.put(&mut laid_out);
        sizes.push((page.subscriptions.iter().map(|part| part.rules.len()).sum(), laid_out.len()));
        after = page.end();
        (all.unmatched, all.fall_through) = (page.unmatched, page.fall_through);
        page.subscriptions.into_iter().for_each(|part| join(&mut all.subscriptions, part));
        if !page.more {
            return (all, sizes);
        }
    }
}

fn join(all: &mut Vec<ExplainedSubscription>, part: ExplainedSubscription) {
    match all.last_mut().filter(|last| last.name == part.name) {
        Some(last) => {
            last.rules.extend(part.rules);
            last.outcomes.extend(part.outcomes);
        }
        None => all.push(part),
    }
}

/// What would be found after publishing, as explained. Sorted.
fn explained(all: &Explained, sent: &Message) -> Vec<Found> {
    let outcomes = all.subscriptions.iter().flat_map(|of| of.outcomes.iter().map(|it| (of.name.clone(), it)));
    let found = outcomes.filter_map(|(subscription, outcome)| {
        let rule = outcome.rule.clone();
        Some(match &outcome.fate {
            Fate::Copy(None) => Found { subscription, rule, why: None, message: sent.clone() },
            Fate::Copy(Some(changed)) => {
                let changed = Message::decode(changed.clone()).unwrap();
                let message = Message { body: sent.body.clone(), ..changed };
                Found { subscription, rule, why: None, message }
            }
            // The dead letter is of the copy at the door, of the message as it came where a rule failed.
            Fate::DeadLetter { reason, description } => {
                let why = Some((reason.clone(), description.clone()));
                Found { subscription, rule: String::new(), why, message: Message::default() }
            }
            Fate::Dropped(_) => return None,
        })
    });
    sorted(found.collect())
}

fn stored(world: &World, subscription: &str, lane: &str) -> Vec<Found> {
    let address = Address::parse(&format!("{subscription}{lane}")).unwrap();
    let question = Question::Peek { from: 0, limit: 0, states: States::ALL, filter: String::new() };
    let reply = world.shards[0].answer(&world.rows, &address, &question).unwrap();
    let Reply::Peeked { messages, .. } = reply else { panic!("{reply:?}") };
    let found = messages.into_iter().map(|peeked| {
        let record = Record::decode(peeked.message.record).unwrap();
        let why = record.dead_letter.map(|info| (info.reason, info.description));
        let subscription = subscription.to_owned();
        match why {
            Some(_) => Found { subscription, rule: String::new(), why, message: Message::default() },
            None => {
                let message = Message::decode(record.message).unwrap();
                Found { subscription, rule: record.rule_name.unwrap_or_default(), why, message }
            }
        }
    });
    found.collect()
}

fn sorted(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by_key(|it| (it.subscription.clone(), it.rule.clone(), it.why.clone()));
    found
}

fn filter() -> impl Strategy<Value = Filter> {
    let sql = select(vec![
        "a = 1",
        "a > 0",
        "1 / a > 0",
        "1 / b > 0 OR a = 1",
        "sys.Subject = 'x' AND b < 2",
        "c LIKE 'x%'",
        "NOT a = 1",
    ]);
    let condition = |system, name: &str, value: Value| Condition { system, name: name.into(), value };
    let conditions = select(vec![
        vec![condition(false, "a", Value::Int(1))],
        vec![condition(true, "subject", Value::Null)],
        vec![condition(false, "A", Value::Float(0.0)), condition(true, "Label", "x".into())],
    ]);
    prop_oneof![
        Just(Filter::True),
        Just(Filter::False),
        conditions.prop_map(Filter::Correlation),
        sql.prop_map(|text| Filter::Sql(text.to_owned())),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let actions =
        ["SET n = 1 / a", "SET sys.Subject = 'y'; REMOVE a", "SET sys.Cost = b", "REMOVE sys.SessionId"];
    let action = proptest::option::of(select(actions.map(str::to_owned).to_vec()));
    (filter(), action, any::<[bool; 3]>()).prop_map(|(filter, action, [one, two, three])| Rule {
        action,
        shadow: one && two && three,
        ..Rule::new("", filter)
    })
}

/// Options that decide what becomes of a copy.
fn options() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let one = select(vec![
        ("status", "send-disabled"),
        ("status", "receive-disabled"),
        ("dead_letter_on_filter_error", "false"),
        ("requires_session", "true"),
        // Nothing fits: several copies of one message are each explained as if the others were not there.
        ("max_bytes", "10"),
        ("capacity_units", "1"),
        ("default_ttl_ms", "5000"),
    ]);
    vec(one, 0..3)
}

fn message() -> impl Strategy<Value = Message> {
    let value = select(vec![Value::Int(0), Value::Int(1), Value::Int(2), "x".into()]);
    let properties = btree_map(select(vec!["A", "b", "c"]), value, 0..3);
    let text = |text: &str| proptest::option::of(Just(text.to_owned()));
    (properties, text("x"), text("ada")).prop_map(|(properties, subject, session_id)| Message {
        subject,
        session_id,
        properties: properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Message::new("body")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_explained_is_what_happens(
        subscriptions in vec((options(), vec(rule(), 1..5)), 1..4),
        message in message(),
        limit in 0..4u32,
        fall_through in any::<bool>(),
    ) {
        let mut world = World::new(1);
        let all: &[_] = if fall_through { &[("fall_through", "s0")] } else { &[] };
        create(&mut world, 1, "t", all, Vec::new());
        let names: Vec<_> = (0..subscriptions.len()).map(|at| format!("t/subscriptions/s{at}")).collect();
        for (at, (options, rules)) in subscriptions.iter().enumerate() {
            let named = |(at, rule): (usize, &Rule)| Rule { name: format!("R{at}"), ..rule.clone() };
            let rules = rules.iter().enumerate().map(named).collect();
            create(&mut world, at as u64 + 2, &names[at], options, rules);
        }
        let count: usize = subscriptions.iter().map(|(_, rules)| rules.len()).sum();
        let (explanation, pages) = explain(&world, &message, limit);
        prop_assert!(pages.iter().all(|(rules, _)| limit == 0 || *rules <= limit as usize));
        prop_assert_eq!(pages.iter().map(|(rules, _)| rules).sum::<usize>(), count);
        prop_assert_eq!(&explanation, &explain(&world, &message, 0).0);
        for rule in explanation.subscriptions.iter().flat_map(|of| &of.rules) {
            let root = &rule.filter[0].value;
            let is_same = if rule.verdict == Verdict::Failed { root.starts_with("error: ") } else { *root == rule.verdict.to_string() };
            prop_assert!(is_same, "{rule:?}");
        }
        let publish = Change::Publish {
            entity: EntityName::new("t").unwrap(),
            atomic: false,
            messages: vec![Ok(incoming(&message))],
        };
        world.once(20, publish);
        let found = names.iter().flat_map(|name| [stored(&world, name, ""), stored(&world, name, "/$dead-letter")]);
        prop_assert_eq!(explained(&explanation, &message), sorted(found.flatten().collect()));
        let Ok(topic) = world.shards[0].info(&EntityName::new("t").unwrap()) else { panic!("no topic") };
        prop_assert_eq!(explanation.unmatched, topic.counters.unmatched == 1);
    }
}

/// Rules that each have much to show, in few subscriptions and in many.
#[test]
fn an_answer_has_its_bounds() {
    let nested = format!("{}a = 1{}", "NOT (".repeat(15), ")".repeat(15));
    let wide = vec!["a + b"; 120].join(" + ");
    for (subscriptions, rules, sql) in
        [(1, 1_999, nested.as_str()), (3, 400, &format!("{wide} > 1")), (2_000, 1, "a = 1")]
    {
        let mut world = World::new(1);
        create(&mut world, 1, "t", &[], Vec::new());
        for at in 0..subscriptions {
            let rules = (0..rules).map(|at| Rule::sql(format!("r{at}"), sql)).collect();
            create(&mut world, at + 2, &format!("t/subscriptions/s{at}"), &[], rules);
        }
        let message = Message::new("x").with_property("a", 1i64).with_property("b", 2i64);
        let (all, pages) = explain(&world, &message, 0);
        assert_eq!(all.subscriptions.len() as u64, subscriptions);
        assert!(pages.len() > 1);
        let most = (LISTING_ENTRIES as usize, BATCH_BYTES + 64 * 1024);
        assert!(pages.iter().all(|(rules, bytes)| *rules <= most.0 && *bytes <= most.1), "{pages:?}");
        assert_eq!(pages.iter().map(|(rules, _)| *rules as u64).sum::<u64>(), subscriptions * rules);
    }
}
