//! Any bytes are inspected as an object and prepared for loading, or refused: libbpf parses them in this
//! process. Shared by tests/broken_objects.rs and the fuzz target `object`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use iterctl::host::kernel;
use iterctl::host::object::facts_of;
use iterctl_core::desired::{Globals, ObjectFacts, Program};

/// Inspects the object, and prepares each of its iterators as far as no kernel is needed. The results do
/// not matter, but it must be possible to print them.
pub(crate) fn look(bytes: &[u8]) {
    let facts = match facts_of(Path::new("broken.bpf.o"), bytes) {
        Ok(facts) => facts,
        Err(why) => return assert!(!why.to_string().is_empty(), "a refusal has a reason"),
    };
    assert!(!format!("{facts:?}").is_empty());
    for program in programs(&facts) {
        if let Err(why) = kernel::rehearse(&program, bytes) {
            assert!(!why.to_string().is_empty(), "a refusal has a reason");
        }
    }
}

/// The most iterators to prepare: a broken object may have thousands.
const MOST: usize = 8;

fn programs(facts: &ObjectFacts) -> impl Iterator<Item = Program> {
    facts.iterators.iter().take(MOST).map(|one| Program {
        object: PathBuf::from("broken.bpf.o"),
        sha256: facts.sha256.clone(),
        name: one.program.clone(),
        target: one.target.clone(),
        sleep: one.sleep,
        globals: Globals::default(),
        maps: BTreeMap::new(),
        max_entries: BTreeMap::new(),
        held: BTreeSet::new(),
        externs: BTreeSet::new(),
    })
}
