//! Rules at their limits, over a load, and with random bits.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use bytes::BytesMut;
use postrider_core::command::{Change, Command, Question, Ticket};
use postrider_core::fact::Fact;
use postrider_core::key::Key;
use postrider_core::shard::Shard;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits;
use postrider_protocol::message::{Message, Record};
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Stamp, States};
use postrider_protocol::rule::{Filter, Rule};
use std::collections::BTreeSet;
use support::world::{World, incoming};

fn name(text: &str) -> EntityName {
    EntityName::new(text).unwrap()
}

fn create(entity: &str, kind: EntityKind, rules: Vec<Rule>) -> Change {
    Change::Create { name: name(entity), kind, options: Options::new(), rules }
}

fn put(subscription: &str, replace: bool, rule: Rule) -> Change {
    Change::PutRule { subscription: name(subscription), replace, rule }
}

/// A topic `t` with a subscription `s` of these rules.
fn world(rules: Vec<Rule>) -> World {
    let mut world = World::new(1);
    assert_eq!(world.once(1, create("t", EntityKind::Topic, Vec::new())), Reply::Done);
    assert_eq!(world.once(2, create("t/subscriptions/s", EntityKind::Subscription, rules)), Reply::Done);
    world
}

fn quota(reply: &Reply) -> &str {
    match reply {
        Reply::Refused(Refusal { code: ErrorCode::QuotaExceeded, message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sql_rules_of_a_topic_are_bounded() {
    let sql = |at: usize| Rule::sql(format!("r{at}"), "a > 1");
    let other = || Rule::new("other", Filter::True);
    let mut world = world((0..limits::SQL_RULES_PER_TOPIC - 1).map(sql).collect());
    assert_eq!(
        world.once(3, create("t/subscriptions/u", EntityKind::Subscription, vec![other()])),
        Reply::Done
    );
    assert_eq!(world.once(4, put("t/subscriptions/u", false, sql(0))), Reply::Done);
    let full = "the topic has 2000 SQL rules, at most 2000 are allowed";
    assert_eq!(quota(&world.once(5, put("t/subscriptions/u", false, sql(1)))), full);
    assert_eq!(quota(&world.once(6, put("t/subscriptions/u", true, Rule::sql("other", "TRUE")))), full);
    let more = create("t/subscriptions/v", EntityKind::Subscription, vec![sql(0)]);
    assert_eq!(quota(&world.once(7, more)), full);
    // One takes the place of another, and other kinds have room of their own.
    assert_eq!(world.once(8, put("t/subscriptions/u", true, Rule::sql("r0", "b > 1"))), Reply::Done);
    let more = create("t/subscriptions/v", EntityKind::Subscription, Vec::new());
    assert_eq!(world.once(9, more), Reply::Done);
    // What goes makes room, a subscription's rules all at once.
    let gone = Change::DeleteRule { subscription: name("t/subscriptions/u"), rule: "R0".to_owned() };
    assert_eq!(world.once(10, gone), Reply::Done);
    assert_eq!(world.once(11, put("t/subscriptions/u", true, Rule::sql("other", "TRUE"))), Reply::Done);
    assert_eq!(world.once(12, Change::Delete { name: name("t/subscriptions/s") }), Reply::Done);
    let all = (0..limits::SQL_RULES_PER_TOPIC - 1).map(sql).collect();
    let again = create("t/subscriptions/s", EntityKind::Subscription, all);
    assert_eq!(world.once(13, again), Reply::Done);
}

#[test]
fn other_rules_of_a_topic_are_bounded() {
    let rule = |at: usize| Rule::new(format!("r{at}"), Filter::properties([("n", at as i64)]));
    let mut world = world((0..limits::RULES_PER_TOPIC).map(rule).collect());
    let full = "the topic has 100000 other rules, at most 100000 are allowed";
    assert_eq!(quota(&world.once(3, put("t/subscriptions/s", false, Rule::new("x", Filter::False)))), full);
    assert_eq!(quota(&world.once(4, create("t/subscriptions/u", EntityKind::Subscription, vec![]))), full);
    assert_eq!(world.once(5, put("t/subscriptions/s", false, Rule::sql("x", "TRUE"))), Reply::Done);
}

#[test]
fn a_stored_rule_that_cannot_be_read_is_damage() {
    let mut world = world(vec![Rule::sql("r", "a = @v").with_parameter("v", 1i64)]);
    let key = Key::Rule(0, 2, "r".to_owned());
    let mut out = BytesMut::new();
    Rule::sql("r", "a = @v").put(&mut out);
    assert!(world.rows.0.insert(key.encode(), out.freeze()).is_some(), "it was there");
    let damage = Shard::load(0, &world.rows, world.now).map(|_| ()).unwrap_err().what;
    assert!(damage.starts_with("rule r of t/subscriptions/s: "), "{damage}");
    assert!(damage.contains("the parameter @v has no value"), "{damage}");
}

/// Copies of one turn, of several messages and rules, and of another turn with the same random bits.
#[test]
fn each_copy_has_ids_of_its_own() {
    let rule = |name: &str| Rule::new(name, Filter::True).with_action("SET a = newid(); SET b = newid()");
    let mut world = world(vec![rule("one"), rule("two")]);
    let more = create("t/subscriptions/u", EntityKind::Subscription, vec![rule("one")]);
    assert_eq!(world.once(3, more), Reply::Done);
    let message = incoming(&Message::new("x"));
    for sequence in [4, 5] {
        let messages = vec![Ok(message.clone()); 2];
        world.once(sequence, Change::Publish { entity: name("t"), atomic: false, messages });
    }
    let ids: Vec<String> = ["s", "u"].iter().flat_map(|own| properties(&world, own)).collect();
    assert_eq!(ids.len(), 2 * (2 * 2 + 2 * 2 + 2 * 2));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
}

/// The values of all properties of what a subscription holds.
fn properties(world: &World, own: &str) -> Vec<String> {
    let address = Address::parse(&format!("t/subscriptions/{own}")).unwrap();
    let question = Question::Peek { from: 0, limit: 0, states: States::ALL, filter: String::new() };
    let Reply::Peeked { messages, .. } = world.shards[0].answer(&world.rows, &address, &question).unwrap()
    else {
        panic!("no messages")
    };
    let message = |record| Message::decode(Record::decode(record).unwrap().message).unwrap();
    let messages = messages.into_iter().map(|peeked| message(peeked.message.record));
    messages.flat_map(|message| message.properties).map(|(_, value)| value.to_string()).collect()
}

/// A rule that is replaced is one fact: there is no moment without it.
#[test]
fn replacing_and_promoting_are_one_fact() {
    let mut world = world(vec![Rule::new("r", Filter::True).as_shadow()]);
    let subscription = name("t/subscriptions/s");
    let promote = Change::PromoteRule { subscription: subscription.clone(), rule: "r".to_owned() };
    let replace = Change::PutRule { subscription, replace: true, rule: Rule::sql("R", "a = 1") };
    for (sequence, change) in [(3, promote), (4, replace)] {
        let ticket = Ticket { connection: 1, request: 1 };
        let stamp = Stamp { sequence, floor: sequence };
        let turn = world.turn(0, vec![Command::Once { ticket, client: 1, stamp, change }]);
        let of_rules =
            turn.facts.iter().filter(|fact| matches!(fact, Fact::RulePut(..) | Fact::RuleGone(..)));
        assert_eq!(of_rules.count(), 1);
    }
}
