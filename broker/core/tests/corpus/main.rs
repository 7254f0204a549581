//! The bytes that `fuzz/` starts from, and those that it has found; texts of filters are in `filters`.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod session;
mod stored;
#[path = "../support/mod.rs"]
mod support;
mod translate;

use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "the corpus is a folder of files")]
fn replay(target: &str, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files: Vec<_> = folder.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 10, "the corpus was not read");
    for file in files {
        body(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn what_is_stored_does_no_harm() {
    replay("stored", stored::stored);
}

#[test]
fn sessions_do_no_harm() {
    replay("session", session::session);
}
