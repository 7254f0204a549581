//! What options do, as seen from the command line: duplicates, priorities, limits, status, breaker, `none`.

use super::{crash, each, in_all_formats, queue};
use serde_json::json;

#[test]
fn a_duplicate_is_told() {
    let mut broker = queue("--dedup-window 10m", 0);
    broker.run("send q x --message-id m1").done();
    crash(&mut broker);
    assert_eq!(
        broker.run("send q x --message-id m1").done(),
        "a duplicate of 1 in q: nothing new was stored\n"
    );
    let sent = broker.run("send q x --message-id m1 -o json").json();
    assert_eq!((&sent["sequence"], &sent["duplicate"]), (&json!(1), &json!(true)));
    let shown = broker.run("queue show q -o json").json();
    assert_eq!((&shown["active"], &shown["dedup_window_ms"]), (&json!(1), &json!(600_000)));
    broker.run("queue create q2 --dedup-window 1ms").failed(2, "dedup_window_ms");
}

#[test]
fn the_urgent_goes_first() {
    let mut broker = queue("--option priority_levels=3", 0);
    for (body, priority) in [("low", 1), ("high", 3), ("middle", 2)] {
        broker.run(&format!("send q {body} --priority {priority}")).done();
    }
    crash(&mut broker);
    assert_eq!(each(&broker.run("receive q --ack -o json").json(), "body"), ["high", "middle", "low"]);
    broker.run("send q x --priority 11").failed(2, "allowed is 1 to 10");
    broker.run("queue update q --option priority_levels=4").failed(1, "when the entity is created");
}

#[test]
fn a_full_queue_says_so() {
    let mut broker = queue("--max-messages 1", 1);
    crash(&mut broker);
    broker.run("send q x").failed(1, "max_messages is 1; consume messages or raise the limit");
    broker.run("queue update q --option on_full=drop-oldest").done();
    broker.run("send q 2").done();
    let dead = broker.run("dlq list q -o json").json();
    assert_eq!(
        (each(&dead, "body"), each(&dead, "dead_letter_reason")),
        (vec![json!("1")], vec![json!("QueueFull")])
    );
    broker.run("queue update q --max-messages none --option on_full=none").done();
    crash(&mut broker);
    broker.run("send q 3").done();
    let shown = broker.run("queue show q -o json").json();
    assert_eq!(
        (&shown["active"], &shown["max_messages"], &shown["on_full"]),
        (&json!(2), &json!(null), &json!(null))
    );
    broker.run("queue update q --option on_full=sometimes").failed(2, "drop-oldest");
}

#[test]
fn a_queue_is_switched_off_and_on() {
    let mut broker = queue("", 1);
    broker.run("queue update q --option status=disabled").done();
    crash(&mut broker);
    broker
        .run("send q x")
        .failed(1, "hint: switch it on with: postrider queue update q --option status=active");
    assert_eq!(broker.run("receive q --wait 100ms -o json").json(), json!([]));
    assert_eq!(each(&broker.run("peek q -o json").json(), "body"), ["1"], "looking always works");
    broker.run("queue update q --option status=none").done();
    assert_eq!(each(&broker.run("receive q --ack -o json").json(), "body"), ["1"]);
    broker
        .run("queue update q --option status=off")
        .failed(2, "active, send-disabled, receive-disabled, disabled");
}

#[test]
fn a_breaker_is_seen_and_closed() {
    let options = [("breaker_failure_percent", 100), ("breaker_window", 5), ("breaker_pause_ms", 3_600_000)];
    let options = options.map(|(name, value)| format!("--option {name}={value}")).join(" ");
    let broker = queue(&options, 1);
    let shown = in_all_formats(&broker, "queue show q");
    assert_eq!((&shown["breaker"], &shown["breaker_opened"]), (&json!("closed"), &json!(0)));
    for _ in 0..5 {
        broker.run("receive q --max 1 --abandon").done();
    }
    let shown = in_all_formats(&broker, "queue show q");
    assert_eq!((&shown["breaker"], &shown["breaker_opened"]), (&json!("open"), &json!(1)));
    let (probes, created) = (shown["breaker_probes"].as_str(), shown["created"].as_str());
    assert!(probes > created, "{shown}");
    assert!(broker.run("queue show q").done().contains("BREAKER_PROBES"));
    assert_eq!(broker.run("status -o json").json()["breakers_open"], 1);
    assert_eq!(broker.run("receive q --wait 100ms -o json").json(), json!([]));
    broker.run("queue update q --option breaker_failure_percent=none").done();
    let received = broker.run("receive q --ack -o json").json();
    assert_eq!(each(&received, "delivery_count"), [6], "the pause burnt no attempt");
    assert_eq!(broker.run("queue show q -o json").json()["breaker"], json!(null));
    broker.run("queue update q --option breaker_window=4").failed(2, "a number from 5 to 1000");
}

#[test]
fn none_brings_defaults_back() {
    let mut broker = queue("--lock-duration 5s --max-delivery-count 2 --default-ttl 1d", 0);
    broker.run("queue update q --lock-duration none --max-delivery-count none --default-ttl none").done();
    broker.run("queue create fresh").done();
    crash(&mut broker);
    let (changed, fresh) = (broker.run("queue show q -o json"), broker.run("queue show fresh -o json"));
    let (mut changed, mut fresh) = (changed.json(), fresh.json());
    for field in ["name", "created"] {
        changed[field] = json!(null);
        fresh[field] = json!(null);
    }
    assert_eq!(changed, fresh);
    broker.run("queue update q").failed(2, "nothing to change");
}
