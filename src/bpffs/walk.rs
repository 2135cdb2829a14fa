//! Every path of a bpffs.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Dir, FileType, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Bpffs, File, open_directory};
use crate::path::{PinPath, Printable, STAGING_PREFIX};

/// What stands at a path.
#[derive(Debug)]
pub enum Found {
    /// A directory.
    Directory(File),
    /// A file: something is pinned.
    File(File),
    /// A symbolic link.
    Symlink,
    /// Another file system is mounted there.
    Mount,
}

/// Whether what was found is not there any more: it has gone, or a directory has become something else.
/// Whoever may write to the bpffs can do that all the time.
fn has_gone(error: &io::Error) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
        .iter()
        .any(|gone| error.raw_os_error() == Some(gone.raw_os_error()))
}

/// Whether a directory with a staging directory's name is one. Another user may give that name to
/// anything, and could hide there what it takes from a directory of its own.
fn is_of_an_apply(directory: &File) -> bool {
    let uid = directory.meta.uid;
    uid == 0 || uid == geteuid().as_raw()
}

impl Bpffs {
    /// Visits everything below the root: directories before what they hold, in no other order.
    ///
    /// Left out are names with a dot, which only bpffs itself makes (`maps.debug`), staging
    /// directories of root's and of this user's, what is too deep to have a path, and what goes away meanwhile.
    ///
    /// # Errors
    /// The kernel's, and those of `visit`.
    pub fn walk<E: From<anyhow::Error>>(
        &self,
        mut visit: impl FnMut(PinPath, Found) -> Result<(), E>,
    ) -> Result<(), E> {
        // One directory is open at a time, however deep they are nested.
        let mut directories: Vec<Option<PinPath>> = vec![None];
        while let Some(parent) = directories.pop() {
            let failed = |error: io::Error| {
                let path = parent.as_ref().map_or(Path::new(""), |parent| parent.as_path());
                let path = self.path.join(path);
                anyhow::Error::from(error).context(format!("failed to read {}", Printable(&path)))
            };
            let Some(directory) = self.directory(parent.as_ref()).map_err(failed)? else {
                continue;
            };
            for name in names(&directory).map_err(failed)? {
                let name = OsStr::from_bytes(&name);
                let Ok(path) = PinPath::below(parent.as_ref(), name) else { continue };
                let Some(found) = find(&directory, name).map_err(failed)? else { continue };
                let is_reserved =
                    parent.is_none() && name.as_bytes().starts_with(STAGING_PREFIX.as_bytes());
                if let Found::Directory(directory) = &found {
                    if is_reserved && is_of_an_apply(directory) {
                        continue;
                    }
                    directories.push(Some(path.clone()));
                }
                visit(path, found)?;
            }
        }
        Ok(())
    }

    /// A directory, to be read; `None` where it has gone.
    fn directory(&self, path: Option<&PinPath>) -> io::Result<Option<OwnedFd>> {
        let below_root = path.map_or(Path::new("."), |path| path.as_path());
        match open_directory(&self.root, below_root, OFlags::RDONLY) {
            Err(error) if has_gone(&error) && path.is_some() => Ok(None),
            other => other.map(Some),
        }
    }
}

fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        names.push(entry?.file_name().to_bytes().to_vec());
    }
    Ok(names)
}

/// What has that name in a directory; `None` where it has gone.
fn find(directory: &OwnedFd, name: &OsStr) -> io::Result<Option<Found>> {
    let file = match File::open(directory, Path::new(name)) {
        Ok(file) => file,
        Err(error) if has_gone(&error) => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::XDEV.raw_os_error()) => {
            return Ok(Some(Found::Mount));
        }
        Err(error) => return Err(error),
    };
    Ok(Some(match file.kind {
        FileType::Directory => Found::Directory(file),
        FileType::Symlink => Found::Symlink,
        FileType::RegularFile
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Found::File(file),
    }))
}
