//! The words of Postrider: names, messages, frames, and how each is laid out in bytes.
//!
//! This crate does no I/O and knows no runtime. `docs/protocol.md` is the contract; every layout in here quotes
//! the table there. All integers are big-endian, all texts are UTF-8, all times are UTC milliseconds since the epoch.
//!
//! Everything a length field claims is checked against the bytes that are really there before anything is
//! allocated; see [`wire::Reader`].

pub mod entity;
pub mod error;
pub mod explain;
pub mod frame;
pub mod limits;
pub mod message;
pub mod name;
pub mod options;
pub mod reply;
pub mod request;
pub mod retry;
pub mod rule;
pub mod schedule;
pub mod selection;
pub mod token;
pub mod trace;
pub mod value;
pub mod wire;

#[cfg(feature = "codec")]
pub mod codec;
