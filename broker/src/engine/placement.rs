//! Which shard an entity is in.

use postrider_core::command::{Change, Command, Operation};
use postrider_core::context::Places;
use postrider_core::fact::Fact;
use postrider_core::shard::Shard;
use postrider_protocol::error::Refusal;
use postrider_protocol::name::EntityName;
use postrider_protocol::options::{FORWARD_DEAD_LETTERS_TO, FORWARD_TO, GROUP, Options};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Where entities are: in the shard of their names' hash, or of their group's where they have one. A subscription is
/// where its topic is.
///
/// Doors read it, and the engine writes it, once in the life of an entity with a group. What a door reads may be a moment
/// old: the shard that does not know the entity says so.
#[derive(Debug)]
pub struct Placement {
    shards: u16,
    /// The entities that are not in the shard of their names' hash.
    moved: RwLock<HashMap<String, u16>>,
}

/// The hash is FNV-1a with 64 bits and can never change: it decides where an entity of an existing store is looked for.
fn shard_of_text(text: &str, shards: u16) -> u16 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % u64::from(shards.max(1))) as u16
}

impl Places for Placement {
    fn shard_of(&self, name: &EntityName) -> u16 {
        let home = name.home();
        let moved = self.moved.read().unwrap_or_else(PoisonError::into_inner);
        moved.get(&home).copied().unwrap_or_else(|| shard_of_text(&home, self.shards))
    }
}

impl Placement {
    /// Where the entities of all shards are.
    pub fn of(shards: &[Shard]) -> Self {
        let placement = Placement { shards: shards.len() as u16, moved: RwLock::default() };
        for (id, shard) in (0..).zip(shards) {
            shard.names().for_each(|name| placement.put(name, id));
        }
        placement
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The shard that an entity is to be created in.
    pub fn of_new(&self, name: &EntityName, options: &Options) -> u16 {
        match options.text(GROUP) {
            Some(group) => shard_of_text(&group.to_ascii_lowercase(), self.shards),
            None => self.shard_of(name),
        }
    }

    fn put(&self, name: &str, shard: u16) {
        let Ok(name) = EntityName::new(name) else { return };
        let home = name.home();
        if shard_of_text(&home, self.shards) != shard {
            self.moved.write().unwrap_or_else(PoisonError::into_inner).insert(home, shard);
        }
    }

    /// Takes over where entities were created, and forgets those that are gone.
    pub fn note(&self, shard: u16, facts: &[Fact], shards: &[Shard]) {
        let mut is_any_gone = false;
        for fact in facts {
            match fact {
                Fact::EntityPut(_, row) => self.put(&row.name, shard),
                Fact::EntityGone(_) => is_any_gone = true,
                _ => {}
            }
        }
        // Once for all: a topic can go with thousands of subscriptions.
        if is_any_gone {
            self.forget(shards);
        }
    }

    fn forget(&self, shards: &[Shard]) {
        let is_there = |home: &str, shard: u16| {
            let name = EntityName::new(home);
            name.is_ok_and(|name| shards.get(usize::from(shard)).is_some_and(|shard| shard.knows(&name)))
        };
        let mut moved = self.moved.write().unwrap_or_else(PoisonError::into_inner);
        moved.retain(|home, shard| is_there(home, *shard));
    }

    /// The shard that carries out a command: where entities come and go, the one that knows the entity, or has answered
    /// the request before.
    pub fn route(&self, shards: &[Shard], shard: u16, command: &Command) -> u16 {
        let Command::Once { client, stamp, change, .. } = command else { return shard };
        let (Change::Create { name, .. } | Change::Delete { name }) = change else { return shard };
        let answered = shards.iter().position(|shard| shard.has_answered(*client, *stamp));
        let known = || shards.iter().position(|shard| shard.knows(name));
        answered.or_else(known).map_or(shard, |at| at as u16)
    }

    /// Refuses what passes messages on to an entity that is not there: no shard knows the entities of another one.
    pub fn check(&self, shards: &[Shard], command: &Command) -> Result<(), Refusal> {
        let Command::Once { client, stamp, change, .. } = command else { return Ok(()) };
        let knows = |name: &EntityName| shards[usize::from(self.shard_of(name))].knows(name);
        let missing =
            destinations(change).into_iter().find(|(_, to)| EntityName::new(to).is_ok_and(|to| !knows(&to)));
        match missing {
            Some((field, to)) if !shards.iter().any(|shard| shard.has_answered(*client, *stamp)) => {
                Err(Refusal { field: field.to_owned(), ..Refusal::not_found(to) })
            }
            _ => Ok(()),
        }
    }
}

/// The entities that a change sends messages to from others, and the options that say so.
fn destinations(change: &Change) -> Vec<(&'static str, &str)> {
    match change {
        Change::Create { options, .. } | Change::Update { options, .. } => {
            let named = [("forward_to", FORWARD_TO), ("forward_dead_letters_to", FORWARD_DEAD_LETTERS_TO)];
            named.into_iter().filter_map(|(field, option)| Some((field, options.text(option)?))).collect()
        }
        Change::Transact(operations) => {
            let sent = operations.iter().filter_map(|operation| match operation {
                Operation::Send { entity, .. } => Some(("", entity.as_str())),
                Operation::Settle(_) | Operation::Remove { .. } => None,
            });
            sent.collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> EntityName {
        EntityName::new(name).unwrap()
    }

    #[test]
    fn a_topic_shares_its_shard_with_its_subscriptions() {
        let placement = Placement { shards: 16, moved: RwLock::default() };
        let shard = |name: &str| placement.shard_of(&named(name));
        assert_eq!(shard("Orders"), shard("orders/subscriptions/pay"));
        // Pinned: stores rely on it.
        assert_eq!([shard("order-events"), shard("email-queue"), shard("a")], [11, 9, 12]);
    }

    #[test]
    fn entities_of_a_group_share_a_shard() {
        let placement = Placement { shards: 16, moved: RwLock::default() };
        let grouped = Options::new().with_text(GROUP, "Order-Events");
        let shards = ["a", "email-queue"].map(|name| placement.of_new(&named(name), &grouped));
        assert_eq!(shards, [11, 11]);
        placement.put("a", 11);
        assert_eq!([placement.shard_of(&named("A")), placement.shard_of(&named("b"))], [11, 5]);
    }
}
