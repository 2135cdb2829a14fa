//! One program of an object → loaded into the kernel and stamped.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use libbpf_rs::OpenObject;

use super::error::LoadError;
use super::{ffi, log, open, stamp};
use crate::desired::Program;
use crate::stamp::Stamp;

/// A loaded, stamped program. It lives in the kernel as long as this or a link to it does.
#[derive(Debug)]
pub struct Loaded {
    program: OwnedFd,
}

impl AsFd for Loaded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

/// Loads `program`, and no other program of its object, from the object's bytes, and binds `stamp`
/// to it. `bpffs` is where maps are looked for that the object wants pinned by name.
///
/// # Errors
/// Everything that libbpf, the verifier and the kernel have against it, translated.
pub fn load(
    program: &Program,
    bytes: &[u8],
    stamp: &Stamp,
    bpffs: &Path,
) -> Result<Loaded, LoadError> {
    let mut object = open::open(&program.object, bytes, Some(bpffs)).map_err(LoadError::Open)?;
    // A sibling that does not load would sink the whole object.
    for mut other in object.progs_mut() {
        let wanted = other.name().to_str() == Some(program.name.as_str());
        other.set_autoload(wanted);
    }
    if let Some((map, path)) = map_to_be_pinned(&object) {
        return Err(LoadError::MapNotPinned { map, path });
    }
    let (loaded, messages) = log::collect(|| ffi::load(object));
    let object = loaded.map_err(|error| LoadError::new(&program.target, error, &messages))?;
    let found = object.progs().find(|one| one.name().to_str() == Some(program.name.as_str()));
    let fd = found
        .ok_or(LoadError::NoProgram)?
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| LoadError::Other { error, message: None })?;
    let bytes = stamp.to_bytes().map_err(|error| LoadError::Stamp(error.into()))?;
    stamp::bind(fd.as_fd(), &bytes).map_err(LoadError::Stamp)?;
    Ok(Loaded { program: fd })
}

/// A map that libbpf would pin while it loads, outside of any transaction: one that is declared
/// with `LIBBPF_PIN_BY_NAME` and not pinned yet. One that is pinned is used, and that is all.
fn map_to_be_pinned(object: &OpenObject) -> Option<(String, PathBuf)> {
    object.maps().find_map(|map| {
        let path = ffi::pin_path(&map)?;
        (!path.exists()).then(|| (map.name().to_string_lossy().into_owned(), path))
    })
}
