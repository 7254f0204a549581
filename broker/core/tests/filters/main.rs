//! The language of filters and actions: what it says, what it refuses, and what holds for every text.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod actions;
mod conformance;
mod corpus;
mod explained;
mod fuzzed;
mod language;
mod leading;
mod naive;
mod notation;
