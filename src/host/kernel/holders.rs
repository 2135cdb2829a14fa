//! Maps → what keeps each of them alive: the programs that use it, the iterators that walk it, the maps of which
//! it is an element, and whether it has other [`users`].
//!
//! This is asked only if several maps have one name: it looks at all programs and links of the kernel.

mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::Duration;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use self::users::CountError;
use super::ffi::link::link_info;
use super::ffi::{self, MapInfo, ProgInfo};
use super::stamp;
use iterctl_core::ids::{MapId, ProgramId};
use iterctl_core::observed::{Holder, ScannedProgram};

/// The holders of some maps.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// By the map that is held.
    pub(super) maps: BTreeMap<MapId, BTreeSet<Holder>>,
    /// Every program that is one of them.
    pub(super) programs: BTreeMap<ProgramId, ScannedProgram>,
}

/// The holders could not all be found.
#[derive(Debug)]
pub(super) enum HoldersError {
    /// The programs cannot be listed.
    Programs(io::Error),
    /// The elements of a map of maps cannot be read.
    InnerMaps(libbpf_rs::Error),
    /// The links cannot be listed.
    Links(io::Error),
    /// The users cannot be counted.
    Users(CountError),
}

/// A link that is going away is waited for so often, and so long each time.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// Finds the holders of each of these maps. `outer` are all maps that [have maps](has_maps). A map counts, too, if
/// this process has it open.
///
/// # Errors
/// The kernel's. Then nothing is known of any holder.
pub(super) fn find(maps: &BTreeSet<MapId>, outer: &[MapId]) -> Result<Holders, HoldersError> {
    let mut holders = Holders::default();
    holders.add_programs(maps).map_err(HoldersError::Programs)?;
    for map in outer {
        let inner = inner_maps(*map).map_err(HoldersError::InnerMaps)?;
        holders.add(maps, inner, Holder::Map);
    }
    let links = holders.add_links(maps).map_err(HoldersError::Links)?;
    // Links are counted first: one that goes before the users are counted is not taken for another user.
    let users = users::count(maps).map_err(HoldersError::Users)?;
    let others = |id: &MapId| {
        let walking = links.get(id).copied().unwrap_or_default();
        users.get(id).is_some_and(|number| *number > walking)
    };
    holders.add(maps, maps.iter().copied().filter(others), Holder::User);
    Ok(holders)
}

/// Whether the elements of a map are maps.
pub(super) fn has_maps(info: &MapInfo) -> bool {
    let kinds = [libbpf_sys::BPF_MAP_TYPE_ARRAY_OF_MAPS, libbpf_sys::BPF_MAP_TYPE_HASH_OF_MAPS];
    kinds.contains(&info.map_type)
}

impl Holders {
    fn add(&mut self, maps: &BTreeSet<MapId>, held: impl IntoIterator<Item = MapId>, by: Holder) {
        for id in held.into_iter().filter(|id| maps.contains(id)) {
            self.maps.entry(id).or_default().insert(by);
        }
    }

    fn add_programs(&mut self, maps: &BTreeSet<MapId>) -> io::Result<()> {
        let mut last = 0;
        while let Some(id) = ffi::next_prog_id(last)? {
            last = id;
            let Some(fd) = unless_gone(ffi::prog_by_id(id))? else { continue };
            let info = ffi::prog_info(fd.as_fd())?;
            let used: Vec<MapId> = info.map_ids.iter().copied().map(MapId).collect();
            if used.iter().any(|id| maps.contains(id)) {
                self.add(maps, used, Holder::Program(ProgramId(id)));
                self.add_program(ProgramId(id), info)?;
            }
        }
        Ok(())
    }

    /// Returns how many iterators walk each of the maps.
    fn add_links(&mut self, maps: &BTreeSet<MapId>) -> io::Result<BTreeMap<MapId, u64>> {
        let mut walking: BTreeMap<MapId, u64> = BTreeMap::new();
        let (mut last, mut tries) = (0, 0);
        while let Some(id) = ffi::next_link_id(last)? {
            let Some(fd) = unless_gone(ffi::link_by_id(id))? else {
                // It cannot be opened any more, but it still holds its map until a worker frees it
                // (`bpf_link_put_deferred()` in kernel/bpf/syscall.c): its map would seem to have another user.
                if tries < TRIES {
                    tries += 1;
                    thread::sleep(PAUSE);
                } else {
                    last = id;
                }
                continue;
            };
            last = id;
            // Every kernel tells this of an iterator; other kinds of links do not matter.
            let Ok(info) = link_info(fd.as_fd()) else { continue };
            let map = MapId(info.map_id);
            if !info.is_iterator || !maps.contains(&map) {
                continue;
            }
            *walking.entry(map).or_default() += 1;
            let program = ProgramId(info.prog_id);
            self.add(maps, [map], Holder::Program(program));
            // `BPF_LINK_UPDATE` may have given it another one since.
            if !self.programs.contains_key(&program)
                && let Some(fd) = unless_gone(ffi::prog_by_id(program.0))?
            {
                self.add_program(program, ffi::prog_info(fd.as_fd())?)?;
            }
        }
        Ok(walking)
    }

    /// The program is open, so its maps stay.
    fn add_program(&mut self, id: ProgramId, info: ProgInfo) -> io::Result<()> {
        let stamp = stamp::read(&info)?;
        let maps = info.map_ids.into_iter().map(MapId).collect();
        self.programs.insert(id, ScannedProgram { name: info.name, stamp, maps });
        Ok(())
    }
}

/// The ids of the maps in a map of maps. A lookup returns them. It is no user of them.
fn inner_maps(outer: MapId) -> libbpf_rs::Result<Vec<MapId>> {
    let map = match MapHandle::from_map_id(outer.0) {
        Err(error) if error.kind() == libbpf_rs::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut inner = Vec::new();
    for key in map.keys() {
        if let Some(value) = map.lookup(&key, MapFlags::ANY)?
            && let Ok(id) = <[u8; 4]>::try_from(value)
        {
            inner.push(MapId(u32::from_ne_bytes(id)));
        }
    }
    Ok(inner)
}

/// Programs and links come and go while they are listed.
fn unless_gone(opened: io::Result<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    match opened {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// With the cause, for it becomes a part of a sentence.
impl fmt::Display for HoldersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Programs(error) => write!(f, "failed to look at all programs: {error}"),
            Self::InnerMaps(error) => write!(f, "failed to look into a map of maps: {error:#}"),
            Self::Links(error) => write!(f, "failed to look at all links: {error}"),
            Self::Users(error) => write!(f, "failed to count the users of all maps: {error}"),
        }
    }
}
