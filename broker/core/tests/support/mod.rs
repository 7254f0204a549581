//! What the tests of the core share: rows in memory, and a world of shards that takes turns as the engine does.
#![allow(dead_code, reason = "every test uses its own part of it")]

pub mod bodies;
pub mod line;
pub mod rows;
pub mod script;
pub mod show;
pub mod trace;
pub mod world;
