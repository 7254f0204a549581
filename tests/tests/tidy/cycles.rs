//! Modules beside each other do not import each other in a circle. A module and the modules in it are one.

use super::arrows::{module, paths};
use super::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// Which modules of one level import which.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Looks at every level of every crate.
pub fn modules(tree: &Tree) -> Vec<String> {
    let mut levels: BTreeMap<String, Graph> = BTreeMap::new();
    let all = all_modules(tree);
    for file in tree.sources().filter(|file| file.path.contains("src/") && !file.path.contains("/bin/")) {
        let root = file.path.split_once("src/").map_or("", |(root, _)| root);
        let me = module(file.path);
        for path in paths(file) {
            if let Some((level, from, to)) = edge(&me, &path)
                && all.contains(&format!("{root}src/{level}{to}"))
            {
                let graph =
                    levels.entry(format!("{root}src/{level}").trim_end_matches('/').to_owned()).or_default();
                graph.entry(from).or_default().insert(to);
            }
        }
    }
    levels.iter().filter_map(|(level, graph)| cycle(graph).map(|names| format!("{level}: {names}"))).collect()
}

/// All modules, as paths without an ending.
fn all_modules(tree: &Tree) -> BTreeSet<String> {
    let path =
        |path: &str| path.split_once("src/").map(|(root, _)| format!("{root}src/{}", module(path).join("/")));
    tree.sources().filter_map(|file| path(file.path)).collect()
}

/// Where two modules part: the level, and the two names there.
fn edge(from: &[String], to: &[String]) -> Option<(String, String, String)> {
    let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let (a, b) = (from.get(common)?, to.get(common)?);
    let level: String = from[..common].iter().map(|name| format!("{name}/")).collect();
    Some((level, a.clone(), b.clone()))
}

/// The first circle that there is.
fn cycle(graph: &Graph) -> Option<String> {
    graph.keys().find_map(|start| {
        let mut way = vec![start.clone()];
        walk(graph, start, &mut way, &mut BTreeSet::new()).then(|| way.join(" -> "))
    })
}

/// Whether a way leads back to its start.
fn walk(graph: &Graph, start: &str, way: &mut Vec<String>, seen: &mut BTreeSet<String>) -> bool {
    let here = way.last().cloned().unwrap_or_default();
    for next in graph.get(&here).into_iter().flatten() {
        way.push(next.clone());
        if next == start || (seen.insert(next.clone()) && walk(graph, start, way, seen)) {
            return true;
        }
        way.pop();
    }
    false
}
