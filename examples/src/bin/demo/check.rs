//! Whether the numbers add up.

use crate::evidence::{Evidence, History};
use crate::topology;
use postrider_examples::history::{Entry, Event};
use postrider_examples::order::{Email, Order};
use std::collections::HashSet;
use std::fmt;

/// One number, and what it must be, if it must be something.
pub struct Line {
    pub what: String,
    pub expected: Option<usize>,
    pub found: usize,
}

impl Line {
    fn new(what: impl Into<String>, expected: impl Into<Option<usize>>, found: usize) -> Self {
        Line { what: what.into(), expected: expected.into(), found }
    }

    /// Whether it is what it must be.
    pub fn is_right(&self) -> bool {
        self.expected.is_none_or(|expected| expected == self.found)
    }
}

/// For the one that is wrong.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.found)?;
        self.expected.map_or(Ok(()), |expected| write!(f, " instead of {expected}"))
    }
}

/// Message ids, and how often each of them was there does not matter.
type Ids<'a> = HashSet<&'a str>;

/// What must have arrived somewhere, and what has.
struct Arrival<'a> {
    wanted: HashSet<String>,
    found: Ids<'a>,
    /// How many arrivals there were, the same message several times included.
    times: usize,
}

impl Arrival<'_> {
    fn missing(&self) -> usize {
        self.wanted.iter().filter(|id| !self.found.contains(id.as_str())).count()
    }

    fn unwanted(&self) -> usize {
        self.found.iter().filter(|id| !self.wanted.contains(**id)).count()
    }

    fn duplicates(&self) -> usize {
        self.times - self.found.len()
    }

    fn line(&self, what: impl Into<String>) -> Line {
        Line::new(what, self.wanted.len(), self.found.len())
    }
}

/// All numbers, in the order in which messages travel.
pub fn lines(evidence: &Evidence) -> Vec<Line> {
    let orders = &evidence.orders;
    let published = arrival(orders, |_| true, order_id, [&evidence.published], Event::Published);
    let received: Vec<_> = evidence.subscribers.iter().map(|history| received(orders, history)).collect();
    let workers = evidence.workers.iter().map(|worker| &worker.entries);
    let sent = arrival(orders, |order| !bounces(order), email_id, workers, Event::Handled);
    let dead = Arrival {
        wanted: orders.iter().filter(|order| bounces(order)).map(email_id).collect(),
        found: evidence.dead_letters.iter().map(String::as_str).collect(),
        times: evidence.dead_letters.len(),
    };

    let mut lines = vec![published.line("orders acknowledged")];
    let subscribers = evidence.subscribers.iter().zip(&received);
    lines.extend(subscribers.map(|(history, arrival)| arrival.line(topology::title(history.name))));
    lines.push(sent.line("e-mails sent"));
    lines.extend(evidence.workers.iter().map(worker));
    lines.push(dead.line("dead letters"));
    lines.push(Line::new("  as the broker counts them", evidence.dead_letters.len(), evidence.counted));

    let arrivals: Vec<_> = received.iter().chain([&published, &sent, &dead]).collect();
    let again = evidence.subscribers.iter().map(|history| back_after_completion(&history.entries)).sum();
    lines.push(Line::new("duplicates", None, sum(&arrivals, Arrival::duplicates)));
    lines.push(Line::new("lost", 0, sum(&arrivals, Arrival::missing)));
    lines.push(Line::new("where they do not belong", 0, sum(&arrivals, Arrival::unwanted)));
    lines.push(Line::new("back after their completion", 0, again));
    lines.push(Line::new("left in the broker", 0, evidence.left));
    lines
}

fn sum<'a>(arrivals: &[&Arrival<'a>], number: fn(&Arrival<'a>) -> usize) -> usize {
    arrivals.iter().map(|arrival| number(arrival)).sum()
}

fn received<'a>(orders: &[Order], history: &'a History) -> Arrival<'a> {
    let wanted = |order: &Order| topology::wants(history.name, order);
    arrival(orders, wanted, order_id, [&history.entries], Event::Received)
}

/// Compares the orders that are wanted, by the ids of their messages, with the messages of which `event` is told.
fn arrival<'a>(
    orders: &[Order],
    wanted: impl Fn(&Order) -> bool,
    id: impl Fn(&Order) -> String,
    histories: impl IntoIterator<Item = &'a Vec<Entry>>,
    event: Event,
) -> Arrival<'a> {
    let entries = histories.into_iter().flatten().filter(|entry| entry.event == event);
    let ids: Vec<_> = entries.map(|entry| entry.id.as_str()).collect();
    Arrival {
        wanted: orders.iter().filter(|order| wanted(order)).map(id).collect(),
        times: ids.len(),
        found: ids.into_iter().collect(),
    }
}

fn order_id(order: &Order) -> String {
    order.order_id.clone()
}

fn email_id(order: &Order) -> String {
    Email::id(&order.order_id)
}

fn bounces(order: &Order) -> bool {
    Email::confirming(order).bounces()
}

/// How many e-mails a worker sent.
fn worker(history: &History) -> Line {
    let sent = history.entries.iter().filter(|entry| entry.event == Event::Handled).count();
    Line::new(format!("  {}", history.name), None, sent)
}

/// Messages that were delivered although the broker had confirmed that they are completed.
fn back_after_completion(entries: &[Entry]) -> usize {
    let mut completed = HashSet::new();
    let mut again = 0;
    for entry in entries {
        match entry.event {
            Event::Completed => drop(completed.insert(entry.sequence)),
            _ => again += usize::from(completed.contains(&entry.sequence)),
        }
    }
    again
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play::WORKERS;
    use crate::topology::SUBSCRIPTIONS;
    use postrider_examples::generator;

    fn entry(event: Event, id: String, sequence: u64) -> Entry {
        Entry { event, id, sequence }
    }

    /// What there is after a play in which nothing went wrong.
    fn all_well() -> Evidence {
        let orders: Vec<_> = generator::orders(1_000, generator::SEED).collect();
        let entries = |event, wanted: &dyn Fn(&Order) -> bool, id: fn(&Order) -> String| {
            let ids = orders.iter().filter(|order| wanted(order)).map(id);
            ids.zip(1..).map(|(id, sequence)| entry(event, id, sequence)).collect()
        };
        let subscribers = SUBSCRIPTIONS.map(|name| {
            let wanted = |order: &Order| topology::wants(name, order);
            let mut history: Vec<_> = entries(Event::Received, &wanted, order_id);
            history.extend::<Vec<_>>(entries(Event::Completed, &wanted, order_id));
            History { name, entries: history }
        });
        let sent = entries(Event::Handled, &|order| !bounces(order), email_id);
        let dead: Vec<_> = entries(Event::Handled, &bounces, email_id);
        Evidence {
            published: entries(Event::Published, &|_| true, order_id),
            subscribers: subscribers.into(),
            workers: vec![History { name: WORKERS[0], entries: sent }],
            counted: dead.len(),
            dead_letters: dead.into_iter().map(|entry| entry.id).collect(),
            left: 0,
            orders,
        }
    }

    fn wrong(evidence: &Evidence) -> Vec<String> {
        lines(evidence).iter().filter(|line| !line.is_right()).map(ToString::to_string).collect()
    }

    fn found(evidence: &Evidence, what: &str) -> usize {
        lines(evidence).iter().find(|line| line.what == what).expect("a line").found
    }

    #[test]
    fn when_all_is_well_nothing_is_wrong() {
        let evidence = all_well();
        assert_eq!(wrong(&evidence), [""; 0]);
        assert_eq!(
            (found(&evidence, "analytics (priority = high)"), found(&evidence, "dead letters")),
            (200, 9)
        );
        assert_eq!(found(&evidence, "duplicates"), 0);
    }

    #[test]
    fn a_lost_order_is_found() {
        let mut evidence = all_well();
        let lost = evidence.subscribers[1].entries[7].id.clone();
        evidence.subscribers[1].entries.retain(|entry| entry.id != lost);
        assert_eq!(wrong(&evidence), ["payment: 999 instead of 1000", "lost: 1 instead of 0"]);
    }

    #[test]
    fn a_lost_email_is_found() {
        let mut evidence = all_well();
        evidence.workers[0].entries.pop();
        evidence.dead_letters.pop();
        assert_eq!(
            wrong(&evidence),
            [
                "e-mails sent: 990 instead of 991",
                "dead letters: 8 instead of 9",
                "  as the broker counts them: 9 instead of 8",
                "lost: 2 instead of 0"
            ]
        );
    }

    #[test]
    fn what_the_filter_should_have_kept_back_is_found() {
        let mut evidence = all_well();
        let normal = evidence.orders.iter().find(|order| !topology::wants("analytics", order)).map(order_id);
        evidence.subscribers[3].entries[0].id = normal.expect("a normal order");
        assert_eq!(wrong(&evidence), ["lost: 1 instead of 0", "where they do not belong: 1 instead of 0"]);
    }

    #[test]
    fn duplicates_are_counted_and_allowed_until_they_were_completed() {
        let mut evidence = all_well();
        let first = evidence.subscribers[0].entries[0].clone();
        evidence.subscribers[0].entries.insert(1, first.clone());
        assert_eq!((wrong(&evidence), found(&evidence, "duplicates")), (vec![], 1));
        evidence.subscribers[0].entries.push(first);
        assert_eq!(wrong(&evidence), ["back after their completion: 1 instead of 0"]);
    }

    #[test]
    fn what_is_left_in_the_broker_is_found() {
        let evidence = Evidence { left: 3, ..all_well() };
        assert_eq!(wrong(&evidence), ["left in the broker: 3 instead of 0"]);
    }
}
