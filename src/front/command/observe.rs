//! bpffs and the kernel → observed, and what a desired or an observed names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::front::report::{Diagnostic, error};
use crate::host::bpffs::{Bpffs, Found, WalkError, Walked};
use crate::host::cgroup::cgroup_id;
use crate::host::kernel::{FoundMaps, Scanner, find_maps};
use iterctl_core::desired::{Desired, MapRef};
use iterctl_core::ids::MapId;
use iterctl_core::observed::{Kind, Observed, Scan, ScannedNode, observe};
use iterctl_core::pin_path::DEEPEST;

/// bpffs and the kernel → observed. `desired` says which maps to look for.
pub(super) fn look(bpffs: &Bpffs, desired: Option<&Desired>) -> Result<Observed, WalkError> {
    let scanner = Scanner::default();
    let Walked { found: nodes, too_deep } = bpffs.walk(|found| {
        Ok(match found {
            Found::Directory(meta) => Some(ScannedNode::Directory(meta)),
            Found::Symlink => Some(ScannedNode::Other(Kind::Symlink)),
            Found::Mount => {
                let why = "another file system is mounted there".to_owned();
                Some(ScannedNode::Other(Kind::Unknown(why)))
            }
            Found::Pin(file) => scanner.look(file.directory(), file.name(), file.meta)?,
        })
    })?;
    let root = bpffs.meta().map_err(|error| WalkError::Read(bpffs.path().to_path_buf(), error))?;
    let programs = scanner.into_programs();
    let mut scan = Scan { nodes, root: Some(root), programs, too_deep, ..Scan::default() };
    if let Some(desired) = desired {
        look_up(desired, &mut scan);
    }
    Ok(observe(scan, desired.map(|desired| &desired.set.name)))
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

/// What a manifest names outside of itself, but for the objects.
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
