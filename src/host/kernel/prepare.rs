//! An object's bytes → the object, opened for one program: with its values and maps, and without anything that it does
//! not need.
//!
//! An object often contains an iterator together with programs that need other kernels, privileges or loaders. The
//! maps and externs of those programs must not matter.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use libbpf_rs::{MapType, OpenMapMut, OpenObject};

use super::error::LoadError;
use super::probe::lacks_sleepable;
use super::{ffi, globals, map, max_entries, open};
use iterctl_core::anatomy::{Needs, needs, with_weak_externs, without_slots};
use iterctl_core::desired::Program;
use iterctl_core::feature::Feature;
use iterctl_core::ids::MapId;
use iterctl_core::target::Sleep;

/// A program that is to be loaded, with its object and maps.
pub(super) struct Wanted<'a> {
    pub(super) program: &'a Program,
    /// The object. The slots of maps that are replaced by given maps have been emptied.
    pub(super) bytes: Cow<'a, [u8]>,
    /// The ids of existing maps, by the names of the object's maps that they replace.
    pub(super) given: &'a BTreeMap<String, MapId>,
    /// The names of the object's own maps that are to be walked.
    pub(super) walked: &'a BTreeSet<&'a str>,
}

impl<'a> Wanted<'a> {
    /// Collects what is to be loaded. Fails if this kernel cannot load such a program.
    pub(super) fn new(
        program: &'a Program,
        bytes: &'a [u8],
        given: &'a BTreeMap<String, MapId>,
        walked: &'a BTreeSet<&'a str>,
    ) -> Result<Self, LoadError> {
        if program.sleep == Sleep::Allowed && lacks_sleepable() {
            return Err(LoadError::Lacks(Feature::Sleepable));
        }
        let mut bytes = Cow::Borrowed(bytes);
        if !given.is_empty() {
            let names = given.keys().map(String::as_str).collect();
            let without = without_slots(&bytes, &names);
            bytes = without.map_err(|why| LoadError::Open(why.to_string()))?.into();
        }
        Ok(Self { program, bytes, given, walked })
    }

    /// Finds what the program needs from its object.
    pub(super) fn needs(&self) -> Result<Needs, LoadError> {
        let needs = needs(&self.bytes, &self.program.name);
        needs.map_err(|why| LoadError::Open(why.to_string()))?.ok_or(LoadError::NoProgram)
    }

    /// Opens the object, ready to be loaded.
    pub(super) fn open(&self, needs: &Needs) -> Result<OpenObject, LoadError> {
        let mut object = open_for(&self.program.object, &self.bytes, needs)?;
        for mut program in object.progs_mut() {
            let is_needed =
                program.name().to_str().is_some_and(|name| needs.programs.contains(name));
            program.set_autoload(is_needed);
        }
        globals::patch(&mut object, &self.program.globals.patches).map_err(LoadError::Open)?;
        max_entries::set(&mut object, &self.program.max_entries)?;
        // This comes before maps are given, because a map that is replaced takes the name of the given map
        // (`bpf_map__reuse_fd()`, libbpf 1.7).
        for mut map in object.maps_mut() {
            self.keep_or_leave_out(&mut map, needs)
                .map_err(|error| LoadError::Open(error.to_string()))?;
        }
        for (name, id) in self.given {
            give(&mut object, name, *id)?;
        }
        Ok(object)
    }

    fn keep_or_leave_out(&self, map: &mut OpenMapMut<'_>, needs: &Needs) -> io::Result<()> {
        // While libbpf loads, it pins every map that has a pin path, outside of any transaction. It also uses the
        // map that is pinned there instead of a given map (`bpf_object__create_maps()`, libbpf 1.7).
        ffi::clear_pin_path(map)?;
        let name = map.name().to_str().unwrap_or_default();
        if is_needed(name, map.map_type(), needs) || self.walked.contains(name) {
            return Ok(());
        }
        map.set_autocreate(false).map_err(io::Error::other)?;
        // libbpf would still fill its slots, with programs that are not loaded (`bpf_object_init_prog_arrays()`,
        // libbpf 1.7).
        if map.map_type() == MapType::ProgArray {
            map.set_type(MapType::Array).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Returns whether the programs need the map.
fn is_needed(name: &str, map_type: MapType, needs: &Needs) -> bool {
    if open::is_own(name) {
        // The variables of an arena are in a section that has no map of its own: the arena holds them.
        let is_arena = map_type == MapType::Arena && needs.sections.contains(ARENA_DATA);
        // No program can use a `struct_ops` map, whatever its name.
        return is_arena || (map_type != MapType::StructOps && needs.maps.contains(name));
    }
    // libbpf binds read-only data to every program, because it may contain metadata for bpftool
    // (`bpf_object_load_prog()`, libbpf 1.7).
    let is_in = |section: &str| globals::is_map_of(name, section);
    name.contains(".rodata")
        || needs.sections.iter().any(|section| is_in(section))
        || (is_in(".kconfig") && !needs.externs.is_empty())
}

/// The section with the variables of an arena (`ARENA_SEC`, libbpf 1.7).
const ARENA_DATA: &str = ".addr_space.1";

/// Opens the object so that externs which only other programs use do not matter: they are made weak, and libbpf does
/// not look for the kernel's configuration because of them.
fn open_for(path: &Path, bytes: &[u8], needs: &Needs) -> Result<OpenObject, LoadError> {
    let others = &needs.other_externs;
    if others.is_empty() {
        return open::open(path, bytes, None).map_err(LoadError::Open);
    }
    let bytes = with_weak_externs(bytes, others).map_err(|why| LoadError::Open(why.to_string()))?;
    let object = open::open(path, &bytes, None).map_err(LoadError::Open)?;
    let values = globals::configuration(&object);
    let lines = values.iter().filter(|(name, _)| others.contains(*name));
    let text: String = lines.map(|(name, nothing)| format!("{name}={nothing}\n")).collect();
    if text.is_empty() {
        return Ok(object);
    }
    let text = CString::new(text).map_err(|error| LoadError::Open(error.to_string()))?;
    open::open(path, &bytes, Some(&text)).map_err(LoadError::Open)
}

/// Makes the object use an existing map instead of its own map `name`.
fn give(object: &mut OpenObject, name: &str, id: MapId) -> Result<(), LoadError> {
    let failed = |error: io::Error| LoadError::GivenMap { map: name.to_owned(), id, error };
    let fd = map::open(id).map_err(failed)?;
    let have = ffi::map_info(fd.as_fd()).map_err(failed)?;
    let gone = || failed(io::Error::other("the object has no such map"));
    let mut map = object.maps_mut().find(|map| map.name() == name).ok_or_else(gone)?;
    let type_name =
        |number: u32| ffi::map_type_name(number).map_or_else(|| number.to_string(), str::to_owned);
    let bytes = |size: u32| format!("{size} bytes");
    let differing = [
        ("type", type_name(map.map_type() as u32), type_name(have.map_type)),
        ("key size", bytes(map.key_size()), bytes(have.key_size)),
        ("value size", bytes(map.value_size()), bytes(have.value_size)),
    ];
    // libbpf does not check that the given map matches.
    if let Some((what, wanted, found)) = differing.into_iter().find(|(_, a, b)| a != b) {
        return Err(LoadError::MapDiffers { map: name.to_owned(), id, what, wanted, found });
    }
    map.reuse_fd(fd.as_fd()).map_err(|error| failed(io::Error::other(error)))
}
