//! `send`, `receive`, `peek`, `purge`.

use super::in_all_formats;
use postrider_tests::Broker;
use postrider_tests::broker::Process;
use postrider_tests::command::finish;
use rustix::process::Signal;
use serde_json::json;

fn with_queue() -> Broker {
    let broker = Broker::start();
    broker.run("queue create q").done();
    broker
}

#[test]
fn one_message_and_back() {
    let broker = with_queue();
    let mut send = broker
        .command("send q --subject Greeting --property priority=high --property n:int=5 --message-id m1");
    assert_eq!(finish(send.arg("Hello world"), "").done(), "sent to q, sequence number 1\n");
    let shown = in_all_formats(&broker, "peek q");
    assert_eq!((&shown[0]["state"], &shown[0]["body"]), (&"ready".into(), &"Hello world".into()));
    let received = in_all_formats(&broker, "receive q");
    let message = &received[0];
    assert_eq!(
        (&message["sequence"], &message["message_id"], &message["subject"]),
        (&1.into(), &"m1".into(), &"Greeting".into())
    );
    assert_eq!(message["properties"], json!({"priority": "high", "n": 5}));
    // Received without --ack and let go of, again and again, which does not count.
    assert_eq!(broker.run("receive q -o json").json()[0]["delivery_count"], 1);
    assert_eq!(broker.run("receive q --ack -o json").json().as_array().map(Vec::len), Some(1));
    let outcome = broker.run("receive q --wait 100ms");
    assert_eq!((outcome.code, outcome.out.as_str()), (0, ""));
    assert!(outcome.err.contains("no messages in q"), "{}", outcome.err);
}

#[test]
fn json_lines_from_standard_input() {
    let broker = with_queue();
    let lines = concat!(
        "{\"body\": \"text\", \"message_id\": \"a\"}\n\n",
        "{\"body\": {\"id\": 7}, \"properties\": {\"p\": true}}\n",
        "{\"body\": {\"base64\": \"/wA=\"}}\n",
    );
    let sent = finish(&mut broker.command("send q"), lines).done();
    assert_eq!(sent, "3 messages sent to q\n");
    let rows = finish(&mut broker.command("send q -o jsonl"), lines).jsonl();
    assert_eq!(rows.iter().map(|row| row["sequence"].clone()).collect::<Vec<_>>(), [4, 5, 6]);
    let summary = finish(&mut broker.command("send q -o json --file -"), lines).json();
    assert_eq!((&summary["sent"], &summary["last_sequence"]), (&3.into(), &9.into()));
    let peeked = broker.run("peek q --limit 3 -o jsonl").jsonl();
    assert_eq!(
        peeked.iter().map(|row| row["body"].clone()).collect::<Vec<_>>(),
        [json!("text"), json!({"id": 7}), json!({"base64": "/wA="})]
    );
    assert_eq!(peeked[1]["content_type"], "application/json");
}

#[test]
fn what_was_shown_can_be_sent_again() {
    let broker = with_queue();
    broker.run("queue create copy").done();
    finish(
        &mut broker.command("send q"),
        "{\"body\": {\"a\": 1}, \"subject\": \"s\", \"properties\": {\"n\": 1}}\n",
    )
    .done();
    let lines = broker.run("peek q -o jsonl").done();
    finish(&mut broker.command("send copy"), &lines).done();
    let (was, is) = (broker.run("peek q -o jsonl").jsonl(), broker.run("peek copy -o jsonl").jsonl());
    for field in ["body", "subject", "properties", "content_type", "message_id"] {
        assert_eq!(was[0][field], is[0][field], "{field}");
    }
}

#[test]
fn a_wrong_line_is_named_and_a_refused_one_counted() {
    let broker = Broker::start();
    broker.run("queue create small --max-message-bytes 100").done();
    let outcome = finish(&mut broker.command("send small"), "{\"body\": \"ok\"}\n{\"bodi\": 1}\n");
    outcome.failed(2, "line 2: unknown field `bodi`");
    let large = format!("{{\"body\": \"{}\"}}\n{{\"body\": \"ok\"}}\n", "x".repeat(200));
    let outcome = finish(&mut broker.command("send small"), &large);
    assert!(outcome.out.contains("1 message sent to small, 1 refused"), "{outcome:?}");
    outcome.failed(1, "line 1: MessageTooLarge");
    assert_eq!(broker.run("queue show small -o json").json()["active"], 2);
    broker.run("send missing hello").failed(1, "create it with: postrider queue create missing");
}

#[test]
fn a_file_and_a_body_from_a_file() {
    let broker = with_queue();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (lines, body) = (folder.path().join("lines.jsonl"), folder.path().join("body"));
    std::fs::write(&lines, "{\"body\": \"one\"}\n{\"body\": \"two\"}").expect("it can be written");
    std::fs::write(&body, [0xff, 0]).expect("it can be written");
    finish(broker.command("send q --file").arg(&lines), "").done();
    finish(broker.command("send q --body-file").arg(&body), "").done();
    let bodies: Vec<_> =
        broker.run("peek q -o jsonl").jsonl().iter().map(|row| row["body"].clone()).collect();
    assert_eq!(bodies, [json!("one"), json!("two"), json!({"base64": "/wA="})]);
    broker.run("send q --file /no/such/file").failed(2, "/no/such/file");
}

#[test]
fn many_messages_are_received_in_pages() {
    let broker = with_queue();
    let lines: String = (0..700).map(|number| format!("{{\"body\": \"{number}\"}}\n")).collect();
    finish(&mut broker.command("send q"), &lines).done();
    assert_eq!(broker.run("peek q --from 695 --limit 100 -o jsonl").jsonl().len(), 6);
    assert_eq!(broker.run("receive q --max 600 --ack -o jsonl").jsonl().len(), 600);
    assert_eq!(broker.run("receive q -o jsonl").jsonl().len(), 10, "ten where nothing else is said");
    assert_eq!(broker.run("queue purge q").done(), "100 messages removed from q\n");
    assert_eq!(broker.run("queue purge q --yes -o json").json()["purged"], 0);
}

#[test]
fn following_shows_what_comes() {
    let broker = with_queue();
    let following = Process::start(&mut broker.command("receive q --ack --follow -o jsonl"));
    for body in ["first", "second"] {
        broker.run(&format!("send q {body}")).done();
        let line = following.line().expect("a line");
        assert!(line.contains(body), "{line}");
    }
    let mut following = following;
    following.signal(Signal::INT);
    assert!(following.wait().success());
    postrider_tests::eventually(std::time::Duration::from_secs(5), "both are completed", || {
        broker.run("queue show q -o json").json()["active"] == 0
    });
    broker.run("receive q --follow").failed(2, "--ack");
}

#[test]
fn dead_letters_say_why() {
    let broker = Broker::start();
    broker.run("queue create q --max-delivery-count 1 --lock-duration 1s").done();
    broker.run("send q poison").done();
    let mut raw = postrider_tests::raw::Raw::open(broker.address());
    raw.open_receiver(1, "q", 1);
    raw.delivery();
    let dead = broker.run("receive q/$dead-letter --ack --wait 10s -o jsonl").jsonl();
    assert_eq!(
        (&dead[0]["dead_letter_reason"], &dead[0]["dead_letter_source"]),
        (&"MaxDeliveryCountExceeded".into(), &"q".into())
    );
}
