//! `verify`: a store without a broker.

use postrider_tests::Broker;
use postrider_tests::command::{Outcome, run};
use std::fs;

fn verify(broker: &Broker, words: &[&str]) -> Outcome {
    run(&[&["verify", "--data-dir", broker.dir().to_str().expect("a path in UTF-8")], words].concat())
}

#[test]
fn a_sound_store_and_a_damaged_one() {
    let mut broker = Broker::start();
    verify(&broker, &[]).failed(2, "is in use by another broker");
    broker.run("queue create orders").done();
    broker.run("topic create events").done();
    broker.run("subscription create events all").done();
    broker.run("subscription create events also").done();
    broker.run("send orders one").done();
    broker.run("send events two").done();
    broker.run("send orders later --in 1h").done();
    broker.terminate();

    let sound = verify(&broker, &[]).done();
    assert!(sound.starts_with("sound: 3 messages in 4 entities, "), "{sound}");
    let found = verify(&broker, &["--output", "json"]).json();
    assert_eq!(
        (&found["sound"], &found["shards"], &found["messages"]),
        (&true.into(), &16.into(), &3.into())
    );
    assert_eq!((&found["watermark"], &found["problems"]), (&found["writes"], &serde_json::json!([])));

    fs::remove_file(broker.dir().join("watermark")).expect("it is there");
    let damaged = verify(&broker, &[]);
    assert!(damaged.out.contains("its watermark is missing"), "{damaged:?}");
    damaged.failed(1, "the store is damaged");
    let json = verify(&broker, &["-o", "json"]);
    assert!(json.out.contains("\"sound\": false"), "{json:?}");

    let dir = broker.dir().to_str().expect("a path in UTF-8").to_owned();
    let would = run(&["recover", "--data-dir", &dir]).done();
    assert!(
        would.contains("an unknown number of writes would be lost, 3 messages would be there"),
        "{would}"
    );
    verify(&broker, &[]).failed(1, "the store is damaged");
    let did = run(&["recover", "--data-dir", &dir, "--accept-loss", "-o", "json"]).json();
    assert_eq!((&did["recovered"], &did["messages"]), (&true.into(), &3.into()));
    verify(&broker, &[]).done();
    assert_eq!(
        run(&["recover", "--data-dir", &dir]).done(),
        "the store is sound, nothing is to be recovered\n"
    );
}

#[test]
fn what_is_no_data_directory_is_named() {
    run(&["verify", "--data-dir", "/nowhere"]).failed(2, "/nowhere is not a data directory");
}
