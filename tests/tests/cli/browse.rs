//! `peek` and `purge` by state, filter and number; `consumers`.

use super::{crash, each, in_all_formats, queue};
use postrider_tests::Broker;
use postrider_tests::command::{Outcome, finish};
use serde_json::json;

/// Messages 1 to 5: deferred, delayed, and three ready ones; and a scheduled one, 6.
fn mixed() -> Broker {
    let broker = queue("", 5);
    broker.run("receive q --max 1 --defer").done();
    broker.run("receive q --max 1 --abandon --delay 1h").done();
    broker.run("send q late --in 1h").done();
    broker
}

fn with_filter(broker: &Broker, words: &str, filter: &str) -> Outcome {
    finish(broker.command(words).args(["--filter", filter]), "")
}

#[test]
fn messages_are_found_by_state_filter_and_number() {
    let mut broker = mixed();
    crash(&mut broker);
    let all = in_all_formats(&broker, "peek q --all");
    assert_eq!(each(&all, "state"), ["deferred", "delayed", "ready", "ready", "ready", "scheduled"]);
    assert!(all[5]["enqueued_time"].is_null(), "it was not enqueued yet");
    let aside = in_all_formats(&broker, "peek q --state deferred,delayed");
    assert_eq!(each(&aside, "sequence"), [1, 2]);
    let ready = broker.run("peek q --state ready --from 4 -o json").json();
    assert_eq!(each(&ready, "sequence"), [4, 5]);
    let found = with_filter(&broker, "peek q -o json", "n IN (1, 5) OR sys.DeliveryCount = 1").json();
    assert_eq!(each(&found, "sequence"), [1, 2, 5]);
    let outcome = with_filter(&broker, "peek q", "n = 77");
    assert_eq!((outcome.code, outcome.err.as_str()), (0, "no such messages in q\n"));
    with_filter(&broker, "peek q", "n >").failed(1, "at character 4: expected a value");
    broker.run("peek q --state dead").failed(2, "ready, locked, scheduled, deferred, delayed");
    broker.run("peek q --all --limit 3").failed(2, "cannot be used with");
    broker.run("peek nowhere").failed(1, "postrider queue create nowhere");
}

#[test]
fn messages_are_purged_by_state_filter_and_age() {
    let mut broker = mixed();
    assert_eq!(broker.run("purge q --state delayed,deferred").done(), "2 messages removed from q\n");
    let purged = with_filter(&broker, "purge q -o json", "n % 2 = 1").json();
    assert_eq!(purged, json!({ "address": "q", "purged": 2, "examined": 4 }));
    assert_eq!(broker.run("purge q --older-than 1d -o json").json()["purged"], 0);
    crash(&mut broker);
    assert_eq!(each(&broker.run("peek q -o json").json(), "state"), ["ready", "scheduled"]);
    assert_eq!(broker.run("purge q -o json").json()["purged"], 2);
    broker.run("purge q --older-than yesterday").failed(2, "write it with a unit");
    broker.run("purge nowhere").failed(1, "postrider queue create nowhere");
}

#[test]
fn consumers_are_shown_with_the_capacity() {
    let mut broker = queue("--option capacity_units=10", 0);
    for cost in [4, 5, 3] {
        broker.run(&format!("send q x --cost {cost}")).done();
    }
    let outcome = broker.run("consumers q");
    assert!(outcome.out.contains("CAPACITY_UNITS  10") && outcome.err.contains("nobody receives from q"));
    let mut raw = postrider_tests::raw::Raw::open(broker.address());
    raw.open_receiver(1, "q", 100);
    raw.delivery();
    let info = broker.run("consumers q -o json").json();
    assert_eq!(
        (&info["capacity_units"], &info["in_use"], &info["waiting"]),
        (&json!(10), &json!(9), &json!(3))
    );
    let one = &info["consumers"][0];
    assert_eq!((&one["messages"], &one["units"], &one["delivered"]), (&json!(2), &json!(9), &json!(2)));
    let table = broker.run("consumers q").done();
    assert!(table.contains("CLIENT") && table.contains("LATENCY_MS"), "{table}");
    drop(raw);
    crash(&mut broker);
    let info = broker.run("consumers q -o json").json();
    assert_eq!((&info["in_use"], &info["consumers"]), (&json!(9), &json!([])), "locks outlive a kill");
    broker.run("consumers nowhere").failed(1, "postrider queue create nowhere");
    broker.run("send q x --cost 11").failed(1, "10 units");
}
