//! Messages as they are sent, and records as they are stored.
#![no_main]

#[path = "../../protocol/tests/examples/mod.rs"]
mod examples;
#[path = "../../protocol/tests/corpus/fuzzed.rs"]
#[expect(dead_code, reason = "each target has its own part of it")]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::message(input));
