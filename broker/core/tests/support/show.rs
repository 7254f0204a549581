//! Facts and effects as the golden scripts show them.

use super::world::{START_MS, World};
use postrider_core::effect::{Deliver, Effect};
use postrider_core::fact::Fact;
use postrider_core::key::{Alarm, QueueId, Wake};
use postrider_core::lease::Hold;
use postrider_core::page::{Page, PageState};
use postrider_core::queue;
use postrider_protocol::entity::EntityInfo;
use postrider_protocol::error::Refusal;
use postrider_protocol::explain::{ExplainedSubscription, Fate, Outcome, Part};
use postrider_protocol::message::{Message, Record};
use postrider_protocol::name::Lane;
use postrider_protocol::options::Options;
use postrider_protocol::reply::{CauseInfo, ConsumerInfo, Peeked, Published, Reply, Runs, Settled};
use postrider_protocol::rule::{Rule, RuleInfo};
use postrider_protocol::schedule::{Schedule, ScheduleInfo};
use postrider_protocol::token::LockToken;
use postrider_protocol::value::Value;
use std::collections::BTreeMap;

/// Names for what only has numbers.
#[derive(Default)]
pub struct Names {
    /// What each request was.
    pub requests: BTreeMap<u32, String>,
    /// The receiver of each connection.
    pub receivers: BTreeMap<u64, String>,
    /// The shard of each receiver.
    pub homes: BTreeMap<String, u16>,
    entities: BTreeMap<(u16, u64), String>,
    leases: Vec<(u16, u64, Option<LockToken>)>,
}

impl Names {
    /// The token of a lease's first place.
    pub fn token(&self, label: &str) -> LockToken {
        let at: usize = label.trim_start_matches('L').parse().unwrap();
        self.leases[at - 1].2.expect("the lease was delivered")
    }

    fn lease(&mut self, shard: u16, lease: u64) -> String {
        let known = self.leases.iter().position(|known| (known.0, known.1) == (shard, lease));
        let at = known.unwrap_or_else(|| {
            self.leases.push((shard, lease, None));
            self.leases.len() - 1
        });
        format!("L{}", at + 1)
    }

    fn queue(&self, shard: u16, queue: QueueId) -> String {
        let name = &self.entities[&(shard, queue.entity)];
        match queue.lane {
            Lane::Main => name.clone(),
            Lane::DeadLetter => format!("{name}/$dead-letter"),
            Lane::Transfer => format!("{name}/$transfer-dead-letter"),
        }
    }

    fn alarm(&self, shard: u16, alarm: Alarm) -> String {
        let what = match alarm.what {
            Wake::Page(first) => format!("page {}", place(first)),
            Wake::Scheduled(number) => format!("scheduled {number}"),
            Wake::Window => "window".to_owned(),
            Wake::Occurrence => "schedules".to_owned(),
            Wake::Kept => "kept".to_owned(),
        };
        let when = if alarm.when_ms == 0 { "once".to_owned() } else { time(alarm.when_ms) };
        format!("{} {what} at {when}", self.queue(shard, alarm.queue))
    }

    /// A fact in a line. The shard's own counters and its journal, which every turn writes, are left out.
    pub fn fact(&mut self, shard: u16, fact: &Fact) -> Option<String> {
        let text = match fact {
            // A trace shows the journal.
            Fact::ShardState(_) | Fact::Journal(..) | Fact::JournalGone(..) => return None,
            Fact::EntityPut(entity, row) => {
                self.entities.insert((shard, *entity), row.name.clone());
                format!("EntityPut {} {}{}", row.name, row.kind, options(&row.options))
            }
            Fact::EntityGone(entity) => format!("EntityGone {}", self.entities[&(shard, *entity)]),
            Fact::RulePut(entity, rule) => {
                format!("RulePut {} {}", self.entities[&(shard, *entity)], rule_text(rule))
            }
            Fact::RuleGone(entity, rule) => format!("RuleGone {} {rule}", self.entities[&(shard, *entity)]),
            Fact::QueueState(queue, row) => {
                let more = [
                    ("unmatched", row.unmatched),
                    ("deferred", row.deferred),
                    ("delayed", row.delayed),
                    ("expired", row.expired),
                    ("scheduled", row.scheduled),
                    ("duplicates", row.duplicates),
                    ("dropped", row.dropped),
                    ("filter_errors", row.filter_errors),
                ];
                let more = more.into_iter().filter(|(_, count)| *count > 0);
                let more: String = more.map(|(name, count)| format!(" {name}={count}")).collect();
                let counts =
                    format!("next={} low={} active={} bytes={}", row.next, row.low, row.active, row.bytes);
                format!("QueueState {} {counts}{more}", self.queue(shard, *queue))
            }
            Fact::PageWritten(queue, first, page) => {
                format!("PageWritten {} {}: {}", self.queue(shard, *queue), place(*first), page_text(page))
            }
            Fact::PageState(queue, first, state) => {
                format!("PageState {} {}: {}", self.queue(shard, *queue), place(*first), state_text(state))
            }
            Fact::PageGone(queue, first) => {
                format!("PageGone {} {}", self.queue(shard, *queue), place(*first))
            }
            Fact::PagesGone(queue, from, to) => {
                format!("PagesGone {} {}..{}", self.queue(shard, *queue), place(*from), end(*to))
            }
            Fact::References(page, row) => {
                let (topic, first) = (&self.entities[&(shard, page.topic)], page.first);
                format!("References {topic} {first}: pages={} bytes={}", row.pages, row.bytes)
            }
            Fact::ReferencesGone(page) => {
                format!("ReferencesGone {} {}", self.entities[&(shard, page.topic)], page.first)
            }
            Fact::EntityLeft(entity) => format!("EntityLeft {}", self.entities[&(shard, *entity)]),
            Fact::Leaving(queue, from, to) => {
                format!("Leaving {} {}..{}", self.queue(shard, *queue), place(*from), end(*to))
            }
            Fact::LeavingGone(queue, from) => {
                format!("LeavingGone {} {}", self.queue(shard, *queue), place(*from))
            }
            Fact::Replay(entity, row) => {
                let filter =
                    if row.filter.is_empty() { String::new() } else { format!(" where {}", row.filter) };
                format!("Replay {} {}..{}{filter}", self.entities[&(shard, *entity)], row.next, row.to)
            }
            Fact::ReplayGone(entity) => format!("ReplayGone {}", self.entities[&(shard, *entity)]),
            Fact::Leased(lease, row) => {
                let holds: Vec<_> = row.holds.iter().map(hold).collect();
                let (lease, owner) = (self.lease(shard, *lease), client_name(row.owner.client));
                format!("Leased {lease} {owner} {} {}", self.queue(shard, row.queue), holds.join(" "))
            }
            Fact::LeaseGone(lease) => format!("LeaseGone {}", self.lease(shard, *lease)),
            Fact::Outcomes(client, _, row) => {
                let sequences: Vec<_> =
                    row.recorded.iter().map(|recorded| recorded.sequence.to_string()).collect();
                let floor = if row.floor > 0 { format!(" floor={}", row.floor) } else { String::new() };
                format!("Outcomes {} {}{floor}", client_name(*client), sequences.join(" "))
            }
            Fact::OutcomesGone(client, first) => format!("OutcomesGone {} {first}", client_name(*client)),
            Fact::SessionPut(entity, id, row) => {
                let more = [
                    ("messages", row.messages.to_string(), row.messages > 0),
                    ("oldest", row.oldest.to_string(), row.oldest > 0),
                    ("owner", client_name(row.client), row.until_ms > 0),
                    ("until", time(row.until_ms), row.until_ms > 0),
                    ("state", row.state_bytes.unwrap_or(0).to_string(), row.state_bytes.is_some()),
                    ("idle", row.idle.to_string(), row.idle),
                ];
                let more = more.into_iter().filter(|(.., shown)| *shown);
                let more: String = more.map(|(name, value, _)| format!(" {name}={value}")).collect();
                format!("SessionPut {} {id}{more}", self.entities[&(shard, *entity)])
            }
            Fact::SessionGone(entity, id) => {
                format!("SessionGone {} {id}", self.entities[&(shard, *entity)])
            }
            Fact::SessionMessage(entity, session, number, page, _) => {
                let page = place(*page);
                format!("SessionMessage {} #{session}: {number} in {page}", self.entities[&(shard, *entity)])
            }
            Fact::SessionMessageGone(entity, session, number) => {
                format!("SessionMessageGone {} #{session}: {number}", self.entities[&(shard, *entity)])
            }
            Fact::SessionMessagesGone(entity) => {
                format!("SessionMessagesGone {}", self.entities[&(shard, *entity)])
            }
            Fact::SessionState(entity, session, state) => {
                format!("SessionState {} #{session}: {state:?}", self.entities[&(shard, *entity)])
            }
            Fact::SessionStateGone(entity, session) => {
                format!("SessionStateGone {} #{session}", self.entities[&(shard, *entity)])
            }
            Fact::AlarmSet(alarm) => format!("AlarmSet {}", self.alarm(shard, *alarm)),
            Fact::AlarmGone(alarm) => format!("AlarmGone {}", self.alarm(shard, *alarm)),
            Fact::Scheduled(queue, number, row) => {
                let message = message_id(&row.message);
                format!("Scheduled {} {number}: {message} at {}", self.queue(shard, *queue), time(row.due_ms))
            }
            Fact::SchedulePut(entity, info) => {
                format!("SchedulePut {} {}", self.entities[&(shard, *entity)], schedule_text(info))
            }
            Fact::ScheduleGone(entity, name) => {
                format!("ScheduleGone {} {name}", self.entities[&(shard, *entity)])
            }
            Fact::ScheduledGone(queue, number, _) => {
                format!("ScheduledGone {} {number}", self.queue(shard, *queue))
            }
            Fact::Generation(entity, row) => {
                let name = &self.entities[&(shard, *entity)];
                format!("Generation {name} {} from {}", row.number, time(row.begun_ms))
            }
            Fact::IdsSeen(entity, row) => {
                let ids: Vec<_> = row.ids.iter().map(|(id, number)| format!("{id}={number}")).collect();
                let name = &self.entities[&(shard, *entity)];
                format!("IdsSeen {name} {}: {}", row.generation, ids.join(" "))
            }
            Fact::IdsGone(entity) => format!("IdsGone {}", self.entities[&(shard, *entity)]),
            Fact::Parcel(_, _, parcel) => {
                let records = parcel.records.iter().map(|record| Record::decode(record.clone()).unwrap());
                let messages: Vec<_> =
                    records.map(|record| message_id(&record.message) + &hops(&record)).collect();
                format!("Parcel {} to {}: {}", self.queue(shard, parcel.from), parcel.to, messages.join(" "))
            }
            Fact::ParcelGone(..) => "ParcelGone".to_owned(),
            Fact::Taken(_, taken) => {
                let returned = taken.returned.iter().map(|it| {
                    let last = it.index + it.count - 1;
                    format!(", not {} to {last}: {} {}", it.index, it.reason, it.description)
                });
                format!("Taken{}", returned.collect::<String>())
            }
        };
        Some(format!("fact {text}"))
    }

    /// An effect in a line. Where a message is on its way its parcel and its receipt say.
    pub fn effect(&mut self, world: &World, shard: u16, effect: &Effect) -> Option<String> {
        Some(match effect {
            Effect::Send { .. } | Effect::Receipt { .. } => return None,
            Effect::Reply(ticket, reply) => {
                format!("reply {}: {}", self.requests[&ticket.request], reply_text(reply))
            }
            Effect::Deliver(deliver) => self.delivery(world, shard, deliver),
            Effect::Closed(key, why) => {
                format!("closed {}: {}", self.receivers[&key.connection], refusal(why))
            }
            Effect::Load(load) => {
                let queue = self.queue(shard, load.queue);
                format!(
                    "load {queue} {}..{}, {} messages or {} bytes",
                    place(load.from),
                    place(load.to),
                    load.messages,
                    load.bytes
                )
            }
        })
    }

    fn delivery(&mut self, world: &World, shard: u16, deliver: &Deliver) -> String {
        let lock = if deliver.token.lease == 0 {
            assert_eq!(deliver.locked_until_ms, 0);
            String::new()
        } else {
            let label = self.lease(shard, deliver.token.lease);
            let known =
                self.leases.iter_mut().find(|known| (known.0, known.1) == (shard, deliver.token.lease));
            known.unwrap().2 = Some(deliver.token);
            format!(" {label} until {}", time(deliver.locked_until_ms))
        };
        let queue = self.queue(shard, deliver.queue);
        let mut runs = String::new();
        for run in &deliver.runs {
            runs += &format!(" {}", run_text(run.page, run.index, run.count));
            if run.changes.is_some() {
                runs += " (changed)";
            }
            if run.attempts > 0 {
                runs += &format!(" (attempts={})", run.attempts);
            }
            if deliver.token.lease != 0 {
                runs += &dead_letter(&world.record(shard, deliver.queue, run.page, run.index));
            }
        }
        format!("deliver {}{lock}: {queue}{runs}", self.receivers[&deliver.receiver.connection])
    }

    /// What a listing says.
    pub fn info(info: &Result<EntityInfo, Refusal>) -> String {
        let Ok(info) = info else { return refusal(&info.clone().unwrap_err()) };
        let counters = info.counters.list().into_iter().filter(|(_, value)| *value > 0);
        let counters: Vec<_> = counters.map(|(name, value)| counter(name, value)).collect();
        let rules: Vec<_> = info.rules.iter().map(|rule| format!(" {}", rule_text(rule))).collect();
        format!(
            "{} {}{}{}{}",
            info.kind,
            info.name,
            options(&info.options),
            rules.concat(),
            counters.concat()
        )
    }
}

/// A counter that is a moment is shown as one.
fn counter(name: &str, value: u64) -> String {
    if name.ends_with("_ms") { format!(" {name}={}", time(value)) } else { format!(" {name}={value}") }
}

fn options(options: &Options) -> String {
    options.iter().map(|(spec, value)| format!(" {}={value}", spec.name)).collect()
}

/// The client of a number.
pub fn client_name(mut client: u128) -> String {
    let mut name = Vec::new();
    while client > 0 {
        name.insert(0, client as u8);
        client >>= 8;
    }
    String::from_utf8(name).unwrap()
}

fn schedule_text(info: &ScheduleInfo) -> String {
    let Schedule { name, cron, zone, message } = &info.schedule;
    format!("{name} every {cron} {zone}: {}, next at {}", message_id(message), time(info.next_ms))
}

fn message_id(message: &bytes::Bytes) -> String {
    let message = Message::decode(message.clone()).unwrap();
    message.message_id.map_or_else(|| "-".to_owned(), |id| id.to_string())
}

fn page_text(page: &bytes::Bytes) -> String {
    let page = Page::open(page.clone()).unwrap();
    if page.len() > 10 {
        return format!("{} messages", page.len());
    }
    let name = |record: Record| {
        message_id(&record.message) + &own_copy(&record) + &expires(&record) + &dead_letter(&record)
    };
    let first = page.refers().map_or(0, |topic| topic.first);
    let names = (0..page.len()).map(|at| match (page.record(at), page.reference(at)) {
        (Some(record), _) => name(Record::decode(record).unwrap()),
        (None, Some((index, _))) => {
            let expires = page.mark(at).map_or(u64::MAX, |mark| mark.expires_ms);
            let expires = Some(expires).filter(|expires_ms| *expires_ms != u64::MAX);
            let expires = expires.map_or_else(String::new, |at| format!(" (expires {})", time(at)));
            format!("of-{}{expires}", first + u64::from(index))
        }
        (None, None) => ".".to_owned(),
    });
    names.collect::<Vec<_>>().join(" ")
}

fn expires(record: &Record) -> String {
    record.expires_at_ms.map_or_else(String::new, |at| format!(" (expires {})", time(at)))
}

fn hops(record: &Record) -> String {
    if record.hops < 2 { String::new() } else { format!(" (hop {})", record.hops) }
}

/// The rule whose own copy it is, and the properties that it has.
fn own_copy(record: &Record) -> String {
    let Some(rule) = &record.rule_name else { return String::new() };
    let properties = Message::decode(record.message.clone()).unwrap().properties;
    let properties: Vec<_> = properties.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!(" (of rule {rule}:{})", properties.concat())
}

fn dead_letter(record: &Record) -> String {
    record.dead_letter.as_ref().map_or_else(String::new, |info| {
        let description =
            if info.description.is_empty() { String::new() } else { format!(": {}", info.description) };
        let destination = record
            .destination
            .as_ref()
            .map_or_else(String::new, |destination| format!(", for {destination}"));
        let (was, of, why) = (record.enqueued_sequence, &info.source, &info.reason);
        format!(" (was {was} of {of}{destination}, {why}{description})")
    })
}

/// One sign for each message: its failed deliveries, or `-` when it is gone, with what else is kept of it; runs of more
/// than ten are counted.
fn state_text(state: &bytes::Bytes) -> String {
    let state = PageState::decode(state.clone()).unwrap();
    let sign = |at: u32, attempts: Option<u32>| {
        let deferred = if state.deferred.contains(&at) { " deferred" } else { "" };
        let delayed = state.delayed.iter().find(|(delayed, _)| *delayed == at);
        let delayed = delayed.map_or_else(String::new, |(_, until)| format!(" until {}", time(*until)));
        let changed = if state.changed.contains_key(&at) { " changed" } else { "" };
        let attempts = attempts.map_or_else(|| "-".to_owned(), |attempts| attempts.to_string());
        let more = format!("{deferred}{delayed}{changed}");
        if more.is_empty() { attempts } else { format!("[{attempts}{more}]") }
    };
    let signs: Vec<_> = (0..).zip(&state.attempts).map(|(at, attempts)| sign(at, *attempts)).collect();
    let text = signs
        .chunk_by(|a, b| a == b)
        .map(|run| if run.len() > 10 { format!("{}x{}", run[0], run.len()) } else { run.join(" ") });
    text.collect::<Vec<_>>().join(" ")
}

/// A place: its number, and the rank of its strand where it is not the first.
fn place(place: u64) -> String {
    let (rank, number) = (queue::rank(place), queue::number(place));
    if rank == 0 { number.to_string() } else { format!("{number}@{rank}") }
}

/// The end of a range.
fn end(to: u64) -> String {
    if to == u64::MAX { "the end".to_owned() } else { place(to) }
}

fn run_text(page: u64, index: u32, count: u32) -> String {
    let first = page + u64::from(index);
    let last = first + u64::from(count) - 1;
    if first == last { place(first) } else { format!("{}-{}", queue::number(first), place(last)) }
}

fn hold(hold: &Hold) -> String {
    let numbers = run_text(hold.page, hold.index, hold.count);
    let until = if hold.held { format!("until {}", time(hold.until_ms)) } else { "let go".to_owned() };
    let attempts = if hold.attempts > 0 { format!("attempts={} ", hold.attempts) } else { String::new() };
    format!("[{numbers} {attempts}{until}]")
}

/// Time since the world began.
pub fn time(wall_ms: u64) -> String {
    let ms = wall_ms as i64 - START_MS as i64;
    if ms % 1_000 == 0 { format!("{}s", ms / 1_000) } else { format!("{ms}ms") }
}

fn refusal(refusal: &Refusal) -> String {
    format!("refused {refusal}")
}

/// A reply in a line.
pub fn reply_text(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".to_owned(),
        Reply::Refused(why) => refusal(why),
        Reply::Published(runs) => runs_text(runs, |published, count| match published {
            Published::Accepted(first) if count == 1 => format!("accepted {first}"),
            Published::Accepted(first) => format!("accepted {first}-{}", first + u64::from(count) - 1),
            Published::Duplicate(of) => format!("duplicate {of}"),
            Published::Underway if count == 1 => "underway".to_owned(),
            Published::Underway => format!("underway {count} times"),
            Published::Refused(why) => refusal(why),
        }),
        Reply::Settled(runs) => runs_text(runs, |settled, count| {
            let times = if count == 1 { String::new() } else { format!(" {count} times") };
            match settled {
                Settled::Done => format!("done{times}"),
                Settled::Renewed(until) => format!("renewed until {}{times}", time(*until)),
                Settled::Refused(why) => format!("{}{times}", refusal(why)),
            }
        }),
        Reply::Opened { session_id, locked_until_ms, .. } if !session_id.is_empty() => {
            format!("opened session {session_id} until {}", time(*locked_until_ms))
        }
        Reply::SessionRenewed { locked_until_ms } => format!("renewed until {}", time(*locked_until_ms)),
        Reply::Sessions { sessions, more } => {
            let lines = sessions.iter().map(|session| {
                let mut line = format!("{} messages={}", session.id, session.messages);
                if session.locked_until_ms > 0 {
                    let (owner, until) = (client_name(session.owner), time(session.locked_until_ms));
                    line += &format!(" owner={owner} until={until}");
                }
                if session.messages > 0 {
                    line += &format!(" oldest={}", time(session.oldest_ms));
                }
                if session.state_changed_ms > 0 {
                    let (bytes, since) = (session.state_bytes, time(session.state_changed_ms));
                    line += &format!(" state={bytes} since={since}");
                }
                line
            });
            let more = more.then(|| "more".to_owned());
            let lines: Vec<String> = lines.chain(more).collect();
            if lines.is_empty() {
                "no sessions".to_owned()
            } else {
                format!("sessions: {}", lines.join("; "))
            }
        }
        Reply::SessionState { state, changed_ms: 0 } => format!("state {state:?}"),
        Reply::SessionState { state, changed_ms } => format!("state {state:?} since {}", time(*changed_ms)),
        Reply::Opened { max_message_bytes: 0, lock_duration_ms, .. } => {
            format!("opened lock={}s", lock_duration_ms / 1_000)
        }
        Reply::Opened { max_message_bytes, .. } => format!("opened max_message_bytes={max_message_bytes}"),
        Reply::Drained { delivered, .. } => format!("drained delivered={delivered}"),
        Reply::Worked { done, examined, next: 0 } if done == examined => format!("worked on {done}"),
        Reply::Worked { done, examined, next } => {
            format!("worked on {done} of {examined}, next is {next}")
        }
        Reply::Replaying { from, to } if from == to => "nothing to replay".to_owned(),
        Reply::Replaying { from, to } => format!("replaying {from}..{to}"),
        Reply::Peeked { messages, next } => {
            let messages: Vec<_> = messages.iter().map(peeked).collect();
            format!("peeked {}{}", messages.join(", "), next_text(*next))
        }
        Reply::Causes { causes, next } => {
            let causes: Vec<_> = causes.iter().map(cause).collect();
            format!("causes {}{}", causes.join("; "), next_text(*next))
        }
        Reply::Schedules { schedules, more } => {
            let texts: Vec<_> = schedules.iter().map(schedule_text).collect();
            format!("schedules {}{}", texts.join("; "), if *more { " and more" } else { "" })
        }
        Reply::Rules { rules, more } => {
            let texts: Vec<_> = rules.iter().map(rule_info).collect();
            format!("rules {}{}", texts.join("; "), if *more { " and more" } else { "" })
        }
        other => format!("{other:?}"),
    }
}

fn rule_text(rule: &Rule) -> String {
    let parameters: Vec<_> =
        rule.parameters.iter().map(|(name, value)| format!(" @{name}={value}")).collect();
    let action = rule.action.as_ref().map(|action| format!(" -> {action}")).unwrap_or_default();
    let shadow = if rule.shadow { " (shadow)" } else { "" };
    format!("{}: {}{action}{}{shadow}", rule.name, rule.filter, parameters.concat())
}

fn rule_info(info: &RuleInfo) -> String {
    let Some(seen) = &info.shadow else { return rule_text(&info.rule) };
    let samples =
        seen.samples.iter().map(|sample| format!(" {} at {}", sample.sequence, time(sample.time_ms)));
    let (since, matched, failed) = (time(seen.since_ms), seen.matched, seen.failed);
    let samples: Vec<_> = samples.collect();
    format!(
        "{} since {since}: {matched} matched, {failed} failed{}",
        rule_text(&info.rule),
        samples.join(",")
    )
}

/// The units of a queue, and its consumers, a line each.
pub fn consumers(answer: &Reply) -> Vec<String> {
    let Reply::Consumers(info) = answer else { return vec![reply_text(answer)] };
    let units = format!(
        "units {} of {}, {} waiting, {} refilled",
        info.in_use, info.capacity_units, info.waiting, info.refilled
    );
    let line = |it: &ConsumerInfo| {
        format!(
            "consumer {}: weight {}, credit {}, holds {} of {} units, had {}, latency {}ms",
            client_name(it.client),
            it.weight,
            it.credit,
            it.messages,
            it.units,
            it.delivered,
            it.latency_ms
        )
    };
    std::iter::once(units).chain(info.consumers.iter().map(line)).collect()
}

/// What the rules of a topic would do, a line each for subscriptions, rules, parts of filters and outcomes.
pub fn explained(answer: &Reply) -> Vec<String> {
    let Reply::Explained(page) = answer else { return vec![reply_text(answer)] };
    let end = match (page.unmatched, page.fall_through.as_str()) {
        (false, _) => "wanted".to_owned(),
        (true, "") => "unmatched".to_owned(),
        (true, name) => format!("unmatched, falls through to {name}"),
    };
    let lines = page.subscriptions.iter().flat_map(explained_part);
    let end = format!("{end}{}", if page.more { ", and more" } else { "" });
    lines.chain([end]).collect()
}

fn explained_part(part: &ExplainedSubscription) -> Vec<String> {
    let disabled = if part.disabled.is_empty() { String::new() } else { format!(" ({})", part.disabled) };
    let mut lines = vec![format!("{}{disabled}", part.name)];
    for rule in &part.rules {
        let shadow = if rule.shadow { " (shadow)" } else { "" };
        let action = if rule.action.is_empty() { String::new() } else { format!(" -> {}", rule.action) };
        lines.push(format!("  rule {}{shadow}: {}{action}", rule.name, rule.verdict));
        let part = |part: &Part| {
            let indent = 4 + 2 * usize::from(part.depth);
            format!("{:indent$}{}: {}", "", part.text, part.value)
        };
        lines.extend(rule.filter.iter().map(part));
    }
    lines.extend(part.outcomes.iter().map(outcome));
    lines
}

fn outcome(outcome: &Outcome) -> String {
    let by = if outcome.rule.is_empty() { String::new() } else { format!(" by {}", outcome.rule) };
    match &outcome.fate {
        Fate::Copy(None) => "  => a copy".to_owned(),
        Fate::Copy(Some(message)) => {
            let message = Message::decode(message.clone()).unwrap();
            let value = |(name, value): &(String, Value)| format!(" {name}={value}");
            let properties: Vec<_> = message.properties.iter().map(value).collect();
            let subject = message.subject.map(|subject| format!(" subject={subject}")).unwrap_or_default();
            format!("  => a copy{by}:{subject}{}", properties.concat())
        }
        Fate::DeadLetter { reason, description } => {
            format!("  => a dead letter{by}: {reason}, {description:?}")
        }
        Fate::Dropped(error) => format!("  => nothing{by}: {error}"),
    }
}

fn next_text(next: u64) -> String {
    if next == 0 { String::new() } else { format!(", next is {next}") }
}

fn peeked(peeked: &Peeked) -> String {
    let record = Record::decode(peeked.message.record.clone()).unwrap();
    let until =
        if peeked.until_ms == 0 { String::new() } else { format!(" until {}", time(peeked.until_ms)) };
    let attempts = match peeked.message.attempts {
        0 => String::new(),
        attempts => format!(" (attempts={attempts})"),
    };
    let redriven = match record.redrive_count {
        0 => String::new(),
        count => format!(" (redriven {count})"),
    };
    let replayed = if record.replayed { " (replayed)" } else { "" };
    let id = message_id(&record.message);
    format!(
        "{} {id}{} {}{until}{attempts}{redriven}{replayed}{}",
        peeked.message.sequence,
        own_copy(&record),
        peeked.state,
        dead_letter(&record)
    )
}

fn cause(info: &CauseInfo) -> String {
    let (first, last) = (time(info.first_ms), time(info.last_ms));
    format!(
        "{} of {}: {:?}, {} redriven, {first} to {last}, as {}",
        info.messages, info.cause.reason, info.cause.description, info.redriven, info.sample
    )
}

fn runs_text<T>(runs: &Runs<T>, show: impl Fn(&T, u32) -> String) -> String {
    runs.iter().map(|(count, outcome)| show(outcome, *count)).collect::<Vec<_>>().join("; ")
}
