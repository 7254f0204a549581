//! The files that the rules are about.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Folders that hold no source of the project.
const SKIPPED: &[&str] = &["target", "data", "node_modules"];
/// The rules name the words that they look for.
const RULES: &str = "tests/tests/tidy/";

/// Texts by path, from the repository's root.
pub struct Tree {
    files: BTreeMap<String, String>,
}

/// One file.
#[derive(Clone, Copy)]
pub struct File<'a> {
    pub path: &'a str,
    pub text: &'a str,
}

impl Tree {
    /// The repository.
    pub fn read() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in the repository");
        let mut files = BTreeMap::new();
        collect(root, root, &mut files);
        Tree { files }
    }

    /// A made-up tree.
    pub fn of(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = File<'_>> {
        self.files.iter().map(|(path, text)| File { path, text })
    }

    /// Rust sources.
    pub fn sources(&self) -> impl Iterator<Item = File<'_>> {
        self.files().filter(|file| file.path.ends_with(".rs") && !file.path.starts_with(RULES))
    }

    /// Manifests of crates, and of the workspace.
    pub fn manifests(&self) -> impl Iterator<Item = File<'_>> {
        self.files().filter(|file| file.path.ends_with("Cargo.toml"))
    }

    /// One file's text.
    pub fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }

    /// Whether there is such a file.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }
}

impl<'a> File<'a> {
    /// The source without its unit tests, which stand at the end and may import what they like.
    pub fn shipped(self) -> &'a str {
        &self.text[..self.unit_tests().unwrap_or(self.text.len())]
    }

    /// Where the tests in it begin; a file of a folder of tests is one as a whole.
    pub fn tests(self) -> Option<usize> {
        if self.path.starts_with("tests/") || self.path.contains("/tests/") {
            Some(0)
        } else {
            self.unit_tests()
        }
    }

    fn unit_tests(self) -> Option<usize> {
        let at_once = self.text.starts_with("#[cfg(test)]").then_some(0);
        at_once.or_else(|| self.text.find("\n#[cfg(test)]\nmod "))
    }
}

/// A line without its comment.
pub fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("the tree can be read") {
        let path = entry.expect("the tree can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name) {
                collect(root, &path, files);
            }
        } else if [".rs", ".md", ".txt"].iter().any(|end| name.ends_with(end))
            || name == "Cargo.toml"
            || name == "Cargo.lock"
        {
            let text = fs::read_to_string(&path).expect("sources are text");
            let path = path.strip_prefix(root).expect("it is below the root");
            files.insert(path.to_string_lossy().into_owned(), text);
        }
    }
}
