//! `dlq`.

use super::{crash, each, in_all_formats, queue};
use postrider_tests::command::{Outcome, finish};
use postrider_tests::{Broker, DEADLINE, eventually};
use serde_json::json;

/// Dead letters 1 to 4: all of them MailServerDown but the second one, which is BadAddress.
fn failed() -> Broker {
    let broker = queue("--option dedup_window_ms=1h", 4);
    for (reason, description) in [
        ("MailServerDown", "'a' was silent for 30 s"),
        ("BadAddress", "no @"),
        ("MailServerDown", "'b' was silent for 7 s"),
        ("MailServerDown", "'a' was silent for 31 s"),
    ] {
        let words = ["--dead-letter", reason, "--description", description];
        finish(broker.command("receive q --max 1").args(words), "").done();
    }
    broker
}

fn with_filter(broker: &Broker, words: &str, filter: &str) -> Outcome {
    finish(broker.command(words).args(["--filter", filter]), "")
}

#[test]
fn dead_letters_are_listed_and_grouped() {
    let mut broker = failed();
    crash(&mut broker);
    let list = in_all_formats(&broker, "dlq list q");
    assert_eq!(each(&list, "body"), ["1", "2", "3", "4"]);
    assert_eq!(list[0]["dead_letter_description"], "'a' was silent for 30 s");
    let found = with_filter(&broker, "dlq list q --from 2 --limit 1 -o json", "n <> 2").json();
    assert_eq!(each(&found, "sequence"), [3]);
    let causes = in_all_formats(&broker, "dlq causes q");
    assert_eq!(each(&causes, "reason"), ["MailServerDown", "BadAddress"]);
    assert_eq!((&causes[0]["messages"], &causes[0]["sample"]), (&json!(3), &json!(4)));
    assert_eq!(causes[0]["description"], "<text> was silent for <n> s");
    assert_eq!(broker.run("dlq causes q/$dead-letter -o json").json(), causes, "it may be named itself");
    broker.run("dlq list nowhere").failed(1, "postrider queue create nowhere");
    broker.run("dlq causes nowhere").failed(1, "postrider queue create nowhere");
}

#[test]
fn a_redrive_moves_what_the_dry_run_counted() {
    let mut broker = failed();
    for (words, filter, moved) in
        [("", "n = 4", 1), ("--cause MailServerDown", "n > 0", 2), ("", "n > 0", 1), ("", "n > 0", 0)]
    {
        let words = format!("dlq redrive q {words} -o json");
        let dry = with_filter(&broker, &format!("{words} --dry-run"), filter);
        if words.contains("--cause") {
            crash(&mut broker);
        }
        let (dry, done) = (dry.json(), with_filter(&broker, &words, filter).json());
        assert_eq!((&dry["moved"], &dry["dry_run"]), (&json!(moved), &json!(true)));
        assert_eq!((&done["moved"], &done["dry_run"]), (&json!(moved), &json!(false)));
    }
    let back = broker.run("receive q --ack -o json").json();
    assert_eq!(each(&back, "body"), ["4", "1", "3", "2"]);
    assert!(each(&back, "redrive_count").iter().all(|count| *count == 1));
    broker.run("dlq redrive q --cause None").failed(1, "postrider dlq causes 'q/$dead-letter'");
    broker.run("dlq redrive q --rate 0").failed(2, "above 0");
    broker.run("dlq redrive nowhere").failed(1, "postrider queue create nowhere");
}

#[test]
fn a_redrive_says_what_it_did_in_words() {
    let broker = failed();
    let said = broker.run("dlq redrive q --dry-run").done();
    assert_eq!(said, "4 of 4 messages would be moved back from q/$dead-letter\n");
    let said = broker.run("dlq redrive q").done();
    assert_eq!(said, "4 of 4 messages moved back from q/$dead-letter\n");
}

#[test]
fn a_redrive_that_is_of_no_use_stops_by_itself() {
    let broker = queue("", 0);
    let lines: String = (0..60).map(|number| format!("{{\"body\": \"{number}\"}}\n")).collect();
    finish(&mut broker.command("send q"), &lines).done();
    broker.run("receive q --max 60 --dead-letter MailServerDown").done();
    let following = broker.command("receive q --follow --dead-letter MailServerDown -o jsonl");
    let consumer = postrider_tests::broker::Process::start(&mut { following });
    let outcome = broker.run("dlq redrive q --rate 10 --timeout 60s");
    assert!(outcome.out.contains("messages moved back from q/$dead-letter"), "{outcome:?}");
    assert!(outcome.err.contains("came back as dead letters, MailServerDown"), "{outcome:?}");
    outcome.failed(1, "hint: look after the cause, then redrive the rest");
    drop(consumer);
    assert!(broker.run("queue show q -o json").json()["dead_letters"].as_u64() > Some(0));
}

#[test]
fn a_dead_letter_is_sent_again_corrected() {
    let mut broker = failed();
    broker.run("dlq resend q 1").failed(1, "--new-id");
    let sent =
        broker.run("dlq resend q 1 --set n:int=7 --set to=ada --unset missing --new-id -o json").json();
    assert_eq!(sent, json!([{ "dead_letter": 1, "sent_to": "q", "sequence": 5 }]));
    crash(&mut broker);
    let again = &broker.run("receive q --ack -o json").json()[0];
    assert_eq!((&again["body"], &again["properties"]), (&json!("1"), &json!({ "n": 7, "to": "ada" })));
    broker.run("queue create repairs").done();
    broker.run("dlq resend q 2 3 --to repairs --unset n").done();
    let repairs = broker.run("peek repairs -o json").json();
    assert_eq!(each(&repairs, "body"), ["2", "3"]);
    assert_eq!(each(&repairs, "properties"), [json!(null), json!(null)]);
    assert_eq!(each(&broker.run("dlq list q -o json").json(), "sequence"), [4]);
    broker.run("dlq resend q 99").failed(1, "message 99: is not in q/$dead-letter");
    broker.run("dlq resend q 4 --to nowhere").failed(1, "postrider queue create nowhere");
    broker.run("topic create t").done();
    broker.run("subscription create t s").done();
    broker.run("dlq resend t/subscriptions/s 1").failed(2, "--to ADDRESS");
}

#[test]
fn dead_letters_are_purged_by_what_they_are() {
    let mut broker = failed();
    assert_eq!(broker.run("dlq purge q --cause BadAddress -o json").json()["purged"], 1);
    assert_eq!(broker.run("dlq purge q --older-than 1h -o json").json()["purged"], 0);
    assert_eq!(with_filter(&broker, "dlq purge q -o json", "n = 4").json()["purged"], 1);
    crash(&mut broker);
    assert_eq!(each(&broker.run("dlq list q -o json").json(), "body"), ["1", "3"]);
    assert_eq!(broker.run("dlq purge q --yes").done(), "2 messages removed from q/$dead-letter\n");
    broker.run("dlq purge q --cause BadAddress").failed(1, "postrider dlq causes");
    broker.run("dlq purge q --description x").failed(2, "--cause");
    with_filter(&broker, "dlq purge q", "n >").failed(1, "at character 4");
}

#[test]
fn what_cannot_be_passed_on_is_listed_and_sent_again() {
    let mut broker = Broker::start();
    broker.run("queue create archive --max-messages 1 --group reports").done();
    broker.run("queue create reports --forward-to archive --group reports").done();
    broker.run("send reports a").done();
    broker.run("send reports b").done();
    let kept = || broker.run("queue show reports -o json").json()["transfer_dead_letters"] == json!(1);
    eventually(DEADLINE, "one is given back", kept);
    crash(&mut broker);
    let list = in_all_formats(&broker, "dlq list reports --transfer");
    assert_eq!(
        (each(&list, "body"), each(&list, "dead_letter_reason")),
        (vec![json!("b")], vec![json!("QueueFull")])
    );
    broker.run("queue update archive --max-messages none").done();
    assert_eq!(broker.run("dlq redrive reports --transfer -o json").json()["moved"], 1);
    eventually(DEADLINE, "it arrives", || {
        broker.run("peek archive -o json").json().as_array().is_some_and(|all| all.len() == 2)
    });
    broker.run("receive reports").failed(1, "receive from archive");
}
