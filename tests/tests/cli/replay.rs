//! What a topic keeps, as seen from the command line.

use super::{crash, each, in_all_formats};
use postrider_tests::command::{Outcome, finish};
use postrider_tests::{Broker, DEADLINE, eventually};
use serde_json::json;

const S: &str = "t/subscriptions/s";

/// Runs a command whose last words have blanks in them.
fn run(broker: &Broker, words: &str, last: &[&str]) -> Outcome {
    finish(broker.command(words).args(last), "")
}

/// A topic that keeps three messages, and a subscription that has settled them.
fn topic() -> Broker {
    let broker = Broker::start();
    broker.run("topic create t --retain 7d").done();
    broker.run("subscription create t s").done();
    for n in 1..=3 {
        broker.run(&format!("send t {n} --property n:int={n}")).done();
    }
    broker.run(&format!("receive {S} --ack --max 3")).done();
    broker
}

/// Waits until nothing more is replayed to `s`.
fn replayed(broker: &Broker) {
    eventually(DEADLINE, "the replay ends", || {
        broker.run("subscription show t s -o json").json()["replaying"] == 0
    });
}

#[test]
fn a_topic_shows_what_it_keeps() {
    let broker = topic();
    let shown = in_all_formats(&broker, "topic show t");
    assert_eq!((&shown["retained"], &shown["retain_ms"]), (&json!(3), &json!(604_800_000)));
    assert!(shown["bytes"].as_u64() > Some(0), "{shown}");
    let table = broker.run("topic show t").done();
    assert!(table.lines().any(|line| line.split_whitespace().eq(["RETAINED", "3"])), "{table}");
    broker.run("topic update t --retain none").done();
    assert_eq!(broker.run("topic show t -o json").json()["retain_ms"], json!(null));
}

#[test]
fn a_subscription_is_rewound() {
    let mut broker = topic();
    let said = broker.run("subscription replay t s --from 2").done();
    let sentence = "2 numbers of t are replayed to t/subscriptions/s, 2 to 3\n";
    assert!(said.starts_with(sentence) && said.contains("postrider subscription show t s"), "{said}");
    replayed(&broker);
    assert!(broker.run("subscription show t s").done().contains("REPLAYING"), "it is shown to people");
    let peeked = in_all_formats(&broker, &format!("peek {S}"));
    assert_eq!(each(&peeked, "body"), ["2", "3"]);
    assert_eq!(each(&peeked, "replayed"), [true, true]);
    assert!(broker.run(&format!("peek {S}")).done().contains("REPLAYED"));
    broker.run("send t 4").done();
    crash(&mut broker);
    let received = in_all_formats(&broker, &format!("receive {S}"));
    assert_eq!(each(&received, "replayed"), [true, true, false]);
    broker.run(&format!("purge {S}")).done();

    let filtered = run(&broker, "subscription replay t s -o json --from", &["1h ago", "--filter", "n >= 3"]);
    let expected = json!({
        "kind": "subscription", "name": S, "first": 1, "last": 4, "numbers": 4,
    });
    assert_eq!(filtered.json(), expected);
    replayed(&broker);
    assert_eq!(each(&broker.run(&format!("peek {S} -o jsonl")).jsonl().into(), "body"), ["3"]);
}

#[test]
fn nothing_to_replay_and_mistakes_are_told() {
    let broker = topic();
    let nothing = broker.run("subscription replay t s --from 2100-01-01T00:00:00Z").done();
    assert_eq!(nothing, "nothing to replay to t/subscriptions/s: t keeps no messages from there on\n");
    let nothing = in_all_formats(&broker, "subscription replay t s --from 4");
    assert_eq!((&nothing["first"], &nothing["numbers"]), (&json!(null), &json!(0)));
    run(&broker, "subscription replay t s --from 1", &["--filter", "n >"]).failed(1, "at character 4");
    broker.run("subscription replay t s --from soon").failed(2, "'2h ago'");
    broker.run("subscription replay t s").failed(2, "--from");
    broker.run("subscription replay t other --from 1").failed(1, "NotFound");
    broker.run("topic create brief").done();
    broker.run("subscription create brief s").done();
    broker.run("subscription replay brief s --from 1").failed(1, "set its retain_ms");
    broker.run("subscription create brief late --replay-from 1").failed(1, "set its retain_ms");
}

#[test]
fn a_subscription_is_created_from_a_number_or_a_time() {
    let broker = topic();
    broker.run("subscription create t two --replay-from 2").done();
    run(&broker, "subscription create t all --replay-from", &["1h ago"]).done();
    broker.run("send t 4").done();
    for (name, expected) in [("two", 3), ("all", 4)] {
        eventually(DEADLINE, "all are there", || {
            broker.run(&format!("subscription show t {name} -o json")).json()["active"] == expected
        });
    }
    let two = in_all_formats(&broker, "subscription show t two");
    assert_eq!(two["replay_from_sequence"], 2);
    broker
        .run("subscription update t two --option replay_from_sequence=1")
        .failed(1, "when the entity is created");
}
