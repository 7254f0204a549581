//! What the whole-program tests share: a real broker as a child process, a client of raw bytes, load, and a history
//! with a checker.

pub mod broker;
pub mod cgroup;
pub mod checker;
pub mod command;
pub mod disk;
pub mod door;
pub mod dose;
pub mod history;
pub mod load;
pub mod raw;
pub mod tee;
pub mod wait;

pub use broker::Broker;
pub use dose::{DOSES, dose};
pub use wait::{DEADLINE, eventually, pause, until};
