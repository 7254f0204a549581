//! Facts, keys, pages and what else is stored.
#![no_main]

#[path = "../../broker/core/tests/corpus/stored.rs"]
mod stored;

libfuzzer_sys::fuzz_target!(|input: &[u8]| stored::stored(input));
