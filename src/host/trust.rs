//! Files that root is about to use: which of them another user could have changed, as sshd and sudo ask.
//!
//! In: a path. Out: what it leads to, opened; or the first file, directory or symbolic link on the way to it that
//! another user may change. What was checked is what was opened: no name is looked up twice.

mod acl;
mod hops;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat, openat};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities};

use iterctl_core::escaped::Escaped;

/// The files that are used.
#[derive(Clone, Copy, Debug)]
pub enum Trust {
    /// Only those that no other user could have changed.
    OwnFiles(Trusted),
    /// All.
    AnyFile,
}

/// The users whose files are as good as root's.
#[derive(Clone, Copy, Debug)]
pub struct Trusted {
    /// The user whose rights this process has.
    own: u32,
    /// The user who invoked sudo.
    sudo: Option<u32>,
}

/// A file or a directory that was opened for use.
#[derive(Debug)]
pub enum Opened {
    /// A regular file, to be read.
    File(File),
    /// A directory, to be listed.
    Directory(Directory),
}

/// A directory, and the path that led to it.
#[derive(Debug)]
pub struct Directory {
    /// Opened with `O_PATH`.
    fd: OwnedFd,
    /// Its path: absolute, and without symbolic links if the way was checked.
    at: PathBuf,
}

/// Why a file is not used.
#[derive(Debug)]
pub enum Refused {
    /// Another user could have changed it.
    Untrusted(Untrusted),
    /// It is neither a regular file nor a directory.
    Special(PathBuf),
    /// The way to it ends there.
    Unreachable {
        /// The file or the directory that the call was about.
        at: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
}

/// A file, a directory or a symbolic link that another user may change.
#[derive(Debug, PartialEq, Eq)]
pub struct Untrusted {
    /// The file that is to be used.
    pub file: PathBuf,
    /// It, or what is on the way to it.
    pub at: PathBuf,
    /// The users who may change that.
    pub by: Writer,
}

/// The users who may change a file, a directory or a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Its owner, of that uid.
    Owner(u32),
    /// The user of that uid, by an access control list.
    User(u32),
    /// A group, of that gid.
    Group(u32),
    /// Every user.
    Everybody,
    /// Every user could have made this name for a file of root's that is elsewhere: link(2).
    Link,
}

impl Trust {
    /// Only files of its own, for a process that can do what other users cannot. A process without such rights can do
    /// no more for another user than that user could, so it may use any file.
    pub fn own_files() -> Self {
        let uid = rustix::process::geteuid();
        if !uid.is_root() && !has_capabilities() {
            return Self::AnyFile;
        }
        Self::OwnFiles(Trusted {
            own: uid.as_raw(),
            sudo: if uid.is_root() { sudo() } else { None },
        })
    }

    /// Opens what a path leads to. A FIFO or a device is not opened, so nothing is waited for.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open(self, path: &Path) -> Result<Opened, Refused> {
        let unreachable = |error| Refused::Unreachable { at: path.to_path_buf(), error };
        let absolute = std::path::absolute(path).map_err(unreachable)?;
        match self {
            Self::OwnFiles(trusted) => hops::open(trusted, path, &absolute),
            Self::AnyFile => hops::open_any(rustix::fs::CWD, &absolute, path),
        }
    }

    /// Opens what a name in a directory leads to, as [`open`](Self::open).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open_in(self, directory: &Directory, name: &OsStr) -> Result<Opened, Refused> {
        match self {
            Self::OwnFiles(trusted) => hops::open_in(trusted, directory, name),
            Self::AnyFile => {
                hops::open_any(directory.fd.as_fd(), Path::new(name), &directory.at.join(name))
            }
        }
    }
}

impl Directory {
    /// The names in it, in no order; without `.` and `..`.
    ///
    /// # Errors
    /// The system's.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = Dir::new(openat(&self.fd, ".", flags, Mode::empty())?)?;
        let names =
            listed.map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()));
        let names: io::Result<Vec<OsString>> = names.collect();
        Ok(names?.into_iter().filter(|name| name != "." && name != "..").collect())
    }
}

/// Whether one of those is in effect that let a process load what it likes.
fn has_capabilities() -> bool {
    let strong = CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN;
    // If the capabilities cannot be read, every file is checked.
    capabilities(None).map_or(true, |sets| sets.effective.intersects(strong))
}

/// The number that sudo puts into the environment. Not the group beside it: that has other members.
fn sudo() -> Option<u32> {
    std::env::var("SUDO_UID").ok()?.parse().ok()
}

impl Trusted {
    fn has(self, uid: u32) -> bool {
        uid == 0 || uid == self.own || Some(uid) == self.sudo
    }

    fn owner(self, stat: &Stat) -> Option<Writer> {
        (!self.has(stat.st_uid)).then_some(Writer::Owner(stat.st_uid))
    }

    /// Another user who may change what has these, or the names in it if it is a directory. The descriptor, which
    /// may be of `O_PATH`, is asked for its access control list.
    fn writer(self, fd: impl AsFd, stat: &Stat) -> io::Result<Option<Writer>> {
        let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
        Ok(match self.judge(stat.st_uid, stat.st_gid, stat.st_mode, is_directory) {
            Verdict::Own => None,
            Verdict::Other(writer) => Some(writer),
            // With an access control list, the mode's bits of the group are its mask, and every right is in the list.
            Verdict::AskList => match acl::read(fd, is_directory) {
                Ok(list) => list.writer(|uid| self.has(uid)),
                Err(Errno::NODATA | Errno::OPNOTSUPP) => None,
                Err(error) => return Err(error.into()),
            },
        })
    }

    fn judge(self, uid: u32, gid: u32, mode: u32, is_directory: bool) -> Verdict {
        const STICKY: u32 = 0o1000;
        if !self.has(uid) {
            return Verdict::Other(Writer::Owner(uid));
        }
        if mode & 0o002 != 0 {
            // In /tmp and its like, no user can rename or remove what is another's.
            let is_tmp = is_directory && mode & STICKY != 0;
            return if is_tmp { Verdict::Own } else { Verdict::Other(Writer::Everybody) };
        }
        match mode & 0o020 != 0 {
            true if gid != 0 => Verdict::Other(Writer::Group(gid)),
            true => Verdict::AskList,
            false => Verdict::Own,
        }
    }
}

/// The verdict of owner, group and mode.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// No other user may change it.
    Own,
    Other(Writer),
    /// The access control list decides, if there is one.
    AskList,
}

impl Untrusted {
    /// The way out.
    pub fn hint(&self) -> String {
        let is_file = self.file.file_name() == self.at.file_name();
        let command = match self.by {
            // The home of a user, or a link of one, is not to become root's.
            Writer::Owner(_) if !is_file => None,
            Writer::Owner(_) => Some("chown root"),
            Writer::User(_) => Some("setfacl -b"),
            Writer::Group(_) | Writer::Everybody => Some("chmod go-w"),
            Writer::Link => None,
        };
        match command.zip(plain_word(&self.at)) {
            Some((command, at)) => format!("`{command} {at}`, or `--insecure`"),
            None => {
                "use a copy in a directory that only root can write to, or `--insecure`".to_owned()
            }
        }
    }
}

/// The path, if a shell takes it as one word without quotes.
fn plain_word(path: &Path) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=@:,".contains(&byte);
    path.to_str().filter(|text| text.bytes().all(is_plain))
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, at) = (Escaped::new(&self.file), Escaped::new(&self.at));
        write!(f, "{file} is not trusted: ")?;
        match self.by {
            Writer::Owner(uid) => write!(f, "the user {uid} owns {at}"),
            Writer::User(uid) => {
                write!(f, "the user {uid} can write to {at} (access control list)")
            }
            Writer::Group(gid) => write!(f, "the group {gid} can write to {at}"),
            Writer::Everybody => write!(f, "every user can write to {at}"),
            Writer::Link => {
                write!(f, "any user could have made {at} a link to another file of root's")
            }
        }
    }
}

impl std::error::Error for Untrusted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uid: u32, gid: u32, mode: u32, is_directory: bool, expected: Verdict) {
        let trusted = Trusted { own: 0, sudo: Some(1000) };
        assert_eq!(trusted.judge(uid, gid, mode, is_directory), expected);
    }

    #[test]
    fn owner_group_and_mode_tell_who_can_write() {
        let other = Verdict::Other;
        check(0, 0, 0o100_644, false, Verdict::Own);
        check(0, 0, 0o100_664, false, Verdict::AskList);
        check(0, 5, 0o100_664, false, other(Writer::Group(5)));
        check(0, 0, 0o100_666, false, other(Writer::Everybody));
        check(7, 0, 0o100_600, false, other(Writer::Owner(7)));
        check(1000, 1000, 0o100_644, false, Verdict::Own);
        check(1000, 1000, 0o100_664, false, other(Writer::Group(1000)));
        check(0, 0, 0o040_777, true, other(Writer::Everybody));
        check(0, 0, 0o041_777, true, Verdict::Own);
        check(0, 5, 0o041_775, true, other(Writer::Group(5)));
        check(7, 0, 0o041_777, true, other(Writer::Owner(7)));
        check(0, 0, 0o101_777, false, other(Writer::Everybody));
    }
}
