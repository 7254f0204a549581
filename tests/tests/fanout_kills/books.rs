//! What must be where, by what clients saw, against what a look at the subscriptions finds.

use super::load::{Published, Taken};
use super::place::Place;
use postrider_client::{Client, EntityKind, Id, Message, Options, PeekQuery, Rule, Value};
use postrider_protocol::options::{LOCK_DURATION_MS, MAX_DELIVERY_COUNT};
use std::collections::{BTreeMap, BTreeSet};

pub const TOPIC: &str = "orders";
/// Subscriptions of the topic.
pub const PLACES: usize = 50;

type Wants = fn(&str, i64) -> bool;

/// The filters of the last subscriptions; the others get everything.
const FILTERS: [(&str, Wants); 5] = [
    ("region = 'eu'", |region, _| region == "eu"),
    ("region IN ('us', 'uk') AND weight > 20", |region, weight| {
        ["us", "uk"].contains(&region) && weight > 20
    }),
    ("weight >= 90", |_, weight| weight >= 90),
    ("NOT region LIKE 'u%'", |region, _| !region.starts_with('u')),
    ("weight % 2 = 0 OR region = 'jp'", |region, weight| weight % 2 == 0 || region == "jp"),
];

/// A subscription's full name.
pub fn name(place: usize) -> String {
    format!("{TOPIC}/subscriptions/{}", own_name(place))
}

/// Names are listed in the order of places.
fn own_name(place: usize) -> String {
    format!("s{place:02}")
}

fn filter(place: usize) -> Option<&'static (&'static str, Wants)> {
    FILTERS.iter().rev().nth(PLACES - 1 - place)
}

fn wants(place: usize, message: &Message) -> bool {
    let (Some(Value::Text(region)), Some(Value::Int(weight))) =
        (message.property("region"), message.property("weight"))
    else {
        panic!("a message has both properties: {message:?}");
    };
    filter(place).is_none_or(|(_, wants)| wants(region, *weight))
}

/// What must be where.
pub struct Books {
    places: Vec<Place>,
    /// Messages that were sent and may be somewhere, by id.
    messages: BTreeMap<u64, Message>,
    next_id: u64,
    /// The topic's last number.
    last: u64,
    /// How much there was to be seen.
    totals: Totals,
}

/// How much there was to be seen.
#[derive(Debug, Default)]
pub struct Totals {
    pub acknowledged: usize,
    /// Messages without an answer that are at all of their places, and at none.
    pub stored_unanswered: usize,
    pub not_stored: usize,
    pub completed: usize,
}

impl Books {
    /// A new topic with its subscriptions, and empty books.
    pub async fn open(client: &Client) -> Books {
        let admin = client.admin();
        admin.create_topic(TOPIC, Options::new()).await.expect("a topic");
        // What a consumer holds when the broker dies is soon back, however often that happens.
        let options =
            Options::new().with_number(LOCK_DURATION_MS, 1_000).with_number(MAX_DELIVERY_COUNT, 1 << 30);
        for place in 0..PLACES {
            let rules = filter(place).map(|(text, _)| Rule::sql("some", *text)).into_iter().collect();
            let created = admin.create_subscription(TOPIC, &own_name(place), options.clone(), rules).await;
            created.expect("a subscription");
        }
        let places = vec![Place::default(); PLACES];
        Books { places, messages: BTreeMap::new(), next_id: 1, last: 0, totals: Totals::default() }
    }

    /// The id of the next message.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// How much there was to be seen so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Compares what clients saw since the last time with what a look finds after a kill. `thorough` says which places
    /// are looked through from their first message on; the others are from the first new one.
    pub async fn balance(
        &mut self,
        client: &Client,
        published: Published,
        taken: Vec<Taken>,
        thorough: impl Fn(usize) -> bool,
    ) {
        let sent = published.sent.len();
        self.next_id += sent as u64;
        self.messages.extend(published.sent);
        for taken in taken {
            self.take(taken);
        }
        let mut stored = Vec::new();
        for place in 0..PLACES {
            let from = if thorough(place) { 0 } else { self.places[place].last + 1 };
            let new = self.look(client, place, from).await;
            if place == 0 {
                stored = new;
            } else {
                let wanted: Vec<_> =
                    stored.iter().copied().filter(|id| wants(place, &self.messages[id])).collect();
                assert!(new == wanted, "I6 fan-out: {} has {new:?} of {wanted:?}", name(place));
            }
        }
        self.check_numbers(client, &stored).await;
        for (id, number) in &published.stored {
            let found = stored.get((number - self.last - 1) as usize);
            assert_eq!(found, Some(id), "I1 lost: number {number} of the topic, which was acknowledged");
        }
        self.last += stored.len() as u64;
        self.totals.acknowledged += published.stored.len();
        self.totals.stored_unanswered += stored.len() - published.stored.len();
        self.totals.not_stored += sent - stored.len();
    }

    /// Removes all messages that nobody holds.
    pub async fn empty(&mut self, client: &Client) {
        for place in 0..PLACES {
            client.admin().purge(&name(place)).await.expect("a purge");
            self.places[place].all_may_be_gone();
            self.look(client, place, 0).await;
        }
        let there: BTreeSet<u64> =
            self.places.iter().flat_map(|place| place.there.values()).copied().collect();
        self.messages.retain(|id, _| there.contains(id));
    }

    fn take(&mut self, taken: Taken) {
        let delivered = self.known(taken.delivered);
        self.totals.completed += taken.done.len();
        self.places[taken.place].take(delivered, taken.asked, taken.done);
    }

    /// Looks at a place from a number on; returns the ids of new messages in the order of their numbers.
    async fn look(&mut self, client: &Client, place: usize, from: u64) -> Vec<u64> {
        let mut found = Vec::new();
        let query = PeekQuery { from, ..PeekQuery::default() };
        let mut peeked = client.admin().peek_all(&name(place), query);
        while let Some(peeked) = peeked.next().await.expect("a peek") {
            found.push((peeked.sequence, peeked.message));
        }
        let found = self.known(found);
        self.places[place].balance(from, &found)
    }

    /// Counters that a start reads from the store: a number for each message, here and at the topic.
    async fn check_numbers(&self, client: &Client, stored: &[u64]) {
        let topic = client.admin().get(TOPIC).await.expect("the topic").counters;
        assert_eq!(topic.last_sequence, self.last + stored.len() as u64, "the topic's numbers");
        let listed = client.admin().list(Some(EntityKind::Subscription), TOPIC).await.expect("a list");
        for (place, info) in self.places.iter().zip(listed) {
            assert_eq!(info.counters.last_sequence, place.last, "{}'s numbers", info.name);
        }
    }

    /// Numbers with the ids of messages, which must be as they were sent.
    fn known(&self, seen: Vec<(u64, Message)>) -> BTreeMap<u64, u64> {
        seen.into_iter().map(|(number, message)| (number, self.id_of(&message))).collect()
    }

    fn id_of(&self, message: &Message) -> u64 {
        match &message.message_id {
            Some(Id::Number(id)) if self.messages.get(id) == Some(message) => *id,
            id => panic!("I2 invented: the message with the id {id:?} was not sent like this"),
        }
    }
}
