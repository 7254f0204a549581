//! One example of every request and reply, each field with a value of its own, so that swapped fields show.

#![allow(dead_code, reason = "each test binary takes what it needs")]

use bytes::{Bytes, BytesMut};
use postrider_protocol::entity::{Counters, EntityInfo};
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::explain::{
    After, Explained, ExplainedRule, ExplainedSubscription, Fate, Outcome, Part, Verdict,
};
use postrider_protocol::message::{DeadLetterInfo, Message, Record};
use postrider_protocol::options::{
    EntityKind, FAIR_KEY, LOCK_DURATION_MS, MAX_DELIVERY_COUNT, Options, RETRY,
};
use postrider_protocol::reply::{
    BackupInfo, CauseInfo, ConsumerInfo, ConsumersInfo, Delivered, Delivery, PeekState, Peeked, Published,
    Reply, SessionInfo, Settled, StatusInfo, Welcome,
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

pub const STAMP: Stamp = Stamp { sequence: 7, floor: 5 };
pub const TOKEN: LockToken = LockToken { shard: 3, lease: 0x2a, place: 0, salt: 0xdead_beef };

/// The message of the worked example in `docs/protocol.md`.
pub fn small_message() -> Message {
    Message {
        message_id: Some("o-1".into()),
        subject: Some("OrderCreated".into()),
        properties: vec![("priority".into(), "high".into())],
        body: Bytes::from_static(b"{\"total\":42}"),
        ..Message::default()
    }
}

fn schedule() -> Schedule {
    Schedule {
        name: "nightly".into(),
        cron: "0 3 * * *".into(),
        zone: "Europe/Berlin".into(),
        message: Message::new("report").encode(),
    }
}

/// A message with every field set and a property of every kind.
pub fn full_message() -> Message {
    let text = |text: &str| Some(text.to_owned());
    Message {
        message_id: Some(Id::Number(1)),
        correlation_id: Some(Id::Uuid(2)),
        subject: text("subject"),
        to: text("to"),
        reply_to: text("reply-to"),
        reply_to_session_id: text("reply-to-session"),
        session_id: text("session"),
        partition_key: text("session"),
        content_type: text("text/plain"),
        time_to_live_ms: Some(3),
        scheduled_enqueue_time_ms: Some(4),
        priority: Some(5),
        cost: Some(6),
        body_encoding: Some(7),
        properties: vec![
            ("null".into(), Value::Null),
            ("bool".into(), true.into()),
            ("int".into(), Value::Int(-8)),
            ("float".into(), Value::Float(0.5)),
            ("text".into(), "é".into()),
            ("bytes".into(), Bytes::from_static(&[0, 255]).into()),
            ("timestamp".into(), Value::Timestamp(9)),
            ("uuid".into(), Value::Uuid(10)),
        ],
        body: Bytes::from_static(b"body"),
    }
}

pub fn plain_record() -> Record {
    Record {
        enqueued_time_ms: 1_700_000_000_000,
        enqueued_sequence: 4711,
        message: small_message().encode(),
        ..Record::default()
    }
}

pub fn dead_record() -> Record {
    let dead_letter = DeadLetterInfo {
        source: "orders".into(),
        reason: "MaxDeliveryCountExceeded".into(),
        description: "10 deliveries failed".into(),
        time_ms: 1_700_000_060_000,
    };
    Record {
        dead_letter: Some(dead_letter),
        expires_at_ms: Some(1_700_000_120_000),
        redrive_count: 2,
        hops: 3,
        destination: Some("billing".into()),
        replayed: true,
        rule_name: Some("large".into()),
        ..plain_record()
    }
}

pub fn record_bytes(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    record.put(&mut out);
    out.freeze()
}

pub fn hello() -> Request {
    Request::Hello(Hello {
        versions: (1, 1),
        features: 0,
        client: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        name: "orders".into(),
        token: "secret".into(),
    })
}

pub fn publish() -> Request {
    Request::Publish { handle: 1, stamp: STAMP, atomic: false, messages: vec![small_message().encode()] }
}

pub fn settle() -> Request {
    let item = SettleItem { token: TOKEN, run: 1, settlement: Settlement::Complete };
    Request::Settle { stamp: Stamp { sequence: 8, floor: 8 }, items: vec![item] }
}

fn properties() -> Vec<(String, Value)> {
    vec![("attempt".into(), Value::Int(2))]
}

fn transact() -> Request {
    let item = SettleItem { token: TOKEN, run: 1, settlement: Settlement::Complete };
    let operations = vec![
        Operation::Settle(item),
        Operation::Send { address: "billing".into(), messages: vec![Message::default().encode()] },
        Operation::Remove { address: "orders/$dead-letter".into(), sequence: 7 },
    ];
    Request::Transact { stamp: STAMP, operations }
}

fn settlements() -> Vec<SettleItem> {
    let settlements = [
        Settlement::Complete,
        Settlement::Abandon { delay_ms: 250, properties: properties() },
        Settlement::DeadLetter {
            reason: "why".into(),
            description: "details".into(),
            properties: properties(),
        },
        Settlement::Defer { properties: properties() },
        Settlement::Release,
        Settlement::Renew { duration_ms: 30_000 },
    ];
    let mut place = 0;
    let item = |settlement| {
        place += 2;
        SettleItem { token: LockToken { place, ..TOKEN }, run: 2, settlement }
    };
    settlements.into_iter().map(item).collect()
}

fn options() -> Options {
    let mut options = Options::new().with_number(LOCK_DURATION_MS, 30_000).with_number(MAX_DELIVERY_COUNT, 5);
    options.set("dead_letter_on_expiration", "true").expect("an option");
    options.set("forward_to", "elsewhere").expect("an option");
    options
}

fn rules() -> Vec<Rule> {
    let condition = |system, name: &str, value| Condition { system, name: name.into(), value };
    let correlation = Filter::Correlation(vec![
        condition(true, "subject", "OrderCreated".into()),
        condition(false, "priority", "high".into()),
    ]);
    vec![
        Rule::default_rule(),
        Rule::new("none", Filter::False),
        Rule::new("urgent", correlation),
        Rule::sql("sql", "total > @least")
            .with_parameter("least", 10i64)
            .with_action("SET size = 'large'")
            .as_shadow(),
    ]
}

fn rule_infos() -> Vec<RuleInfo> {
    let samples = vec![Sample { sequence: 4, time_ms: 5 }, Sample { sequence: 6, time_ms: 7 }];
    let shadow = ShadowInfo { since_ms: 1, matched: 2, failed: 3, samples };
    let info = |rule: Rule| RuleInfo { shadow: rule.shadow.then(|| shadow.clone()), rule };
    rules().into_iter().skip(2).map(info).collect()
}

/// One example of every request, in the order of their opcodes, then second ones that show other branches.
pub fn requests() -> Vec<Request> {
    let subscription = "order-events/subscriptions/payment".to_owned();
    vec![
        hello(),
        Request::Ping,
        Request::Goodbye,
        Request::OpenSender { handle: 1, address: "order-events".into() },
        publish(),
        Request::CloseSender { handle: 1 },
        Request::Scheduled {
            stamp: STAMP,
            address: "order-events".into(),
            action: ScheduledAction::Cancel,
            sequences: vec![60, 61],
        },
        Request::OpenReceiver(OpenReceiver {
            handle: 2,
            address: "email-queue/$dead-letter".into(),
            mode: ReceiveMode::PeekLock,
            lock_duration_ms: 20_000,
            release_on_disconnect: true,
            held: vec![40, 42],
            weight: 3,
            session: SessionWish::Named("customer-7".into()),
            wait_ms: 15_000,
        }),
        Request::Flow(Flow { handle: 2, delivered: 100, credit: 500, drain: false }),
        settle(),
        transact(),
        Request::CloseReceiver { handle: 2 },
        Request::RenewSession { handle: 2 },
        Request::GetSessionState { handle: 2 },
        Request::SetSessionState { stamp: STAMP, handle: 2, state: Some(Bytes::from_static(b"step 2")) },
        Request::ReceiveDeferred { handle: 2, stamp: STAMP, sequences: vec![70, 71] },
        Request::Create {
            stamp: STAMP,
            name: subscription.clone(),
            kind: EntityKind::Subscription,
            options: options(),
            rules: rules(),
        },
        Request::Update {
            stamp: STAMP,
            name: "email-queue".into(),
            options: options().with_unset(RETRY).with_unset(FAIR_KEY),
        },
        Request::Delete { stamp: STAMP, name: "email-queue".into() },
        Request::Get { name: "email-queue".into() },
        Request::List(Listing { kind: None, prefix: "order".into(), after: "order-a".into(), limit: 10 }),
        Request::PutRule {
            stamp: STAMP,
            subscription: subscription.clone(),
            replace: true,
            rule: rules().remove(2),
        },
        Request::DeleteRule { stamp: STAMP, subscription: subscription.clone(), rule: "urgent".into() },
        Request::PromoteRule { stamp: STAMP, subscription: subscription.clone(), rule: "sql".into() },
        Request::ListRules { subscription: subscription.clone(), after: "none".into(), limit: 105 },
        Request::Explain {
            topic: "order-events".into(),
            message: Message { subject: Some("OrderCreated".into()), ..Message::default() }.encode(),
            after: After { subscription: subscription.clone(), rule: "none".into() },
            limit: 106,
        },
        Request::Replay {
            stamp: STAMP,
            subscription: subscription.clone(),
            start: Start::Time(1_700_000_000_000),
            filter: "total > 10".into(),
        },
        Request::Peek {
            address: "email-queue".into(),
            from: 17,
            limit: 100,
            states: States::of(&[PeekState::Ready, PeekState::Delayed]),
            filter: "total > 10".into(),
        },
        Request::Purge {
            stamp: STAMP,
            address: "email-queue".into(),
            selection: Selection::default(),
            from: 17,
            to: 1_017,
            limit: 100,
        },
        Request::Redrive {
            stamp: STAMP,
            address: "email-queue/$dead-letter".into(),
            selection: selection(),
            from: 18,
            to: 1_018,
            limit: 101,
            dry_run: true,
        },
        Request::Causes { address: "email-queue/$dead-letter".into(), from: 19, limit: 102 },
        Request::ListSessions { address: "email-queue".into(), after: "customer-6".into(), limit: 103 },
        Request::PutSchedule { stamp: STAMP, address: "orders".into(), schedule: schedule() },
        Request::DeleteSchedule { stamp: STAMP, address: "orders".into(), schedule: "nightly".into() },
        Request::ListSchedules { address: "orders".into(), after: "hourly".into(), limit: 104 },
        Request::Consumers { address: "email-queue".into() },
        Request::Trace {
            message_id: "order-5".into(),
            entity: "order-events".into(),
            from: TraceCursor { shard: 3, row: 4_096, step: 2 },
            limit: 105,
        },
        Request::Status,
        Request::Backup { keep: 7 },
        Request::ListBackups,
        Request::Publish {
            handle: 1,
            stamp: STAMP,
            atomic: true,
            messages: vec![full_message().encode(), Message::default().encode()],
        },
        Request::Settle { stamp: STAMP, items: settlements() },
        Request::List(Listing { kind: Some(EntityKind::Topic), ..Listing::default() }),
        Request::OpenReceiver(OpenReceiver {
            handle: 3,
            address: "q".into(),
            mode: ReceiveMode::ReceiveAndDelete,
            lock_duration_ms: 0,
            release_on_disconnect: false,
            held: vec![],
            weight: 0,
            session: SessionWish::Next,
            wait_ms: 0,
        }),
        Request::OpenReceiver(OpenReceiver { handle: 4, address: "q".into(), ..OpenReceiver::default() }),
        Request::SetSessionState { stamp: STAMP, handle: 2, state: None },
        Request::Scheduled {
            stamp: STAMP,
            address: "q".into(),
            action: ScheduledAction::DeliverNow,
            sequences: vec![62],
        },
        Request::Replay { stamp: STAMP, subscription, start: Start::Sequence(18), filter: String::new() },
    ]
}

fn cause() -> Cause {
    Cause { reason: "Timeout".into(), description: "no answer after # ms".into() }
}

/// A selection with everything set.
pub fn selection() -> Selection {
    Selection {
        states: States::of(&[PeekState::Locked, PeekState::Scheduled, PeekState::Deferred]),
        filter: "sys.Subject = 'OrderCreated'".into(),
        before_ms: 1_700_000_000_000,
        cause: Some(cause()),
        sequences: vec![80, 81],
    }
}

fn step() -> Step {
    Step {
        when_ms: 1,
        kind: StepKind::DeadLettered,
        address: "orders".into(),
        sequence: 2,
        to_address: "orders/$dead-letter".into(),
        to_sequence: 3,
        client: 4,
        handle: 5,
        attempt: 6,
        until_ms: 7,
        reason: "Invalid".into(),
        description: "no total".into(),
    }
}

fn consumers() -> ConsumersInfo {
    let consumer = ConsumerInfo {
        client: 5,
        handle: 6,
        weight: 7,
        credit: 8,
        messages: 9,
        units: 10,
        delivered: 11,
        latency_ms: 12,
    };
    ConsumersInfo { capacity_units: 1, in_use: 2, waiting: 3, refilled: 4, consumers: vec![consumer; 2] }
}

pub fn refusal() -> Refusal {
    Refusal {
        retry_after_ms: 50,
        tracking_id: 0x0102,
        ..Refusal::invalid("name", "contains ' '").about("email queue")
    }
}

pub fn published() -> Reply {
    Reply::Published(vec![(1, Published::Accepted(4711))])
}

pub fn delivery() -> Reply {
    let message = Delivered { sequence: 4711, attempts: 0, record: record_bytes(&plain_record()) };
    Reply::Delivery(Delivery {
        handle: 2,
        token: TOKEN,
        locked_until_ms: 1_700_000_060_000,
        messages: vec![message],
    })
}

fn info() -> EntityInfo {
    EntityInfo {
        name: "order-events/subscriptions/payment".into(),
        kind: EntityKind::Subscription,
        created_ms: 1_700_000_000_000,
        options: options(),
        rules: rules(),
        counters: Counters {
            active: 1,
            locked: 2,
            dead_letters: 3,
            bytes: 4,
            receivers: 5,
            subscriptions: 6,
            last_sequence: 7,
            unmatched: 8,
            scheduled: 9,
            deferred: 10,
            delayed: 11,
            expired: 12,
            duplicates: 13,
            dropped: 14,
            sessions: 15,
            transfer_dead_letters: 6,
            breaker: 2,
            breaker_opened: 17,
            breaker_until_ms: 18,
            filter_errors: 16,
            retained: 19,
            replaying: 20,
        },
    }
}

/// One example of every reply, in the order of their opcodes, then second ones that show other branches.
pub fn replies() -> Vec<Reply> {
    let delivered = |record: &Record| Delivered { sequence: 12, attempts: 3, record: record_bytes(record) };
    vec![
        Reply::Welcome(Welcome {
            version: 1,
            features: 2,
            cluster: 3,
            node: 4,
            feature_level: 5,
            heartbeat_ms: 6,
            frame_bytes: 7,
            requests_in_flight: 8,
            links: 9,
        }),
        Reply::Pong,
        Reply::Goodbye(Refusal::new(ErrorCode::Unavailable, "the broker stops")),
        Reply::Done,
        Reply::Refused(refusal()),
        Reply::Opened {
            max_message_bytes: 1_048_576,
            lock_duration_ms: 60_000,
            session_id: "customer-7".into(),
            locked_until_ms: 1_700_000_060_000,
        },
        published(),
        delivery(),
        Reply::Drained { handle: 2, delivered: 101 },
        Reply::Settled(vec![
            (3, Settled::Done),
            (1, Settled::Renewed(1_700_000_090_000)),
            (2, Settled::Refused(Refusal::new(ErrorCode::LockLost, "ran out"))),
        ]),
        Reply::ReceiverClosed { handle: 2, refusal: Refusal::not_found("email-queue") },
        Reply::SessionRenewed { locked_until_ms: 1_700_000_090_000 },
        Reply::SessionState { state: Some(Bytes::from_static(b"step 2")), changed_ms: 1_700_000_000_000 },
        Reply::Entity(Box::new(info())),
        Reply::Entities { entities: vec![info(), info()], more: true },
        Reply::Peeked {
            messages: vec![
                Peeked { state: PeekState::Ready, until_ms: 0, message: delivered(&dead_record()) },
                Peeked { state: PeekState::Locked, until_ms: 1, message: delivered(&plain_record()) },
                Peeked { state: PeekState::Scheduled, until_ms: 2, message: delivered(&plain_record()) },
                Peeked { state: PeekState::Deferred, until_ms: 0, message: delivered(&plain_record()) },
                Peeked { state: PeekState::Delayed, until_ms: 3, message: delivered(&plain_record()) },
            ],
            next: 13,
        },
        Reply::Worked { done: 1_000, examined: 1_200, next: 1_217 },
        Reply::Causes {
            causes: vec![CauseInfo {
                cause: cause(),
                messages: 1,
                redriven: 2,
                first_ms: 3,
                last_ms: 4,
                sample: 5,
            }],
            next: 6,
        },
        Reply::Sessions {
            sessions: vec![SessionInfo {
                id: "customer-7".into(),
                messages: 1,
                owner: 2,
                locked_until_ms: 3,
                oldest_ms: 4,
                state_bytes: 5,
                state_changed_ms: 6,
            }],
            more: true,
        },
        Reply::Schedules { schedules: vec![ScheduleInfo { schedule: schedule(), next_ms: 1 }], more: true },
        Reply::Rules { rules: rule_infos(), more: true },
        Reply::Explained(explained()),
        Reply::Replaying { from: 18, to: 4_712 },
        Reply::Consumers(consumers()),
        Reply::Traced { steps: vec![step()], next: Some(TraceCursor { shard: 1, row: 2, step: 3 }) },
        Reply::Status(StatusInfo {
            version: "0.1.0".into(),
            cluster: 1,
            node: 2,
            uptime_ms: 3,
            connections: 4,
            entities: 5,
            messages: 6,
            bytes: 7,
            published: 8,
            delivered: 9,
            settled: 10,
            commits: 11,
            breakers_open: 12,
            storage_full: 1,
            disk_free: 13,
            disk_reserve: 14,
        }),
        Reply::BackedUp { backup: backup(), added_bytes: 5, duration_ms: 6 },
        Reply::Backups(vec![backup()]),
        Reply::Published(vec![
            (2, Published::Accepted(10)),
            (1, Published::Duplicate(4)),
            (1, Published::Refused(refusal())),
        ]),
        Reply::SessionState { state: None, changed_ms: 0 },
    ]
}

/// A rule of each verdict, and each fate.
fn explained() -> Explained {
    let part = |depth, text: &str, value: &str| Part { depth, text: text.into(), value: value.into() };
    let rule = |name: &str, verdict, filter| ExplainedRule {
        name: name.into(),
        shadow: verdict == Verdict::False,
        action: if verdict == Verdict::True { "SET a = 1".into() } else { String::new() },
        verdict,
        filter,
    };
    let dead_letter =
        Fate::DeadLetter { reason: "FilterEvaluationFailed".into(), description: "rule d".into() };
    let fates = [Fate::Copy(None), Fate::Copy(Some(Bytes::from_static(b"message"))), dead_letter];
    let fates = fates.into_iter().chain([Fate::Dropped("division by zero".into())]);
    let rules = vec![
        rule("a", Verdict::True, vec![part(0, "b = 2", "TRUE"), part(1, "b", "2")]),
        rule("b", Verdict::False, vec![part(0, "false", "FALSE")]),
        rule("c", Verdict::Unknown, vec![part(0, "x > 1", "UNKNOWN"), part(1, "x", "missing")]),
        rule("d", Verdict::Failed, vec![part(0, "1 / b > 1", "error: division by zero in 1 / b")]),
    ];
    let payment = ExplainedSubscription {
        name: "order-events/subscriptions/payment".into(),
        disabled: String::new(),
        rules,
        outcomes: fates
            .zip(["", "a", "d", "d"])
            .map(|(fate, rule)| Outcome { rule: rule.into(), fate })
            .collect(),
    };
    let off = ExplainedSubscription {
        name: "order-events/subscriptions/stock".into(),
        disabled: "send-disabled".into(),
        ..ExplainedSubscription::default()
    };
    Explained {
        more: true,
        unmatched: true,
        fall_through: "order-events/subscriptions/rest".into(),
        subscriptions: vec![payment, off],
    }
}

fn backup() -> BackupInfo {
    BackupInfo { number: 1, when_ms: 2, files: 3, bytes: 4 }
}

/// The request's name. No wildcard: a new variant does not compile until it has a name and an example.
pub fn request_name(request: &Request) -> &'static str {
    match request {
        Request::Hello(_) => "Hello",
        Request::Ping => "Ping",
        Request::Goodbye => "Goodbye",
        Request::OpenSender { .. } => "OpenSender",
        Request::CloseSender { .. } => "CloseSender",
        Request::Publish { .. } => "Publish",
        Request::Scheduled { .. } => "Scheduled",
        Request::OpenReceiver(_) => "OpenReceiver",
        Request::Flow(_) => "Flow",
        Request::Settle { .. } => "Settle",
        Request::Transact { .. } => "Transact",
        Request::CloseReceiver { .. } => "CloseReceiver",
        Request::RenewSession { .. } => "RenewSession",
        Request::GetSessionState { .. } => "GetSessionState",
        Request::SetSessionState { .. } => "SetSessionState",
        Request::ReceiveDeferred { .. } => "ReceiveDeferred",
        Request::Create { .. } => "Create",
        Request::Update { .. } => "Update",
        Request::Delete { .. } => "Delete",
        Request::Get { .. } => "Get",
        Request::List(_) => "List",
        Request::PutRule { .. } => "PutRule",
        Request::DeleteRule { .. } => "DeleteRule",
        Request::PromoteRule { .. } => "PromoteRule",
        Request::Replay { .. } => "Replay",
        Request::ListRules { .. } => "ListRules",
        Request::Explain { .. } => "Explain",
        Request::Peek { .. } => "Peek",
        Request::Purge { .. } => "Purge",
        Request::Redrive { .. } => "Redrive",
        Request::Causes { .. } => "Causes",
        Request::ListSessions { .. } => "ListSessions",
        Request::PutSchedule { .. } => "PutSchedule",
        Request::DeleteSchedule { .. } => "DeleteSchedule",
        Request::ListSchedules { .. } => "ListSchedules",
        Request::Consumers { .. } => "Consumers",
        Request::Trace { .. } => "Trace",
        Request::Status => "Status",
        Request::Backup { .. } => "Backup",
        Request::ListBackups => "ListBackups",
    }
}

/// The reply's name, in the same way.
pub fn reply_name(reply: &Reply) -> &'static str {
    match reply {
        Reply::Welcome(_) => "Welcome",
        Reply::Pong => "Pong",
        Reply::Goodbye(_) => "Goodbye",
        Reply::Done => "Done",
        Reply::Refused(_) => "Refused",
        Reply::Opened { .. } => "Opened",
        Reply::Published(_) => "Published",
        Reply::Settled(_) => "Settled",
        Reply::Drained { .. } => "Drained",
        Reply::Delivery(_) => "Delivery",
        Reply::ReceiverClosed { .. } => "ReceiverClosed",
        Reply::SessionRenewed { .. } => "SessionRenewed",
        Reply::SessionState { .. } => "SessionState",
        Reply::Entity(_) => "Entity",
        Reply::Entities { .. } => "Entities",
        Reply::Peeked { .. } => "Peeked",
        Reply::Worked { .. } => "Worked",
        Reply::Causes { .. } => "Causes",
        Reply::Sessions { .. } => "Sessions",
        Reply::Schedules { .. } => "Schedules",
        Reply::Rules { .. } => "Rules",
        Reply::Explained(_) => "Explained",
        Reply::Replaying { .. } => "Replaying",
        Reply::Consumers(_) => "Consumers",
        Reply::Traced { .. } => "Traced",
        Reply::Status(_) => "Status",
        Reply::BackedUp { .. } => "BackedUp",
        Reply::Backups(_) => "Backups",
    }
}

/// How many requests and replies there are; the lists above begin with one example of each.
pub const REQUESTS: usize = 40;
/// See [`REQUESTS`].
pub const REPLIES: usize = 28;

/// The request number of all example requests, and of replies that answer one.
pub const NUMBER: u32 = 9;

/// A request as one frame.
pub fn request_frame(request: &Request) -> Bytes {
    let mut out = BytesMut::new();
    request.put(NUMBER, &mut out);
    out.freeze()
}

/// A reply as one frame; what the broker sends by itself carries request 0.
pub fn reply_frame(reply: &Reply) -> Bytes {
    let unasked = matches!(reply, Reply::Delivery(_) | Reply::ReceiverClosed { .. } | Reply::Goodbye(_));
    let mut out = BytesMut::new();
    reply.put(if unasked { 0 } else { NUMBER }, &mut out);
    out.freeze()
}

/// All example frames.
pub fn frames() -> Vec<Bytes> {
    let requests = requests().iter().map(request_frame).collect::<Vec<_>>();
    requests.into_iter().chain(replies().iter().map(reply_frame)).collect()
}
