//! Loads a program through a loader that libbpf generates. The loader runs in the kernel, and does there what libbpf
//! otherwise does in user space: it finds the kernel's types without parsing all of the kernel's BTF.
//!
//! This way is tried first, because it takes a fifth of the time. It does not report why a program does not load. If
//! it fails, the program is loaded by libbpf in the usual way, which does report it.

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

/// Loads the only program of the object that is not left out. Returns `None` if this fails, for any reason. The usual
/// way then finds the reason.
pub(super) fn load(object: OpenObject, needs: &Needs) -> Option<Loaded> {
    // The kernel supports such loaders since Linux 5.14, and CO-RE in them since 5.17.
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

/// Only generates the loader. Returns `None` if the object has something that was not tested with such loaders, or if
/// libbpf fails.
pub(super) fn rehearse(mut object: OpenObject, needs: &Needs) -> Option<Loader> {
    if !is_tried(&object, needs) {
        return None;
    }
    let maps = object.maps().count();
    let (loader, _) = log::collect(|| generate(&mut object, maps));
    loader.ok()
}

/// Returns whether everything in the object was tested with generated loaders, with the same result as the usual way.
/// Tests load every object in both ways. While libbpf 1.7 generates a loader, it crashes on `struct_ops` maps and on
/// arenas with variables; for a configuration value it assumes that the kernel has every feature, instead of probing;
/// and it fails if a map is left out.
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

/// Returns whether the values of these variables are small enough to be copied into a loader. Variables in `.bss` take
/// no bytes in the file, but up to 4 GiB in the loader.
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
