//! An object's bytes → its iterator programs, maps and variables, without loading anything.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::path::Path;

use libbpf_rs::{MapType, OpenObject};

use super::{ffi, globals, log};
use iterctl_core::anatomy::Extern;
use iterctl_core::desired::ObjectMap;
use iterctl_core::fault::Candidate;
use iterctl_core::globals::Global;
use iterctl_core::target::{Sleep, Target};

/// The parts of an object that iterctl uses.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Its iterator programs, in the order of the object.
    pub iterators: Vec<Candidate>,
    /// The maps that it declares, except for those that hold its variables.
    pub maps: Vec<ObjectMap>,
    /// Its global variables, sorted by name.
    pub globals: Vec<Global>,
    /// The functions, variables and options of the kernel that its programs use.
    pub externs: Vec<Extern>,
}

/// Reads what is in an object, without loading anything. `externs` are the names of its externs.
///
/// # Errors
/// libbpf's message, if it cannot read the object.
pub(crate) fn look_into(
    path: &Path,
    bytes: &[u8],
    externs: &BTreeSet<String>,
) -> Result<Contents, String> {
    let object = open(path, bytes, None)?;
    let iterators = object.progs().filter_map(|program| {
        let section = program.section().to_str()?;
        let (target, sleep) = (Target::from_section(section)?, Sleep::from_section(section));
        let program = program.name().to_str()?.to_owned();
        let context = globals::context(&object, &program);
        Some(Candidate { program, target, sleep, context })
    });
    let maps = object.maps().filter_map(|map| {
        let name = map.name().to_str().filter(|name| is_own(name))?.to_owned();
        let lacks_size = map.max_entries() == 0 && needs_size(map.map_type());
        Some(ObjectMap { name, lacks_size, is_pinned_by_name: ffi::is_pinned_by_name(&map) })
    });
    Ok(Contents {
        iterators: iterators.collect(),
        maps: maps.collect(),
        globals: globals::globals(&object),
        externs: globals::externs(&object, externs),
    })
}

/// Returns whether the kernel refuses a map of this type without a number of entries. The list leaves out arrays of
/// perf events, for which libbpf chooses a number (`map_set_def_max_entries()`, libbpf 1.7), and storage of sockets,
/// tasks, inodes and cgroups, which must have none (`bpf_local_storage_map_alloc_check()` in
/// kernel/bpf/bpf_local_storage.c).
fn needs_size(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::Hash
            | MapType::Array
            | MapType::ProgArray
            | MapType::PercpuHash
            | MapType::PercpuArray
            | MapType::StackTrace
            | MapType::CgroupArray
            | MapType::LruHash
            | MapType::LruPercpuHash
            | MapType::LpmTrie
            | MapType::ArrayOfMaps
            | MapType::HashOfMaps
            | MapType::Devmap
            | MapType::DevmapHash
            | MapType::Sockmap
            | MapType::Sockhash
            | MapType::Cpumap
            | MapType::Xskmap
            | MapType::ReuseportSockarray
            | MapType::Queue
            | MapType::Stack
            | MapType::RingBuf
            | MapType::UserRingBuf
            | MapType::BloomFilter
            | MapType::Arena
    )
}

/// Returns whether a map of an object is declared by the object's author. libbpf adds maps for variables, and their
/// names contain that of their section, which begins with a dot.
pub(super) fn is_own(name: &str) -> bool {
    !name.contains('.')
}

/// Opens an object from memory, so that exactly the bytes that were hashed are opened. `configuration` has lines in the
/// format of the kernel's configuration, and takes precedence over it.
pub(super) fn open(
    path: &Path,
    bytes: &[u8],
    configuration: Option<&CStr>,
) -> Result<OpenObject, String> {
    // libbpf names the maps for variables after the file. Without a name, it would make one from the address of the
    // bytes.
    let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or("object");
    let stem = stem.split('.').next().unwrap_or(stem);
    let name = CString::new(stem).map_err(|error| error.to_string())?;
    let (opened, messages) = log::collect(|| ffi::open(bytes, &name, configuration));
    let silent = |error: io::Error| format!("it reports no reason but an errno: {error}");
    opened.map_err(|error| messages.last().cloned().unwrap_or_else(|| silent(error)))
}
