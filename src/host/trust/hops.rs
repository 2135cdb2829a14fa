//! A path, followed hop by hop with directory descriptors, as the kernel would follow it: what was checked at a hop is
//! what the next one starts from.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat, fstat, fstatfs, openat, readlinkat,
};
use rustix::io::Errno;

use super::{Directory, Opened, Refused, Trusted, Untrusted, Writer};

/// As many symbolic links as the kernel follows: `MAXSYMLINKS` of include/linux/namei.h.
const MOST_LINKS: usize = 40;

/// For a look at something: a FIFO does not wait, and a device is not touched.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// For reading. Whatever has come in the place of a regular file is not waited for, either.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Opens what an absolute path leads to. `file` is how errors call it.
pub(super) fn open(trusted: Trusted, file: &Path, absolute: &Path) -> Result<Opened, Refused> {
    let mut walk = Walk::from_root(trusted, file)?;
    walk.push(absolute);
    walk.run()
}

/// Opens what a name in a checked directory leads to.
pub(super) fn open_in(
    trusted: Trusted,
    directory: &Directory,
    name: &OsStr,
) -> Result<Opened, Refused> {
    let file = directory.at.join(name);
    let unreachable = |error: io::Error| Refused::Unreachable { at: directory.at.clone(), error };
    let start = directory.fd.try_clone().map_err(unreachable)?;
    let start = Directory { fd: start, at: directory.at.clone() };
    let mut walk = Walk { trusted, file: &file, here: start, ahead: Vec::new(), links: 0 };
    walk.push(Path::new(name));
    walk.run()
}

/// Opens what a path leads to, even if another user could have changed it. `file` is how errors call it.
pub(super) fn open_any(start: BorrowedFd<'_>, path: &Path, file: &Path) -> Result<Opened, Refused> {
    let unreachable = |errno: Errno| unreachable(file, errno);
    let special = || Err(Refused::Special(file.to_path_buf()));
    let follow = |flags: OFlags| flags.difference(OFlags::NOFOLLOW);
    let found = openat(start, path, follow(LOOK), Mode::empty()).map_err(unreachable)?;
    match kind(&fstat(&found).map_err(unreachable)?) {
        Kind::Directory => Ok(Opened::Directory(Directory { fd: found, at: file.to_path_buf() })),
        Kind::File => {
            let opened = openat(start, path, follow(READ), Mode::empty()).map_err(unreachable)?;
            match kind(&fstat(&opened).map_err(unreachable)?) {
                Kind::File => Ok(Opened::File(opened.into())),
                Kind::Directory | Kind::Link | Kind::Special => special(),
            }
        }
        Kind::Link | Kind::Special => special(),
    }
}

/// A way that is being walked.
struct Walk<'a> {
    trusted: Trusted,
    /// The file that is to be used.
    file: &'a Path,
    /// How far it has come. Checked.
    here: Directory,
    /// The names that are still to come, the next one last.
    ahead: Vec<OsString>,
    /// How many symbolic links were followed.
    links: usize,
}

impl<'a> Walk<'a> {
    fn from_root(trusted: Trusted, file: &'a Path) -> Result<Self, Refused> {
        let walk = Self { trusted, file, here: root()?, ahead: Vec::new(), links: 0 };
        walk.check(&walk.here.fd, &walk.here.at)?;
        Ok(walk)
    }

    /// `path` comes next, before what is still to come.
    fn push(&mut self, path: &Path) {
        let names = path.components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            Component::ParentDir => Some(OsStr::new("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
        // A slash at the end asks for a directory.
        if path.as_os_str().as_bytes().ends_with(b"/") {
            self.ahead.push(OsString::from("."));
        }
        self.ahead.extend(names.map(OsStr::to_owned));
    }

    fn run(mut self) -> Result<Opened, Refused> {
        while let Some(name) = self.ahead.pop() {
            if name == "." {
                continue;
            }
            if name == ".." {
                self.up()?;
                continue;
            }
            let at = self.here.at.join(&name);
            let found = openat(&self.here.fd, &name, LOOK, Mode::empty());
            let found = found.map_err(|errno| unreachable(&at, errno))?;
            match kind(&fstat(&found).map_err(|errno| unreachable(&at, errno))?) {
                Kind::Link => {
                    self.check(&found, &at)?;
                    if let Some(opened) = self.follow(&name, &found, at)? {
                        return Ok(opened);
                    }
                }
                Kind::Directory => {
                    self.check(&found, &at)?;
                    self.here = Directory { fd: found, at };
                }
                Kind::File if self.ahead.is_empty() => {
                    return self.read(&name, READ, &at);
                }
                Kind::File => return Err(unreachable(&at, Errno::NOTDIR)),
                Kind::Special => return Err(Refused::Special(at)),
            }
        }
        Ok(Opened::Directory(self.here))
    }

    fn up(&mut self) -> Result<(), Refused> {
        let above = parent(&self.here)?;
        self.check(&above.fd, &above.at)?;
        self.here = above;
        Ok(())
    }

    /// Goes where a symbolic link leads. Returns the file if there is no further to go.
    fn follow(
        &mut self,
        name: &OsStr,
        link: &OwnedFd,
        at: PathBuf,
    ) -> Result<Option<Opened>, Refused> {
        let unreachable = |errno| unreachable(&at, errno);
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(unreachable(Errno::LOOP));
        }
        if fstatfs(link).map_err(unreachable)?.f_type == PROC_SUPER_MAGIC {
            return self.jump(name, at);
        }
        let target = readlinkat(link, "", Vec::new()).map_err(unreachable)?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            self.here = root()?;
        }
        self.push(&target);
        Ok(None)
    }

    /// Some links of procfs lead to what has no path, and their texts are no paths: proc_pid_fd(5). The kernel follows
    /// them, and what is above the directory that they lead to is checked from there.
    fn jump(&mut self, name: &OsStr, at: PathBuf) -> Result<Option<Opened>, Refused> {
        let follow = |flags: OFlags| flags.difference(OFlags::NOFOLLOW);
        let found = openat(&self.here.fd, name, follow(LOOK), Mode::empty());
        let found = found.map_err(|errno| unreachable(&at, errno))?;
        match kind(&fstat(&found).map_err(|errno| unreachable(&at, errno))?) {
            Kind::Directory => {
                let mut below = self.check(&found, &at)?;
                self.here = Directory { fd: found, at };
                let mut above = parent(&self.here)?;
                loop {
                    let stat = self.check(&above.fd, &above.at)?;
                    if (stat.st_dev, stat.st_ino) == (below.st_dev, below.st_ino) {
                        return Ok(None);
                    }
                    (above, below) = (parent(&above)?, stat);
                }
            }
            Kind::File if self.ahead.is_empty() => self.read(name, follow(READ), &at).map(Some),
            Kind::File => Err(unreachable(&at, Errno::NOTDIR)),
            Kind::Link | Kind::Special => Err(Refused::Special(at)),
        }
    }

    fn read(&self, name: &OsStr, flags: OFlags, at: &Path) -> Result<Opened, Refused> {
        let opened = openat(&self.here.fd, name, flags, Mode::empty());
        let opened = opened.map_err(|errno| unreachable(at, errno))?;
        match kind(&self.check(&opened, at)?) {
            Kind::File => Ok(Opened::File(opened.into())),
            Kind::Directory | Kind::Link | Kind::Special => Err(Refused::Special(at.to_path_buf())),
        }
    }

    /// Whether no other user may change what was found at `at`. Of regular files, the descriptor is not of `O_PATH`,
    /// which has no access control list.
    fn check(&self, found: &OwnedFd, at: &Path) -> Result<Stat, Refused> {
        let stat = fstat(found).map_err(|errno| unreachable(at, errno))?;
        let writer = self.writer(found, &stat);
        let writer =
            writer.map_err(|error| Refused::Unreachable { at: at.to_path_buf(), error })?;
        match writer {
            None => Ok(stat),
            Some(by) => {
                let (file, at) = (self.file.to_path_buf(), at.to_path_buf());
                Err(Refused::Untrusted(Untrusted { file, at, by }))
            }
        }
    }

    fn writer(&self, found: &OwnedFd, stat: &Stat) -> io::Result<Option<Writer>> {
        if matches!(kind(stat), Kind::Directory) {
            return self.trusted.writer(found, stat);
        }
        // With fs.protected_hardlinks = 0, every user can give every file a second name in /tmp and its like.
        if stat.st_nlink > 1 && is_public(&fstat(&self.here.fd)?) {
            return Ok(Some(Writer::Link));
        }
        // The mode of a symbolic link says nothing.
        if matches!(kind(stat), Kind::Link) {
            return Ok(self.trusted.owner(stat));
        }
        self.trusted.writer(found, stat)
    }
}

/// The root directory. Not checked.
fn root() -> Result<Directory, Refused> {
    let at = PathBuf::from("/");
    let opened = openat(CWD, &at, LOOK | OFlags::DIRECTORY, Mode::empty());
    let fd = opened.map_err(|errno| unreachable(&at, errno))?;
    Ok(Directory { fd, at })
}

/// The directory above; above the root is the root. Not checked.
fn parent(directory: &Directory) -> Result<Directory, Refused> {
    let opened = openat(&directory.fd, "..", LOOK | OFlags::DIRECTORY, Mode::empty());
    let fd = opened.map_err(|errno| unreachable(&directory.at, errno))?;
    let at = directory.at.parent().unwrap_or(&directory.at).to_path_buf();
    Ok(Directory { fd, at })
}

/// Whether every user may make names in a directory.
fn is_public(directory: &Stat) -> bool {
    directory.st_mode & 0o002 != 0
}

/// The kind of a file.
enum Kind {
    Directory,
    Link,
    File,
    /// A FIFO, a socket or a device.
    Special,
}

fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        FileType::RegularFile => Kind::File,
        FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Kind::Special,
    }
}

fn unreachable(at: &Path, errno: Errno) -> Refused {
    Refused::Unreachable { at: at.to_path_buf(), error: errno.into() }
}
