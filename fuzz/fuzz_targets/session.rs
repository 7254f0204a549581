//! Connections, their requests, and what happens between them.
#![no_main]

#[path = "../../broker/core/tests/corpus/session.rs"]
mod session;
#[path = "../../broker/core/tests/support/mod.rs"]
mod support;
#[path = "../../broker/core/tests/corpus/translate.rs"]
mod translate;

libfuzzer_sys::fuzz_target!(|input: &[u8]| session::session(input));
