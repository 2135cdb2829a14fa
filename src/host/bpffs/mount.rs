//! `--mount`: a bpffs where there is none. Never unasked.

use std::ffi::CStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

use super::{Bpffs, OpenError};

use iterctl_core::escaped::Escaped;

/// Why no bpffs was mounted.
#[derive(Debug)]
pub enum MountError {
    /// Mounting there would hide files.
    NotEmpty(PathBuf),
    /// The system's words.
    Failed(PathBuf, io::Error),
}

/// Mounts a bpffs of mode 0700 on the directory `path`, as systemd does, unless one is there.
/// Gives whether it did.
///
/// # Errors
/// Where the directory is not there, holds files that would be hidden, or the kernel refuses.
pub fn mount_if_missing(path: &Path) -> Result<bool, MountError> {
    // What cannot be opened for another reason is told when it is opened in earnest.
    if !matches!(Bpffs::open(path), Err(OpenError::NotBpffs(_) | OpenError::Missing(_))) {
        return Ok(false);
    }
    let failed = |error| MountError::Failed(path.to_path_buf(), error);
    if fs::read_dir(path).map_err(failed)?.next().is_some() {
        return Err(MountError::NotEmpty(path.to_path_buf()));
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RELATIME;
    const OPTIONS: &CStr = c"mode=0700";
    mount("bpf", path, "bpf", flags, OPTIONS).map_err(|error| failed(error.into()))?;
    Ok(true)
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
