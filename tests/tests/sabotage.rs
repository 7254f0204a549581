//! Do the tests notice? A broker gets one fault at a time, and the test that is there for it must fail. What came out
//! goes into `docs/testing.md` with `UPDATE_GOLDEN=1`. Run by `make sabotage`, which builds `postrider-sabotage`;
//! `POSTRIDER_FAULTS` is a list of faults to try, for all where it is not set.

use postrider_tests::DOSES;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// A fault, and a test that must notice it: its target and its name.
type Case = (&'static str, &'static str, &'static str);

const SEEDS: &str = "every_invariant_holds_for_random_seeds";

const CASES: [Case; 17] = [
    ("ack-before-fsync", "sync", "an_answer_waits_for_its_sync"),
    ("no-sync", "sync", "an_answer_waits_for_its_sync"),
    ("complete-not-in-batch", "kill_loop", "every_invariant_holds_over_kills"),
    ("fan-out-in-two-batches", "fanout_kills", "a_message_has_all_of_its_copies_or_none"),
    ("skip-iterator-status", "damage", "a_damaged_store_is_refused_or_whole"),
    ("retry-after-eio", "sync", "a_sync_that_fails_ends_the_process"),
    ("delivery-count-in-memory", "kill_loop", "every_invariant_holds_over_kills"),
    ("dedup-not-persisted", "kill_loop", "every_invariant_holds_over_kills"),
    ("lease-by-wall-clock", "clocks", "locks_last_while_the_clock_jumps"),
    ("preallocate-from-length", "raw", "hostile::a_large_frame_takes_memory_as_it_comes"),
    ("ack-before-fsync", "simulation", SEEDS),
    ("complete-not-in-batch", "simulation", SEEDS),
    ("fan-out-in-two-batches", "simulation", SEEDS),
    ("retry-after-eio", "simulation", SEEDS),
    ("delivery-count-in-memory", "simulation", SEEDS),
    ("dedup-not-persisted", "simulation", SEEDS),
    ("no-preauth-limit", "raw", "greeting::four_bytes_are_enough_to_refuse_a_large_frame"),
];

/// Between these lines of the document is the table.
const BEGIN: &str = "<!-- written by `make sabotage` -->\n";
const END: &str = "<!-- end -->\n";

/// What a test came to.
struct Outcome {
    passed: bool,
    took: Duration,
    output: String,
}

#[test]
fn each_fault_is_noticed() {
    let only = std::env::var("POSTRIDER_FAULTS").ok();
    let chosen = |case: &&Case| only.as_ref().is_none_or(|only| only.split(',').any(|name| name == case.0));
    let cases: Vec<_> = CASES.iter().filter(chosen).collect();
    build(&cases);
    // A test that fails anyway notices nothing.
    for (target, test) in cases.iter().map(|case| (case.1, case.2)).collect::<BTreeSet<_>>() {
        let sound = run("none", target, test);
        println!("{target}, {test}: passes without a fault, {:.1} s", sound.took.as_secs_f64());
        assert!(sound.passed, "{}", sound.output);
    }
    let mut rows = String::new();
    let mut unnoticed = Vec::new();
    for (fault, target, test) in cases {
        let outcome = run(fault, target, test);
        let seconds = outcome.took.as_secs_f64();
        println!("{fault}: {target}, {test}, {seconds:.1} s\n{}", reason(&outcome.output));
        rows.push_str(&format!("| {fault} | `{target}`, `{test}` | {seconds:.1} s |\n"));
        if outcome.passed {
            unnoticed.push(fault);
        }
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:?}");
    if only.is_none() && std::env::var_os("UPDATE_GOLDEN").is_some() {
        write_down(&rows);
    }
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo runs tests"));
    cargo.args(["test", "--release", "-p", "postrider-tests", "--features", "sabotage"]);
    cargo
}

/// Builds the tests, so that this does not count as time.
fn build(cases: &[&Case]) {
    let mut cargo = cargo();
    cargo.arg("--no-run");
    for target in cases.iter().map(|case| case.1).collect::<BTreeSet<_>>() {
        cargo.args(["--test", target]);
    }
    assert!(cargo.status().expect("cargo can be started").success(), "the tests can be built");
}

fn run(fault: &str, target: &str, test: &str) -> Outcome {
    let mut cargo = cargo();
    cargo.args(["--test", target, "--", "--exact", test]).env("POSTRIDER_SABOTAGE", fault);
    DOSES.iter().for_each(|dose| {
        cargo.env_remove(dose);
    });
    let start = Instant::now();
    let output = cargo.output().expect("cargo can be started");
    let took = start.elapsed();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let output = text.concat();
    let passed = output.contains(&format!("test {test} ... ok"));
    assert!(
        passed || output.contains(&format!("test {test} ... FAILED")),
        "neither passed nor failed: {output}"
    );
    Outcome { passed, took, output }
}

/// What the test said when it failed: the lines behind the panic.
fn reason(output: &str) -> String {
    let said = output.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    said.take(3).map(|line| format!("    {line:.160}\n")).collect()
}

fn write_down(rows: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/testing.md");
    let text = fs::read_to_string(path).expect("the document can be read");
    let (before, rest) = text.split_once(BEGIN).expect("the table's begin is marked");
    let (_, after) = rest.split_once(END).expect("the table's end is marked");
    let table = format!("\n| fault | noticed by | within |\n| --- | --- | --- |\n{rows}\n");
    fs::write(path, [before, BEGIN, &table, END, after].concat()).expect("the document can be written");
}
