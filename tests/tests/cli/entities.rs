//! `queue`, `topic`, `subscription`, `rule`, `status`.

use super::in_all_formats;
use postrider_tests::Broker;

#[test]
fn queues_from_creation_to_deletion() {
    let broker = Broker::start();
    let said = broker.run("queue create email-queue --lock-duration 30s --max-delivery-count 5").done();
    assert_eq!(said, "queue email-queue created\n");
    let made = broker.run("queue create other --option max_message_bytes=2048 -o json").json();
    assert_eq!((&made["name"], &made["result"]), (&"other".into(), &"created".into()));
    let list = in_all_formats(&broker, "queue list");
    assert_eq!([&list[0]["name"], &list[1]["name"]], ["email-queue", "other"]);
    assert_eq!(in_all_formats(&broker, "queue list o").as_array().map(Vec::len), Some(1));
    let shown = in_all_formats(&broker, "queue show email-queue");
    assert_eq!((&shown["lock_duration_ms"], &shown["max_delivery_count"]), (&30_000.into(), &5.into()));
    assert_eq!(
        broker.run("queue update email-queue --lock-duration 5m").done(),
        "queue email-queue updated\n"
    );
    assert_eq!(broker.run("queue show email-queue -o json").json()["lock_duration_ms"], 300_000);
    assert_eq!(broker.run("queue delete other").done(), "queue other deleted\n");
    broker.run("queue show other").failed(1, "postrider queue create other");
}

#[test]
fn topics_and_subscriptions() {
    let broker = Broker::start();
    assert_eq!(broker.run("topic create events").done(), "topic events created\n");
    broker.run("subscription create events payment --where priority=high --where sys.subject=New").done();
    broker.run("subscription create events analytics --lock-duration 5m").done();
    broker.run("topic update events --max-message-bytes 65536").done();
    let topic = in_all_formats(&broker, "topic show events");
    assert_eq!((&topic["subscriptions"], &topic["max_message_bytes"]), (&2.into(), &65_536.into()));
    assert_eq!(in_all_formats(&broker, "topic list")[0]["name"], "events");
    let list = in_all_formats(&broker, "subscription list events");
    assert_eq!([&list[0]["subscription"], &list[1]["subscription"]], ["analytics", "payment"]);
    let shown = in_all_formats(&broker, "subscription show events payment");
    assert_eq!(shown["rules"][0]["filter"], "priority = 'high' AND sys.subject = 'New'");
    broker.run("subscription update events payment --max-delivery-count 2").done();
    broker.run("subscription delete events payment").done();
    broker.run("subscription show events payment").failed(1, "postrider subscription create events payment");
    broker.run("topic delete events").done();
    assert_eq!(broker.run("subscription list -o json").json(), serde_json::json!([]));
}

#[test]
fn rules() {
    let broker = Broker::start();
    broker.run("topic create t").done();
    broker.run("subscription create t s").done();
    assert_eq!(
        broker.run("rule create t s urgent --where n:int=5").done(),
        "rule urgent of t/subscriptions/s created\n"
    );
    broker.run("rule create t s urgent --true").failed(1, "AlreadyExists");
    let rules = in_all_formats(&broker, "rule list t s");
    assert_eq!([&rules[0]["name"], &rules[1]["name"]], ["$default", "urgent"]);
    broker.run("rule update t s urgent --where n:int=6").done();
    let shown = in_all_formats(&broker, "rule show t s urgent");
    assert_eq!((&shown["kind"], &shown["filter"]), (&"correlation".into(), &"n = 6".into()));
    broker.run("rule delete t s $default").done();
    broker.run("rule show t s $default").failed(1, "NotFound");
    broker.run("rule create t s x").failed(2, "--filter, --where, --true or --false");
}

#[test]
fn the_status() {
    let broker = Broker::start();
    broker.run("queue create q").done();
    broker.run("send q hello").done();
    let status = in_all_formats(&broker, "status");
    assert_eq!(
        (&status["entities"], &status["messages"], &status["published"]),
        (&1.into(), &1.into(), &1.into())
    );
}

#[test]
fn mistakes_have_their_own_exit_codes_and_say_what_to_do() {
    let mut broker = Broker::start();
    broker.run("queue create q").done();
    broker.run("queue create q").failed(1, "look at it with: postrider queue show q");
    broker.run("topic show q").failed(1, "q is a queue, not a topic");
    broker.run("queue delete missing").failed(1, "NotFound");
    broker.run("queue create bad//name").failed(1, "InvalidArgument");
    broker.run("queue create q2 --option no_such=1").failed(2, "no_such");
    broker.run("queue create q2 --option lock_duration_ms=1").failed(2, "lock_duration_ms");
    broker.run("queue create q2 --option forward_to=nowhere").failed(1, "forward_to");
    broker.run("queue update q").failed(2, "nothing to change");
    broker.run("queue creat q").failed(2, "unrecognized subcommand");
    broker.run("--url nonsense://x queue list").failed(2, "postrider://");
    let wrong = format!("--url postrider://wrong@{} queue list", broker.address());
    broker.run(&wrong).failed(1, "export POSTRIDER_URL");
    broker.kill9();
    broker.run("queue list --timeout 2s").failed(3, "postrider serve");
}
