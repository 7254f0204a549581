//! Publishing to a topic, of whose correlation rules three let each message through, however many there are.

use super::{Alone, NOW, Rounds, repeat};
use crate::bodies::Bodies;
use crate::figures::Micro;
use anyhow::{Result, anyhow};
use postrider::store::MemoryStore;
use postrider_core::command::{Change, Command, Ticket};
use postrider_core::context::Context;
use postrider_core::shard::Shard;
use postrider_protocol::message::{Incoming, Message};
use postrider_protocol::name::EntityName;
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::request::Stamp;
use postrider_protocol::rule::{Filter, Rule};
use postrider_protocol::value::Value;

/// Subscriptions, each with one rule that lets the messages through.
const SUBSCRIPTIONS: usize = 3;

/// Measures turns in which so many messages are published, with few and with many rules.
pub fn measure(size: usize, messages: usize) -> Result<Vec<Micro>> {
    let counts = [("rules: publish, 3 of 10 match", 10), ("rules: publish, 3 of 10,000 match", 10_000)];
    counts.into_iter().map(|(what, rules)| measure_with(what, rules, size, messages)).collect()
}

fn measure_with(what: &'static str, rules: usize, size: usize, messages: usize) -> Result<Micro> {
    let (bodies, mut topic, mut rounds) = (Bodies::new(size), Topic::new(rules)?, Rounds::default());
    repeat(|| {
        let batch = (0..messages).map(|_| incoming(&bodies)).collect::<Result<Vec<_>>>()?;
        rounds.time(|| topic.publish(batch))
    })?;
    Ok(rounds.micro(what, size, messages))
}

fn incoming(bodies: &Bodies) -> Result<Incoming> {
    let message = Message::new(bodies.next()).with_property("tenant", 0i64).with_property("kind", "order");
    Incoming::parse(message.encode()).map_err(|refusal| anyhow!("{refusal}"))
}

/// The rules of one subscription: the first wants what is published, the others something else.
fn rules_of(subscription: usize, all: usize) -> Vec<Rule> {
    let rule = |at: usize| {
        let tenant = (at / SUBSCRIPTIONS) as i64;
        Rule::new(
            format!("r{at}"),
            Filter::properties([("tenant", tenant.into()), ("kind", Value::from("order"))]),
        )
    };
    (0..all).filter(|at| at % SUBSCRIPTIONS == subscription).map(rule).collect()
}

/// A shard with a topic.
struct Topic {
    shard: Shard,
    rows: MemoryStore,
    sequence: u64,
}

impl Topic {
    fn new(rules: usize) -> Result<Self> {
        let rows = MemoryStore::new();
        let mut topic = Topic { shard: Shard::load(0, &rows, NOW)?, rows, sequence: 0 };
        topic.create("bench", EntityKind::Topic, Vec::new())?;
        for subscription in 0..SUBSCRIPTIONS {
            let name = format!("bench/subscriptions/s{subscription}");
            topic.create(&name, EntityKind::Subscription, rules_of(subscription, rules))?;
        }
        Ok(topic)
    }

    fn create(&mut self, name: &str, kind: EntityKind, rules: Vec<Rule>) -> Result<()> {
        let name = named(name)?;
        self.turn(Change::Create { name, kind, options: Options::default(), rules })
    }

    fn publish(&mut self, messages: Vec<Incoming>) -> Result<()> {
        let messages = messages.into_iter().map(Ok).collect();
        self.turn(Change::Publish { entity: named("bench")?, atomic: false, messages })
    }

    fn turn(&mut self, change: Change) -> Result<()> {
        self.sequence += 1;
        let stamp = Stamp { sequence: self.sequence, floor: self.sequence };
        let ticket = Ticket { connection: 1, request: 1 };
        let cx =
            Context { now: NOW, entropy: self.sequence, rows: &self.rows, calendar: &Alone, places: &Alone };
        self.shard.decide(&cx, Command::Once { ticket, client: 7, stamp, change })?;
        self.shard.seal(&cx)?;
        Ok(())
    }
}

fn named(text: &str) -> Result<EntityName> {
    EntityName::new(text).map_err(|refusal| anyhow!("{refusal}"))
}
