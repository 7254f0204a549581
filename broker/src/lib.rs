//! The Postrider broker: a [`Server`] that can be started inside another program, as the tests do, or by the
//! `postrider` binary.

pub mod backup;
pub mod engine;
pub mod gate;
pub mod native;
pub mod offline;
mod server;
pub mod store;

pub use server::{JOURNAL_BYTES, SHARDS, Server, ServerConfig, StartError};
