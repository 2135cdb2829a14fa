//! An object's bytes → its iterator programs, without loading anything.

use std::path::Path;

use libbpf_rs::{ObjectBuilder, OpenObject};

use super::log;
use crate::fault::Candidate;
use crate::target::Target;

/// The iterator programs of an object, in the order in which they stand in it.
///
/// # Errors
/// libbpf's words, where it cannot make sense of the object.
pub fn iterators(path: &Path, bytes: &[u8]) -> Result<Vec<Candidate>, String> {
    let object = open(path, bytes, None)?;
    let candidates = object.progs().filter_map(|program| {
        let target = Target::of_section(program.section().to_str()?)?;
        Some(Candidate { program: program.name().to_str()?.to_owned(), target })
    });
    Ok(candidates.collect())
}

/// Opens an object from memory: what was hashed is what is opened. Maps that it wants pinned by
/// name are looked for in `bpffs`.
pub(super) fn open(path: &Path, bytes: &[u8], bpffs: Option<&Path>) -> Result<OpenObject, String> {
    let (opened, messages) = log::collect(|| {
        // libbpf names an object's own maps after the file. Without a name it would make one of
        // the bytes' address.
        let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or("object");
        let stem = stem.split('.').next().unwrap_or(stem);
        let mut builder = ObjectBuilder::default();
        builder.name(stem)?;
        if let Some(bpffs) = bpffs {
            builder.pin_root_path(bpffs)?;
        }
        builder.open_memory(bytes)
    });
    opened.map_err(|error| messages.last().cloned().unwrap_or_else(|| format!("{error:#}")))
}
