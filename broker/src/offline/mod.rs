//! Looks after a data directory that no broker has open.

mod rows;
mod verify;

pub use verify::{Progress, Verified, verify};
