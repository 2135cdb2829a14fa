//! An object's bytes → its iterator programs, maps and variables, without loading anything.

use std::path::Path;

use libbpf_rs::{ObjectBuilder, OpenObject};

use super::{globals, log};
use crate::fault::Candidate;
use crate::globals::Global;
use crate::target::{Sleep, Target};

/// What an object holds.
#[derive(Debug)]
pub struct Contents {
    /// Its iterator programs, in the order in which they stand in it.
    pub iterators: Vec<Candidate>,
    /// The names of the maps that it defines, but for those that hold its variables.
    pub maps: Vec<String>,
    /// Its global variables, by name.
    pub globals: Vec<Global>,
}

/// Looks into an object without loading anything.
///
/// # Errors
/// libbpf's words, where it cannot make sense of the object.
pub fn look_into(path: &Path, bytes: &[u8]) -> Result<Contents, String> {
    let object = open(path, bytes, None)?;
    let iterators = object.progs().filter_map(|program| {
        let section = program.section().to_str()?;
        let (target, sleep) = (Target::of_section(section)?, Sleep::of_section(section));
        Some(Candidate { program: program.name().to_str()?.to_owned(), target, sleep })
    });
    let maps = object.maps().filter_map(|map| {
        let name = map.name().to_str()?;
        is_own(name).then(|| name.to_owned())
    });
    Ok(Contents {
        iterators: iterators.collect(),
        maps: maps.collect(),
        globals: globals::globals(&object),
    })
}

/// Whether a map of an object is one that its author defines: libbpf makes others for variables, and
/// names these after their section, which begins with a dot.
pub(super) fn is_own(name: &str) -> bool {
    !name.contains('.')
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
