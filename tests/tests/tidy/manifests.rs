//! What the crates depend on.

use super::tree::{File, Tree};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Crates that may not come in, not even through others.
const BANNED: &[&str] = &["bincode", "native-tls", "openssl", "openssl-sys"];

/// The dependencies of a manifest, by name; of the workspace's too.
pub fn dependencies(file: File<'_>) -> Vec<(String, Value)> {
    let manifest: Table = file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let table =
        |table: &Table, kind: &str| table.get(kind).and_then(Value::as_table).cloned().unwrap_or_default();
    let workspace = table(&manifest, "workspace");
    let all = kinds.iter().map(|kind| table(&manifest, kind)).chain([table(&workspace, "dependencies")]);
    all.flatten().collect()
}

/// Every dependency has a version, from the registry, and the same one everywhere.
pub fn pinned(tree: &Tree) -> Vec<String> {
    let mut known = BTreeMap::<String, String>::new();
    let mut problems = Vec::new();
    // The workspace's own manifest first: its versions are the ones that others must have.
    let mut manifests: Vec<_> = tree.manifests().collect();
    manifests.sort_by_key(|file| (file.path != "Cargo.toml", file.path));
    for file in manifests {
        for (name, value) in dependencies(file) {
            match version(&value) {
                Ok(None) => {}
                Ok(Some("*")) => problems.push(format!("{}: {name} has any version", file.path)),
                Ok(Some(version)) => {
                    let first = known.entry(name.clone()).or_insert_with(|| version.to_owned());
                    if first != version {
                        problems.push(format!("{}: {name} is {version}, elsewhere {first}", file.path));
                    }
                }
                Err(()) => problems.push(format!("{}: {name} does not come from the registry", file.path)),
            }
        }
    }
    problems.sort();
    problems
}

/// The version that a dependency asks for; none for the workspace's own crates and for what the workspace pins.
fn version(value: &Value) -> Result<Option<&str>, ()> {
    let Some(table) = value.as_table() else { return value.as_str().map(Some).ok_or(()) };
    if table.contains_key("path") || table.contains_key("workspace") {
        return Ok(None);
    }
    match table.get("version").and_then(Value::as_str) {
        Some(version) if !table.contains_key("git") => Ok(Some(version)),
        _ => Err(()),
    }
}

/// Banned crates are not in the lock file.
pub fn banned(tree: &Tree) -> Vec<String> {
    let lock: Table = tree.text("Cargo.lock").parse().expect("a lock file is TOML");
    let packages = lock.get("package").and_then(Value::as_array).cloned().unwrap_or_default();
    let names = packages.iter().filter_map(|package| package.get("name").and_then(Value::as_str));
    names.filter(|name| BANNED.contains(name)).map(|name| format!("Cargo.lock: {name}")).collect()
}
