//! Sizes for maps → the opened object, before its maps are created.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;

use libbpf_rs::OpenObject;

use super::error::LoadError;

/// Sets the sizes of maps, by their names. A loader that libbpf generates afterwards uses these sizes, too: the numbers
/// in its context override them only if they are not 0 (`bpf_gen__map_create()` in gen_loader.c, libbpf 1.7). libbpf
/// rounds the size of a ring buffer up to one that the kernel accepts (`bpf_map__set_max_entries()`).
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
