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

/// What an object holds.
#[derive(Debug)]
pub struct Contents {
    /// Its iterator programs, in the order in which they stand in it.
    pub iterators: Vec<Candidate>,
    /// The maps that it defines, but for those that hold its variables.
    pub maps: Vec<ObjectMap>,
    /// Its global variables, by name.
    pub globals: Vec<Global>,
    /// What its programs take from the kernel.
    pub externs: Vec<Extern>,
}

/// Looks into an object without loading anything. `externs` are the names of those that it has.
///
/// # Errors
/// libbpf's words, where it cannot make sense of the object.
pub fn look_into(
    path: &Path,
    bytes: &[u8],
    externs: &BTreeSet<String>,
) -> Result<Contents, String> {
    let object = open(path, bytes, None)?;
    let iterators = object.progs().filter_map(|program| {
        let section = program.section().to_str()?;
        let (target, sleep) = (Target::of_section(section)?, Sleep::of_section(section));
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

/// Whether the kernel makes no map of that type without a number of entries. libbpf gives one to arrays of perf
/// events (`map_set_def_max_entries()`, libbpf 1.7); storage of sockets, tasks, inodes and cgroups must have
/// none (`bpf_local_storage_map_alloc_check()` in kernel/bpf/bpf_local_storage.c).
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

/// Whether a map of an object is one that its author defines: libbpf makes others for variables, and
/// names these after their section, which begins with a dot.
pub(super) fn is_own(name: &str) -> bool {
    !name.contains('.')
}

/// Opens an object from memory: what was hashed is what is opened. `configuration` are lines as in the kernel's
/// configuration, which libbpf believes rather than that.
pub(super) fn open(
    path: &Path,
    bytes: &[u8],
    configuration: Option<&CStr>,
) -> Result<OpenObject, String> {
    // libbpf names an object's own maps after the file. Without a name it would make one of the bytes'
    // address.
    let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or("object");
    let stem = stem.split('.').next().unwrap_or(stem);
    let name = CString::new(stem).map_err(|error| error.to_string())?;
    let (opened, messages) = log::collect(|| ffi::open(bytes, &name, configuration));
    let silent = |error: io::Error| format!("it reports no reason but an errno: {error}");
    opened.map_err(|error| messages.last().cloned().unwrap_or_else(|| silent(error)))
}
