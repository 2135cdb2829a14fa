//! Checks the arrows of the drawing in src/lib.rs: main → front → host → core, and no circle between the
//! modules of a part.
//!
//! The core is a crate of its own, so cargo enforces its arrow. The others are looked for in the sources:
//! every path that begins with `crate::`, in code and in `use`. Tests may use more: `#[cfg(test)]` comes
//! last in a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Which module uses which.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the sources are there");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    paths
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .filter(|path| !path.iter().any(|part| part == "tests" || part == "tests.rs"))
        .collect()
}

/// The code of a file without comments, which may name anything.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("the source can be read");
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.filter(is_code).fold(String::new(), |code, line| code + line + "\n")
}

/// The module of a part that a file is in: its first folder, or the file itself.
fn module(folder: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(folder).expect("it was found there").with_extension("");
    let first = relative.components().next().expect("a file has a name");
    first.as_os_str().to_string_lossy().into_owned()
}

/// The modules that follow `crate::PREFIX`, also in groups: `crate::host::{bpffs, kernel}`.
fn named(code: &str, prefix: &str) -> BTreeSet<String> {
    let path = Regex::new(&format!(r"crate::{prefix}([a-z_]+|\{{[^;]*;)")).expect("a pattern");
    let word = Regex::new("[a-z_]+").expect("a pattern");
    let mut found = BTreeSet::new();
    for one in path.captures_iter(code).map(|all| all[1].to_owned()) {
        match one.strip_prefix('{') {
            // Only the first level of a group names modules.
            Some(group) => {
                let mut depth = 0;
                for part in group.split_inclusive([',', '{', '}']) {
                    if depth == 0 {
                        found.extend(word.find(part).map(|name| name.as_str().to_owned()));
                    }
                    depth += part.matches('{').count();
                    depth -= part.matches('}').count().min(depth);
                }
            }
            None => drop(found.insert(one)),
        }
    }
    found
}

fn arrows(folder: &Path, prefix: &str) -> Arrows {
    let mut arrows = Arrows::new();
    for path in sources(folder) {
        let from = module(folder, &path);
        let to = named(&code(&path), prefix).into_iter().filter(|to| *to != from);
        arrows.entry(from.clone()).or_default().extend(to);
    }
    arrows
}

/// Modules that lead back to themselves, each with the path.
fn circles(arrows: &Arrows) -> Vec<String> {
    let mut circles = Vec::new();
    for start in arrows.keys() {
        let mut ways = vec![vec![start.as_str()]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            let last = way.last().copied().unwrap_or_default();
            for next in arrows.get(last).into_iter().flatten() {
                if next == start {
                    circles.push(
                        way.iter()
                            .chain([&start.as_str()])
                            .copied()
                            .collect::<Vec<_>>()
                            .join(" → "),
                    );
                } else if seen.insert(next.as_str()) {
                    ways.push(way.iter().copied().chain([next.as_str()]).collect());
                }
            }
        }
    }
    circles
}

#[track_caller]
fn has_no_circle(folder: &str, prefix: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let arrows = arrows(&folder, prefix);
    assert!(arrows.len() > 5, "{} has modules: {arrows:?}", folder.display());
    assert!(arrows.values().any(|to| !to.is_empty()), "they use each other");
    assert_eq!(circles(&arrows), [] as [String; 0]);
}

#[test]
fn no_modules_of_the_core_use_each_other() {
    has_no_circle("core/src", "");
}

#[test]
fn no_modules_of_the_host_use_each_other() {
    has_no_circle("src/host", "host::");
}

#[test]
fn no_modules_of_the_front_use_each_other() {
    has_no_circle("src/front", "front::");
}

#[test]
fn the_host_knows_nothing_of_the_front() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host");
    for path in sources(&folder) {
        let code = code(&path);
        assert!(!code.contains("crate::front"), "{}", path.display());
        assert!(!named(&code, "").contains("front"), "{}", path.display());
    }
}

#[test]
fn a_circle_is_found() {
    let arrows = |pairs: &[(&str, &[&str])]| -> Arrows {
        let owned = |to: &[&str]| to.iter().map(|to| (*to).to_owned()).collect();
        pairs.iter().map(|(from, to)| ((*from).to_owned(), owned(to))).collect()
    };
    let none = arrows(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]);
    assert_eq!(circles(&none), [] as [String; 0]);
    let one = arrows(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]);
    assert_eq!(circles(&one), ["b → c → b", "c → b → c"]);
    let grouped = "use crate::host::{\n    bpffs::{Bpffs, File},\n    kernel,\n};\nlet x = crate::host::sys::map();";
    assert_eq!(
        named(grouped, "host::").into_iter().collect::<Vec<_>>(),
        ["bpffs", "kernel", "sys"]
    );
}
