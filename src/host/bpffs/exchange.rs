//! Tries whether two pins can be exchanged on this kernel, on a bpffs that no other process sees.

use std::io;

use rustix::fs::{Mode, RenameFlags, mkdirat, renameat_with};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Exchanges two directories of a bpffs of its own, which is mounted nowhere and goes with its
/// descriptor.
///
/// # Errors
/// `EINVAL` if the kernel cannot exchange names on bpffs; `EPERM` if this process may not mount one.
pub fn try_exchange() -> io::Result<()> {
    let context = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    mkdirat(&root, "a", Mode::RWXU)?;
    mkdirat(&root, "b", Mode::RWXU)?;
    Ok(renameat_with(&root, "a", &root, "b", RenameFlags::EXCHANGE)?)
}
