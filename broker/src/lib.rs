//! The Postrider broker: a [`Server`] that can be started inside another program, as the tests do, or by the
//! `postrider` binary.

pub mod backup;
pub mod engine;
pub mod gate;
pub mod native;
pub mod offline;
pub mod sabotage;
mod server;
pub mod store;

pub use server::{JOURNAL_BYTES, SHARDS, Server, ServerConfig, StartError};

/// The version, as `--version` and status tell it. A build for tests that can be made to do wrong says so.
pub const VERSION: &str = if cfg!(feature = "sabotage") {
    concat!(env!("CARGO_PKG_VERSION"), " with sabotage")
} else {
    env!("CARGO_PKG_VERSION")
};
