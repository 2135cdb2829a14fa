//! Any bytes are looked into as an object, or refused: libbpf parses them in this very process.
//! Shared by tests/broken_objects.rs and the fuzz target `object`.

use std::path::Path;

use iterctl::kernel;

/// Looks into the object. What is found does not matter, only that it can be told.
pub(crate) fn look(bytes: &[u8]) {
    match kernel::look_into(Path::new("broken.bpf.o"), bytes) {
        Ok(contents) => assert!(!format!("{contents:?}").is_empty()),
        Err(why) => assert!(!why.is_empty(), "a refusal has a reason"),
    }
}
