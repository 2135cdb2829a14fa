//! Objects that are truncated, or have flipped bits, never crash or hang the code that inspects them:
//! libbpf parses them in this process.
//!
//! `ITERCTL_MUTATIONS` says how many are tried of each object; a few hundred if it is not set.

mod broken {
    pub(crate) mod object;
    pub(crate) mod places;
}

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use broken::object;
use broken::places::places;
use iterctl::host::object::facts_of;
use iterctl_core::fault::ObjectFault;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Much longer than any inspection of an object takes, so that a hang is a failure and not a timeout.
const LONGEST: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
enum Mutation {
    /// The object is cut at this share of its length, in thousandths.
    Cut(usize),
    /// Single bits are flipped: where, in millionths of the length, and which.
    Flip(Vec<(usize, u8)>),
    /// A number of four bytes is replaced: where, in millionths of the length, and by what.
    Number(usize, u32),
    /// The same for a number that libbpf trusts: the index of the place, the position in it in millionths
    /// of its length, and the new value.
    Trusted(usize, usize, u32),
    /// A run of bytes is copied elsewhere: from, to, length.
    Copy(usize, usize, usize),
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let millionth = 0..1_000_000_usize;
    let odd = prop_oneof![
        Just(0_u32),
        Just(1),
        Just(u32::MAX),
        Just(i32::MAX.cast_unsigned()),
        Just(0x8000_0000),
        any::<u32>(),
    ];
    prop_oneof![
        1 => (0..1_000_usize).prop_map(Mutation::Cut),
        4 => prop::collection::vec((millionth.clone(), 0..8_u8), 1..8).prop_map(Mutation::Flip),
        4 => (millionth.clone(), odd.clone()).prop_map(|(at, number)| Mutation::Number(at, number)),
        6 => (any::<usize>(), millionth.clone(), prop_oneof![odd, 0..64_u32])
            .prop_map(|(place, at, number)| Mutation::Trusted(place, at, number)),
        2 => (millionth.clone(), millionth, 1..64_usize)
            .prop_map(|(from, to, length)| Mutation::Copy(from, to, length)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len();
    let at = |millionths: usize| length * millionths / 1_000_000;
    match mutation {
        Mutation::Cut(thousandths) => bytes.truncate(length * thousandths / 1_000),
        Mutation::Flip(bits) => {
            for (place, bit) in bits {
                bytes[at(*place)] ^= 1 << bit;
            }
        }
        Mutation::Number(place, number) => {
            let start = at(*place) & !3;
            let end = (start + 4).min(length);
            bytes[start..end].copy_from_slice(&number.to_ne_bytes()[..end - start]);
        }
        Mutation::Trusted(place, at, number) => {
            let places = places(bytes);
            let Some(place) = places.get(place.checked_rem(places.len()).unwrap_or_default())
            else {
                return;
            };
            let start = (place.start + place.len() * at / 1_000_000) & !3;
            let end = (start + 4).min(length);
            bytes[start..end].copy_from_slice(&number.to_ne_bytes()[..end - start]);
        }
        Mutation::Copy(from, to, run) => {
            let (from, to) = (at(*from), at(*to));
            let run = (*run).min(length - from.max(to));
            bytes.copy_within(from..from + run, to);
        }
    }
}

fn objects() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join("tests/objects")).expect("the fixtures are there");
    let mut objects: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the fixtures can be listed").path())
        .filter(|path| path.extension().is_some_and(|end| end == "o"))
        .collect();
    objects.sort();
    assert!(objects.len() > 20, "the objects are compiled: `make objects`");
    objects
}

#[test]
fn broken_objects_are_refused_or_read_but_never_crash() {
    let cases = std::env::var("ITERCTL_MUTATIONS")
        .ok()
        .map_or(200, |number| number.parse().expect("ITERCTL_MUTATIONS is a number"));
    for path in objects() {
        let good = fs::read(&path).expect("the object can be read");
        let facts = facts_of(&path, &good);
        assert!(!matches!(facts, Err(ObjectFault::Unsound(..))), "a compiler wrote it: {facts:?}");
        object::look(&good);
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let result = TestRunner::new_with_rng(config, rng).run(
            &prop::collection::vec(mutations(), 1..4),
            |mutations| {
                let mut bytes = good.clone();
                for mutation in mutations.iter().filter(|_| !good.is_empty()) {
                    if !bytes.is_empty() {
                        mutate(&mut bytes, mutation);
                    }
                }
                let start = Instant::now();
                object::look(&bytes);
                prop_assert!(start.elapsed() < LONGEST, "it took {:?}", start.elapsed());
                Ok(())
            },
        );
        assert!(result.is_ok(), "{}: {result:?}", path.display());
    }
}
