//! The tree that the other brokers live in.

use anyhow::{Context, Result};
use std::path::PathBuf;

/// Its root, as their scripts have it.
pub fn root() -> Result<PathBuf> {
    let named = std::env::var_os("PEERS_ROOT").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/peers"));
    named.or_else(home).context("neither PEERS_ROOT nor HOME is set")
}
