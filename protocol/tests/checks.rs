//! What is laid out rightly and still not allowed: each limit of a message and of a rule, at its edge.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod examples;

use bytes::Bytes;
use postrider_protocol::error::ErrorCode;
use postrider_protocol::explain::After;
use postrider_protocol::limits;
use postrider_protocol::message::{Incoming, Message};
use postrider_protocol::reply::PeekState;
use postrider_protocol::request::{
    Cause, OpenReceiver, Request, ScheduledAction, Selection, SessionWish, States,
};
use postrider_protocol::rule::{Condition, Filter, Rule};
use postrider_protocol::trace::TraceCursor;
use postrider_protocol::value::{Id, Value};

/// The field that the message is refused for; none when it is taken.
fn refused(message: Message) -> Option<String> {
    let refusal = Incoming::parse(message.encode()).err()?;
    assert_eq!(refusal.code, ErrorCode::InvalidArgument);
    Some(refusal.field)
}

fn text(length: usize) -> String {
    "é".repeat(length)
}

#[test]
fn each_limit_of_a_message_holds_to_the_last_character() {
    type Build = fn(usize) -> Message;
    let cases: [(&str, usize, Build); 9] = [
        ("message_id", 128, |n| Message { message_id: Some(text(n).into()), ..Message::default() }),
        ("correlation_id", 128, |n| Message {
            correlation_id: Some(Id::Bytes(vec![0; n].into())),
            ..Message::default()
        }),
        ("session_id", 128, |n| Message { session_id: Some(text(n)), ..Message::default() }),
        ("subject", 4096, |n| Message { subject: Some("x".repeat(n)), ..Message::default() }),
        ("content_type", 4096, |n| Message { content_type: Some("x".repeat(n)), ..Message::default() }),
        ("partition_key", 4096, |n| Message { partition_key: Some("x".repeat(n)), ..Message::default() }),
        ("properties", 128, |n| Message { properties: vec![(text(n), Value::Null)], ..Message::default() }),
        ("properties.p", 32_768, |n| Message {
            properties: vec![("p".into(), Value::Bytes(vec![0; n].into()))],
            ..Message::default()
        }),
        ("properties", 65_536 - 32_768 - 2, |n| Message {
            properties: vec![
                ("p".into(), Value::Bytes(vec![0; 32_768].into())),
                ("q".into(), Value::Bytes(vec![0; n].into())),
            ],
            ..Message::default()
        }),
    ];
    for (field, most, build) in cases {
        assert_eq!(refused(build(most)), None, "{field} of {most}");
        assert_eq!(refused(build(most + 1)).as_deref(), Some(field), "{field} above {most}");
    }
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    let numbers = |priority, cost, time_to_live_ms| {
        refused(Message { priority, cost, time_to_live_ms, ..Message::default() })
    };
    assert_eq!(numbers(Some(1), Some(1), Some(1)), None);
    assert_eq!(numbers(Some(10), Some(u32::MAX), Some(u64::MAX)), None);
    assert_eq!(numbers(Some(0), None, None).as_deref(), Some("priority"));
    assert_eq!(numbers(Some(11), None, None).as_deref(), Some("priority"));
    assert_eq!(numbers(None, Some(0), None).as_deref(), Some("cost"));
    assert_eq!(numbers(None, None, Some(0)).as_deref(), Some("time_to_live_ms"));
}

#[test]
fn fields_must_not_contradict_each_other() {
    let with = |session: &str, key: &str| Message {
        session_id: Some(session.into()),
        partition_key: Some(key.into()),
        ..Message::default()
    };
    assert_eq!(refused(with("a", "a")), None);
    assert_eq!(refused(with("a", "b")).as_deref(), Some("partition_key"));
    assert_eq!(refused(with("", "")).as_deref(), Some("session_id"));
    let named = |names: &[&str]| Message {
        properties: names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect(),
        ..Message::default()
    };
    assert_eq!(refused(named(&["a", "ab", "b"])), None);
    assert_eq!(refused(named(&["Größe", "b", "GRÖSSE", "c"])), None);
    assert!(
        refused(named(&["Über", "b", "über", "c"])).is_some_and(|field| field.starts_with("properties."))
    );
    assert_eq!(refused(named(&[""])).as_deref(), Some("properties"));
}

#[test]
fn a_header_that_is_not_one_is_refused_and_not_fatal() {
    let refusal = Incoming::parse(Bytes::from_static(&[0, 0, 0, 4, 0x80, 0, 0, 0])).unwrap_err();
    assert_eq!((refusal.code, refusal.field.as_str()), (ErrorCode::InvalidArgument, "message.present"));
    let message = Incoming::parse(examples::full_message().encode()).unwrap();
    let size = message.bytes.len() as u64;
    assert!(message.check_size(size).is_ok());
    assert_eq!(message.check_size(size - 1).unwrap_err().code, ErrorCode::MessageTooLarge);
}

#[test]
fn rules_are_checked() {
    let rule = |name: &str, filter| Rule::new(name, filter);
    let condition = |system, name: &str| Condition { system, name: name.into(), value: Value::Null };
    let correlation = |system, name: &str| rule("r", Filter::Correlation(vec![condition(system, name)]));
    let longest = "r".repeat(limits::RULE_NAME_CHARS);
    for good in [
        Rule::default_rule(),
        rule(&longest, Filter::False),
        correlation(true, "Subject"),
        correlation(false, "any"),
        rule("r", Filter::Sql("a = @a".into())).with_parameter("@a", 1i64).with_parameter("b", true),
    ] {
        good.check().unwrap();
    }
    for (bad, field) in [
        (rule("", Filter::True), "rule.name"),
        (rule(&(longest + "r"), Filter::True), "rule.name"),
        (rule("a b", Filter::True), "rule.name"),
        (rule("r", Filter::Sql("a".repeat(limits::RULE_BYTES))), "rule"),
        (rule("r", Filter::True).with_action("a".repeat(limits::RULE_BYTES)), "rule"),
        (rule("r", Filter::True).with_parameter("@A", 1i64).with_parameter("a", 2i64), "rule.parameters"),
        (rule("r", Filter::True).with_parameter("@", 1i64), "rule.parameters"),
        (many_parameters(limits::RULE_PARAMETERS + 1), "rule.parameters"),
        (rule("r", Filter::Correlation(vec![])), "rule.filter"),
        (correlation(true, "any"), "rule.filter"),
        (correlation(false, ""), "rule.filter"),
    ] {
        assert_eq!(bad.check().unwrap_err().field, field, "{bad:?}");
    }
}

fn many_parameters(count: usize) -> Rule {
    let rule = Rule::sql("r", "TRUE");
    (0..count).fold(rule, |rule, at| rule.with_parameter(format!("p{at}"), at as i64 as f64))
}

/// The field that the request is refused for, or the code of a refusal without one.
fn refused_request(request: &Request) -> Option<String> {
    let refusal = request.check().err()?;
    Some(if refusal.field.is_empty() { refusal.code.name().to_owned() } else { refusal.field })
}

#[test]
fn each_limit_of_a_request_holds_to_the_last_character() {
    type Build = fn(usize) -> Request;
    let cases: [(&str, usize, Build); 6] = [
        ("session", 128, |n| {
            Request::OpenReceiver(OpenReceiver {
                session: SessionWish::Named(text(n)),
                ..OpenReceiver::default()
            })
        }),
        ("MessageTooLarge", 1_048_576, |n| Request::SetSessionState {
            stamp: examples::STAMP,
            handle: 1,
            state: Some(vec![0; n].into()),
        }),
        ("MessageTooLarge", 1_048_576, |n| Request::Explain {
            topic: "t".into(),
            message: vec![0; n].into(),
            after: After::default(),
            limit: 0,
        }),
        ("filter", 1_024, |n| Request::Peek {
            address: "q".into(),
            from: 1,
            limit: 0,
            states: States::ALL,
            filter: text(n),
        }),
        ("filter", 1_024, |n| Request::Purge {
            stamp: examples::STAMP,
            address: "q".into(),
            selection: Selection { filter: text(n), ..Selection::default() },
            from: 1,
            to: 0,
            limit: 0,
        }),
        ("filter", 1_024, |n| Request::Redrive {
            stamp: examples::STAMP,
            address: "q/$dead-letter".into(),
            selection: Selection { filter: text(n), ..Selection::default() },
            from: 1,
            to: 0,
            limit: 0,
            dry_run: false,
        }),
    ];
    for (field, most, build) in cases {
        assert_eq!(refused_request(&build(most)), None, "{field} of {most}");
        assert_eq!(refused_request(&build(most + 1)).as_deref(), Some(field), "{field} above {most}");
    }
    assert_eq!(refused_request(&cases[0].2(0)).as_deref(), Some("session"));
    for request in examples::requests() {
        assert_eq!(refused_request(&request), None);
    }
}

#[test]
fn a_list_of_numbers_names_at_least_one() {
    let traced = |bytes| Request::Trace {
        message_id: "x".repeat(bytes),
        entity: String::new(),
        from: TraceCursor::default(),
        limit: 0,
    };
    assert_eq!(refused_request(&traced(0)).as_deref(), Some("message_id"));
    assert_eq!(refused_request(&traced(1)), None);
    assert_eq!(refused_request(&traced(512)), None);
    assert_eq!(refused_request(&traced(513)).as_deref(), Some("message_id"));
    let deferred = |sequences| Request::ReceiveDeferred { handle: 1, stamp: examples::STAMP, sequences };
    let scheduled = |sequences| Request::Scheduled {
        stamp: examples::STAMP,
        address: "q".into(),
        action: ScheduledAction::Cancel,
        sequences,
    };
    for (empty, one) in [(deferred(vec![]), deferred(vec![1])), (scheduled(vec![]), scheduled(vec![1]))] {
        assert_eq!(refused_request(&empty).as_deref(), Some("sequences"));
        assert_eq!(refused_request(&one), None);
    }
}

#[test]
fn no_state_is_every_state() {
    assert_eq!(States::of(&[]), States::ALL);
    assert_eq!(States::of(&PeekState::ALL), States::ALL);
    for state in PeekState::ALL {
        let one = States::of(&[state]);
        assert!(!one.is_all() && States::ALL.contains(state));
        for other in PeekState::ALL {
            assert_eq!(one.contains(other), state == other);
        }
        assert_eq!(PeekState::by_name(state.name()), Some(state));
    }
}

#[test]
fn a_selection_is_of_all_until_something_is_left_out() {
    let all = Selection::default;
    assert!(all().is_all());
    for less in [
        Selection { states: States::of(&[PeekState::Ready]), ..all() },
        Selection { filter: "1 = 1".into(), ..all() },
        Selection { before_ms: 1, ..all() },
        Selection { cause: Some(Cause::default()), ..all() },
        Selection { sequences: vec![1], ..all() },
    ] {
        assert!(!less.is_all(), "{less:?}");
    }
}

/// What `docs/semantics.md` says about null and about kinds.
#[test]
fn rules_match_as_documented() {
    let message = Message {
        message_id: Some(Id::Number(7)),
        properties: vec![("N".into(), Value::Int(2)), ("none".into(), Value::Null)],
        ..Message::default()
    };
    let matches = |system, name: &str, value: Value| {
        Filter::Correlation(vec![Condition { system, name: name.into(), value }]).matches(&message)
    };
    assert!(matches(true, "MESSAGE_ID", "7".into()));
    assert!(!matches(true, "message_id", Value::Int(7)));
    assert!(matches(true, "subject", Value::Null));
    assert!(matches(false, "n", Value::Float(2.0)));
    assert!(!matches(false, "n", "2".into()));
    assert!(matches(false, "none", Value::Null));
    assert!(!matches(false, "absent", Value::Null));
}
