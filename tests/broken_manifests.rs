//! Broken manifests and stamps are refused with faults that have a place; nothing panics, and nothing takes
//! long.
//!
//! `ITERCTL_MUTATIONS` says how many are tried; a few thousand if it is not set.

mod broken {
    pub(crate) mod manifest;
    pub(crate) mod stamp;
}

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use broken::{manifest, stamp};
use iterctl_core::stamp::Stamp;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Much longer than any of these small texts needs.
const LONGEST: Duration = Duration::from_secs(1);

/// Parts of manifests, and parts that break them.
const PIECES: &[&str] = &[
    "[[iter]]\n",
    "[iter]\n",
    "[defaults]\n",
    "[iter.globals]\n",
    "obj = \"a.o\"\n",
    "path = \"a/b\"\n",
    "path = \"/sys/fs/bpf/x.y\"\n",
    "set = \"s\"\n",
    "bpffs = \"/b\"\n",
    "program = \"dump\"\n",
    "map = { id = 1 }\n",
    "map = { own = \"m\" }\n",
    "map = {}\n",
    "globals = { x = 1, y.z = [1] }\n",
    "globals.x = 999\n",
    "maps = { m = { name = \"n\" } }\n",
    "max-entries = { m = 1 }\n",
    "task = { pid = 1 }\n",
    "mode = \"0440\"\n",
    "cgroup = { id = 1, order = \"self-only\" }\n",
    "sha256 = \"00\"\n",
    "owner = \"0\"\n",
    "\"\"\"",
    "'''",
    "= ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\n",
    "#",
    "é",
    "\u{0}",
    "\u{1b}",
    "9999999999999999999999",
    "-1",
    "1979-05-27",
    "0x",
    "nan",
    ".",
    ",",
    "true",
];

fn good_manifests() -> Vec<String> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let folders = fs::read_dir(cases).expect("the cases are there");
    let mut texts: Vec<String> = folders
        .map(|folder| folder.expect("the cases can be listed").path().join("iters.toml"))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    texts.sort();
    assert!(texts.len() > 50, "the cases have manifests");
    texts
}

/// Puts pieces into a text, each at a place of its own; some replace what is there.
fn broken(base: &str, pieces: &[(Index, &str, usize)]) -> String {
    let mut characters: Vec<char> = base.chars().collect();
    for (place, piece, removed) in pieces {
        let at = place.index(characters.len() + 1);
        let end = (at + removed).min(characters.len());
        characters.splice(at..end, piece.chars());
    }
    characters.into_iter().collect()
}

fn run(test: impl Fn(&str) -> Result<(), TestCaseError>) {
    let cases = std::env::var("ITERCTL_MUTATIONS")
        .ok()
        .map_or(4_000, |number| number.parse().expect("ITERCTL_MUTATIONS is a number"));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let pieces = prop::collection::vec((any::<Index>(), select(PIECES), 0..12_usize), 1..8);
    let result = TestRunner::new_with_rng(config, rng)
        .run(&(select(good_manifests()), pieces), |(base, pieces)| test(&broken(&base, &pieces)));
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn broken_manifests_are_read_or_have_faults_with_places() {
    let facts = manifest::facts();
    run(|text| in_time(|| manifest::read(text, &facts)));
}

#[test]
fn forged_stamps_are_refused_or_read() {
    let good = r#"{"format":1,"set":"s","source":["/m"],"object":"/a.o","sha256":"SHA","program":"p",
        "globals":{"sha256":"SHA","toml":"{ x = 1 }"},"maps":{"m":1},"own_maps":{"n":2},"version":"0"}"#;
    let good = good.replace("SHA", &"0".repeat(64));
    assert!(Stamp::from_bytes(good.as_bytes()).is_ok(), "what is broken here was good before");
    run(|text| {
        // The pieces of a manifest break JSON just as well.
        let forged = format!("{}{text}", good.get(..text.len() % good.len()).unwrap_or(&good));
        in_time(|| stamp::read(forged.as_bytes()))
    });
}

fn in_time(read: impl FnOnce()) -> Result<(), TestCaseError> {
    let start = Instant::now();
    read();
    prop_assert!(start.elapsed() < LONGEST, "it took {:?}", start.elapsed());
    Ok(())
}

/// Work that grows with the square of a manifest's length is not noticed with short ones: this took
/// minutes.
#[test]
fn many_faults_are_shown_in_seconds() {
    let entry = |path: &str| format!("[[iter]]\nobj = \"a.o\"\npath = \"{path}\"\nmode = \"x\"\n");
    let dots: String = (0..2_500).map(|number| entry(&format!("a.b/{number}"))).collect();
    let start = Instant::now();
    manifest::read(&dots, &manifest::facts());
    manifest::read(&entry("same").repeat(2_500), &manifest::facts());
    assert!(start.elapsed() < 10 * LONGEST, "it took {:?}", start.elapsed());
}

/// Only one error of each line is reported. This took seconds if they were all on one line, or in keys of
/// too many parts.
#[test]
fn many_syntax_errors_are_shown_at_once() {
    let start = Instant::now();
    manifest::read(&format!("a = [{}", "= ".repeat(130_000)), &manifest::facts());
    manifest::read(&format!("[{}]\n", ["a"; 81].join(".")).repeat(1_590), &manifest::facts());
    assert!(start.elapsed() < 5 * LONGEST, "it took {:?}", start.elapsed());
}
