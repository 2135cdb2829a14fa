//! Loads a program through a loader that libbpf generates, which does in the kernel what libbpf does in
//! user space otherwise: it finds the kernel's types without parsing all of its BTF.
//!
//! Tried first, for it takes a fifth of the time. It says nothing of why something does not load: then
//! the ordinary way is gone, which does.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_rs::{MapType, OpenMap, OpenObject};

use super::ffi::gen_loader::{Loader, Made, generate};
use super::load::{Holder, Loaded};
use super::{ffi, log, open};
use iterctl_core::anatomy::{CoreKind, Needs};
use iterctl_core::ids::MapId;

/// Loads the one program of the object that is not left out. `None` where it is not to be had so, for
/// whatever reason: the ordinary way tells.
pub(super) fn load(object: OpenObject, needs: &Needs) -> Option<Loaded> {
    // Before Linux 5.14 there are no such loaders, and before 5.17 they know no CO-RE.
    static IS_KNOWN: AtomicBool = AtomicBool::new(true);
    if !IS_KNOWN.load(Ordering::Relaxed) {
        return None;
    }
    let names: Vec<String> =
        object.maps().map(|map| map.name().to_string_lossy().into_owned()).collect();
    let loader = rehearse(object, needs)?;
    let Ok(program) = loader.load() else {
        IS_KNOWN.store(false, Ordering::Relaxed);
        return None;
    };
    let Made { program, maps } = loader.run(&program).ok()?;
    let own_maps = own_maps(&names, &maps).ok()?;
    let held = maps.into_iter().flatten().collect();
    Some(Loaded { program, own_maps, tail_call_maps: Vec::new(), _maps: Holder::Maps(held) })
}

/// Generates the loader, and no more. `None` where the object has what was not tried, or libbpf fails.
pub(super) fn rehearse(mut object: OpenObject, needs: &Needs) -> Option<Loader> {
    if !is_tried(&object, needs) {
        return None;
    }
    let maps = object.maps().count();
    let (loader, _) = log::collect(|| generate(&mut object, maps));
    loader.ok()
}

/// Whether all that the object has was tried with generated loaders, and came out the same: tests load every
/// object both ways. libbpf 1.7 crashes while it generates for `struct_ops` maps and for arenas with variables,
/// believes that the kernel has all that it would ask it about for a configuration value, and gives up where
/// one map is left out.
fn is_tried(object: &OpenObject, needs: &Needs) -> bool {
    const CORE: [CoreKind; 4] =
        [CoreKind::Field, CoreKind::LocalType, CoreKind::Type, CoreKind::EnumValue];
    needs.externs.is_empty()
        && needs.other_externs.is_empty()
        && needs.programs.len() == 1
        && needs.core.iter().all(|kind| CORE.contains(kind))
        && object.maps().all(|map| map.autocreate() && MAPS.contains(&map.map_type()))
        && object.maps().all(|map| open::is_own(&map.name().to_string_lossy()) || is_small(&map))
}

/// Whether the values of variables may be copied into a loader: with those of `.bss`, which take no bytes in the
/// file and up to 4 GiB here.
fn is_small(variables: &OpenMap<'_>) -> bool {
    variables.value_size() <= 16 * 1024 * 1024
}

const MAPS: [MapType; 6] = [
    MapType::Array,
    MapType::Hash,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::PercpuArray,
    MapType::PercpuHash,
];

fn own_maps(names: &[String], maps: &[Option<OwnedFd>]) -> io::Result<BTreeMap<String, MapId>> {
    let made = names.iter().zip(maps).filter_map(|(name, map)| Some((name, map.as_ref()?)));
    let own = made.filter(|(name, _)| open::is_own(name));
    own.map(|(name, map)| Ok((name.clone(), MapId(ffi::map_info(map.as_fd())?.id)))).collect()
}
