//! One program of an object → loaded into the kernel, with the values and maps that it is given.

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

/// A loaded program. It lives in the kernel as long as this or a link to it does.
#[derive(Debug)]
pub struct Loaded {
    pub(super) program: OwnedFd,
    pub(super) own_maps: BTreeMap<String, MapId>,
    /// Those of them through which programs call each other.
    pub(super) tail_call_maps: Vec<MapId>,
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
    /// The ids of the maps that came with the object, by their names: those that were created.
    pub fn own_maps(&self) -> &BTreeMap<String, MapId> {
        &self.own_maps
    }

    /// The map of that name which came with the object, as a parameter.
    ///
    /// # Errors
    /// Where none came.
    pub fn own_map(&self, name: &str) -> Result<Parameter, AttachError> {
        match self.own_maps.get(name) {
            Some(id) => Ok(Parameter::OwnMap(name.to_owned(), *id)),
            None => Err(AttachError::NoOwnMap(name.to_owned())),
        }
    }

    /// The maps that came with the object and that the kernel empties once nothing has them open or pinned.
    pub fn tail_call_maps(&self) -> &[MapId] {
        &self.tail_call_maps
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
        match stamp::read(&ffi::prog_info(self.program.as_fd())?)? {
            ScannedStamp::Value(found) if found.starts_with(&bytes) => Ok(()),
            ScannedStamp::None | ScannedStamp::Value(_) | ScannedStamp::OtherUser(_) => {
                Err(io::Error::other("it cannot be read back"))
            }
        }
    }

    /// Makes sure that the program holds the maps that it was given, and those of its own that it uses.
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

/// Loads `program` from the object's bytes, and of that object no more than the program needs. `given` are the
/// existing maps that it is given, by the names of the object's maps that they stand for; `walked` are the
/// object's own maps that are to be walked: they are created even where the program does not use them.
///
/// # Errors
/// Everything that libbpf, the verifier and the kernel have against it, translated.
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

/// The way that [`load()`] tries first: a loader that libbpf generates. `None` if the program cannot be loaded so,
/// whatever the reason.
///
/// # Errors
/// As [`load()`], before anything is loaded; and if the program does not hold a map that it should.
pub fn load_by_loader(
    program: &Program,
    bytes: &[u8],
    given: &BTreeMap<String, MapId>,
    walked: &BTreeSet<&str>,
) -> Result<Option<Loaded>, LoadError> {
    let wanted = Wanted::new(program, bytes, given, walked)?;
    by_loader(&wanted, &wanted.needs()?)
}

/// The way that [`load()`] falls back to, and that says why something does not load: libbpf itself.
///
/// # Errors
/// As [`load()`].
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

/// Does of [`load()`] what comes before the first call of bpf(2): opens the object, leaves out of it what the
/// program does not need, and generates its loader where one would be used. For tests: broken objects must not
/// crash it.
///
/// # Errors
/// Everything that can be said against the object until then.
pub fn rehearse(program: &Program, bytes: &[u8]) -> Result<(), LoadError> {
    let (given, walked) = (BTreeMap::new(), BTreeSet::new());
    let bytes = bytes.into();
    let wanted = Wanted { program, bytes, given: &given, walked: &walked };
    let needs = wanted.needs()?;
    gen_loader::rehearse(wanted.open(&needs)?, &needs);
    Ok(())
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
        // Those for tail calls are kept since it was loaded.
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
    // A map that was left out has a descriptor all the same, of a file that holds its place
    // (`create_placeholder_fd()`, libbpf 1.7).
    for map in object.maps().filter(Map::autocreate) {
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
