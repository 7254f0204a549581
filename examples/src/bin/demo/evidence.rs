//! What is left when everybody has stopped: the services' histories, and what the broker says.

use crate::play::{ORDER_SERVICE, WORKERS};
use crate::stage::Stage;
use crate::topology::{self, SUBSCRIPTIONS};
use anyhow::{Context, Result};
use postrider_client::{Admin, Id};
use postrider_examples::EMAIL_QUEUE;
use postrider_examples::history::{self, Entry};
use postrider_examples::order::{self, Order};

/// Most messages of one look into a queue.
const PEEK: u32 = 1_000;

/// Everything that the numbers are made of.
pub struct Evidence {
    /// What the order service was given.
    pub orders: Vec<Order>,
    /// What the order service did.
    pub published: Vec<Entry>,
    /// What each subscriber did.
    pub subscribers: Vec<History>,
    /// What each e-mail worker did.
    pub workers: Vec<History>,
    /// The ids in the dead-letter queue.
    pub dead_letters: Vec<String>,
    /// How many dead letters the broker counts.
    pub counted: usize,
    /// Messages that are still there, dead letters aside, as the broker counts them.
    pub left: usize,
}

/// The history of one service.
pub struct History {
    pub name: &'static str,
    pub entries: Vec<Entry>,
}

impl Evidence {
    /// Reads and asks.
    pub async fn gather(stage: &Stage, admin: &Admin) -> Result<Self> {
        let mut evidence = Evidence {
            orders: order::read(&stage.orders)?.collect::<Result<_>>()?,
            published: read(stage, ORDER_SERVICE)?.entries,
            subscribers: histories(stage, &SUBSCRIPTIONS)?,
            workers: histories(stage, &WORKERS)?,
            dead_letters: dead_letters(admin).await.context("cannot look into the dead-letter queue")?,
            counted: 0,
            left: 0,
        };
        for address in topology::addresses() {
            let counters = admin.get(&address).await?.counters;
            evidence.counted += counters.dead_letters as usize;
            evidence.left += counters.active as usize;
        }
        Ok(evidence)
    }
}

fn histories(stage: &Stage, names: &[&'static str]) -> Result<Vec<History>> {
    names.iter().map(|name| read(stage, name)).collect()
}

fn read(stage: &Stage, name: &'static str) -> Result<History> {
    Ok(History { name, entries: history::read(&stage.history(name))? })
}

async fn dead_letters(admin: &Admin) -> Result<Vec<String>> {
    let (address, mut ids, mut from) = (format!("{EMAIL_QUEUE}/$dead-letter"), Vec::new(), 1);
    loop {
        let page = admin.peek(&address, from, PEEK).await?;
        let Some(last) = page.last() else { return Ok(ids) };
        from = last.sequence + 1;
        ids.extend(
            page.iter().map(|peeked| peeked.message.message_id.as_ref().map_or(String::new(), Id::to_string)),
        );
    }
}
