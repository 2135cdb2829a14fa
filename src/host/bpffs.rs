//! bpffs as a file system: walk, lock, staging, renames, modes.
//!
//! In: a path and checked pin paths. Out: directory entries, and changes to them. What the pins
//! *are* is the business of [`kernel`](crate::host::kernel).
//!
//! bpffs may be writable by others, who can plant directories and symbolic links: everything below
//! the root is resolved with `openat2(2)` so that no path leaves the mount or follows a link, and
//! reached through descriptors from there.

mod exchange;
mod kept;
mod lock;
mod mount;
mod place;
mod staging;
mod walk;

use std::ffi::{CString, OsStr};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    self, AtFlags, CWD, FileType, OFlags, RawDir, ResolveFlags, StatVfsMountFlags, StatxAttributes,
    StatxFlags,
};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

pub use exchange::try_exchange;
pub use kept::Kept;
pub use lock::{Lock, LockError, Locked};
pub use mount::{MountError, mount_if_missing};
pub use staging::{Staged, Staging, Stale};
pub use walk::{Found, Mount, PinFile, WalkError, Walked};

use crate::host::sys::{call, descriptors};
use iterctl_core::access::{Meta, Mode};
use iterctl_core::escaped::Escaped;
use iterctl_core::pin_path::PinPath;

/// `BPF_FS_MAGIC` of include/uapi/linux/magic.h.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// No path leaves the root, follows a link, or enters another mount.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// An open bpffs, or a directory of one.
#[derive(Debug)]
pub struct Bpffs {
    root: OwnedFd,
    path: PathBuf,
}

/// Why a bpffs cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// There is no such directory.
    Missing(PathBuf),
    /// The directory is of another file system.
    NotBpffs(PathBuf),
    /// It was there, and the path leads there no more.
    Gone(PathBuf),
    /// Descriptors cannot be used as paths, so everything on it would seem to be gone.
    NoProc,
    /// The system's words.
    Unusable(PathBuf, io::Error),
}

impl Bpffs {
    /// Opens the bpffs at `path`.
    ///
    /// # Errors
    /// If there is no bpffs, if it may not be read, or if /proc is not mounted.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let unusable = |error: Errno| match error {
            Errno::NOENT => OpenError::Missing(path.to_path_buf()),
            Errno::NOTDIR => OpenError::NotBpffs(path.to_path_buf()),
            other => OpenError::Unusable(path.to_path_buf(), other.into()),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(path, flags, fs::Mode::empty()).map_err(unusable)?;
        let stat = fs::fstatfs(&root).map_err(unusable)?;
        if stat.f_type as u64 != BPF_FS_MAGIC {
            return Err(OpenError::NotBpffs(path.to_path_buf()));
        }
        if !descriptors::are_paths(&root) {
            return Err(OpenError::NoProc);
        }
        Ok(Self { root, path: path.to_path_buf() })
    }

    /// Makes sure that its path still leads to it. Through its descriptors, one that has been
    /// unmounted (`umount --lazy`), or hidden by another mount, works as before, and no user sees it.
    ///
    /// # Errors
    /// [`OpenError::Gone`].
    pub fn check_in_place(&self) -> Result<(), OpenError> {
        let identity = |stat: fs::Stat| (stat.st_dev, stat.st_ino);
        let opened = fs::fstat(&self.root).map(identity);
        match (opened, fs::stat(&self.path).map(identity)) {
            (Ok(opened), Ok(there)) if opened == there => Ok(()),
            _ => Err(OpenError::Gone(self.path.clone())),
        }
    }

    /// Whether nothing on it can be changed: it, or its mount, is read-only.
    pub fn is_read_only(&self) -> bool {
        fs::fstatvfs(&self.root).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    /// The path at which it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Mode, owner and group of its root.
    ///
    /// # Errors
    /// The kernel's.
    pub fn meta(&self) -> io::Result<Meta> {
        let stat = fs::fstat(&self.root)?;
        Ok(Meta { mode: Mode::from_stat(stat.st_mode), uid: stat.st_uid, gid: stat.st_gid })
    }

    /// Opens the file at `path` without following or using it.
    ///
    /// # Errors
    /// The kernel's; `ELOOP` for a symbolic link among the parents, `EXDEV` for another mount.
    pub fn file(&self, path: &PinPath) -> io::Result<File> {
        File::open(&self.root, path.as_path())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// The kernel's; `ENOTEMPTY` if it is not empty.
    pub fn remove_directory(&self, path: &PinPath) -> io::Result<()> {
        let parent = self.parent(path)?;
        Ok(fs::unlinkat(&parent, path.name(), AtFlags::REMOVEDIR)?)
    }

    /// The open directory that holds `path`.
    fn parent(&self, path: &PinPath) -> io::Result<OwnedFd> {
        let parent = path.parent();
        let below_root = parent.as_ref().map_or(Path::new("."), |parent| parent.as_path());
        open_directory(&self.root, below_root, OFlags::PATH)
    }
}

/// The mount point of the bpffs on which something is, or would be made, at an absolute path. `None` if it would be on
/// another file system.
pub fn bpffs_of(path: &Path) -> Option<PathBuf> {
    if !path.is_absolute() {
        return None;
    }
    let is_mount_root = |directory: &&Path| {
        let stat = fs::statx(CWD, *directory, AtFlags::empty(), StatxFlags::TYPE);
        // Known since Linux 5.8.
        stat.is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    };
    let mut above = path.ancestors().skip(1).skip_while(|directory| fs::stat(*directory).is_err());
    let nearest = above.next().filter(|nearest| is_on_bpffs(nearest))?;
    nearest.ancestors().find(is_mount_root).map(Path::to_path_buf)
}

/// Whether a path leads to something on a bpffs.
pub fn is_on_bpffs(path: &Path) -> bool {
    fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 == BPF_FS_MAGIC)
}

fn open_directory(at: &OwnedFd, path: &Path, access: OFlags) -> io::Result<OwnedFd> {
    open_beneath(at, path, access | OFlags::DIRECTORY)
}

/// A name with that beginning that cannot be guessed.
fn random_name(prefix: &str) -> io::Result<String> {
    let mut random = [0_u8; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    Ok(format!("{prefix}{:016x}", u64::from_ne_bytes(random)))
}

/// So many bytes of a directory are read by one call.
const AT_ONCE: usize = 16 * 1024;

/// The names in an open directory, in their order.
fn names_in(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    names_with(directory, "")
}

/// Those that begin with a prefix.
fn names_with(directory: &OwnedFd, prefix: &str) -> io::Result<Vec<CString>> {
    let mut buffer = [const { MaybeUninit::uninit() }; AT_ONCE];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            // The directory has just been removed, so it is empty.
            Err(Errno::NOENT) => break,
            other => other?,
        };
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && name.starts_with(prefix.as_bytes()) {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The number of times that another user may exchange a directory for a link and back while it is opened.
const TRIES: usize = 8;

/// Opens something below `at`. A symbolic link on the way to it is `ELOOP`. If fs.protected_symlinks is set,
/// the kernel returns `EACCES` for one that another user has put into a directory that every user may write to
/// (`may_follow_link()` in fs/namei.c), as it does for a directory that may not be searched.
fn open_beneath(at: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    for _ in 0..TRIES {
        match fs::openat2(at, path, flags, fs::Mode::empty(), BENEATH) {
            Err(Errno::ACCESS) if has_link(at, path) => return Err(Errno::LOOP.into()),
            // The link may have become a directory again.
            Err(Errno::ACCESS) => {}
            other => return other.map_err(|errno| call::failed("openat2(2)", errno)),
        }
    }
    Err(Errno::ACCESS.into())
}

/// Whether a component of the path is a symbolic link.
fn has_link(at: &OwnedFd, path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    path.ancestors().filter(|above| !above.as_os_str().is_empty()).any(|above| {
        // The last component is opened as itself.
        let stat = fs::openat2(at, above, flags, fs::Mode::empty(), BENEATH).and_then(fs::fstat);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_symlink())
    })
}

/// A file, directory or symbolic link of a bpffs, opened with `O_PATH`: it stays the same one
/// whatever happens to its name.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    /// Mode, owner and group when it was opened, or as they were set since.
    pub meta: Meta,
    kind: FileType,
}

impl File {
    fn open(at: &OwnedFd, path: &Path) -> io::Result<Self> {
        // A symbolic link as the last component is opened as itself with O_PATH | O_NOFOLLOW, also
        // under RESOLVE_NO_SYMLINKS (openat2(2)).
        let fd = open_beneath(at, path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let stat = fs::fstat(&fd)?;
        let meta = Meta { mode: Mode::from_stat(stat.st_mode), uid: stat.st_uid, gid: stat.st_gid };
        Ok(Self { fd, meta, kind: FileType::from_raw_mode(stat.st_mode) })
    }

    /// Whether it is a file, as every pin is, and no directory or symbolic link.
    pub fn is_file(&self) -> bool {
        self.kind.is_file()
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind.is_dir()
    }

    /// A path that leads to this very file, for calls that take no descriptor.
    pub fn proc_path(&self) -> PathBuf {
        descriptors::path(&self.fd)
    }

    /// Sets mode, owner and group. What is already so is not set again.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_meta(&mut self, meta: Meta) -> io::Result<()> {
        let is_given = (self.meta.uid, self.meta.gid) != (meta.uid, meta.gid);
        if is_given {
            let owner = Some(fs::Uid::from_raw(meta.uid));
            let group = Some(fs::Gid::from_raw(meta.gid));
            fs::chownat(self.fd.as_fd(), "", owner, group, AtFlags::EMPTY_PATH)?;
            (self.meta.uid, self.meta.gid) = (meta.uid, meta.gid);
        }
        // chown(2) may have cleared set-id bits that were there before.
        if self.meta.mode != meta.mode || is_given && meta.mode.has_special_bits() {
            // fchmod(2) takes no O_PATH descriptor, but chmod(2) takes its magic link.
            let mode = fs::Mode::from_raw_mode(meta.mode.bits());
            fs::chmodat(CWD, self.proc_path(), mode, AtFlags::empty())?;
            self.meta.mode = meta.mode;
        }
        Ok(())
    }
}

/// A name in an open directory, as a path for calls that take no descriptor: `BPF_OBJ_PIN` takes
/// one only since Linux 6.5.
fn proc_path(directory: &OwnedFd, name: &OsStr) -> PathBuf {
    descriptors::path(directory).join(name)
}

impl OpenError {
    /// Whether there is no bpffs at the path, or not this one any more.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Missing(_) | Self::NotBpffs(_) | Self::Gone(_) => true,
            Self::NoProc | Self::Unusable(..) => false,
        }
    }

    /// The way out.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(path) => {
                let path = Escaped::new(path);
                Some(format!(
                    "make the directory; then `mount -t bpf bpf {path}` mounts a bpffs there, and so \
                     does `apply --mount`"
                ))
            }
            Self::NotBpffs(path) => {
                let path = Escaped::new(path);
                Some(format!("`mount -t bpf bpf {path}` mounts one; so does `apply --mount`"))
            }
            Self::Gone(path) => {
                Some(format!("`findmnt {}` says what is mounted there now", Escaped::new(path)))
            }
            Self::NoProc => Some("`mount -t proc proc /proc` mounts it".to_owned()),
            Self::Unusable(..) => None,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "there is no {}", Escaped::new(path)),
            Self::NotBpffs(path) => write!(f, "{} is not a bpffs", Escaped::new(path)),
            Self::Gone(path) => write!(
                f,
                "{} has been unmounted, or something has been mounted over it, meanwhile",
                Escaped::new(path)
            ),
            Self::NoProc => write!(f, "/proc is not mounted: pins cannot be looked at without it"),
            Self::Unusable(path, _) => write!(f, "failed to open {}", Escaped::new(path)),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unusable(_, error) => Some(error),
            Self::Missing(_) | Self::NotBpffs(_) | Self::Gone(_) | Self::NoProc => None,
        }
    }
}
