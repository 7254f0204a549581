//! Looks after a data directory that no broker has open.

mod recover;
mod restore;
mod rows;
mod verify;

pub use recover::{Recovered, recover};
pub use restore::{Restored, restore};
pub use verify::{Progress, Verified, verify};
