//! Manifests and stamps that somebody has broken are refused with faults that have a place; nothing
//! panics, and nothing takes long.
//!
//! `ITERCTL_MUTATIONS` says how many are tried; a few thousand if it is not set.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use iterctl::desired::{self, Facts, ObjectFacts};
use iterctl::fault::Candidate;
use iterctl::globals::{Global, Type};
use iterctl::manifest::{self, Argument, Input, Source};
use iterctl::path::Sha256;
use iterctl::stamp::Stamp;
use iterctl::target::Target;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// By far more than any of these small texts needs.
const LONGEST: Duration = Duration::from_secs(1);

/// What a manifest is made of, and what breaks it.
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

/// A known object and an unknown one.
fn facts() -> Facts {
    let number = Global {
        name: "x".to_owned(),
        section: ".rodata".to_owned(),
        offset: 0,
        kind: Type::Int { size: 1, signed: false },
    };
    let iterator =
        |name: &str| Candidate { program: name.to_owned(), target: Target::new("bpf_map_elem") };
    let object = ObjectFacts {
        sha256: Sha256::from([1; 32]),
        iterators: vec![iterator("dump"), iterator("other")],
        maps: vec!["m".to_owned()],
        globals: vec![number],
    };
    let objects = BTreeMap::from([(PathBuf::from("/m/a.o"), Ok(object))]);
    Facts { objects, ..Facts::default() }
}

/// Puts pieces into a text, each at a place of its own, some in the place of what is there.
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
fn broken_manifests_have_faults_with_places_or_are_understood() {
    let facts = facts();
    run(|text| {
        let start = Instant::now();
        let name = "iters.toml".to_owned();
        let source = Source { name, text: text.to_owned(), base: PathBuf::from("/m") };
        let arguments = vec![Argument::File(PathBuf::from("/m/iters.toml"))];
        let manifest = manifest::parse(&Input { sources: vec![source], arguments, set: None });
        if let Err(faults) = desired::resolve(&manifest, &facts) {
            prop_assert!(faults.iter().count() > 0, "a refusal has a reason");
            for fault in faults.iter() {
                prop_assert!(!fault.problem.to_string().is_empty());
                if let Some(place) = &fault.place {
                    prop_assert!(text.get(place.span()).is_some(), "{place:?} is in the text");
                }
            }
        }
        prop_assert!(start.elapsed() < LONGEST, "it took {:?}", start.elapsed());
        Ok(())
    });
}

#[test]
fn forged_stamps_are_refused_or_read() {
    let stamp = r#"{"format":1,"set":"s","source":["/m"],"object":"/a.o","sha256":"SHA","program":"p",
        "globals":{"sha256":"SHA","toml":"{ x = 1 }"},"maps":{"m":1},"own_maps":{"n":2},"version":"0"}"#;
    let stamp = stamp.replace("SHA", &"0".repeat(64));
    assert!(Stamp::from_bytes(stamp.as_bytes()).is_ok(), "what is broken here was good before");
    run(|text| {
        // The pieces of a manifest break JSON as well as any.
        let forged = format!("{}{text}", stamp.get(..text.len() % stamp.len()).unwrap_or(&stamp));
        let start = Instant::now();
        let _ = Stamp::from_bytes(forged.as_bytes());
        prop_assert!(start.elapsed() < LONGEST, "it took {:?}", start.elapsed());
        Ok(())
    });
}
