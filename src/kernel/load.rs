//! One program of an object → loaded into the kernel, with the values and maps that it is given.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore as _, Object, OpenObject};

use super::error::{Declared, LoadError};
use super::features::lacks_sleepable;
use super::{ffi, generated, globals, log, map, open, stamp};
use crate::desired::Program;
use crate::feature::Feature;
use crate::meta::{MapId, ProgramId};
use crate::stamp::Stamp;
use crate::target::Sleep;

/// A loaded program. It lives in the kernel as long as this or a link to it does.
#[derive(Debug)]
pub struct Loaded {
    pub(super) program: OwnedFd,
    pub(super) own_maps: BTreeMap<String, MapId>,
    pub(super) _maps: Holder,
}

/// What keeps the maps that only an iterator walks, and no program uses.
#[derive(Debug)]
#[expect(dead_code, reason = "they are held, not used")]
pub(super) enum Holder {
    Object(Object),
    Maps(Vec<OwnedFd>),
}

impl Loaded {
    /// The ids of the maps that came with the object, by their names.
    pub fn own_maps(&self) -> &BTreeMap<String, MapId> {
        &self.own_maps
    }

    /// Binds a stamp to the program, and reads it back.
    ///
    /// # Errors
    /// The kernel's: stamps can be bound since Linux 5.10; reading them needs `CAP_SYS_ADMIN`.
    pub fn bind(&self, stamp: &Stamp) -> Result<(), LoadError> {
        self.bind_bytes(stamp).map_err(LoadError::Stamp)
    }

    fn bind_bytes(&self, stamp: &Stamp) -> io::Result<()> {
        let bytes = stamp.to_bytes()?;
        stamp::bind(self.program.as_fd(), &bytes)?;
        // Where libbpf believes that the kernel takes no map names, it leaves them out, and a stamp
        // without its name is never found again (`bpf_map_create()`, libbpf 1.7).
        let maps = ffi::prog_info(self.program.as_fd())?.map_ids;
        let read_back = stamp::read(&maps)?.iter().any(|found| found.starts_with(&bytes));
        if read_back { Ok(()) } else { Err(io::Error::other("it cannot be read back")) }
    }
}

impl AsFd for Loaded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

/// Loads `program`, and no other program of its object, from the object's bytes. `maps` are the
/// existing maps that it is given, by the names of the object's maps that they stand for; `bpffs` is
/// where maps are looked for that the object wants pinned by name.
///
/// # Errors
/// Everything that libbpf, the verifier and the kernel have against it, translated.
pub fn load(
    program: &Program,
    bytes: &[u8],
    maps: &BTreeMap<String, MapId>,
    bpffs: &Path,
) -> Result<Loaded, LoadError> {
    if program.sleep == Sleep::Allowed && lacks_sleepable() {
        return Err(LoadError::Lacks(Feature::Sleepable));
    }
    if maps.is_empty()
        && let Some(loaded) = generated::load(prepare(program, bytes, maps, bpffs)?)
    {
        return Ok(loaded);
    }
    let object = prepare(program, bytes, maps, bpffs)?;
    let declared = Declared::all(&object);
    let (loaded, messages) = log::collect(|| ffi::load(object));
    let object =
        loaded.map_err(|error| LoadError::new(&program.target, error, &messages, &declared))?;
    let found = object.progs().find(|one| one.name().to_str() == Some(program.name.as_str()));
    let fd = found
        .ok_or(LoadError::NoProgram)?
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| LoadError::Other { error, message: None })?;
    let own_maps =
        own_maps(&object, maps).map_err(|error| LoadError::Other { error, message: None })?;
    Ok(Loaded { program: fd, own_maps, _maps: Holder::Object(object) })
}

/// The object, opened, with the program's values and maps, and with no other program.
fn prepare(
    program: &Program,
    bytes: &[u8],
    maps: &BTreeMap<String, MapId>,
    bpffs: &Path,
) -> Result<OpenObject, LoadError> {
    let mut object = open::open(&program.object, bytes, Some(bpffs)).map_err(LoadError::Open)?;
    // A sibling that does not load would sink the whole object.
    for mut other in object.progs_mut() {
        let wanted = other.name().to_str() == Some(program.name.as_str());
        other.set_autoload(wanted);
    }
    globals::patch(&mut object, &program.globals.patches).map_err(LoadError::Open)?;
    for (name, id) in maps {
        give(&mut object, name, *id)?;
    }
    match map_to_be_pinned(&object, maps) {
        Some((map, path)) => Err(LoadError::MapNotPinned { map, path }),
        None => Ok(object),
    }
}

/// A program that is loaded already, whose object came with these maps. `None` where one of them has
/// gone: those that the program does not use go with the last link that walks them.
///
/// # Errors
/// The kernel's. Opening a program by its id needs `CAP_SYS_ADMIN`.
pub fn reopen(id: ProgramId, own_maps: BTreeMap<String, MapId>) -> io::Result<Option<Loaded>> {
    let open = || {
        let program = ffi::prog_by_id(id.0)?;
        let maps = own_maps.values().map(|id| map::open(*id)).collect::<io::Result<_>>()?;
        io::Result::Ok((program, maps))
    };
    match open() {
        Ok((program, maps)) => Ok(Some(Loaded { program, own_maps, _maps: Holder::Maps(maps) })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Has the object use an existing map instead of its own map `name`.
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
    // libbpf takes whatever it is given.
    if let Some((what, wanted, found)) = differing.into_iter().find(|(_, a, b)| a != b) {
        return Err(LoadError::MapDiffers { map: name.to_owned(), id, what, wanted, found });
    }
    map.reuse_fd(fd.as_fd()).map_err(|error| failed(io::Error::other(error)))
}

fn own_maps(
    object: &Object,
    given: &BTreeMap<String, MapId>,
) -> io::Result<BTreeMap<String, MapId>> {
    let mut ids = BTreeMap::new();
    for map in object.maps() {
        let Some(name) = map.name().to_str() else { continue };
        if !open::is_own(name) {
            continue;
        }
        let id = MapId(ffi::map_info(map.as_fd())?.id);
        // Not by name: a map that was given has its own name here (`bpf_map__reuse_fd()`).
        if !given.values().any(|given| *given == id) {
            ids.insert(name.to_owned(), id);
        }
    }
    Ok(ids)
}

/// A map that libbpf would pin while it loads, outside of any transaction: one that is declared
/// with `LIBBPF_PIN_BY_NAME` and not pinned yet. One that is pinned is used, and that is all.
fn map_to_be_pinned(
    object: &OpenObject,
    given: &BTreeMap<String, MapId>,
) -> Option<(String, PathBuf)> {
    let not_given = |name: &OsStr| name.to_str().is_none_or(|name| !given.contains_key(name));
    object.maps().filter(|map| not_given(map.name())).find_map(|map| {
        let path = ffi::pin_path(&map)?;
        (!path.exists()).then(|| (map.name().to_string_lossy().into_owned(), path))
    })
}
