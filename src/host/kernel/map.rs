//! References to maps → their ids; an id → a descriptor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use super::fdinfo::FdKind;
use super::ffi::{self, MapInfo};
use super::holders::{self, Holders};
use crate::host::bpffs::is_on_bpffs;
use iterctl_core::desired::MapRef;
use iterctl_core::ids::{MapId, ProgramId};
use iterctl_core::observed::{MapProblem, ScannedMap, ScannedProgram};

/// The maps that were found.
#[derive(Debug, Default)]
pub(crate) struct FoundMaps {
    /// The map for each reference, or all maps with the name.
    pub maps: BTreeMap<MapRef, ScannedMap>,
    /// If several maps have the same name: every program that holds one of them.
    pub programs: BTreeMap<ProgramId, ScannedProgram>,
}

/// Finds the maps that these references mean now. If any reference is a name, all maps in the kernel are listed once.
/// Holders are looked for only if several maps have the same name.
pub(crate) fn find_maps(maps: &BTreeSet<&MapRef>) -> FoundMaps {
    let mut found = FoundMaps::default();
    let mut names: BTreeMap<&str, &MapRef> = BTreeMap::new();
    for map in maps.iter().copied() {
        let settled = match map {
            MapRef::Id(id) => open(*id).map(|_| *id).map_err(problem),
            MapRef::Pinned(path) => find_pinned(path),
            MapRef::Name(name) => {
                names.insert(name.as_str(), map);
                continue;
            }
        };
        found.maps.insert(map.clone(), ScannedMap::Settled(settled));
    }
    if !names.is_empty() {
        find_by_name(&names, &mut found);
    }
    found
}

fn find_pinned(path: &Path) -> Result<MapId, MapProblem> {
    let fd = ffi::c_path(path)
        .and_then(|path| ffi::obj_get(&path))
        .map_err(|error| not_a_pin(path).unwrap_or_else(|| problem(error)))?;
    match FdKind::of(fd.as_fd()).map_err(problem)? {
        FdKind::Map => Ok(MapId(ffi::map_info(fd.as_fd()).map_err(problem)?.id)),
        other @ (FdKind::IteratorLink(_) | FdKind::Other(_)) => {
            Err(MapProblem::NotAMap(other.into_kind()))
        }
    }
}

fn find_by_name(names: &BTreeMap<&str, &MapRef>, found: &mut FoundMaps) {
    let mut ids: BTreeMap<&MapRef, Vec<MapId>> = BTreeMap::new();
    let mut outer = Vec::new();
    let listed = for_each_map(|info| {
        if let Some(map) = names.get(info.name.as_str()) {
            ids.entry(map).or_default().push(MapId(info.id));
        }
        if holders::has_maps(&info) {
            outer.push(MapId(info.id));
        }
    });
    if let Err(error) = listed {
        let why = problem(error);
        let failed = |map: &&MapRef| ((*map).clone(), ScannedMap::Settled(Err(why.clone())));
        found.maps.extend(names.values().map(failed));
        return;
    }
    let several: BTreeSet<MapId> =
        ids.values().filter(|ids| ids.len() > 1).flatten().copied().collect();
    // To look for holders takes time, so it is done only if it is needed.
    let holders = match several.is_empty() {
        true => Ok(Holders::default()),
        false => holders::find(&several, &outer),
    };
    for map in names.values().copied() {
        let scanned = match (ids.remove(map).unwrap_or_default().as_slice(), &holders) {
            ([], _) => ScannedMap::Settled(Err(MapProblem::Missing)),
            ([only], _) => ScannedMap::Settled(Ok(*only)),
            (ids, Ok(holders)) => ScannedMap::Several(
                ids.iter()
                    .map(|id| (*id, holders.maps.get(id).cloned().unwrap_or_default()))
                    .collect(),
            ),
            (ids, Err(why)) => {
                ScannedMap::Settled(Err(MapProblem::Unsettled(ids.to_vec(), why.to_string())))
            }
        };
        found.maps.insert(map.clone(), scanned);
    }
    found.programs = holders.map(|holders| holders.programs).unwrap_or_default();
}

/// Pins the map with this id at `path`.
///
/// # Errors
/// The kernel's.
pub(crate) fn pin_map(id: MapId, path: &Path) -> io::Result<()> {
    ffi::obj_pin(open(id)?.as_fd(), &ffi::c_path(path)?)
}

/// Opens the map with this id.
pub(super) fn open(id: MapId) -> io::Result<OwnedFd> {
    ffi::map_by_id(id.0)
}

fn for_each_map(mut visit: impl FnMut(MapInfo)) -> io::Result<()> {
    let mut last = 0;
    while let Some(id) = ffi::next_map_id(last)? {
        last = id;
        match ffi::map_by_id(id) {
            Ok(fd) => visit(ffi::map_info(fd.as_fd())?),
            // A map may disappear while the maps are listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Explains why `path` cannot be a pin. The kernel only says "permission denied", also to root (`bpf_inode_type()` in
/// kernel/bpf/inode.c).
fn not_a_pin(path: &Path) -> Option<MapProblem> {
    let what = match fs::metadata(path).ok()? {
        metadata if metadata.is_dir() => "it is a directory",
        _ if !is_on_bpffs(path) => "it is not on a bpffs",
        _ => return None,
    };
    Some(MapProblem::Unreadable(what.to_owned()))
}

fn problem(error: io::Error) -> MapProblem {
    if error.kind() == io::ErrorKind::NotFound {
        MapProblem::Missing
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        MapProblem::NotPermitted
    } else {
        MapProblem::Unreadable(error.to_string())
    }
}
