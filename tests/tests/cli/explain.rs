//! What the rules of a topic would do with a message, as seen from the command line.

use super::each;
use postrider_tests::Broker;
use postrider_tests::command::finish;
use serde_json::{Value, json};

fn topic() -> Broker {
    let broker = Broker::start();
    broker.run("topic create t --fall-through rest").done();
    let filter = ["--filter", "region = 'eu' AND total >= 100"];
    finish(broker.command("subscription create t payment").args(filter), "").done();
    let action = ["--filter", "total > 1000", "--action", "SET size = 'large'; SET sys.Subject = 'Large'"];
    finish(broker.command("rule add t payment marked").args(action), "").done();
    broker.run("rule add t payment tried --filter total<10 --shadow").done();
    broker.run("subscription create t rest --false").done();
    broker.run("subscription create t stock --filter total/count>1").done();
    broker
}

/// Aligned: what each part came to stands below that of the others.
#[test]
fn people_see_a_tree() {
    let broker = topic();
    let shown = broker
        .run("topic explain t --property region=eu --property total:int=2000 --property count:int=0 --subject New")
        .done();
    let wanted = "\
payment
  $default: region = 'eu' AND total >= 100  TRUE
    region = 'eu'                           TRUE
      region                                'eu'
    total >= 100                            TRUE
      total                                 2000
  marked: total > 1000                      TRUE
    total                                   2000
    action: SET size = 'large'; SET sys.Subject = 'Large'
  tried (shadow): total < 10                FALSE
    total                                   2000
  => copy                                   as sent
  => copy of rule marked
    sys.subject                             \"Large\"
    region                                  \"eu\"
    total                                   2000
    count                                   0
    size                                    \"large\"
rest
  $default: false                           FALSE
  => nothing
stock
  $default: total / count > 1               error: division by zero in total / count
    total / count                           error: division by zero in total / count
      total                                 2000
      count                                 0
  => dead letter                            FilterEvaluationFailed: rule $default: division by zero in total / count
t: 2 copies, 1 dead letter
";
    assert_eq!(shown, wanted);
    let fallen = broker.run("topic explain t --property total:int=1 --property count:int=5").done();
    assert!(fallen.contains("\n    region = 'eu'"), "{fallen}");
    assert!(fallen.contains("UNKNOWN\n") && fallen.contains("missing\n"), "{fallen}");
    let end = "t: 1 copy; no other subscription wants it, so it falls through to rest\n";
    assert!(fallen.ends_with(end), "{fallen}");
    broker.run("subscription update t rest --option status=disabled").done();
    let gone = broker.run("topic explain t --property total:int=1 --property count:int=5").done();
    assert!(gone.contains("the subscription is disabled and takes nothing in\n"), "{gone}");
    let end = "t: 0 copies; no subscription wants it, it would be counted as unmatched and gone\n";
    assert!(gone.ends_with(end), "{gone}");
    assert_eq!(broker.run("topic show t -o json").json()["last_sequence"], json!(0));
}

#[test]
fn programs_get_all_of_it() {
    let broker = topic();
    let message =
        "{\n  \"subject\": \"New\",\n  \"properties\": {\"region\": \"eu\", \"total\": 5, \"count\": 1}\n}";
    let explain = "topic explain t --message - --property total:int=2000 -o json";
    let all: Value = finish(&mut broker.command(explain), message).json();
    assert_eq!((&all["topic"], &all["copies"], &all["dead_letters"]), (&json!("t"), &json!(3), &json!(0)));
    assert_eq!((&all["unmatched"], &all["fall_through"]), (&json!(false), &json!(null)));
    let names = ["payment", "rest", "stock"].map(|own| json!(format!("t/subscriptions/{own}")));
    assert_eq!(each(&all["subscriptions"], "name"), names);
    let rules = &all["subscriptions"][0]["rules"];
    assert_eq!(each(rules, "result"), ["TRUE", "TRUE", "FALSE"]);
    assert_eq!(each(rules, "shadow"), [false, false, true]);
    assert_eq!(
        rules[1]["filter"],
        json!({ "text": "total > 1000", "value": "TRUE",
            "parts": [{ "text": "total", "value": "2000", "parts": [] }] })
    );
    let outcomes = &all["subscriptions"][0]["outcomes"];
    assert_eq!(each(outcomes, "rule_name"), [json!(null), json!("marked")]);
    let properties = json!({ "region": "eu", "count": 1, "total": 2000, "size": "large" });
    assert_eq!(outcomes[1]["message"]["properties"], properties);
    assert_eq!(outcomes[1]["message"]["subject"], "Large");
    assert_eq!(outcomes[0]["message"]["subject"], "New");
    // What is shown of a message can be explained.
    broker.run("send t hello --property region=eu --property total:int=500 --property count:int=1").done();
    let peeked = broker.run("peek t/subscriptions/payment -o jsonl").done();
    let again = finish(&mut broker.command("topic explain t --message - -o json"), &peeked).json();
    assert_eq!(again["copies"], 2);
}

#[test]
fn what_is_wrong_is_said() {
    let broker = topic();
    broker.run("topic explain t").failed(2, "--message");
    broker.run("topic explain t --message nowhere.json").failed(2, "nowhere.json");
    let bad = finish(&mut broker.command("topic explain t --message -"), "{\"bodi\": 1}");
    bad.failed(2, "unknown field `bodi`");
    broker.run("topic explain nothing --subject New").failed(1, "NotFound");
    broker.run("queue create q").done();
    broker.run("topic explain q --subject New").failed(1, "only the rules of topics can be explained");
    broker.run("topic update t --option status=send-disabled").done();
    broker.run("topic explain t --subject New").failed(1, "Disabled");
}
