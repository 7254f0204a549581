//! The command line against the real binary: every command, every format, every exit code.

mod backup;
mod browse;
mod deadletters;
mod entities;
mod explain;
mod help;
mod messages;
mod options;
mod replay;
mod rules;
mod scheduled;
mod serve;
mod settle;
mod trace;
mod verify;

use postrider_tests::Broker;

/// A broker with a queue `q` of these options, and so many messages `1`, `2` and on with a property `n` each.
fn queue(options: &str, messages: usize) -> Broker {
    let broker = Broker::start();
    broker.run(&format!("queue create q {options}")).done();
    for number in 1..=messages {
        broker.run(&format!("send q {number} --property n:int={number}")).done();
    }
    broker
}

/// Ends the broker as a power failure would, and starts it again.
fn crash(broker: &mut Broker) {
    broker.kill9();
    broker.restart();
}

/// The field of each row.
fn each(rows: &serde_json::Value, field: &str) -> Vec<serde_json::Value> {
    rows.as_array().expect("a list").iter().map(|row| row[field].clone()).collect()
}

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
