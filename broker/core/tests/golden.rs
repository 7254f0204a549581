//! Golden scripts: one behaviour a file, every fact and every effect visible. After a change that is meant to alter
//! them, run with `UPDATE_GOLDEN=1` and review the difference.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]
#![expect(clippy::disallowed_methods, reason = "golden texts are files, and a switch writes them again")]

mod support;

use std::path::{Path, PathBuf};

/// Scripts for any number of shards.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
/// Scripts that need entities in different shards.
const APART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apart");

fn scripts(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The first step that came out otherwise.
fn difference(path: &Path, was: &str, is: &str) -> String {
    let step = was.split("\n\n").zip(is.split("\n\n")).find(|(was, is)| was != is);
    let (was, is) = step.unwrap_or((was, is));
    format!("{}\nwas\n{was}\nis\n{is}\n", path.display())
}

#[test]
fn scripts_come_out_as_they_did() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut changed = Vec::new();
    let all = [(SCRIPTS, 1), (APART, 16)].map(|(folder, shards)| (scripts(folder), shards));
    for (path, shards) in
        all.into_iter().flat_map(|(paths, shards)| paths.into_iter().map(move |path| (path, shards)))
    {
        let was = std::fs::read_to_string(&path).unwrap();
        let is = support::script::run(&was, shards);
        if update {
            std::fs::write(&path, &is).unwrap();
        } else if was != is {
            changed.push(difference(&path, &was, &is));
        }
    }
    assert!(changed.is_empty(), "{} scripts have changed:\n{}", changed.len(), changed.join("\n"));
}

/// Which shard an entity lives in changes nothing but the order of turns, and which rows keep the outcomes.
#[test]
fn shards_make_no_difference() {
    let sorted = |text: &str| {
        let step = |step: &str| {
            let lines = step.lines().filter(|line| !line.starts_with("fact Outcomes"));
            let mut lines: Vec<_> = lines.map(str::to_owned).collect();
            lines.sort();
            lines
        };
        text.split("\n\n").map(step).collect::<Vec<_>>()
    };
    for path in scripts(SCRIPTS) {
        let text = std::fs::read_to_string(&path).unwrap();
        let one = sorted(&support::script::run(&text, 1));
        for shards in [3, 16] {
            assert_eq!(
                one,
                sorted(&support::script::run(&text, shards)),
                "{} with {shards} shards",
                path.display()
            );
        }
    }
}
