//! The entities of a shard, by name and by number.

use crate::fact::{EntityRow, QueueRow};
use crate::rules::{Index, ParsedRule};
use crate::settings::Settings;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::name::{EntityName, Lane};
use postrider_protocol::options::{self, EntityKind, Options};
use postrider_protocol::rule::Rule;
use postrider_protocol::schedule::ScheduleInfo;
use std::collections::BTreeMap;

/// An entity.
#[derive(Debug, Clone)]
pub struct Entity {
    /// What is stored of it.
    pub row: EntityRow,
    /// What its options come to.
    pub settings: Settings,
    /// A subscription's rules, by name in lower case: case does not tell them apart.
    pub rules: BTreeMap<String, ParsedRule>,
    /// The rules of a topic's subscriptions.
    pub index: Index,
    /// The schedules of a queue or topic, by name in lower case.
    pub schedules: BTreeMap<String, ScheduleInfo>,
    /// A topic's subscriptions.
    pub subscriptions: Vec<u64>,
    /// A topic's own counters.
    pub topic: QueueRow,
}

impl Entity {
    /// An entity without content.
    pub fn new(row: EntityRow) -> Self {
        let topic = QueueRow { next: 1, low: 1, ..QueueRow::default() };
        let settings = Settings::of(&row.options);
        let (rules, schedules) = (BTreeMap::new(), BTreeMap::new());
        let (index, subscriptions) = (Index::default(), Vec::new());
        Entity { row, settings, rules, index, schedules, subscriptions, topic }
    }

    /// Changes its options.
    pub fn set_options(&mut self, options: Options) {
        self.settings = Settings::of(&options);
        self.row.options = options;
    }

    /// How many strands its queue of a lane has.
    pub fn levels(&self, lane: Lane) -> usize {
        match lane {
            Lane::Main => self.settings.levels,
            Lane::DeadLetter | Lane::Transfer => 1,
        }
    }

    /// Its options with the defaults filled in.
    pub fn options(&self) -> Options {
        let mut all = Options::new();
        if self.row.kind != EntityKind::Topic {
            all = all.with_number(options::LOCK_DURATION_MS, self.settings.lock_duration_ms);
            all = all.with_number(options::MAX_DELIVERY_COUNT, self.settings.max_delivery_count);
        }
        if self.row.kind != EntityKind::Subscription {
            all = all.with_number(options::MAX_MESSAGE_BYTES, self.settings.max_message_bytes);
        }
        all.update(&self.row.options);
        all
    }

    /// Refuses what is sent to an entity that takes nothing in at the moment.
    pub fn check_sending(&self) -> Result<(), Refusal> {
        if self.settings.may_send {
            return Ok(());
        }
        let status = self.row.options.text(options::STATUS).unwrap_or_default();
        let text = format!("is {status} and takes no messages; set its status to active");
        Err(Refusal::new(ErrorCode::Disabled, text).about(&self.row.name))
    }

    /// Refuses to give messages out where the status says so.
    pub fn check_receiving(&self) -> Result<(), Refusal> {
        if self.settings.may_receive {
            return Ok(());
        }
        let status = self.row.options.text(options::STATUS).unwrap_or_default();
        let text = format!("is {status} and gives no messages out; set its status to active");
        Err(Refusal::new(ErrorCode::Disabled, text).about(&self.row.name))
    }

    /// The subscription's rules.
    pub fn rules(&self) -> Vec<Rule> {
        self.rules.values().map(|rule| rule.rule().clone()).collect()
    }

    /// Whether the entity has queues of its own.
    pub fn has_queues(&self) -> bool {
        self.row.kind != EntityKind::Topic
    }
}

/// The entities of a shard.
#[derive(Debug, Default)]
pub struct Catalog {
    entities: BTreeMap<u64, Entity>,
    names: BTreeMap<String, u64>,
}

impl Catalog {
    /// Adds an entity, and a subscription to its topic.
    pub fn insert(&mut self, id: u64, entity: Entity) {
        self.names.insert(entity.row.name.to_ascii_lowercase(), id);
        if let Some(topic) = self.topic_of_row(&entity.row) {
            topic.subscriptions.push(id);
        }
        self.entities.insert(id, entity);
    }

    /// Removes an entity, and a subscription from its topic.
    pub fn remove(&mut self, id: u64) -> Option<Entity> {
        let entity = self.entities.remove(&id)?;
        self.names.remove(&entity.row.name.to_ascii_lowercase());
        if let Some(topic) = self.topic_of_row(&entity.row) {
            topic.subscriptions.retain(|subscription| *subscription != id);
            entity.rules.values().for_each(|rule| topic.index.remove(id, rule));
        }
        Some(entity)
    }

    fn topic_of_row(&mut self, row: &EntityRow) -> Option<&mut Entity> {
        let name = EntityName::new(&row.name).ok()?;
        let (topic, _) = name.subscription()?;
        let id = self.names.get(&topic.to_ascii_lowercase())?;
        self.entities.get_mut(id)
    }

    /// The topic that a subscription belongs to.
    pub fn topic_of(&self, subscription: u64) -> Option<u64> {
        let name = EntityName::new(&self.get(subscription)?.row.name).ok()?;
        let (topic, _) = name.subscription()?;
        self.names.get(&topic.to_ascii_lowercase()).copied()
    }

    /// Puts a rule of a subscription, in place of the one of its name.
    pub fn put_rule(&mut self, subscription: u64, rule: ParsedRule) {
        self.remove_rule(subscription, &rule.key());
        let topic = self.topic_of(subscription).and_then(|topic| self.entities.get_mut(&topic));
        if let Some(topic) = topic {
            topic.index.insert(subscription, &rule);
        }
        if let Some(entity) = self.entities.get_mut(&subscription) {
            entity.rules.insert(rule.key(), rule);
        }
    }

    /// Removes the rule of a subscription with a name in lower case.
    pub fn remove_rule(&mut self, subscription: u64, key: &str) -> Option<ParsedRule> {
        let removed = self.entities.get_mut(&subscription)?.rules.remove(key)?;
        let topic = self.topic_of(subscription).and_then(|topic| self.entities.get_mut(&topic));
        if let Some(topic) = topic {
            topic.index.remove(subscription, &removed);
        }
        Some(removed)
    }

    /// The number of a name.
    pub fn find(&self, name: &EntityName) -> Option<u64> {
        self.names.get(&name.key()).copied()
    }

    /// The number and entity of a name; refuses with `NotFound`.
    pub fn require(&self, name: &EntityName) -> Result<(u64, &Entity), Refusal> {
        let id = self.find(name).ok_or_else(|| Refusal::not_found(name.as_str()))?;
        let entity = self.get(id).ok_or_else(|| Refusal::not_found(name.as_str()))?;
        Ok((id, entity))
    }

    /// An entity.
    pub fn get(&self, id: u64) -> Option<&Entity> {
        self.entities.get(&id)
    }

    /// An entity, to be changed.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Entity> {
        self.entities.get_mut(&id)
    }

    /// All entities, in the order of their names without regard to case, behind the name `after`.
    pub fn by_name<'a>(&'a self, after: &str) -> impl Iterator<Item = (u64, &'a Entity)> + 'a {
        use std::ops::Bound;
        let from =
            if after.is_empty() { Bound::Unbounded } else { Bound::Excluded(after.to_ascii_lowercase()) };
        self.names.range((from, Bound::Unbounded)).filter_map(|(_, id)| Some((*id, self.entities.get(id)?)))
    }

    /// The numbers of the entities that have queues.
    pub fn with_queues(&self) -> impl Iterator<Item = u64> + '_ {
        self.entities.iter().filter(|(_, entity)| entity.has_queues()).map(|(id, _)| *id)
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }
}
