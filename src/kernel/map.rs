//! The names of a map → its id, and its descriptor.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use super::fdinfo::FdKind;
use super::ffi;
use crate::bpffs::is_on_bpffs;
use crate::desired::MapRef;
use crate::meta::MapId;
use crate::observed::MapProblem;

/// The id of the map that has this name now.
///
/// # Errors
/// Where there is no such map, or several, or it may not be looked at.
pub fn find_map(map: &MapRef) -> Result<MapId, MapProblem> {
    match map {
        MapRef::Id(id) => open(*id).map(|_| *id).map_err(problem),
        MapRef::Pinned(path) => {
            let fd = ffi::c_path(path)
                .and_then(|path| ffi::obj_get(&path))
                .map_err(|error| not_a_pin(path).unwrap_or_else(|| problem(error)))?;
            match FdKind::of(fd.as_fd()).map_err(problem)? {
                FdKind::Map => {
                    let info = ffi::map_info(fd.as_fd()).map_err(problem)?;
                    Ok(MapId(info.id))
                }
                other @ (FdKind::IteratorLink(_) | FdKind::Other(_)) => {
                    Err(MapProblem::NotAMap(other.into_kind()))
                }
            }
        }
        MapRef::Name(name) => {
            let mut found = Vec::new();
            for_each_map(|id, map_name| {
                if map_name == name.as_str() {
                    found.push(MapId(id));
                }
            })
            .map_err(problem)?;
            match found.as_slice() {
                [] => Err(MapProblem::Missing),
                [only] => Ok(*only),
                _ => Err(MapProblem::Ambiguous(found)),
            }
        }
    }
}

/// The map of that id.
pub(super) fn open(id: MapId) -> io::Result<OwnedFd> {
    ffi::map_by_id(id.0)
}

fn for_each_map(mut visit: impl FnMut(u32, &str)) -> io::Result<()> {
    let mut last = 0;
    while let Some(id) = ffi::next_map_id(last)? {
        last = id;
        match ffi::map_by_id(id) {
            Ok(fd) => {
                visit(id, &ffi::map_info(fd.as_fd())?.name);
            }
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

fn problem(error: io::Error) -> MapProblem {
    if error.kind() == io::ErrorKind::NotFound {
        MapProblem::Missing
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        MapProblem::NotPermitted
    } else {
        MapProblem::Unreadable(error.to_string())
    }
}
