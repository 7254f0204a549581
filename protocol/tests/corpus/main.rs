//! The bytes that `fuzz/` starts from, and those that it has found.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/mod.rs"]
mod examples;
mod fuzzed;

use std::path::Path;

fn replay(target: &str, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files: Vec<_> = folder.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 10, "the corpus was not read");
    for file in files {
        body(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn frames_do_no_harm() {
    replay("frames", fuzzed::frames);
}

#[test]
fn requests_do_no_harm() {
    replay("request", fuzzed::request);
}

#[test]
fn replies_do_no_harm() {
    replay("reply", fuzzed::reply);
}

#[test]
fn messages_do_no_harm() {
    replay("message", fuzzed::message);
}
