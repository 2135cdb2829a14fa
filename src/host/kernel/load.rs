//! One program of an object → the program in the kernel, loaded with its given values and maps.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libbpf_rs::{Map, MapCore as _, MapType, Object};

use super::error::{AttachError, Declared, LoadError};
use super::link::Parameter;
use super::prepare::Wanted;
use super::{ffi, gen_loader, log, map, open, stamp};
use iterctl_core::anatomy::Needs;
use iterctl_core::desired::Program;
use iterctl_core::ids::{MapId, ProgramId};
use iterctl_core::observed::ScannedStamp;
use iterctl_core::stamp::Stamp;

/// A loaded program. It stays in the kernel as long as this value or a link to it exists.
#[derive(Debug)]
pub struct Loaded {
    pub(super) program: OwnedFd,
    pub(super) own_maps: BTreeMap<String, MapId>,
    /// The maps in `own_maps` through which programs make tail calls.
    pub(super) tail_call_maps: Vec<MapId>,
    pub(super) _maps: Holder,
}

/// Keeps the maps alive that an iterator walks and no program uses.
#[derive(Debug)]
#[expect(dead_code, reason = "they are held, not used")]
pub(super) enum Holder {
    Object(Object),
    Maps(Vec<OwnedFd>),
}

impl Loaded {
    /// The ids of the object's own maps that were created, by their names.
    pub fn own_maps(&self) -> &BTreeMap<String, MapId> {
        &self.own_maps
    }

    /// Returns the object's own map of this name as a parameter.
    ///
    /// # Errors
    /// If no such map was created.
    pub fn own_map(&self, name: &str) -> Result<Parameter, AttachError> {
        match self.own_maps.get(name) {
            Some(id) => Ok(Parameter::OwnMap(name.to_owned(), *id)),
            None => Err(AttachError::NoOwnMap(name.to_owned())),
        }
    }

    /// The object's own maps that the kernel empties as soon as they are neither open nor pinned.
    pub(crate) fn tail_call_maps(&self) -> &[MapId] {
        &self.tail_call_maps
    }

    /// Binds a stamp to the program, and reads it back.
    ///
    /// # Errors
    /// The kernel's. Binding needs Linux 5.10; reading back needs `CAP_SYS_ADMIN`.
    pub fn bind(&self, stamp: &Stamp) -> Result<(), LoadError> {
        self.bind_bytes(stamp).map_err(LoadError::Stamp)
    }

    fn bind_bytes(&self, stamp: &Stamp) -> io::Result<()> {
        let bytes = stamp.to_bytes()?;
        stamp::bind(self.program.as_fd(), &bytes)?;
        // If libbpf finds that the kernel does not support names of maps, it leaves them out. A stamp without its
        // name would never be found again (`bpf_map_create()`, libbpf 1.7).
        match stamp::read(&ffi::prog_info(self.program.as_fd())?)? {
            ScannedStamp::Value(found) if found.starts_with(&bytes) => Ok(()),
            ScannedStamp::None | ScannedStamp::Value(_) | ScannedStamp::OtherUser(_) => {
                Err(io::Error::other("it cannot be read back"))
            }
        }
    }

    /// Checks that the program holds its given maps, and those of its own maps that it uses.
    fn verify(self, needs: &Needs, given: &BTreeMap<String, MapId>) -> Result<Self, LoadError> {
        let maps = given.iter().chain(&self.own_maps);
        let mut held = maps.filter(|(name, _)| needs.held.contains(*name)).peekable();
        if held.peek().is_none() {
            return Ok(self);
        }
        let info = ffi::prog_info(self.program.as_fd())
            .map_err(|error| LoadError::Other { error, message: None })?;
        match held.find(|(_, id)| !info.map_ids.contains(&id.0)) {
            Some((map, id)) => Err(LoadError::MapNotHeld { map: map.clone(), id: *id }),
            None => Ok(self),
        }
    }
}

impl AsFd for Loaded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

/// Loads `program` from the object's bytes, and nothing of the object that the program does not need. `given` has
/// existing maps, by the names of the object's maps that they replace. `walked` has the names of the object's own maps
/// that are to be walked; they are created even if the program does not use them.
///
/// # Errors
/// Every error of libbpf, the verifier and the kernel, translated into a [`LoadError`].
pub fn load(
    program: &Program,
    bytes: &[u8],
    given: &BTreeMap<String, MapId>,
    walked: &BTreeSet<&str>,
) -> Result<Loaded, LoadError> {
    let wanted = Wanted::new(program, bytes, given, walked)?;
    let needs = wanted.needs()?;
    match by_loader(&wanted, &needs)? {
        Some(loaded) => Ok(loaded),
        None => by_libbpf(&wanted, &needs),
    }
}

/// The way that [`load()`] tries first: a loader that libbpf generates. Returns `None` if the program cannot be loaded
/// in this way, for any reason.
///
/// # Errors
/// The errors of [`load()`] that occur before anything is loaded, and if the program does not hold a map that it
/// should.
pub fn load_by_loader(
    program: &Program,
    bytes: &[u8],
    given: &BTreeMap<String, MapId>,
    walked: &BTreeSet<&str>,
) -> Result<Option<Loaded>, LoadError> {
    let wanted = Wanted::new(program, bytes, given, walked)?;
    by_loader(&wanted, &wanted.needs()?)
}

/// The way that [`load()`] falls back to: libbpf itself, which reports why a program does not load.
///
/// # Errors
/// The same as for [`load()`].
pub fn load_by_libbpf(
    program: &Program,
    bytes: &[u8],
    given: &BTreeMap<String, MapId>,
    walked: &BTreeSet<&str>,
) -> Result<Loaded, LoadError> {
    let wanted = Wanted::new(program, bytes, given, walked)?;
    by_libbpf(&wanted, &wanted.needs()?)
}

fn by_loader(wanted: &Wanted<'_>, needs: &Needs) -> Result<Option<Loaded>, LoadError> {
    if !wanted.given.is_empty() {
        return Ok(None);
    }
    let loaded = gen_loader::load(wanted.open(needs)?, needs);
    loaded.map(|loaded| loaded.verify(needs, wanted.given)).transpose()
}

fn by_libbpf(wanted: &Wanted<'_>, needs: &Needs) -> Result<Loaded, LoadError> {
    let Wanted { program, given, .. } = *wanted;
    let object = wanted.open(needs)?;
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
        own_maps(&object, given).map_err(|error| LoadError::Other { error, message: None })?;
    let is_for_tail_calls = |map: &Map<'_>| map.map_type() == MapType::ProgArray;
    let tail_call_maps = object.maps().filter(Map::autocreate).filter(is_for_tail_calls);
    let names: Vec<_> = tail_call_maps.map(|map| map.name().to_owned()).collect();
    let tail_call_maps =
        names.iter().filter_map(|name| own_maps.get(name.to_str()?).copied()).collect();
    let loaded = Loaded { program: fd, own_maps, tail_call_maps, _maps: Holder::Object(object) };
    loaded.verify(needs, given)
}

/// Does the part of [`load()`] that comes before the first call of bpf(2): opens the object, leaves out what the
/// program does not need, and generates the loader if one would be used. For tests, which check that broken objects do
/// not crash it.
///
/// # Errors
/// The errors of [`load()`] that occur before this call.
pub fn rehearse(program: &Program, bytes: &[u8]) -> Result<(), LoadError> {
    let (given, walked) = (BTreeMap::new(), BTreeSet::new());
    let bytes = bytes.into();
    let wanted = Wanted { program, bytes, given: &given, walked: &walked };
    let needs = wanted.needs()?;
    gen_loader::rehearse(wanted.open(&needs)?, &needs);
    Ok(())
}

/// Opens a program that is loaded already, and the maps that were created with it. Returns `None` if one of these no
/// longer exists: a map that the program does not use disappears with the last link that walks it.
///
/// # Errors
/// The kernel's. Opening a program by its id needs `CAP_SYS_ADMIN`.
pub(crate) fn reopen(
    id: ProgramId,
    own_maps: BTreeMap<String, MapId>,
) -> io::Result<Option<Loaded>> {
    let open = || {
        let program = ffi::prog_by_id(id.0)?;
        let maps = own_maps.values().map(|id| map::open(*id)).collect::<io::Result<_>>()?;
        io::Result::Ok((program, maps))
    };
    match open() {
        // The maps for tail calls have been kept since the program was loaded.
        Ok((program, maps)) => {
            let (tail_call_maps, _maps) = (Vec::new(), Holder::Maps(maps));
            Ok(Some(Loaded { program, own_maps, tail_call_maps, _maps }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn own_maps(
    object: &Object,
    given: &BTreeMap<String, MapId>,
) -> io::Result<BTreeMap<String, MapId>> {
    let mut ids = BTreeMap::new();
    // A map that was left out also has a descriptor: that of a placeholder (`create_placeholder_fd()`, libbpf 1.7).
    for map in object.maps().filter(Map::autocreate) {
        let Some(name) = map.name().to_str() else { continue };
        if !open::is_own(name) {
            continue;
        }
        let id = MapId(ffi::map_info(map.as_fd())?.id);
        // Ids are compared and not names, because here a given map has its own name (`bpf_map__reuse_fd()`).
        if !given.values().any(|given| *given == id) {
            ids.insert(name.to_owned(), id);
        }
    }
    Ok(ids)
}
