//! Whether two pins can be exchanged on this kernel: tried where nobody sees it.

use std::io;

use rustix::fs::{Mode, RenameFlags, mkdirat, renameat_with};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Exchanges two directories of a bpffs of its own, which is mounted nowhere and goes with its
/// descriptor.
///
/// # Errors
/// `EINVAL` where the kernel exchanges nothing on bpffs; `EPERM` to whom it lets mount none.
pub fn try_exchange() -> io::Result<()> {
    let context = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    mkdirat(&root, "a", Mode::RWXU)?;
    mkdirat(&root, "b", Mode::RWXU)?;
    Ok(renameat_with(&root, "a", &root, "b", RenameFlags::EXCHANGE)?)
}
