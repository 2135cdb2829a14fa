//! bpffs and the kernel → observed, and what a desired or an observed names.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::front::report::{Diagnostic, error};
use crate::host::bpffs::{Bpffs, Found, Mount, WalkError, Walked};
use crate::host::cgroup::cgroup_id;
use crate::host::closed;
use crate::host::kernel::{FoundMaps, Scanner, find_maps};
use iterctl_core::access::Meta;
use iterctl_core::desired::{Desired, MapRef};
use iterctl_core::ids::MapId;
use iterctl_core::observed::{Kind, Observed, Scan, ScannedNode, observe};
use iterctl_core::pin_path::{DEEPEST, PinPath};

/// bpffs and the kernel → observed. `desired` says which maps to look for.
pub(super) fn look(bpffs: &Bpffs, desired: Option<&Desired>) -> Result<Observed, WalkError> {
    let scanner = Scanner::default();
    let Walked { found: nodes, too_deep, closed: _ } = bpffs.walk(|found| scan(&scanner, found))?;
    let root = bpffs.meta().map_err(|error| WalkError::Read(bpffs.path().to_path_buf(), error))?;
    let read_only = bpffs.is_read_only().then(|| bpffs.path().to_path_buf());
    let programs = scanner.into_programs();
    let mut scan =
        Scan { nodes, root: Some(root), programs, read_only, too_deep, ..Scan::default() };
    if let Some(desired) = desired {
        look_up(desired, &mut scan);
    }
    Ok(observe(scan, desired.map(|desired| &desired.set.name)))
}

/// The part of a bpffs that a user may see.
pub(super) struct Visible {
    pub(super) observed: Observed,
    /// The pins that this user may not look at.
    pub(super) closed_pins: Vec<(PinPath, Meta)>,
    /// The directories that this user may not look into.
    pub(super) closed_directories: Vec<(PathBuf, Meta)>,
}

/// The same, without what this user may not look at.
pub(super) fn look_at_open(bpffs: &Bpffs) -> Result<Visible, WalkError> {
    let scanner = Scanner::default();
    let walked = bpffs.walk_open(|found| {
        let meta = match &found {
            Found::Pin(file) => Some(file.meta),
            Found::Directory(_) | Found::Symlink | Found::Mount(_) => None,
        };
        match (scan(&scanner, found), meta) {
            (Err(error), Some(meta)) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(Some(Err(meta)))
            }
            (scanned, _) => Ok(scanned?.map(Ok)),
        }
    })?;
    let (mut nodes, mut closed_pins) = (Vec::new(), Vec::new());
    for (path, kept) in walked.found {
        match kept {
            Ok(node) => nodes.push((path, node)),
            Err(meta) => closed_pins.push((path, meta)),
        }
    }
    closed_pins.sort_by(|(a, _), (b, _)| a.cmp(b));
    let directory = |path: PathBuf| Some((closed::meta(&path)?, path));
    let mut closed_directories: Vec<(PathBuf, Meta)> =
        walked.closed.into_iter().filter_map(directory).map(|(meta, path)| (path, meta)).collect();
    closed_directories.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (programs, too_deep) = (scanner.into_programs(), walked.too_deep);
    let scan = Scan { nodes, programs, too_deep, ..Scan::default() };
    Ok(Visible { observed: observe(scan, None), closed_pins, closed_directories })
}

fn scan(scanner: &Scanner, found: Found<'_>) -> io::Result<Option<ScannedNode>> {
    Ok(match found {
        Found::Directory(meta) => Some(ScannedNode::Directory(meta)),
        Found::Symlink => Some(ScannedNode::Other(Kind::Symlink)),
        Found::Mount(Mount::Bpffs(path)) => Some(ScannedNode::Other(Kind::Bpffs(path))),
        Found::Mount(Mount::Other) => Some(ScannedNode::Other(Kind::Mount)),
        Found::Pin(file) => scanner.look(file.directory(), file.name(), file.meta)?,
    })
}

/// The ids of the maps and cgroups that the entries name.
pub(super) fn look_up(desired: &Desired, scan: &mut Scan) {
    let FoundMaps { maps, programs } = find_maps(&desired.maps());
    scan.maps = maps;
    scan.programs.extend(programs);
    scan.cgroups =
        desired.cgroups().into_iter().map(|path| (path.to_path_buf(), cgroup_id(path))).collect();
}

/// Says which directories were not looked into.
pub(super) fn too_deep(observed: &Observed) -> Option<Diagnostic> {
    let first = observed.too_deep.first()?;
    let others = match observed.too_deep.len() {
        0 | 1 => String::new(),
        2 => " and in 1 other directory".to_owned(),
        number => format!(" and in {} other directories", number - 1),
    };
    Some(error::note(format!(
        "what is in `{first}`{others} was not looked at: a pin path has at most {DEEPEST} \
         components and 4095 bytes"
    )))
}

/// The paths that a manifest names outside of itself, but for the objects.
pub(super) fn named_by(desired: &Desired) -> BTreeSet<PathBuf> {
    let pins = desired.pins.keys().map(|path| desired.bpffs.join(path.as_path()));
    let maps = desired.maps().into_iter().filter_map(|map| match map {
        MapRef::Pinned(path) => Some(path.clone()),
        MapRef::Id(_) | MapRef::Name(_) => None,
    });
    let cgroups = desired.cgroups().into_iter().map(Path::to_path_buf);
    pins.chain(maps).chain(cgroups).collect()
}

/// The maps that pinned iterators need.
pub(super) fn needed_maps(observed: &Observed) -> BTreeSet<MapId> {
    let needed = observed.iterators().flat_map(|(_, pin)| {
        let stamp = pin.provenance.stamp();
        let own = stamp.into_iter().flat_map(|stamp| stamp.own_maps.values().copied().map(MapId));
        pin.maps.iter().copied().chain(own)
    });
    needed.collect()
}
