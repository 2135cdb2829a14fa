//! Text → manifest → desired → faults as they are shown.
#![no_main]

use std::sync::LazyLock;

use iterctl_core::desired::Facts;
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/broken/manifest.rs"]
mod manifest;

static FACTS: LazyLock<Facts> = LazyLock::new(manifest::facts);

fuzz_target!(|text: &str| manifest::read(text, &FACTS));
