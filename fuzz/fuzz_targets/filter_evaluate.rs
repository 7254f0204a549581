//! Rows of `text | properties`, as in the tables of the core's tests.
#![no_main]

#[path = "../../broker/core/tests/filters/fuzzed.rs"]
#[expect(dead_code, reason = "each target has its own part of it")]
mod fuzzed;
#[path = "../../broker/core/tests/filters/notation.rs"]
#[expect(dead_code, reason = "the tables need more of it")]
mod notation;

libfuzzer_sys::fuzz_target!(|row: &str| fuzzed::evaluate(row));
