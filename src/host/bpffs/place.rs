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

/// How many steps up the highest directory is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heights {
    /// The highest of the file system.
    pub(super) of_file_system: usize,
    /// The highest of the same mount: nothing can be renamed from one mount to another, even if both show the
    /// same file system (`do_renameat2()` in fs/namei.c).
    pub(super) of_mount: usize,
}

impl Bpffs {
    /// How far up it goes.
    ///
    /// # Errors
    /// The kernel's, except if a directory may not be searched: then that one is the highest.
    pub(super) fn heights(&self) -> io::Result<Heights> {
        let mut heights = Heights::default();
        let mount = mount_id(&self.root)?;
        let mut at = open_path(&self.root, ".")?;
        let mut stat = fs::fstat(&at)?;
        loop {
            let above = match open_path(&at, "..") {
                Err(Errno::ACCESS) => return Ok(heights),
                other => other?,
            };
            let above_stat = fs::fstat(&above)?;
            // `..` of the root of a mount leads out of the mount; if nothing is above, it leads to itself.
            if above_stat.st_dev != stat.st_dev || above_stat.st_ino == stat.st_ino {
                return Ok(heights);
            }
            let is_contiguous = heights.of_mount == heights.of_file_system;
            heights.of_file_system += 1;
            if is_contiguous && mount_id(&above)? == mount {
                heights.of_mount += 1;
            }
            (at, stat) = (above, above_stat);
        }
    }

    /// The directory that many steps up.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn place(&self, height: usize) -> io::Result<Place> {
        let mut fd = open_path(&self.root, ".")?;
        for _ in 0..height {
            fd = open_path(&fd, "..")?;
        }
        let path = match height {
            0 => self.path.clone(),
            _ => named(&fd).unwrap_or_else(|| self.path.join("../".repeat(height))),
        };
        Ok(Place { fd, path })
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
