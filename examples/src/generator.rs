//! Realistic orders, as many as wanted. The same seed always makes the same orders.

use crate::order::{BOUNCING_DOMAIN, Customer, Item, Order, Priority};
use std::time::{Duration, UNIX_EPOCH};

/// The seed of the orders in the repository.
pub const SEED: u64 = 2;

/// The first order's time: 2026-03-02T08:00:00Z.
const FIRST_ORDER_UNIX_S: u64 = 1_772_438_400;

const FIRST_NAMES: &[&str] = &[
    "Ada", "Amélie", "Benjamin", "Chloé", "Clara", "Daniel", "Elena", "Emil", "Fatima", "Grace", "Hannah",
    "Ines", "Jonas", "José", "Julia", "Kenji", "Lars", "Leila", "Lukas", "Marta", "Mei", "Nadia", "Noah",
    "Oliver", "Priya", "Rosa", "Søren", "Sofia", "Tariq", "Viktor", "Yara", "Zoë",
];

const LAST_NAMES: &[&str] = &[
    "Andersen",
    "Becker",
    "Brown",
    "Costa",
    "Díaz",
    "Dubois",
    "Eriksson",
    "Fischer",
    "García",
    "Hansen",
    "Ivanova",
    "Jansen",
    "Kim",
    "Kowalski",
    "Lefèvre",
    "Lindqvist",
    "Martin",
    "Meyer",
    "Moreau",
    "Müller",
    "Nakamura",
    "Novak",
    "Okafor",
    "Patel",
    "Rossi",
    "Santos",
    "Schmidt",
    "Silva",
    "Smith",
    "Tanaka",
    "Weber",
    "Wilson",
];

/// Countries and their currencies; those that order more are there more often.
const COUNTRIES: &[(&str, &str)] = &[
    ("DE", "EUR"),
    ("DE", "EUR"),
    ("DE", "EUR"),
    ("FR", "EUR"),
    ("FR", "EUR"),
    ("IT", "EUR"),
    ("ES", "EUR"),
    ("NL", "EUR"),
    ("AT", "EUR"),
    ("PT", "EUR"),
    ("GB", "GBP"),
    ("GB", "GBP"),
    ("US", "USD"),
    ("US", "USD"),
    ("US", "USD"),
    ("CA", "CAD"),
    ("CH", "CHF"),
];

const EMAIL_DOMAINS: &[&str] = &["example.com", "example.net", "example.org"];

/// Article number, name, price in cents.
const ARTICLES: &[(&str, &str, u64)] = &[
    ("AUD-1102", "Wireless headphones", 8_990),
    ("AUD-1140", "Bluetooth speaker", 4_995),
    ("BOK-2015", "Cookbook, 120 soups", 2_490),
    ("BOK-2077", "Crime novel, paperback", 1_199),
    ("CAM-3301", "Instant camera", 7_450),
    ("CLO-4008", "Rain jacket", 11_900),
    ("CLO-4052", "Merino socks, 3 pairs", 2_795),
    ("COM-5120", "Mechanical keyboard", 12_900),
    ("COM-5133", "USB-C dock", 15_949),
    ("COM-5190", "27-inch monitor", 28_900),
    ("GAR-6004", "Pruning shears", 1_895),
    ("HOM-7011", "Desk lamp", 3_999),
    ("HOM-7040", "Espresso maker", 3_450),
    ("HOM-7088", "Chef's knife", 6_495),
    ("SPO-8003", "Yoga mat", 2_999),
    ("SPO-8065", "Bicycle light set", 3_290),
    ("TOY-9010", "Building blocks, 500 pieces", 4_499),
    ("TOY-9042", "Jigsaw puzzle, 1000 pieces", 1_699),
];

/// The first `count` orders of a seed.
pub fn orders(count: u64, seed: u64) -> impl Iterator<Item = Order> {
    let mut random = Random(seed);
    let mut time_s = FIRST_ORDER_UNIX_S;
    (1..=count).map(move |number| {
        time_s += random.below(90);
        order(number, time_s, &mut random)
    })
}

fn order(number: u64, time_s: u64, random: &mut Random) -> Order {
    let (country, currency) = *random.pick(COUNTRIES);
    let priority = if random.below(5) == 0 { Priority::High } else { Priority::Normal };
    let (items, cents) = items(random);
    Order {
        order_id: format!("CM-2026-{number:06}"),
        created_at: humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time_s)).to_string(),
        priority,
        customer: customer(country, random),
        items,
        amount: money(cents),
        currency: currency.to_owned(),
    }
}

/// About one in a hundred has an address that takes no e-mail.
fn customer(country: &str, random: &mut Random) -> Customer {
    let (first, last) = (random.pick(FIRST_NAMES), random.pick(LAST_NAMES));
    let domain = if random.below(100) == 0 { BOUNCING_DOMAIN } else { random.pick(EMAIL_DOMAINS) };
    Customer {
        name: format!("{first} {last}"),
        email: format!("{}.{}@{domain}", ascii(first), ascii(last)),
        country: country.to_owned(),
    }
}

/// One to four different articles and their sum in cents.
fn items(random: &mut Random) -> (Vec<Item>, u64) {
    let (start, count) = (random.below(ARTICLES.len() as u64) as usize, 1 + random.below(4) as usize);
    let mut sum = 0;
    let articles = ARTICLES.iter().cycle().skip(start).step_by(5).take(count);
    let items = articles.map(|(sku, name, cents)| {
        let quantity = if random.below(4) == 0 { 2 + random.below(3) } else { 1 };
        sum += cents * quantity;
        Item {
            sku: (*sku).to_owned(),
            name: (*name).to_owned(),
            quantity: quantity as u32,
            unit_price: money(*cents),
        }
    });
    (items.collect(), sum)
}

fn money(cents: u64) -> f64 {
    cents as f64 / 100.0
}

/// A name as it is written in an e-mail address.
fn ascii(name: &str) -> String {
    let plain = |c: char| match c {
        'á' => 'a',
        'è' | 'é' | 'ë' => 'e',
        'í' => 'i',
        'ø' => 'o',
        'ü' => 'u',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(plain).collect()
}

/// The generator `SplitMix64`, written out so that a seed means the same for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_file_in_the_repository_is_what_the_generator_makes() {
        let lines: Vec<_> = include_str!("../orders/orders-1000.jsonl").lines().collect();
        let made: Vec<_> = orders(1_000, SEED).map(|order| serde_json::to_string(&order).unwrap()).collect();
        assert_eq!(lines, made, "regenerate it with: generate-orders --out orders/orders-1000.jsonl");
    }

    #[test]
    fn orders_are_sound() {
        let orders: Vec<_> = orders(10_000, 7).collect();
        assert_eq!(orders.iter().map(|order| &order.order_id).collect::<HashSet<_>>().len(), 10_000);
        for order in &orders {
            let sum: f64 = order.items.iter().map(|item| f64::from(item.quantity) * item.unit_price).sum();
            assert!((sum - order.amount).abs() < 0.001, "{order:?}");
            assert!(order.customer.email.is_ascii(), "{order:?}");
            assert_eq!(
                order.items.iter().map(|item| &item.sku).collect::<HashSet<_>>().len(),
                order.items.len()
            );
        }
        let share = |wanted: fn(&Order) -> bool| orders.iter().filter(|order| wanted(order)).count();
        assert!((1_800..2_200).contains(&share(|order| order.priority == Priority::High)));
        assert!((60..140).contains(&share(|order| order.customer.email.ends_with(BOUNCING_DOMAIN))));
    }
}
