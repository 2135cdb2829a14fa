//! The sizes that maps of an object are to have → the opened object, before anything is made of it.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;

use libbpf_rs::OpenObject;

use super::error::LoadError;

/// Sets the sizes of maps, by their names. A loader that libbpf generates afterwards has them, too: it
/// puts the numbers of its context over them only where those are not 0 (`bpf_gen__map_create()` in
/// gen_loader.c, libbpf 1.7). The size of a ring buffer is made what the kernel takes
/// (`bpf_map__set_max_entries()`).
pub(super) fn set(
    object: &mut OpenObject,
    sizes: &BTreeMap<String, NonZeroU32>,
) -> Result<(), LoadError> {
    for (name, size) in sizes {
        let gone = || LoadError::Open(format!("it has no map `{name}`"));
        let mut map = object.maps_mut().find(|map| map.name() == &**name).ok_or_else(gone)?;
        map.set_max_entries(size.get()).map_err(|error| LoadError::Other {
            error: io::Error::other(error),
            message: Some(format!("map '{name}' cannot be given {size} elements")),
        })?;
    }
    Ok(())
}
