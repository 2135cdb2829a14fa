//! The directories of one bpffs, from the one in which a manifest starts up to the highest: iterctl's own
//! directories are in the highest one that it may write to.
//!
//! A manifest may start in a subdirectory, and another one above it. To find each other, their applies look
//! upwards with `..`, by descriptors. If only a subdirectory is mounted here (a bind mount), its root is the
//! highest that can be reached.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::Bpffs;
use crate::host::sys::descriptors;

/// Such a directory.
#[derive(Debug)]
pub(super) struct Place {
    /// Opened with `O_PATH`.
    pub(super) fd: OwnedFd,
    /// For messages.
    pub(super) path: PathBuf,
}

/// The directories from the one in which a manifest starts up to the highest, each the parent of the one before.
#[derive(Debug)]
pub(super) struct Places {
    /// At least one.
    pub(super) all: Vec<Place>,
    /// How many of them are on the same mount as the first: nothing can be renamed from one mount to another, even if
    /// both show the same file system (`do_renameat2()` in fs/namei.c).
    pub(super) on_mount: usize,
}

/// No manifest starts deeper. Another user who moves a directory that is above it could make the way up endless.
const MOST_STEPS: usize = 4096;

impl Bpffs {
    /// The way up, walked once: another user may move a directory that is on it at any moment, but the highest one
    /// stays the same.
    ///
    /// # Errors
    /// The kernel's, except if a directory may not be searched: then that one is the highest.
    pub(super) fn places(&self) -> io::Result<Places> {
        let mount = mount_id(&self.root)?;
        let first = open_path(&self.root, ".")?;
        let mut stat = fs::fstat(&first)?;
        let mut places =
            Places { all: vec![Place { fd: first, path: self.path.clone() }], on_mount: 1 };
        while let Some(at) = places.all.last() {
            let above = match open_path(&at.fd, "..") {
                Err(Errno::ACCESS) => break,
                other => other?,
            };
            let above_stat = fs::fstat(&above)?;
            // `..` of the root of a mount leads out of the mount; if nothing is above, it leads to itself.
            if above_stat.st_dev != stat.st_dev || above_stat.st_ino == stat.st_ino {
                break;
            }
            let steps = places.all.len();
            if steps > MOST_STEPS {
                return Err(io::Error::other(
                    "another user moves the directories above all the time",
                ));
            }
            if places.on_mount == steps && mount_id(&above)? == mount {
                places.on_mount += 1;
            }
            let path = named(&above).unwrap_or_else(|| self.path.join("../".repeat(steps)));
            places.all.push(Place { fd: above, path });
            stat = above_stat;
        }
        Ok(places)
    }
}

/// Whether the error says that this process may not make anything there.
pub(super) fn is_not_permitted(error: Errno) -> bool {
    matches!(error, Errno::ACCESS | Errno::PERM | Errno::ROFS)
}

/// The number of the mount that the directory was reached through, since Linux 5.8.
pub(super) fn mount_id(directory: &OwnedFd) -> rustix::io::Result<u64> {
    Ok(fs::statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}

fn open_path(at: &OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(at, path, flags, Mode::empty())
}

fn named(fd: &OwnedFd) -> Option<PathBuf> {
    let name = descriptors::name(fd).ok()?;
    let path = Path::new(OsStr::from_bytes(&name));
    path.is_absolute().then(|| path.to_path_buf())
}
