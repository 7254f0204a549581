//! Random commands against the core and against a naive model of it, which has no pages, no windows and no facts.
//!
//! After every turn the two agree on every reply, on who got which message, on all counters, and on what a full scan
//! of the rows finds. `PROPTEST_CASES` raises the number of cases.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]
#![expect(clippy::disallowed_methods, reason = "the number of cases is a switch")]

mod answer;
mod asks;
mod bulk;
mod changes;
mod compare;
mod compare_sessions;
mod deliveries;
mod history;
mod looks;
mod ops;
mod publish;
mod queue;
mod random;
mod reference;
mod run;
mod sessions;
mod sharing;
#[path = "../support/mod.rs"]
mod support;

use postrider_core::limits::Window;
use proptest::test_runner::{Config, TestRunner};

/// Cases of each world where `PROPTEST_CASES` says nothing.
const CASES: u32 = 1_500;
/// Small enough that a few messages have a cold end.
const SMALL: Window = Window { messages: 6, bytes: 400 };

fn agree(shards: u16, window: Window) {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: asked.unwrap_or(CASES),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let history = proptest::collection::vec(random::op(), 1..200);
    TestRunner::new(config)
        .run(&history, |history| {
            run::run(shards, window, &history);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn one_shard_with_a_small_window() {
    agree(1, SMALL);
}

#[test]
fn three_shards_with_a_small_window() {
    agree(3, SMALL);
}

#[test]
fn sixteen_shards_with_a_small_window() {
    agree(16, SMALL);
}

#[test]
fn one_shard_with_its_usual_window() {
    agree(1, Window::default());
}
