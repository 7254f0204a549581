//! A broker, its clients, the network between them, its disk and its clocks, simulated: one thread, no real time, and
//! everything that happens drawn from one seed. The shards and the engine's turns are the real ones.
//!
//! `POSTRIDER_SEEDS` says how many seeds, `POSTRIDER_SEED` which one to run alone.

mod client;
mod disk;
mod node;
mod sim;
mod work;
mod world;

use postrider_tests::checker::assert_none;
use postrider_tests::dose;
use std::time::Instant;

const SEEDS: usize = 2_000;

/// Says which seed it was, where one panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0}; run it alone with POSTRIDER_SEED={0}", self.0);
        }
    }
}

#[test]
fn every_invariant_holds_for_random_seeds() {
    let (start, mut messages, mut crashes, mut flips) = (Instant::now(), 0, 0, 0);
    let alone = dose("POSTRIDER_SEED", usize::MAX);
    let seeds = if alone == usize::MAX { 0..dose("POSTRIDER_SEEDS", SEEDS) } else { alone..alone + 1 };
    for number in seeds.clone() {
        let seed = Seed(number as u64);
        let outcome = sim::run(seed.0);
        if alone != usize::MAX {
            println!("{}", outcome.log);
        }
        assert_none(&outcome.problems, &format!("seed {number}"));
        messages += outcome.messages;
        crashes += outcome.crashes;
        flips += outcome.flips;
    }
    let seeds = seeds.len();
    println!(
        "{seeds} seeds, {messages} messages, {crashes} crashes, {flips} wrong bits noticed in {:?}",
        start.elapsed()
    );
    assert!(flips >= seeds / 50, "too few wrong bits were noticed");
}

#[test]
fn a_seed_comes_out_the_same_twice() {
    for number in 0..20 {
        let seed = Seed(number);
        assert!(sim::run(seed.0).log == sim::run(seed.0).log, "the logs differ");
    }
}
