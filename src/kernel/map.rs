//! The names of maps → their ids; an id → its descriptor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use super::fdinfo::FdKind;
use super::ffi::{self, MapInfo};
use crate::bpffs::is_on_bpffs;
use crate::desired::MapRef;
use crate::meta::MapId;
use crate::observed::MapProblem;

/// The maps that have these names now. All maps of the kernel are looked at once, if a map is named by its name.
pub fn find_maps(maps: &BTreeSet<&MapRef>) -> BTreeMap<MapRef, Result<MapId, MapProblem>> {
    let mut found = BTreeMap::new();
    let mut names: BTreeMap<&str, &MapRef> = BTreeMap::new();
    for map in maps.iter().copied() {
        let id = match map {
            MapRef::Id(id) => open(*id).map(|_| *id).map_err(|error| problem(&error)),
            MapRef::Pinned(path) => find_pinned(path),
            MapRef::Name(name) => {
                names.insert(name.as_str(), map);
                continue;
            }
        };
        found.insert(map.clone(), id);
    }
    if !names.is_empty() {
        find_by_name(&names, &mut found);
    }
    found
}

fn find_pinned(path: &Path) -> Result<MapId, MapProblem> {
    let fd = ffi::c_path(path)
        .and_then(|path| ffi::obj_get(&path))
        .map_err(|error| not_a_pin(path).unwrap_or_else(|| problem(&error)))?;
    match FdKind::of(fd.as_fd()).map_err(|error| problem(&error))? {
        FdKind::Map => Ok(MapId(ffi::map_info(fd.as_fd()).map_err(|error| problem(&error))?.id)),
        other @ (FdKind::IteratorLink(_) | FdKind::Other(_)) => {
            Err(MapProblem::NotAMap(other.into_kind()))
        }
    }
}

fn find_by_name(
    names: &BTreeMap<&str, &MapRef>,
    found: &mut BTreeMap<MapRef, Result<MapId, MapProblem>>,
) {
    let mut ids: BTreeMap<&MapRef, Vec<MapId>> = BTreeMap::new();
    let listed = for_each_map(|info| {
        if let Some(map) = names.get(info.name.as_str()) {
            ids.entry(map).or_default().push(MapId(info.id));
        }
    });
    for map in names.values().copied() {
        let id = match (&listed, ids.remove(map).unwrap_or_default()) {
            (Err(error), _) => Err(problem(error)),
            (Ok(()), ids) => match ids.as_slice() {
                [] => Err(MapProblem::Missing),
                [only] => Ok(*only),
                _ => Err(MapProblem::Ambiguous(ids)),
            },
        };
        found.insert(map.clone(), id);
    }
}

/// The map of that id.
pub(super) fn open(id: MapId) -> io::Result<OwnedFd> {
    ffi::map_by_id(id.0)
}

fn for_each_map(mut visit: impl FnMut(MapInfo)) -> io::Result<()> {
    let mut last = 0;
    while let Some(id) = ffi::next_map_id(last)? {
        last = id;
        match ffi::map_by_id(id) {
            Ok(fd) => visit(ffi::map_info(fd.as_fd())?),
            // Maps come and go while they are listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What is at a path that nothing can be pinned at. The kernel only says "permission denied", also to
/// root: bpf_inode_type() in kernel/bpf/inode.c.
fn not_a_pin(path: &Path) -> Option<MapProblem> {
    let what = match fs::metadata(path).ok()? {
        metadata if metadata.is_dir() => "it is a directory",
        _ if !is_on_bpffs(path) => "it is not on a bpffs",
        _ => return None,
    };
    Some(MapProblem::Unreadable(what.to_owned()))
}

fn problem(error: &io::Error) -> MapProblem {
    if error.kind() == io::ErrorKind::NotFound {
        MapProblem::Missing
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        MapProblem::NotPermitted
    } else {
        MapProblem::Unreadable(error.to_string())
    }
}
