//! The command line against the real binary: every command, every format, every exit code.

mod entities;
mod help;
mod messages;
mod serve;

use postrider_tests::Broker;

/// Runs a command that must go well, in all three formats; returns what it shows as JSON.
fn in_all_formats(broker: &Broker, words: &str) -> serde_json::Value {
    let table = broker.run(words).done();
    assert!(!table.is_empty() && !table.starts_with(['{', '[']), "{table}");
    let json = broker.run(&format!("{words} --output json")).json();
    let lines = broker.run(&format!("{words} -o jsonl")).jsonl();
    match &json {
        serde_json::Value::Array(rows) => assert_eq!(rows.len(), lines.len(), "{words}"),
        _ => assert_eq!(lines.len(), 1, "{words}"),
    }
    json
}
