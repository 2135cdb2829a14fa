//! A folder with a bpffs in it, mounted for this thread and its children alone.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::geteuid;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;

/// The folder, and the bpffs at `bpf` in it. Both are removed when this is dropped.
pub(crate) struct OwnBpffs {
    folder: TempDir,
}

impl OwnBpffs {
    pub(crate) fn mount() -> anyhow::Result<Self> {
        ensure!(geteuid().is_root(), "not root: run `make bench`");
        enter_mount_namespace().context("failed to make a mount namespace")?;
        let folder = tempfile::Builder::new().prefix("iterctl-bench-").tempdir()?;
        let bpffs = folder.path().join("bpf");
        fs::create_dir(&bpffs)?;
        mount("bpf", &bpffs, "bpf", MountFlags::empty(), None)
            .context("failed to mount a bpffs")?;
        Ok(Self { folder })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for OwnBpffs {
    fn drop(&mut self) {
        // The folder cannot be removed while it is mounted. If this fails, the mount disappears with the
        // namespace.
        let _ = unmount(self.path().join("bpf"), UnmountFlags::DETACH);
    }
}

/// Mounts made from now on are not visible to other processes.
fn enter_mount_namespace() -> rustix::io::Result<()> {
    unshare_mounts()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

#[expect(unsafe_code, reason = "rustix's safe unshare() is deprecated")]
fn unshare_mounts() -> rustix::io::Result<()> {
    // SAFETY: unsafe is only `FILES`, which takes descriptors from other threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }
}
