//! `--mount`: a bpffs if there is none, and never without being asked.
//!
//! # Why several at once mount one, and all use it
//!
//! The kernel mounts any number of file systems on one directory, and the last one hides the others. So:
//!
//! 1. A process first locks the directory (`flock(2)`), and then looks again whether a bpffs is there. Any user
//!    may hold that lock; after [`LONGEST`], the process goes on without it.
//! 2. A bpffs is made without a place, its lock is taken, and only then is it put in its place: another process
//!    that finds it waits for its lock before it does anything.
//! 3. If it has come to lie on another file system that came in between, which only happens without the lock of
//!    step 1, it is removed again, before its lock is released. A process that has waited for that lock finds
//!    that the bpffs is gone, and begins again.

use std::fmt;
use std::fs as std_fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use super::lock::{Lock, LockError};
use super::place::mount_id;
use super::{Bpffs, OpenError, names_in, open_directory};
use crate::host::sys::descriptors;
use crate::host::sys::signals::Signals;
use iterctl_core::escaped::Escaped;
use iterctl_core::pin_path::LOCK_PREFIX;

/// How long another process may take to mount something.
const LONGEST: Duration = Duration::from_secs(1);

/// How long to wait before trying again.
const PAUSE: Duration = Duration::from_millis(5);

/// Why no bpffs was mounted.
#[derive(Debug)]
pub enum MountError {
    /// Mounting there would hide files.
    NotEmpty(PathBuf),
    /// The system's words.
    Failed(PathBuf, io::Error),
}

/// Mounts a bpffs of mode 0700 on the directory `path`, as systemd does, unless one is there. Returns its lock
/// if it did.
///
/// # Errors
/// If the directory does not exist, or holds files that would be hidden, or if the kernel refuses.
pub fn mount_if_missing(path: &Path) -> Result<Option<Lock>, MountError> {
    let failed = |error: io::Error| MountError::Failed(path.to_path_buf(), error);
    if !is_missing(path) {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let under = fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    wait_for_others(&under).map_err(failed)?;
    if !is_missing(path) {
        return Ok(None);
    }
    if !names_in(&under).map_err(failed)?.is_empty() {
        return Err(MountError::NotEmpty(path.to_path_buf()));
    }
    let (mount, root) = make().map_err(|error| failed(error.into()))?;
    let bpffs = Bpffs { root, path: path.to_path_buf() };
    // No other process can have it: there is nothing to wait for.
    let lock =
        bpffs.lock_unseen(Duration::ZERO, &Signals::default()).map_err(|error| match error {
            LockError::Failed(_, error) => failed(error),
            other @ (LockError::Locked(_) | LockError::Gone(_) | LockError::Stopped(_)) => {
                failed(io::Error::other(other.to_string()))
            }
        })?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&mount, "", &under, "", flags).map_err(|error| failed(error.into()))?;
    if lies_on(lock.bpffs(), &under) && lock.bpffs().check_in_place().is_ok() {
        return Ok(Some(lock));
    }
    detach(lock.bpffs()).map_err(failed)?;
    Ok(None)
}

/// Whether there is no bpffs. Any other failure to open it is reported when it is opened for use.
fn is_missing(path: &Path) -> bool {
    matches!(Bpffs::open(path), Err(OpenError::NotBpffs(_) | OpenError::Missing(_)))
}

/// Locks the directory, unless it takes too long.
fn wait_for_others(directory: &OwnedFd) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match fs::flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if start.elapsed() < LONGEST => thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes a bpffs that is mounted nowhere yet. Returns the mount and its root.
fn make() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let context = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // Only shown by findmnt(8). Old kernels ignore it.
    let _ = fsconfig_set_string(&context, "source", "bpf");
    fsconfig_set_string(&context, "mode", "0700")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_RELATIME;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = fs::openat(&mount, ".", flags, Mode::empty())?;
    Ok((mount, root))
}

/// Whether the bpffs is mounted on what `under` was opened on, and on nothing that came to lie there since.
fn lies_on(bpffs: &Bpffs, under: &OwnedFd) -> bool {
    let (Ok(mount), Ok(under)) = (mount_id(&bpffs.root), mount_id(under)) else { return true };
    // Without procfs, it is not known.
    let Ok(table) = std_fs::read_to_string("/proc/thread-self/mountinfo") else { return true };
    parent_of(&table, mount).is_none_or(|parent| parent == under)
}

/// The mount that a mount is on: its first two fields are their numbers (proc_pid_mountinfo(5)).
fn parent_of(table: &str, mount: u64) -> Option<u64> {
    table.lines().find_map(|line| {
        let mut fields = line.split(' ').map(|field| field.parse::<u64>().ok());
        let (id, parent) = (fields.next()??, fields.next()??);
        (id == mount).then_some(parent)
    })
}

/// Unmounts this very mount, wherever it is, also if others have it open.
fn detach(bpffs: &Bpffs) -> io::Result<()> {
    // The magic link leads to the mount itself, and not to one that is mounted over it.
    Ok(unmount(descriptors::path(&bpffs.root), UnmountFlags::DETACH)?)
}

impl Lock {
    /// Unmounts a bpffs that was mounted for nothing. Returns whether it did: a bpffs that holds anything but
    /// the lock stays, and so does one with something mounted over it, which would be unmounted with it.
    pub fn unmount(&self) -> bool {
        let bpffs = self.bpffs();
        // bpffs itself makes names with a dot.
        let is_own = |name: &[u8]| name.starts_with(LOCK_PREFIX.as_bytes()) || name.contains(&b'.');
        let is_empty = open_directory(&bpffs.root, Path::new("."), OFlags::RDONLY)
            .and_then(|root| names_in(&root))
            .is_ok_and(|names| names.iter().all(|name| is_own(name.to_bytes())));
        is_empty && bpffs.check_in_place().is_ok() && detach(bpffs).is_ok()
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty(path) => {
                let path = Escaped::new(path);
                write!(f, "{path} holds files, which a bpffs mounted there would hide")
            }
            Self::Failed(path, error) => {
                write!(f, "failed to mount a bpffs on {}: {error}", Escaped::new(path))
            }
        }
    }
}

impl std::error::Error for MountError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_mount_is_found() {
        let table = "36 35 98:0 / /mnt rw,noatime shared:1 - ext4 /dev/root rw\n\
                     40 36 0:47 / /mnt/bpf rw - bpf bpf rw,mode=700\n";
        assert_eq!(parent_of(table, 40), Some(36));
        assert_eq!(parent_of(table, 41), None);
    }
}
