//! `docs/protocol.md` and `docs/semantics.md` say what the code does: opcodes, errors, limits, options, and the bytes
//! of the worked example.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod examples;

use bytes::Bytes;
use postrider_protocol::error::ErrorCode;
use postrider_protocol::limits;
use postrider_protocol::options::{EntityKind, TABLE};
use postrider_protocol::retry::RetryPolicy;
use std::collections::{BTreeMap, BTreeSet};

const PROTOCOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
const SEMANTICS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/semantics.md");

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of the table whose head begins with the cell `head`, each as its cells; the first such table under `title`.
fn table(text: &str, title: &str, head: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let lines = text.lines().skip_while(|line| *line != format!("## {title}")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("## "));
    let rows = lines.skip_while(|line| !line.starts_with(&format!("| {head} |"))).skip(2);
    let rows: Vec<_> = rows.take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(!rows.is_empty(), "there is a table of {head} under {title}");
    rows
}

/// The hex blocks: label, and bytes without the remarks behind `;`.
fn hex_blocks(text: &str) -> BTreeMap<String, Vec<u8>> {
    let mut blocks = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("```hex ") else { continue };
        let body = lines.by_ref().take_while(|line| *line != "```");
        let bytes = body.flat_map(|line| line.split(';').next().unwrap_or("").split_whitespace());
        let bytes = bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert!(blocks.insert(label.to_owned(), bytes).is_none(), "{label} is there twice");
    }
    blocks
}

#[test]
fn the_worked_example_is_what_the_code_writes() {
    let mut written: BTreeMap<&str, Bytes> = BTreeMap::new();
    for request in [examples::hello(), examples::publish(), examples::settle()] {
        written.insert(examples::request_name(&request), examples::request_frame(&request));
    }
    for reply in [examples::published(), examples::delivery()] {
        written.insert(examples::reply_name(&reply), examples::reply_frame(&reply));
    }
    let documented = hex_blocks(&read(PROTOCOL));
    assert_eq!(documented.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>());
    for (label, bytes) in documented {
        assert_eq!(
            bytes,
            written[label.as_str()],
            "{label}: the code writes {:02x?}",
            written[label.as_str()]
        );
    }
}

#[test]
fn the_opcodes_are_those_of_the_code() {
    let text = read(PROTOCOL);
    let documented = |title, head| -> BTreeSet<(String, String)> {
        table(&text, title, head).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
    };
    let pair = |code: u8, name: &str| (format!("{code:#04x}"), name.to_owned());
    let requests = examples::requests();
    let requests =
        requests.iter().map(|request| pair(request.opcode(), examples::request_name(request))).collect();
    assert_eq!(documented("Requests", "opcode"), requests);
    let replies = examples::replies();
    let replies = replies.iter().map(|reply| pair(reply.opcode(), examples::reply_name(reply))).collect();
    assert_eq!(documented("Replies", "opcode"), replies);
}

#[test]
fn the_refusals_are_those_of_the_code() {
    let documented: Vec<_> = table(&read(PROTOCOL), "Refusals", "code");
    let documented: Vec<_> = documented.iter().map(|row| row[..3].join(" ")).collect();
    let retry = |code: ErrorCode| if code.is_retryable() { "yes" } else { "no" };
    let line = |code: &ErrorCode| format!("{} {} {}", *code as u16, code.name(), retry(*code));
    assert_eq!(documented, ErrorCode::ALL.iter().map(line).collect::<Vec<_>>());
}

#[test]
fn the_limits_are_those_of_the_code() {
    macro_rules! values {
        ($($name:ident)*) => { BTreeMap::from([$((stringify!($name).to_owned(), u64::try_from(limits::$name).unwrap()),)*]) };
    }
    let values: BTreeMap<String, u64> = values! {
        UNAUTHENTICATED_FRAME_BYTES HANDSHAKE_DEADLINE_MS HEARTBEAT_MS FRAME_BYTES MESSAGE_BYTES MESSAGE_BYTES_CEILING
        BATCH_BYTES BATCH_MESSAGES OPERATIONS DELIVERY_MESSAGES NAME_CHARS RULE_NAME_CHARS ID_CHARS TEXT_BYTES
        PROPERTY_NAME_CHARS PROPERTY_BYTES PROPERTIES_BYTES REASON_BYTES FILTER_CHARS RETRY_CHARS RETRY_DELAY_MS SCHEDULE_CHARS
        SCHEDULE_MESSAGE_BYTES SCHEDULES_PER_ENTITY SESSION_STATE_BYTES SEQUENCES
        CONSUMERS SUBSCRIPTIONS_PER_TOPIC RULES_PER_TOPIC SQL_RULES_PER_TOPIC RULE_BYTES RULE_PARAMETERS SHADOW_SAMPLES
        EXPLAINED_MESSAGE_BYTES
        LINKS_PER_CONNECTION REQUESTS_IN_FLIGHT CREDIT OUTCOMES_PER_CLIENT LISTING_ENTRIES MEMORY_PER_BYTE
        MEMORY_SLACK_BYTES
    };
    let rows = table(&read(PROTOCOL), "Limits", "limit");
    let documented = rows.into_iter().map(|row| (row[0].clone(), row[1].replace(',', "").parse().unwrap()));
    assert_eq!(documented.collect::<BTreeMap<String, u64>>(), values);
    let named = read(concat!(env!("CARGO_MANIFEST_DIR"), "/src/limits.rs")).matches("pub const ").count();
    assert_eq!(
        named,
        values.len() + 2,
        "every limit is documented; the ranges are with the options and fields"
    );
}

#[test]
fn the_header_fields_are_those_of_the_code() {
    let text = read(PROTOCOL);
    let rows = table(&text, "Messages and records", "bit");
    let cells: Vec<_> =
        rows.iter().flat_map(|row| row.chunks(3)).filter(|cell| !cell[0].is_empty()).collect();
    let source = read(concat!(env!("CARGO_MANIFEST_DIR"), "/src/message/mod.rs"));
    assert_eq!(cells.len(), 15);
    for cell in cells.iter().filter(|cell| cell[1] != "properties") {
        let field = format!("{} {} {};", cell[0], cell[1], cell[2]);
        assert!(source.contains(&field), "message/mod.rs has the field {field:?}");
    }
}

#[test]
fn the_options_are_those_of_the_code() {
    let kinds = |kinds: &[EntityKind]| match kinds {
        [_, _, _] => "all".to_owned(),
        kinds => kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", "),
    };
    let rows = table(&read(SEMANTICS), "Entities", "option");
    let documented: Vec<_> =
        rows.iter().enumerate().map(|(at, row)| (at as u8 + 1, row[0].clone(), row[1].clone())).collect();
    let fixed = |row: &Vec<String>| row[3].contains("fixed at creation");
    assert_eq!(
        rows.iter().map(fixed).collect::<Vec<_>>(),
        TABLE.iter().map(|spec| spec.fixed).collect::<Vec<_>>()
    );
    let spec = TABLE.iter().map(|spec| (spec.code, spec.name.to_owned(), kinds(spec.kinds)));
    assert_eq!(documented, spec.collect::<Vec<_>>());
}

/// Every policy that the page shows is one, in its canonical text.
#[test]
fn the_retry_policies_are_read() {
    for row in table(&read(SEMANTICS), "Retry policies", "policy") {
        assert_eq!(RetryPolicy::parse(&row[0]).unwrap().to_string(), row[0]);
    }
}
