//! The checker of histories: what it finds in bad ones, and that it finds nothing in good ones.

mod bad;
mod good;
mod random;

use postrider_tests::checker::{Checker, Rules};
use postrider_tests::history::{Event, Seen, Sending, Settling, Verb};

/// How often a message may fail.
const LIMIT: u32 = 3;
/// Where all clocks stand, unless something else is said.
const NOON: u64 = 43_200_000;

/// The topic `t` has the subscriptions `t/a` and `t/b`; everything else is a queue.
fn places(to: &str, _: u64) -> Vec<String> {
    match to {
        "t" => vec!["t/a".to_owned(), "t/b".to_owned()],
        queue => vec![queue.to_owned()],
    }
}

/// The queue `x` keeps what expires.
fn rules(place: &str) -> Rules {
    Rules { max_delivery_count: LIMIT, keeps_expired: place == "x", locks_may_expire: false }
}

fn checker() -> Checker<'static> {
    Checker { places: &places, rules: &rules, locks_may_expire: false, may_be_overtaken: false }
}

fn sending(id: u64, to: &str) -> Event {
    Event::Sending(Sending { id, to: to.to_owned(), expires_ms: None, session: None })
}

fn stored(id: u64, sequence: u64) -> Event {
    Event::Stored { id, sequence, duplicate: false }
}

/// A delivery under the lock `epoch`, which nobody holds for any time.
fn seen(epoch: u64, count: u32, sequence: u64) -> Seen {
    Seen { epoch, count, sequence, when_ms: NOON, until_ms: NOON, reason: None }
}

fn delivered_as(id: u64, at: &str, seen: Seen) -> Event {
    Event::Delivered { id: Some(id), at: at.to_owned(), seen }
}

/// A delivery of a message whose number is its id.
fn delivered(id: u64, at: &str, epoch: u64, count: u32) -> Event {
    delivered_as(id, at, seen(epoch, count, id))
}

fn settling(id: u64, at: &str, epoch: u64, verb: Verb) -> Settling {
    Settling { id, at: at.to_owned(), epoch, verb }
}

fn settled(id: u64, at: &str, epoch: u64, verb: Verb) -> [Event; 2] {
    let settling = settling(id, at, epoch, verb);
    [Event::Settling(settling.clone()), Event::Settled(settling)]
}
