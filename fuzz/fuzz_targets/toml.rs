//! Text → the same for the parser of manifests and for the one that cargo uses.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/broken/toml.rs"]
mod compare;

fuzz_target!(|text: &str| compare::compare(text));
