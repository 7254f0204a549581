//! `receive` with what becomes of the messages.

use super::{crash, each, queue};
use postrider_tests::Broker;
use postrider_tests::command::finish;
use serde_json::json;

fn states(broker: &Broker, address: &str) -> Vec<serde_json::Value> {
    each(&broker.run(&format!("peek {address} --all -o json")).json(), "state")
}

#[test]
fn abandoned_they_wait_for_their_delay() {
    let mut broker = queue("", 2);
    let shown = broker.run("receive q --max 1 --abandon --delay 1h -o json").json();
    assert_eq!((&shown[0]["body"], &shown[0]["delivery_count"]), (&json!("1"), &json!(1)));
    broker.run("receive q --max 1 --abandon").done();
    crash(&mut broker);
    let seen = broker.run("peek q -o json").json();
    assert_eq!(each(&seen, "state"), ["delayed", "ready"]);
    assert_eq!(each(&seen, "delivery_count"), [1, 1]);
    assert!(seen[0]["until"].is_string() && seen[1]["until"].is_null());
    broker.run("receive q --delay 1h").failed(2, "--abandon");
    broker.run("receive q --abandon --delay 5").failed(2, "write it with a unit");
}

#[test]
fn deferred_they_are_received_by_number() {
    let mut broker = queue("", 3);
    assert_eq!(each(&broker.run("receive q --max 2 --defer -o json").json(), "sequence"), [1, 2]);
    crash(&mut broker);
    assert_eq!(states(&broker, "q"), ["deferred", "deferred", "ready"]);
    let outcome = broker.run("receive q --deferred 2,3,9 --ack -o jsonl");
    assert!(outcome.out.starts_with("{\"sequence\":2,") && outcome.out.lines().count() == 1, "{outcome:?}");
    assert!(
        outcome.err.contains("message 3 is ready, not deferred") && outcome.err.contains("1 more failed")
    );
    outcome.failed(1, "postrider peek 'q' --state deferred");
    assert_eq!(states(&broker, "q"), ["deferred", "ready"]);
    // Without a flag it goes back as after a release: to its place in the queue.
    assert_eq!(broker.run("receive q --deferred 1 -o json").json()[0]["delivery_count"], 1);
    assert_eq!(states(&broker, "q"), ["ready", "ready"]);
    broker.run("receive q --deferred 1 --max 1").failed(2, "cannot be used with");
    broker.run("receive q --defer --ack").failed(2, "cannot be used with");
}

#[test]
fn dead_lettered_they_say_why() {
    let mut broker = queue("", 1);
    broker.run("receive q --dead-letter BadAddress --description nobody").done();
    crash(&mut broker);
    let letter = &broker.run("receive q/$dead-letter --ack -o json").json()[0];
    assert_eq!(
        (&letter["dead_letter_reason"], &letter["dead_letter_description"], &letter["dead_letter_source"]),
        (&json!("BadAddress"), &json!("nobody"), &json!("q"))
    );
    assert!(letter["epoch"].as_u64() > Some(0) && letter["locked_until"].is_string());
    broker.run("receive q --description x").failed(2, "--dead-letter");
    broker.run("receive nowhere").failed(1, "postrider queue create nowhere");
}

#[test]
fn expired_they_are_dead_letters_where_that_is_wanted() {
    let mut broker = queue("--default-ttl 500ms --option dead_letter_on_expiration=true", 1);
    crash(&mut broker);
    let dead = broker.run("receive q/$dead-letter --ack --wait 15s -o json").json();
    assert_eq!(each(&dead, "dead_letter_reason"), ["TTLExpired"]);
    broker.run("queue update q --default-ttl none").done();
    broker.run("send q short --ttl 1h").done();
    assert!(broker.run("peek q -o json").json()[0]["expires_at"].is_string());
    broker.run("send q x --ttl 5").failed(2, "write it with a unit");
}

#[test]
fn a_retry_policy_spaces_attempts() {
    let mut broker = queue("", 1);
    let policy = ["--retry", "list 1h; on bad-input: dead-letter"];
    assert_eq!(finish(broker.command("queue update q").args(policy), "").done(), "queue q updated\n");
    broker.run("receive q --abandon").done();
    crash(&mut broker);
    assert_eq!(states(&broker, "q"), ["delayed"]);
    assert_eq!(broker.run("queue show q -o json").json()["retry"], policy[1]);
    broker.run("queue update q --retry sometimes").failed(2, "retry");
}
