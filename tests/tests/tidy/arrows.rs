//! Which way imports run: between crates by their manifests, between the broker's rooms by their sources.

use super::manifests::dependencies;
use super::tree::{File, Tree};
use std::collections::BTreeSet;

/// A crate's folder and name, the project's crates that it may import, and the foreign ones that it must not.
const CRATES: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "protocol",
        "postrider-protocol",
        &[],
        &["tokio", "rust-rocksdb", "tracing", "serde", "rand", "fastrand"],
    ),
    (
        "broker/core",
        "postrider-core",
        &["postrider-protocol"],
        &[
            "tokio",
            "tokio-util",
            "rust-rocksdb",
            "rocksdb",
            "tracing",
            "serde",
            "rand",
            "fastrand",
            "getrandom",
        ],
    ),
    ("broker", "postrider", &["postrider-protocol", "postrider-core", "postrider-client"], &[]),
    ("client", "postrider-client", &["postrider-protocol"], &["rocksdb", "rust-rocksdb"]),
    ("examples", "postrider-examples", &["postrider-client"], &["rocksdb", "rust-rocksdb"]),
];

/// A room of the broker, the rooms that it may import, and crates that it must not.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    ("store", &[], &["postrider_client", "tokio"]),
    ("engine", &["store"], &["postrider_client", "rocksdb"]),
    ("gate", &[], &["postrider_client", "postrider_core", "rocksdb", "tokio"]),
    ("backup", &["store"], &["postrider_client", "postrider_core", "rocksdb", "tokio"]),
    (
        "native",
        &["engine", "gate", "backup"],
        &["postrider_client", "rocksdb", "postrider_core::shard", "postrider_core::queue"],
    ),
    ("offline", &["store"], &["postrider_client", "rocksdb", "tokio"]),
    ("server", &["store", "engine", "gate", "backup", "native"], &["postrider_client", "rocksdb"]),
    ("config", &[], &["postrider_client", "postrider_core", "rocksdb", "tokio"]),
    ("cli", &["config"], &["postrider_core", "rocksdb"]),
];

/// Each crate imports only the project's crates below it.
pub fn crates(tree: &Tree) -> Vec<String> {
    imports(tree, |name, allowed, _| name.starts_with("postrider") && !allowed.contains(&name))
}

/// Crates and rooms do not import foreign crates that are another's.
pub fn foreign(tree: &Tree) -> Vec<String> {
    let mut problems = imports(tree, |name, _, denied| denied.contains(&name));
    for (file, room) in rooms_files(tree) {
        let (_, _, denied) = *rule(room);
        let found = denied.iter().filter(|name| file.shipped().contains(&format!("{name}::")));
        problems.extend(found.map(|name| format!("{}: {room} must not import {name}", file.path)));
    }
    problems
}

fn imports(tree: &Tree, wrong: impl Fn(&str, &[&str], &[&str]) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    for (folder, name, allowed, denied) in CRATES {
        let path = format!("{folder}/Cargo.toml");
        if !tree.has(&path) {
            continue;
        }
        let found = dependencies(File { path: &path, text: tree.text(&path) });
        let found = found.iter().filter(|(other, _)| wrong(other, allowed, denied));
        problems.extend(found.map(|(other, _)| format!("{path}: {name} must not import {other}")));
    }
    problems
}

/// Each of the broker's rooms imports only the rooms below it.
pub fn rooms(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (file, room) in rooms_files(tree) {
        let (_, allowed, _) = *rule(room);
        let known = |other: &String| ROOMS.iter().any(|(name, _, _)| name == other);
        let wrong = paths(file).into_iter().filter_map(|path| path.first().cloned());
        let wrong: BTreeSet<_> =
            wrong.filter(known).filter(|other| other != room && !allowed.contains(&other.as_str())).collect();
        problems.extend(wrong.iter().map(|other| format!("{}: {room} must not import {other}", file.path)));
    }
    problems
}

fn rule(room: &str) -> &'static (&'static str, &'static [&'static str], &'static [&'static str]) {
    ROOMS.iter().find(|(name, _, _)| *name == room).expect("it is a room")
}

/// The broker's sources with the rooms they are in.
fn rooms_files(tree: &Tree) -> impl Iterator<Item = (File<'_>, &str)> {
    tree.sources().filter_map(|file| {
        let inside = file.path.strip_prefix("broker/src/")?;
        let room = inside.split(['/', '.']).next()?;
        ROOMS.iter().any(|(name, _, _)| *name == room).then_some((file, room))
    })
}

/// The module that a source file is, below its crate's root.
pub fn module(path: &str) -> Vec<String> {
    let inside = path.split_once("src/").map_or("", |(_, inside)| inside).trim_end_matches(".rs");
    let mut parts: Vec<_> = inside.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Every path into the own crate that a file has, from the crate's root on, two names deep at most.
pub fn paths(file: File<'_>) -> Vec<Vec<String>> {
    let me = module(file.path);
    let mut found = Vec::new();
    for line in statements(file.shipped()) {
        for (start, _) in line.match_indices("crate::") {
            if !line[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                expand(&[], &line[start + 7..], &mut found);
            }
        }
        let mut rest = line.as_str();
        while let Some(at) = rest.find("super::") {
            let mut base = me.clone();
            rest = &rest[at..];
            while let Some(above) = rest.strip_prefix("super::") {
                base.pop();
                rest = above;
            }
            expand(&base, rest, &mut found);
        }
    }
    found
}

/// A file's lines without comments, with `use` trees over several lines joined.
fn statements(text: &str) -> Vec<String> {
    let mut all = Vec::<String>::new();
    let mut open = 0_i32;
    for line in text.lines().map(super::tree::code) {
        match all.last_mut() {
            Some(last) if open > 0 => last.push_str(line.trim()),
            _ => all.push(line.trim().to_owned()),
        }
        let is_use = all.last().is_some_and(|line| line.starts_with("use ") || line.starts_with("pub use "));
        open = if is_use { all.last().map_or(0, |line| balance(line)) } else { 0 };
    }
    all
}

fn balance(line: &str) -> i32 {
    line.matches('{').count() as i32 - line.matches('}').count() as i32
}

/// Adds the names behind a path, whether one or a braced list of them.
fn expand(base: &[String], rest: &str, found: &mut Vec<Vec<String>>) {
    let Some(list) = rest.strip_prefix('{') else {
        let names = rest.split("::").map(ident).take_while(|name| !name.is_empty()).take(3);
        found.push(base.iter().cloned().chain(names.map(str::to_owned)).collect());
        return;
    };
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(base.iter().cloned().chain([ident(list[start..at].trim()).to_owned()]).collect());
                start = at + 1;
                if c == '}' {
                    return;
                }
            }
            _ => {}
        }
    }
}

fn ident(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}
