//! A path that this user may not open → the file or directory on it that refuses.
//!
//! To read needs no privilege but the permissions of the file and its directories, so these are what an error of
//! reading names.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Access, AtFlags, CWD, FileType};
use rustix::io::Errno;

use iterctl_core::access::{Meta, Mode};
use iterctl_core::escaped::Escaped;

/// A file or a directory that refuses this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Its path.
    pub at: PathBuf,
    /// The use that is refused.
    pub to: To,
    /// Its mode, owner and group.
    pub meta: Meta,
}

/// A use of a file or a directory that can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// A directory may not be searched: nothing in it can be opened.
    Search,
    /// The names in a directory may not be listed.
    List,
    /// A file may not be read.
    Read,
}

impl Closed {
    /// Finds the file or the directory, at `path` or on the way there, that has refused to be read. `None` if the error
    /// is another one, or if the permissions are not what refuses.
    pub fn find(path: &Path, error: &io::Error) -> Option<Self> {
        if error.kind() != io::ErrorKind::PermissionDenied {
            return None;
        }
        let path = std::path::absolute(path).ok()?;
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        let searched = above.into_iter().find_map(|directory| {
            refuses(directory, Access::EXEC_OK).then(|| Self::new(directory, |_| To::Search))
        });
        if let Some(closed) = searched {
            return closed;
        }
        let to = |kind: FileType| if kind.is_dir() { To::List } else { To::Read };
        if refuses(&path, Access::READ_OK) { Self::new(&path, to) } else { None }
    }

    fn new(at: &Path, to: impl FnOnce(FileType) -> To) -> Option<Self> {
        let stat = fs::stat(at).ok()?;
        let meta = Meta { mode: Mode::from_stat(stat.st_mode), uid: stat.st_uid, gid: stat.st_gid };
        Some(Self { at: at.to_path_buf(), to: to(FileType::from_raw_mode(stat.st_mode)), meta })
    }

    /// The way out.
    pub fn hint(&self) -> String {
        let at = Escaped::new(&self.at);
        match self.to {
            To::Search | To::List => {
                let bits = if self.to == To::Search { "x" } else { "rx" };
                format!(
                    "its owner can open it with `chmod a+{bits} {at}`; if iterctl has made it for a pin, set \
                     `dir-mode` of the entry"
                )
            }
            To::Read => format!(
                "its owner can let others read it with `chmod a+r {at}`; if it is a pin of iterctl, set `mode` or \
                 `group` of the entry"
            ),
        }
    }
}

/// Mode, owner and group of a file or a directory. `None` if it is not there.
pub fn meta(path: &Path) -> Option<Meta> {
    let stat = fs::stat(path).ok()?;
    Some(Meta { mode: Mode::from_stat(stat.st_mode), uid: stat.st_uid, gid: stat.st_gid })
}

/// Whether the user with whose rights this process opens files may not do that.
fn refuses(path: &Path, access: Access) -> bool {
    fs::accessat(CWD, path, access, AtFlags::EACCESS) == Err(Errno::ACCESS)
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, to, meta: Meta { mode, uid, gid } } = self;
        let at = Escaped::new(at);
        match to {
            To::Search => write!(f, "this user may not search the directory {at}")?,
            To::List => write!(f, "this user may not list the directory {at}")?,
            To::Read => write!(f, "this user may not read {at}")?,
        }
        write!(f, " (mode {mode}, owner {uid}, group {gid})")
    }
}

impl std::error::Error for Closed {}
