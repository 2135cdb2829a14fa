//! Loads a program through a loader that libbpf generates, which does in the kernel what libbpf does in
//! user space otherwise: it finds the kernel's types without parsing all of its BTF.
//!
//! Tried first, for it takes a fifth of the time. It says nothing of why something does not load: then
//! the ordinary way is gone, which does.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_rs::OpenObject;

use super::ffi::generated::{Made, generate};
use super::load::{Holder, Loaded};
use super::{ffi, log, open};
use crate::meta::MapId;

/// Loads the one program of the object that is not left out. `None` where it is not to be had so, for
/// whatever reason: the ordinary way tells.
pub(super) fn load(mut object: OpenObject) -> Option<Loaded> {
    // Before Linux 5.14 there are no such loaders, and before 5.17 they know no CO-RE.
    static IS_KNOWN: AtomicBool = AtomicBool::new(true);
    // What is pinned by its name is found by libbpf only.
    let is_pinned = object.maps().any(|map| ffi::pin_path(&map).is_some());
    if is_pinned || log::is_shown() || !IS_KNOWN.load(Ordering::Relaxed) {
        return None;
    }
    let names: Vec<String> =
        object.maps().map(|map| map.name().to_string_lossy().into_owned()).collect();
    let (loader, _) = log::collect(|| generate(&mut object, names.len()));
    let loader = loader.ok()?;
    let Ok(program) = loader.load() else {
        IS_KNOWN.store(false, Ordering::Relaxed);
        return None;
    };
    let Made { program, maps } = loader.run(&program).ok()?;
    let own_maps = own_maps(&names, &maps).ok()?;
    let held = maps.into_iter().flatten().collect();
    Some(Loaded { program, own_maps, _maps: Holder::Maps(held) })
}

fn own_maps(names: &[String], maps: &[Option<OwnedFd>]) -> io::Result<BTreeMap<String, MapId>> {
    let made = names.iter().zip(maps).filter_map(|(name, map)| Some((name, map.as_ref()?)));
    let own = made.filter(|(name, _)| open::is_own(name));
    own.map(|(name, map)| Ok((name.clone(), MapId(ffi::map_info(map.as_fd())?.id)))).collect()
}
