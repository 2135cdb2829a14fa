//! A bpffs → every path of it, and what is there.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags, StatxAttributes, StatxFlags, fstat, statx};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Bpffs, File, is_on_bpffs, names_in, open_directory};
use crate::host::sys::threads;
use iterctl_core::access::{Meta, Mode};
use iterctl_core::escaped::Escaped;
use iterctl_core::pin_path::{InvalidPinPath, KEPT_PREFIX, LOCK_PREFIX, PinPath, STAGING_PREFIX};

/// The kind of thing at a path.
#[derive(Debug)]
pub enum Found<'a> {
    /// A directory.
    Directory(Meta),
    /// A file: something is pinned.
    Pin(PinFile<'a>),
    /// A symbolic link.
    Symlink,
    /// Another file system is mounted there.
    Mount(Mount),
}

/// A file system that is mounted on something below the root.
#[derive(Debug)]
pub enum Mount {
    /// Another bpffs, and where that is.
    Bpffs(PathBuf),
    /// Another file system, or a single file.
    Other,
}

/// A file, and the directory from which it is opened.
#[derive(Debug)]
pub struct PinFile<'a> {
    /// Mode, owner and group.
    pub meta: Meta,
    directory: BorrowedFd<'a>,
    name: Cow<'a, CStr>,
    /// Keeps the descriptor open, if `name` is the path of one.
    _file: Option<File>,
}

impl PinFile<'_> {
    /// A directory.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory
    }

    /// The file's name there, or an absolute path that leads to it.
    pub fn name(&self) -> &CStr {
        &self.name
    }
}

/// Something below the root could not be looked at.
#[derive(Debug)]
pub enum WalkError {
    /// The directory at this path cannot be read.
    Read(PathBuf, io::Error),
    /// The pin at this path cannot be looked at.
    Look(PinPath, io::Error),
}

/// The findings of a walk.
#[derive(Debug)]
pub struct Walked<T> {
    /// Each path with the result of `look`.
    pub found: Vec<(PinPath, T)>,
    /// The directories that this user may not look into.
    pub closed: Vec<PathBuf>,
    /// Every directory with something in it whose path is too long or too deep for a pin.
    pub too_deep: Vec<PinPath>,
}

/// So many entries of a directory are looked at one after the other.
const FEW: usize = 100;

/// So many directories are read one after the other.
const FEW_DIRECTORIES: usize = 4;

/// A directory that has been read.
#[derive(Debug)]
struct Directory<'a> {
    /// `None` is the bpffs root.
    path: Option<&'a PinPath>,
    fd: OwnedFd,
    /// Whether no other user can change which files its names stand for.
    is_own: bool,
    /// In their order, so that the paths nearly are in theirs.
    names: Vec<CString>,
}

/// The result for an entry of a directory.
enum Visited<T> {
    /// It was looked at.
    Seen { path: PinPath, is_directory: bool, kept: Option<T> },
    /// Its path is too long or too deep for a pin; this is the directory.
    TooDeep(PinPath),
}

/// Whether what was found is not there any more: it has gone, or a directory has become something else.
/// Any user who may write to the bpffs can do that all the time.
fn has_gone(error: &io::Error) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
        .iter()
        .any(|gone| error.raw_os_error() == Some(gone.raw_os_error()))
}

/// Root and this user.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

impl Bpffs {
    /// Looks at everything below the root: directories before what they hold, in no other order. Returns the
    /// results of `look`. If there is much, several threads share the work. Each thread has one
    /// directory open, however many there are, and however deep they are nested.
    ///
    /// Left out are names with a dot, which only bpffs itself makes (`maps.debug`), staging directories of root's and
    /// of this user's, and what goes away meanwhile.
    ///
    /// Directories of other users are walked, too: the owner of a directory may have moved pins of a set there. But no
    /// directory is walked that is deeper than a pin can be. Other users can nest directories 2,000 deep, and each
    /// would cost as many lookups as it is deep.
    ///
    /// # Errors
    /// If a directory cannot be read, or if `look` fails.
    pub fn walk<T: Send>(
        &self,
        look: impl Fn(Found<'_>) -> io::Result<Option<T>> + Sync,
    ) -> Result<Walked<T>, WalkError> {
        self.walk_if(look, Err)
    }

    /// The same, but goes on if this user may not look into a directory.
    ///
    /// # Errors
    /// If a directory cannot be read for another reason, or if `look` fails.
    pub fn walk_open<T: Send>(
        &self,
        look: impl Fn(Found<'_>) -> io::Result<Option<T>> + Sync,
    ) -> Result<Walked<T>, WalkError> {
        let mut closed = Vec::new();
        let walked = self.walk_if(look, |error| match error {
            WalkError::Read(path, why) if why.kind() == io::ErrorKind::PermissionDenied => {
                closed.push(path);
                Ok(())
            }
            error @ (WalkError::Read(..) | WalkError::Look(..)) => Err(error),
        })?;
        Ok(Walked { closed, ..walked })
    }

    /// The same, but goes on after an error if `goes_on` says so.
    fn walk_if<T: Send>(
        &self,
        look: impl Fn(Found<'_>) -> io::Result<Option<T>> + Sync,
        mut goes_on: impl FnMut(WalkError) -> Result<(), WalkError>,
    ) -> Result<Walked<T>, WalkError> {
        let (mut found, mut too_deep) = (Vec::new(), Vec::new());
        let mut level: Vec<Option<PinPath>> = vec![None];
        while !level.is_empty() {
            // Those of many directories are not looked at side by side as well.
            let few = if level.len() > FEW_DIRECTORIES { usize::MAX } else { FEW };
            let walk_one = |path: &Option<PinPath>| self.walk_one(path.as_ref(), few, &look);
            let mut below = Vec::new();
            for visited in threads::map(&level, FEW_DIRECTORIES, walk_one) {
                let visited = match visited {
                    Ok(visited) => visited,
                    Err(error) => {
                        goes_on(error)?;
                        continue;
                    }
                };
                for visited in visited {
                    match visited {
                        Visited::Seen { path, is_directory, kept } => {
                            if is_directory {
                                below.push(Some(path.clone()));
                            }
                            found.extend(kept.map(|kept| (path, kept)));
                        }
                        Visited::TooDeep(directory) => too_deep.push(directory),
                    }
                }
            }
            level = below;
        }
        // Each entry of a directory names it.
        too_deep.dedup();
        Ok(Walked { found, closed: Vec::new(), too_deep })
    }

    /// Looks at every entry of a directory; more than `few` are looked at side by side.
    fn walk_one<T: Send>(
        &self,
        path: Option<&PinPath>,
        few: usize,
        look: impl Fn(Found<'_>) -> io::Result<Option<T>> + Sync,
    ) -> Result<Vec<Visited<T>>, WalkError> {
        let Some(directory) = self.read(path)? else { return Ok(Vec::new()) };
        let visit = |name: &CString| self.visit(&directory, name, &look);
        threads::map(&directory.names, few, visit)
            .into_iter()
            .filter_map(Result::transpose)
            .collect()
    }

    /// Opens a directory and reads the names in it. Returns `None` if the directory is gone.
    fn read<'a>(&self, path: Option<&'a PinPath>) -> Result<Option<Directory<'a>>, WalkError> {
        let below_root = path.map_or(Path::new("."), |path| path.as_path());
        let open = || {
            let fd = match open_directory(&self.root, below_root, OFlags::RDONLY) {
                Err(error) if path.is_some() && has_gone(&error) => {
                    return Ok(None);
                }
                other => other?,
            };
            let stat = fstat(&fd)?;
            let is_own = is_trusted(stat.st_uid) && stat.st_mode & 0o022 == 0;
            let names = names_in(&fd)?;
            Ok(Some((fd, is_own, names)))
        };
        let opened = open().map_err(|error| self.failed(path, error))?;
        Ok(opened.map(|(fd, is_own, names)| Directory { path, fd, is_own, names }))
    }

    fn visit<T>(
        &self,
        directory: &Directory<'_>,
        name: &CStr,
        look: impl Fn(Found<'_>) -> io::Result<Option<T>>,
    ) -> Result<Option<Visited<T>>, WalkError> {
        let parent = directory.path;
        let path = match PinPath::below(parent, OsStr::from_bytes(name.to_bytes())) {
            Ok(path) => path,
            Err(InvalidPinPath::TooLong(_) | InvalidPinPath::TooDeep(_)) => {
                return Ok(parent.cloned().map(Visited::TooDeep));
            }
            Err(
                InvalidPinPath::Dot(_)
                | InvalidPinPath::NotNormal(_)
                | InvalidPinPath::Empty
                | InvalidPinPath::EmptyComponent
                | InvalidPinPath::ComponentTooLong(_)
                | InvalidPinPath::Control
                | InvalidPinPath::Reserved(_),
            ) => return Ok(None),
        };
        let found = directory.find(name).map_err(|error| self.failed(parent, error))?;
        let Some(found) = found else { return Ok(None) };
        let found = match found {
            Found::Mount(_) => Found::Mount(self.mount(&path)),
            Found::Directory(_) | Found::Pin(_) | Found::Symlink => found,
        };
        let is_directory = matches!(found, Found::Directory(_));
        if parent.is_none() && is_of_an_apply(name, &found) {
            return Ok(None);
        }
        let kept = look(found).map_err(|error| WalkError::Look(path.clone(), error))?;
        Ok(Some(Visited::Seen { path, is_directory, kept }))
    }

    /// The file system that is mounted at that path, as the user would find it.
    fn mount(&self, path: &PinPath) -> Mount {
        let path = self.path.join(path.as_path());
        if path.is_dir() && is_on_bpffs(&path) { Mount::Bpffs(path) } else { Mount::Other }
    }

    fn failed(&self, directory: Option<&PinPath>, error: io::Error) -> WalkError {
        let path = directory.map_or(Path::new(""), |path| path.as_path());
        WalkError::Read(self.path.join(path), error)
    }
}

/// Whether it is a directory that apply uses itself. Another user may give that name to anything, and could
/// hide there what it takes from a directory of its own.
fn is_of_an_apply(name: &CStr, found: &Found<'_>) -> bool {
    let is_trusted = matches!(found, Found::Directory(meta) if is_trusted(meta.uid));
    let prefixes = [STAGING_PREFIX, KEPT_PREFIX, LOCK_PREFIX];
    is_trusted && prefixes.iter().any(|prefix| name.to_bytes().starts_with(prefix.as_bytes()))
}

impl Directory<'_> {
    /// Looks at what has that name. Returns `None` if it is gone.
    fn find<'a>(&'a self, name: &'a CStr) -> io::Result<Option<Found<'a>>> {
        let found = if self.is_own { self.find_by_name(name) } else { self.find_held(name) };
        match found {
            Err(error) if has_gone(&error) => Ok(None),
            other => other.map(Some),
        }
    }

    /// If no other user can put anything in its place, a name is as good as a descriptor, and takes half as long.
    fn find_by_name<'a>(&'a self, name: &'a CStr) -> io::Result<Found<'a>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let found = statx(&self.fd, name, flags, StatxFlags::BASIC_STATS)?;
        // Known since Linux 5.8.
        if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            return Ok(Found::Mount(Mount::Other));
        }
        let mode = u32::from(found.stx_mode);
        let meta = Meta { mode: Mode::from_stat(mode), uid: found.stx_uid, gid: found.stx_gid };
        Found::new(FileType::from_raw_mode(mode), meta, |meta| {
            Ok(PinFile { meta, directory: self.fd.as_fd(), name: name.into(), _file: None })
        })
    }

    /// Opens the file first, so that it stays the same one whatever happens to the name meanwhile.
    fn find_held(&self, name: &CStr) -> io::Result<Found<'_>> {
        let file = match File::open(&self.fd, Path::new(OsStr::from_bytes(name.to_bytes()))) {
            Err(error) if error.raw_os_error() == Some(Errno::XDEV.raw_os_error()) => {
                return Ok(Found::Mount(Mount::Other));
            }
            other => other?,
        };
        Found::new(file.kind, file.meta, |meta| {
            // An absolute path leads there from any directory.
            let name = CString::new(file.proc_path().into_os_string().into_vec())?.into();
            Ok(PinFile { meta, directory: self.fd.as_fd(), name, _file: Some(file) })
        })
    }
}

impl<'a> Found<'a> {
    fn new(
        kind: FileType,
        meta: Meta,
        pin: impl FnOnce(Meta) -> io::Result<PinFile<'a>>,
    ) -> io::Result<Self> {
        Ok(match kind {
            FileType::Directory => Self::Directory(meta),
            FileType::Symlink => Self::Symlink,
            FileType::RegularFile
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Self::Pin(pin(meta)?),
        })
    }
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, _) => write!(f, "failed to read {}", Escaped::new(path)),
            Self::Look(path, _) => write!(f, "failed to look at the pin `{path}`"),
        }
    }
}

impl std::error::Error for WalkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) | Self::Look(_, error) => Some(error),
        }
    }
}
