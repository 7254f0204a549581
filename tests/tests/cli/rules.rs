//! SQL rules, actions and shadow rules, as seen from the command line.

use super::{crash, each, in_all_formats};
use postrider_tests::Broker;
use postrider_tests::command::{Outcome, finish};
use serde_json::json;

/// Runs a command whose last words have blanks in them.
fn run(broker: &Broker, words: &str, last: &[&str]) -> Outcome {
    finish(broker.command(words).args(last), "")
}

fn topic() -> Broker {
    let broker = Broker::start();
    broker.run("topic create t --fall-through rest").done();
    broker.run("subscription create t rest --false").done();
    broker
}

#[test]
fn sql_rules_choose_and_change() {
    let mut broker = topic();
    let filter = ["--filter", "total >= @least AND region LIKE 'eu-%'", "--param", "least:int=100"];
    run(&broker, "subscription create t eu", &filter).done();
    let action = ["--filter", "total >= 1000", "--action", "SET size = 'large'; REMOVE trace"];
    assert_eq!(
        run(&broker, "rule add t eu marked", &action).done(),
        "rule marked of t/subscriptions/eu created\n"
    );
    crash(&mut broker);
    broker.run("send t a --property total:int=100 --property region=eu-north").done();
    broker.run("send t b --property total:int=2000 --property trace=1").done();
    broker.run("send t c --property total:int=5").done();
    assert_eq!(each(&broker.run("peek t/subscriptions/rest -o json").json(), "body"), ["c"]);
    assert_eq!(
        each(&broker.run("peek t/subscriptions/eu -o json").json(), "rule_name"),
        [json!(null), json!("marked")]
    );
    let got = broker.run("receive t/subscriptions/eu --ack -o json").json();
    assert_eq!(each(&got, "body"), ["a", "b"]);
    assert_eq!(got[1]["rule_name"], "marked");
    assert_eq!(got[1]["properties"], json!({ "total": 2000, "size": "large" }));
    let rules = in_all_formats(&broker, "rule list t eu");
    assert_eq!(each(&rules, "name"), ["$default", "marked"]);
    assert_eq!((&rules[0]["kind"], &rules[0]["parameters"]), (&json!("sql"), &json!({ "least": 100 })));
    assert_eq!(rules[1]["action"], "SET size = 'large'; REMOVE trace");
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    let broker = topic();
    run(&broker, "rule add t rest bad", &["--filter", "total >"]).failed(1, "at character 8");
    run(&broker, "rule add t rest bad", &["--true", "--action", "SET total"])
        .failed(1, "rule.action: at character 10");
    broker.run("rule add t rest bad --filter a=@b").failed(1, "the parameter @b has no value");
    broker.run("rule add t rest bad --shadow").failed(2, "--filter");
    broker.run("subscription create t s --filter a=").failed(1, "at character 3");
    broker.run("subscription show t s").failed(1, "NotFound");
}

#[test]
fn a_shadow_rule_is_watched_and_promoted() {
    let mut broker = topic();
    broker.run("rule add t rest tried --filter n>1 --shadow").done();
    (1..=13).for_each(|n| drop(broker.run(&format!("send t {n} --property n:int={n}")).done()));
    let shown = in_all_formats(&broker, "rule show t rest tried");
    assert_eq!((&shown["shadow"]["matched"], &shown["shadow"]["failed"]), (&json!(12), &json!(0)));
    assert_eq!(each(&shown["shadow"]["samples"], "sequence"), (4..=13).map(|n| json!(n)).collect::<Vec<_>>());
    assert_eq!(
        each(&in_all_formats(&broker, "rule list t rest"), "shadow_matched"),
        [json!(null), json!(12)]
    );
    // The fall-through subscription has them all the same.
    assert_eq!(broker.run("subscription show t rest -o json").json()["active"], 13);
    assert_eq!(broker.run("topic show t -o json").json()["unmatched"], 13);
    crash(&mut broker);
    assert_eq!(broker.run("rule show t rest tried -o json").json()["shadow"]["matched"], 0);
    assert_eq!(
        broker.run("rule promote t rest tried").done(),
        "rule tried of t/subscriptions/rest promoted\n"
    );
    broker.run("rule promote t rest tried").failed(1, "is no shadow rule");
    broker.run("rule promote t rest other").failed(1, "NotFound");
    crash(&mut broker);
    broker.run("send t x --property n:int=2").done();
    assert_eq!(broker.run("topic show t -o json").json()["unmatched"], 13);
    assert_eq!(broker.run("rule show t rest tried -o json").json()["shadow"], json!(null));
}

#[test]
fn a_message_that_a_rule_fails_on_is_a_dead_letter() {
    let mut broker = topic();
    broker.run("subscription create t s --filter total/count>1").done();
    broker.run("send t x --property total:int=5 --property count:int=0").done();
    crash(&mut broker);
    let dead = broker.run("peek t/subscriptions/s/$dead-letter -o json").json();
    assert_eq!(dead[0]["dead_letter_reason"], "FilterEvaluationFailed");
    let why = "rule $default: division by zero in total / count";
    assert_eq!(dead[0]["dead_letter_description"], why);
    assert_eq!(in_all_formats(&broker, "subscription show t s")["filter_errors"], 1);
    broker.run("subscription update t s --option dead_letter_on_filter_error=false").done();
    broker.run("send t x --property total:int=5 --property count:int=0").done();
    assert_eq!(each(&broker.run("peek t/subscriptions/rest -o json").json(), "body"), ["x"]);
}
