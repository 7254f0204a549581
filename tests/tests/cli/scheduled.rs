//! `scheduled`.

use super::{crash, each, in_all_formats, queue};
use serde_json::json;

#[test]
fn scheduled_messages_are_listed_cancelled_and_delivered() {
    let mut broker = queue("", 0);
    broker.run("send q a --in 1h --message-id m1").done();
    broker.run("send q b --at 2999-12-31T23:59:59Z").done();
    assert_eq!(broker.run("send q c --in 2h -o json").json()["sequence"], 3);
    crash(&mut broker);
    let list = in_all_formats(&broker, "scheduled list q");
    assert_eq!(each(&list, "body"), ["a", "b", "c"]);
    assert_eq!(list[1]["until"], "2999-12-31T23:59:59.000Z");
    let table = broker.run("scheduled list q").done();
    assert_eq!(
        table.lines().next().expect("a heading").split_whitespace().collect::<Vec<_>>(),
        ["SEQUENCE", "UNTIL", "MESSAGE_ID", "SUBJECT", "BODY"]
    );
    assert_eq!(
        broker.run("scheduled cancel q 1 -o json").json(),
        json!([{ "sequence": 1, "result": "cancelled", "error": null }])
    );
    broker.run("scheduled deliver q 2").done();
    crash(&mut broker);
    assert_eq!(each(&broker.run("receive q --ack -o json").json(), "body"), ["b"]);
    let outcome = broker.run("scheduled cancel q 3 2 1");
    assert!(outcome.out.contains("no message 2 is scheduled; it was enqueued, cancelled, or never was"));
    assert_eq!(outcome.out.lines().filter(|line| line.contains("refused")).count(), 2);
    outcome.failed(1, "2 of 3 refused\n  hint: see what is scheduled with: postrider scheduled list q");
    assert_eq!(broker.run("scheduled list q -o json").json(), json!([]));
}

#[test]
fn scheduled_messages_are_purged_and_the_others_stay() {
    let mut broker = queue("", 2);
    broker.run("send q late --in 1h").done();
    assert_eq!(broker.run("queue show q -o json").json()["scheduled"], 1);
    assert_eq!(broker.run("scheduled purge q -o json").json()["purged"], 1);
    crash(&mut broker);
    let shown = broker.run("queue show q -o json").json();
    assert_eq!((&shown["scheduled"], &shown["active"]), (&json!(0), &json!(2)));
    let outcome = broker.run("scheduled list q");
    assert_eq!((outcome.code, outcome.err.as_str()), (0, "no scheduled messages in q\n"));
}

#[test]
fn mistakes_say_what_to_do() {
    let broker = queue("", 0);
    broker.run("scheduled list nowhere").failed(1, "postrider queue create nowhere");
    broker.run("scheduled purge nowhere").failed(1, "postrider queue create nowhere");
    broker.run("scheduled deliver q 7").failed(1, "postrider scheduled list q");
    broker.run("scheduled cancel q").failed(2, "<NUMBER>");
    broker.run("scheduled cancel q first").failed(2, "invalid digit");
    broker.run("send q x --at tomorrow").failed(2, "2026-01-31T12:00:00Z");
    broker.run("send q x --in 1h --at 2030-01-01T00:00:00Z").failed(2, "cannot be used with");
}
