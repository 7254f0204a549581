//! Strategies: random values of everything that travels.

#![allow(dead_code, reason = "each test binary takes what it needs")]

use bytes::Bytes;
use postrider_protocol::entity::{Counters, EntityInfo};
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::explain::{
    After, Explained, ExplainedRule, ExplainedSubscription, Fate, Outcome, Part, Verdict,
};
use postrider_protocol::limits;
use postrider_protocol::message::{DeadLetterInfo, Message, Record};
use postrider_protocol::options::{Allowed, EntityKind, Options, TABLE, UNSET};
use postrider_protocol::reply::{
    BackupInfo, CauseInfo, ConsumerInfo, ConsumersInfo, Delivered, Delivery, PeekState, Peeked, Published,
    Reply, Runs, SessionInfo, Settled, StatusInfo, Welcome,
};
use postrider_protocol::request::{
    Cause, Flow, Hello, Listing, OpenReceiver, Operation, ReceiveMode, Request, ScheduledAction, Selection,
    SessionWish, SettleItem, Settlement, Stamp, Start, States,
};
use postrider_protocol::rule::{Condition, Filter, Rule, RuleInfo, Sample, ShadowInfo};
use postrider_protocol::schedule::{Schedule, ScheduleInfo};
use postrider_protocol::token::LockToken;
use postrider_protocol::trace::{Step, StepKind, TraceCursor};
use postrider_protocol::value::{Id, Value};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Any text, from empty to some characters of up to four bytes.
pub fn text() -> impl Strategy<Value = String> + Clone {
    vec(any::<char>(), 0..12).prop_map(String::from_iter)
}

pub fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

pub fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        // Without NaN, which does not equal itself.
        any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("not a number", |float| !float.is_nan())
            .prop_map(Value::Float),
        text().prop_map(Value::Text),
        bytes().prop_map(Value::Bytes),
        any::<i64>().prop_map(Value::Timestamp),
        any::<u128>().prop_map(Value::Uuid),
    ]
}

pub fn id() -> impl Strategy<Value = Id> {
    prop_oneof![
        text().prop_map(Id::Text),
        any::<u64>().prop_map(Id::Number),
        any::<u128>().prop_map(Id::Uuid),
        bytes().prop_map(Id::Bytes),
    ]
}

pub fn token() -> impl Strategy<Value = LockToken> {
    any::<(u16, u64, u16, u32)>().prop_map(|(shard, lease, place, salt)| LockToken {
        shard,
        lease,
        place,
        salt,
    })
}

pub fn properties() -> impl Strategy<Value = Vec<(String, Value)>> {
    vec((text(), value()), 0..6)
}

pub fn message() -> impl Strategy<Value = Message> {
    let ids = (option::of(id()), option::of(id()));
    let texts = proptest::array::uniform7(option::of(text()));
    let numbers = any::<(Option<u64>, Option<u64>, Option<u8>, Option<u32>, Option<u8>)>();
    (ids, texts, numbers, properties(), bytes()).prop_map(|(ids, texts, numbers, properties, body)| {
        let [subject, to, reply_to, reply_to_session_id, session_id, partition_key, content_type] = texts;
        let (time_to_live_ms, scheduled_enqueue_time_ms, priority, cost, body_encoding) = numbers;
        Message {
            message_id: ids.0,
            correlation_id: ids.1,
            subject,
            to,
            reply_to,
            reply_to_session_id,
            session_id,
            partition_key,
            content_type,
            time_to_live_ms,
            scheduled_enqueue_time_ms,
            priority,
            cost,
            body_encoding,
            properties,
            body,
        }
    })
}

pub fn record() -> impl Strategy<Value = Record> {
    let info = (text(), text(), text(), any::<u64>()).prop_map(|(source, reason, description, time_ms)| {
        DeadLetterInfo { source, reason, description, time_ms }
    });
    let numbers = any::<(u64, u64, Option<u64>)>();
    let rule_name = option::of("[a-z$]{1,9}");
    let moves =
        (prop_oneof![0..3u32, any::<u32>()], any::<u8>(), option::of(text()), rule_name, any::<bool>());
    (numbers, option::of(info), moves, message()).prop_map(|(numbers, dead_letter, moves, message)| {
        let (enqueued_time_ms, enqueued_sequence, expires_at_ms) = numbers;
        let (redrive_count, hops, destination, rule_name, replayed) = moves;
        Record {
            enqueued_time_ms,
            enqueued_sequence,
            dead_letter,
            expires_at_ms,
            redrive_count,
            hops,
            rule_name,
            destination,
            replayed,
            message: message.encode(),
        }
    })
}

/// Pieces of retry policies in any order: some are policies.
pub fn retry_text() -> impl Strategy<Value = String> {
    const PIECES: [&str; 18] = [
        "immediate",
        "list",
        "linear",
        "exponential",
        "max",
        "factor",
        "jitter",
        "dead-letter",
        "on",
        ";",
        ":",
        ",",
        "1s",
        "90s",
        "0ms",
        "720h",
        "20%",
        "3",
    ];
    let piece = prop_oneof![9 => select(PIECES.to_vec()).prop_map(str::to_owned), 1 => text()];
    vec(piece, 0..14).prop_map(|pieces| pieces.join(" "))
}

/// Retry policies.
pub fn retry_policy() -> impl Strategy<Value = String> {
    let ms = 1..=limits::RETRY_DELAY_MS;
    let delays = || {
        prop_oneof![
            Just("immediate".to_owned()),
            vec(ms.clone(), 1..5).prop_map(|list| {
                format!("list {}", list.iter().map(|ms| format!("{ms}ms")).collect::<Vec<_>>().join(","))
            }),
            (ms.clone(), ms.clone()).prop_map(|(a, b)| format!("linear {}ms max {}ms", a.min(b), a.max(b))),
            (ms.clone(), ms.clone(), 2..=100u32, 0..=100u32).prop_map(|(a, b, factor, jitter)| {
                let (first, most) = (a.min(b), a.max(b));
                format!("exponential {first}ms max {most}ms factor {factor} jitter {jitter}%")
            }),
        ]
    };
    let response = prop_oneof![delays(), Just("dead-letter".to_owned())];
    (delays(), vec(response, 0..4)).prop_map(|(delays, responses)| {
        let responses = responses.iter().enumerate().map(|(at, response)| format!("; on R{at}: {response}"));
        delays + &responses.collect::<String>()
    })
}

/// Options through their public door: names and texts that are allowed.
pub fn options() -> impl Strategy<Value = Options> {
    vec((0..TABLE.len(), any::<u64>(), text()), 0..5).prop_map(|choices| {
        let mut options = Options::new();
        for (row, number, word) in choices {
            let text = match TABLE[row].allowed {
                Allowed::Number(low, high) => number.clamp(low, high).to_string(),
                Allowed::Flag => (number.is_multiple_of(2)).to_string(),
                Allowed::Word(words) => words[number as usize % words.len()].to_owned(),
                Allowed::Text(_) => format!("x{word}"),
                Allowed::Retry => format!("list {}ms", number % limits::RETRY_DELAY_MS),
            };
            let text = if number.is_multiple_of(8) { UNSET } else { &text };
            options.set(TABLE[row].name, text).expect("an allowed value");
        }
        options
    })
}

fn kind() -> impl Strategy<Value = EntityKind> {
    select(EntityKind::ALL.to_vec())
}

pub fn rule() -> impl Strategy<Value = Rule> {
    let condition =
        (any::<bool>(), text(), value()).prop_map(|(system, name, value)| Condition { system, name, value });
    let filter = prop_oneof![
        Just(Filter::True),
        Just(Filter::False),
        vec(condition, 0..5).prop_map(Filter::Correlation),
        text().prop_map(Filter::Sql),
    ];
    let action = option::of(text()).prop_map(|action| action.filter(|action| !action.is_empty()));
    (text(), filter, action, vec((text(), value()), 0..3), any::<bool>()).prop_map(
        |(name, filter, action, parameters, shadow)| Rule { name, filter, action, parameters, shadow },
    )
}

fn rule_info() -> impl Strategy<Value = RuleInfo> {
    let sample = any::<(u64, u64)>().prop_map(|(sequence, time_ms)| Sample { sequence, time_ms });
    let shadow = (any::<(u64, u64, u64)>(), vec(sample, 0..4))
        .prop_map(|((since_ms, matched, failed), samples)| ShadowInfo { since_ms, matched, failed, samples });
    (rule(), shadow).prop_map(|(rule, shadow)| RuleInfo { shadow: rule.shadow.then_some(shadow), rule })
}

pub fn refusal() -> impl Strategy<Value = Refusal> {
    let code = select(ErrorCode::ALL.to_vec());
    (code, text(), text(), text(), any::<u64>(), any::<u64>()).prop_map(
        |(code, entity, field, message, retry_after_ms, tracking_id)| Refusal {
            code,
            entity,
            field,
            message,
            retry_after_ms,
            tracking_id,
        },
    )
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (1..=u64::MAX).prop_flat_map(|sequence| {
        (Just(sequence), 0..=sequence).prop_map(|(sequence, floor)| Stamp { sequence, floor })
    })
}

fn settlement() -> impl Strategy<Value = Settlement> {
    prop_oneof![
        Just(Settlement::Complete),
        (any::<u64>(), properties())
            .prop_map(|(delay_ms, properties)| Settlement::Abandon { delay_ms, properties }),
        (text(), text(), properties()).prop_map(|(reason, description, properties)| {
            Settlement::DeadLetter { reason, description, properties }
        }),
        properties().prop_map(|properties| Settlement::Defer { properties }),
        Just(Settlement::Release),
        any::<u64>().prop_map(|duration_ms| Settlement::Renew { duration_ms }),
    ]
}

fn settle_item() -> impl Strategy<Value = SettleItem> {
    (token(), 1..100u16, settlement()).prop_map(|(mut token, run, settlement)| {
        token.place = token.place.min(u16::MAX - run);
        SettleItem { token, run, settlement }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (text(), vec(bytes(), 0..4)).prop_map(|(address, messages)| Operation::Send { address, messages }),
        settle_item().prop_map(Operation::Settle),
        (text(), any::<u64>()).prop_map(|(address, sequence)| Operation::Remove { address, sequence }),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    (any::<(u16, u16)>(), any::<u64>(), any::<u128>(), text(), text()).prop_map(
        |(versions, features, client, name, token)| Hello { versions, features, client, name, token },
    )
}

fn session_wish() -> impl Strategy<Value = SessionWish> {
    prop_oneof![Just(SessionWish::None), text().prop_map(SessionWish::Named), Just(SessionWish::Next)]
}

fn open_receiver() -> impl Strategy<Value = OpenReceiver> {
    let mode = select(vec![ReceiveMode::PeekLock, ReceiveMode::ReceiveAndDelete]);
    let numbers = any::<(u32, u64, u32, u64)>();
    (numbers, text(), mode, any::<bool>(), sequences(), session_wish()).prop_map(
        |(
            (handle, lock_duration_ms, weight, wait_ms),
            address,
            mode,
            release_on_disconnect,
            held,
            session,
        )| {
            OpenReceiver {
                handle,
                address,
                mode,
                lock_duration_ms,
                release_on_disconnect,
                held,
                weight,
                session,
                wait_ms,
            }
        },
    )
}

fn sequences() -> impl Strategy<Value = Vec<u64>> {
    vec(any::<u64>(), 0..6)
}

fn states() -> impl Strategy<Value = States> {
    vec(select(PeekState::ALL.to_vec()), 0..4).prop_map(|states| States::of(&states))
}

fn cause() -> impl Strategy<Value = Cause> {
    (text(), text()).prop_map(|(reason, description)| Cause { reason, description })
}

fn selection() -> impl Strategy<Value = Selection> {
    (states(), text(), any::<u64>(), option::of(cause()), sequences()).prop_map(
        |(states, filter, before_ms, cause, sequences)| Selection {
            states,
            filter,
            before_ms,
            cause,
            sequences,
        },
    )
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![any::<u64>().prop_map(Start::Sequence), any::<u64>().prop_map(Start::Time)]
}

fn listing() -> impl Strategy<Value = Listing> {
    (option::of(kind()), text(), text(), any::<u32>()).prop_map(|(kind, prefix, after, limit)| Listing {
        kind,
        prefix,
        after,
        limit,
    })
}

/// A strategy for every kind of request.
pub fn requests() -> Vec<BoxedStrategy<Request>> {
    vec![
        hello().prop_map(Request::Hello).boxed(),
        Just(Request::Ping).boxed(),
        Just(Request::Goodbye).boxed(),
        (any::<u32>(), text()).prop_map(|(handle, address)| Request::OpenSender { handle, address }).boxed(),
        any::<u32>().prop_map(|handle| Request::CloseSender { handle }).boxed(),
        (any::<u32>(), stamp(), any::<bool>(), vec(message().prop_map(|message| message.encode()), 0..5))
            .prop_map(|(handle, stamp, atomic, messages)| Request::Publish {
                handle,
                stamp,
                atomic,
                messages,
            })
            .boxed(),
        open_receiver().prop_map(Request::OpenReceiver).boxed(),
        any::<(u32, u64, u32, bool)>()
            .prop_map(|(handle, delivered, credit, drain)| {
                Request::Flow(Flow { handle, delivered, credit, drain })
            })
            .boxed(),
        (stamp(), vec(settle_item(), 0..8))
            .prop_map(|(stamp, items)| Request::Settle { stamp, items })
            .boxed(),
        (stamp(), vec(operation(), 0..8))
            .prop_map(|(stamp, operations)| Request::Transact { stamp, operations })
            .boxed(),
        any::<u32>().prop_map(|handle| Request::CloseReceiver { handle }).boxed(),
        (stamp(), text(), kind(), options(), vec(rule(), 0..4))
            .prop_map(|(stamp, name, kind, options, rules)| Request::Create {
                stamp,
                name,
                kind,
                options,
                rules,
            })
            .boxed(),
        (stamp(), text(), options())
            .prop_map(|(stamp, name, options)| Request::Update { stamp, name, options })
            .boxed(),
        (stamp(), text()).prop_map(|(stamp, name)| Request::Delete { stamp, name }).boxed(),
        text().prop_map(|name| Request::Get { name }).boxed(),
        listing().prop_map(Request::List).boxed(),
        (stamp(), text(), any::<bool>(), rule())
            .prop_map(|(stamp, subscription, replace, rule)| Request::PutRule {
                stamp,
                subscription,
                replace,
                rule,
            })
            .boxed(),
        (stamp(), text(), text())
            .prop_map(|(stamp, subscription, rule)| Request::DeleteRule { stamp, subscription, rule })
            .boxed(),
        (stamp(), text(), text())
            .prop_map(|(stamp, subscription, rule)| Request::PromoteRule { stamp, subscription, rule })
            .boxed(),
        (stamp(), text(), start(), text())
            .prop_map(|(stamp, subscription, start, filter)| Request::Replay {
                stamp,
                subscription,
                start,
                filter,
            })
            .boxed(),
        (text(), text(), any::<u32>())
            .prop_map(|(subscription, after, limit)| Request::ListRules { subscription, after, limit })
            .boxed(),
        (text(), bytes(), (text(), text()), any::<u32>())
            .prop_map(|(topic, message, (subscription, rule), limit)| Request::Explain {
                topic,
                message,
                after: After { subscription, rule },
                limit,
            })
            .boxed(),
        Just(Request::Status).boxed(),
        any::<u32>().prop_map(|keep| Request::Backup { keep }).boxed(),
        Just(Request::ListBackups).boxed(),
    ]
    .into_iter()
    .chain(session_requests())
    .chain(content_requests())
    .collect()
}

/// Requests about sessions, and about messages by their number.
fn session_requests() -> Vec<BoxedStrategy<Request>> {
    let action = select(vec![ScheduledAction::Cancel, ScheduledAction::DeliverNow]);
    vec![
        any::<u32>().prop_map(|handle| Request::RenewSession { handle }).boxed(),
        any::<u32>().prop_map(|handle| Request::GetSessionState { handle }).boxed(),
        (stamp(), any::<u32>(), option::of(bytes()))
            .prop_map(|(stamp, handle, state)| Request::SetSessionState { stamp, handle, state })
            .boxed(),
        (any::<u32>(), stamp(), sequences())
            .prop_map(|(handle, stamp, sequences)| Request::ReceiveDeferred { handle, stamp, sequences })
            .boxed(),
        (stamp(), text(), action, sequences())
            .prop_map(|(stamp, address, action, sequences)| Request::Scheduled {
                stamp,
                address,
                action,
                sequences,
            })
            .boxed(),
        (text(), text(), any::<u32>())
            .prop_map(|(address, after, limit)| Request::ListSessions { address, after, limit })
            .boxed(),
        (stamp(), text(), schedule())
            .prop_map(|(stamp, address, schedule)| Request::PutSchedule { stamp, address, schedule })
            .boxed(),
        (stamp(), text(), text())
            .prop_map(|(stamp, address, schedule)| Request::DeleteSchedule { stamp, address, schedule })
            .boxed(),
        (text(), text(), any::<u32>())
            .prop_map(|(address, after, limit)| Request::ListSchedules { address, after, limit })
            .boxed(),
        text().prop_map(|address| Request::Consumers { address }).boxed(),
        (text(), text(), cursor(), any::<u32>())
            .prop_map(|(message_id, entity, from, limit)| Request::Trace { message_id, entity, from, limit })
            .boxed(),
    ]
}

/// Requests about what is in a queue.
fn content_requests() -> Vec<BoxedStrategy<Request>> {
    let range = any::<(u64, u64, u32)>();
    vec![
        (text(), any::<(u64, u32)>(), states(), text())
            .prop_map(|(address, (from, limit), states, filter)| Request::Peek {
                address,
                from,
                limit,
                states,
                filter,
            })
            .boxed(),
        (stamp(), text(), selection(), range)
            .prop_map(|(stamp, address, selection, (from, to, limit))| Request::Purge {
                stamp,
                address,
                selection,
                from,
                to,
                limit,
            })
            .boxed(),
        (stamp(), text(), selection(), range, any::<bool>())
            .prop_map(|(stamp, address, selection, (from, to, limit), dry_run)| Request::Redrive {
                stamp,
                address,
                selection,
                from,
                to,
                limit,
                dry_run,
            })
            .boxed(),
        (text(), any::<(u64, u32)>())
            .prop_map(|(address, (from, limit))| Request::Causes { address, from, limit })
            .boxed(),
    ]
}

fn delivered() -> impl Strategy<Value = Delivered> {
    (any::<u64>(), any::<u32>(), record()).prop_map(|(sequence, attempts, record)| {
        let mut out = bytes::BytesMut::new();
        record.put(&mut out);
        Delivered { sequence, attempts, record: out.freeze() }
    })
}

fn delivery() -> impl Strategy<Value = Delivery> {
    (any::<u32>(), token(), any::<u64>(), vec(delivered(), 0..4)).prop_map(
        |(handle, token, locked_until_ms, messages)| Delivery { handle, token, locked_until_ms, messages },
    )
}

/// Runs as a broker writes them: no two neighbours that could be one.
fn runs<T: Clone + PartialEq + std::fmt::Debug>(
    outcome: impl Strategy<Value = T>,
    at: impl Fn(&T, u32) -> T,
) -> impl Strategy<Value = Runs<T>> {
    vec((1..300u32, outcome), 0..8).prop_map(move |mut runs| {
        runs.dedup_by(|next, first| at(&first.1, first.0) == next.1);
        runs
    })
}

fn published() -> impl Strategy<Value = Runs<Published>> {
    let outcome = prop_oneof![
        any::<u64>().prop_map(Published::Accepted),
        any::<u64>().prop_map(Published::Duplicate),
        refusal().prop_map(Published::Refused),
        Just(Published::Underway),
    ];
    runs(outcome, Published::at)
}

fn settled() -> impl Strategy<Value = Runs<Settled>> {
    let outcome = prop_oneof![
        Just(Settled::Done),
        any::<u64>().prop_map(Settled::Renewed),
        refusal().prop_map(Settled::Refused),
    ];
    runs(outcome, |settled, _| settled.clone())
}

fn welcome() -> impl Strategy<Value = Welcome> {
    any::<(u16, u64, u128, u64, u32, u64, u32, u32, u32)>().prop_map(|numbers| Welcome {
        version: numbers.0,
        features: numbers.1,
        cluster: numbers.2,
        node: numbers.3,
        feature_level: numbers.4,
        heartbeat_ms: numbers.5,
        frame_bytes: numbers.6,
        requests_in_flight: numbers.7,
        links: numbers.8,
    })
}

fn info() -> impl Strategy<Value = EntityInfo> {
    let counters =
        any::<[u64; 22]>().prop_map(|[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, t, u, v, w]| {
            Counters {
                active: a,
                locked: b,
                dead_letters: c,
                bytes: d,
                receivers: e,
                subscriptions: f,
                last_sequence: g,
                unmatched: h,
                scheduled: i,
                deferred: j,
                delayed: k,
                expired: l,
                duplicates: m,
                dropped: n,
                sessions: o,
                transfer_dead_letters: t,
                filter_errors: u,
                breaker: p,
                breaker_opened: q,
                breaker_until_ms: r,
                retained: v,
                replaying: w,
            }
        });
    (text(), kind(), any::<u64>(), options(), vec(rule(), 0..4), counters).prop_map(
        |(name, kind, created_ms, options, rules, counters)| EntityInfo {
            name,
            kind,
            created_ms,
            options,
            rules,
            counters,
        },
    )
}

fn peeked() -> impl Strategy<Value = Peeked> {
    (select(PeekState::ALL.to_vec()), any::<u64>(), delivered())
        .prop_map(|(state, until_ms, message)| Peeked { state, until_ms, message })
}

fn cause_info() -> impl Strategy<Value = CauseInfo> {
    (cause(), any::<[u64; 5]>()).prop_map(|(cause, [messages, redriven, first_ms, last_ms, sample])| {
        CauseInfo { cause, messages, redriven, first_ms, last_ms, sample }
    })
}

fn session_info() -> impl Strategy<Value = SessionInfo> {
    (text(), any::<u128>(), any::<[u64; 5]>()).prop_map(|(id, owner, numbers)| {
        let [messages, locked_until_ms, oldest_ms, state_bytes, state_changed_ms] = numbers;
        SessionInfo { id, messages, owner, locked_until_ms, oldest_ms, state_bytes, state_changed_ms }
    })
}

fn consumers_info() -> impl Strategy<Value = ConsumersInfo> {
    let consumer = any::<(u128, [u32; 3], [u64; 4])>().prop_map(
        |(client, [handle, weight, credit], [messages, units, delivered, latency_ms])| ConsumerInfo {
            client,
            handle,
            weight,
            credit,
            messages,
            units,
            delivered,
            latency_ms,
        },
    );
    (any::<[u64; 4]>(), vec(consumer, 0..4)).prop_map(
        |([capacity_units, in_use, waiting, refilled], consumers)| ConsumersInfo {
            capacity_units,
            in_use,
            waiting,
            refilled,
            consumers,
        },
    )
}

fn cursor() -> impl Strategy<Value = TraceCursor> {
    any::<(u16, u64, u32)>().prop_map(|(shard, row, step)| TraceCursor { shard, row, step })
}

fn step() -> impl Strategy<Value = Step> {
    let kind = select(StepKind::ALL.map(|(kind, _)| kind).to_vec());
    (kind, vec(text(), 4), any::<([u64; 4], u128, [u32; 2])>()).prop_map(|(kind, mut texts, numbers)| {
        let ([when_ms, sequence, to_sequence, until_ms], client, [handle, attempt]) = numbers;
        Step {
            when_ms,
            kind,
            address: texts.remove(0),
            sequence,
            to_address: texts.remove(0),
            to_sequence,
            client,
            handle,
            attempt,
            until_ms,
            reason: texts.remove(0),
            description: texts.remove(0),
        }
    })
}

fn backup() -> impl Strategy<Value = BackupInfo> {
    any::<([u32; 2], [u64; 2])>().prop_map(|([number, files], [when_ms, bytes])| BackupInfo {
        number,
        when_ms,
        files,
        bytes,
    })
}

fn status() -> impl Strategy<Value = StatusInfo> {
    (text(), any::<u128>(), any::<u64>(), any::<[u64; 13]>()).prop_map(|(version, cluster, node, numbers)| {
        let [
            uptime_ms,
            connections,
            entities,
            messages,
            bytes,
            published,
            delivered,
            settled,
            commits,
            breakers_open,
            storage_full,
            disk_free,
            disk_reserve,
        ] = numbers;
        StatusInfo {
            version,
            cluster,
            node,
            uptime_ms,
            connections,
            entities,
            messages,
            bytes,
            published,
            delivered,
            settled,
            commits,
            breakers_open,
            storage_full,
            disk_free,
            disk_reserve,
        }
    })
}

/// A strategy for every kind of reply.
pub fn replies() -> Vec<BoxedStrategy<Reply>> {
    vec![
        welcome().prop_map(Reply::Welcome).boxed(),
        Just(Reply::Pong).boxed(),
        refusal().prop_map(Reply::Goodbye).boxed(),
        Just(Reply::Done).boxed(),
        refusal().prop_map(Reply::Refused).boxed(),
        (any::<[u64; 3]>(), text())
            .prop_map(|([max_message_bytes, lock_duration_ms, locked_until_ms], session_id)| Reply::Opened {
                max_message_bytes,
                lock_duration_ms,
                session_id,
                locked_until_ms,
            })
            .boxed(),
        published().prop_map(Reply::Published).boxed(),
        settled().prop_map(Reply::Settled).boxed(),
        any::<(u32, u64)>().prop_map(|(handle, delivered)| Reply::Drained { handle, delivered }).boxed(),
        delivery().prop_map(Reply::Delivery).boxed(),
        (any::<u32>(), refusal())
            .prop_map(|(handle, refusal)| Reply::ReceiverClosed { handle, refusal })
            .boxed(),
        info().prop_map(|info| Reply::Entity(Box::new(info))).boxed(),
        (vec(info(), 0..4), any::<bool>())
            .prop_map(|(entities, more)| Reply::Entities { entities, more })
            .boxed(),
        (vec(peeked(), 0..4), any::<u64>())
            .prop_map(|(messages, next)| Reply::Peeked { messages, next })
            .boxed(),
        any::<(u64, u64, u64)>()
            .prop_map(|(done, examined, next)| Reply::Worked { done, examined, next })
            .boxed(),
        (vec(cause_info(), 0..4), any::<u64>())
            .prop_map(|(causes, next)| Reply::Causes { causes, next })
            .boxed(),
        (vec(session_info(), 0..4), any::<bool>())
            .prop_map(|(sessions, more)| Reply::Sessions { sessions, more })
            .boxed(),
        (vec((schedule(), any::<u64>()), 0..4), any::<bool>())
            .prop_map(|(found, more)| {
                let info = |(schedule, next_ms)| ScheduleInfo { schedule, next_ms };
                Reply::Schedules { schedules: found.into_iter().map(info).collect(), more }
            })
            .boxed(),
        (vec(rule_info(), 0..4), any::<bool>())
            .prop_map(|(rules, more)| Reply::Rules { rules, more })
            .boxed(),
        explained().prop_map(Reply::Explained).boxed(),
        any::<(u64, u64)>().prop_map(|(from, to)| Reply::Replaying { from, to }).boxed(),
        consumers_info().prop_map(Reply::Consumers).boxed(),
        (vec(step(), 0..4), option::of(cursor()))
            .prop_map(|(steps, next)| Reply::Traced { steps, next })
            .boxed(),
        any::<u64>().prop_map(|locked_until_ms| Reply::SessionRenewed { locked_until_ms }).boxed(),
        (option::of(bytes()), any::<u64>())
            .prop_map(|(state, changed_ms)| Reply::SessionState { state, changed_ms })
            .boxed(),
        status().prop_map(Reply::Status).boxed(),
        (backup(), any::<[u64; 2]>())
            .prop_map(|(backup, [added_bytes, duration_ms])| Reply::BackedUp {
                backup,
                added_bytes,
                duration_ms,
            })
            .boxed(),
        vec(backup(), 0..4).prop_map(Reply::Backups).boxed(),
    ]
}

fn explained() -> impl Strategy<Value = Explained> {
    let part = (0..limits::FILTER_CHARS as u16, text(), text()).prop_map(|(depth, text, value)| Part {
        depth,
        text,
        value,
    });
    let verdict = select(vec![Verdict::False, Verdict::True, Verdict::Unknown, Verdict::Failed]);
    let rule = (text(), any::<bool>(), text(), verdict, vec(part, 0..4));
    let rule = rule.prop_map(|(name, shadow, action, verdict, filter)| ExplainedRule {
        name,
        shadow,
        action,
        verdict,
        filter,
    });
    let fate = prop_oneof![
        option::of(bytes()).prop_map(Fate::Copy),
        (text(), text()).prop_map(|(reason, description)| Fate::DeadLetter { reason, description }),
        text().prop_map(Fate::Dropped),
    ];
    let outcome = (text(), fate).prop_map(|(rule, fate)| Outcome { rule, fate });
    let subscription = (text(), text(), vec(rule, 0..4), vec(outcome, 0..4));
    let subscription = subscription.prop_map(|(name, disabled, rules, outcomes)| ExplainedSubscription {
        name,
        disabled,
        rules,
        outcomes,
    });
    (any::<[bool; 2]>(), text(), vec(subscription, 0..4)).prop_map(
        |([more, unmatched], fall_through, subscriptions)| Explained {
            more,
            unmatched,
            fall_through,
            subscriptions,
        },
    )
}

fn schedule() -> impl Strategy<Value = Schedule> {
    (text(), text(), text(), bytes()).prop_map(|(name, cron, zone, message)| Schedule {
        name,
        cron,
        zone,
        message,
    })
}
