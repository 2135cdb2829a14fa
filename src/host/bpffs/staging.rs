//! A private directory on the same bpffs, for pins that are not in place yet, or not any more.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, OFlags, RenameFlags};
use rustix::io::Errno;

use super::lock::Lock;
use super::place::{Place, is_not_permitted};
use super::{Bpffs, File, names_in, names_with, open_directory, proc_path, random_name};
use iterctl_core::access::{Meta, Mode};
use iterctl_core::pin_path::{KEPT_PREFIX, PinPath, STAGING_PREFIX};

/// The prefix of the names of all of iterctl's own directories.
const OWN_PREFIX: &str = "iterctl-";

/// A staging directory, mode 0700. Everything in it goes when it is removed; it also goes, as far as
/// that succeeds, when it is dropped.
#[derive(Debug)]
pub struct Staging<'a> {
    bpffs: &'a Bpffs,
    place: &'a Place,
    name: String,
    directory: OwnedFd,
    next: u64,
    removed: bool,
}

/// The result for staging directories that killed applies have left.
#[derive(Debug, Default)]
pub struct Stale {
    /// How many are gone.
    pub removed: usize,
    /// Those that are still there, and why.
    pub left: Vec<(PathBuf, io::Error)>,
    /// Whether maps are [kept](super::Bpffs::keep).
    pub has_kept_maps: bool,
}

/// The name of something in a staging directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged(String);

impl<'a> Staging<'a> {
    /// Makes one. Its name cannot be guessed, because others may be able to make files beside it.
    ///
    /// It is where the lock is, above everything that can be renamed from it; if this process may not write
    /// there, below.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(lock: &'a Lock) -> io::Result<Self> {
        let bpffs = lock.bpffs();
        let name = random_name(STAGING_PREFIX)?;
        let mut refused = Errno::ACCESS;
        let made = lock.places.iter().rev().find_map(|place| {
            match fs::mkdirat(&place.fd, &name, fs::Mode::RWXU) {
                Ok(()) => Some(Ok(place)),
                Err(error) if is_not_permitted(error) => {
                    refused = error;
                    None
                }
                Err(error) => Some(Err(error)),
            }
        });
        let place = made.unwrap_or(Err(refused))?;
        let directory =
            open_directory(&place.fd, Path::new(&name), OFlags::PATH).inspect_err(|_| {
                // The error is reported; what cannot be removed now, the next apply will remove.
                let _ = fs::unlinkat(&place.fd, &name, AtFlags::REMOVEDIR);
            })?;
        Ok(Self { bpffs, place, name, directory, next: 0, removed: false })
    }

    /// The bpffs that it is on.
    pub fn bpffs(&self) -> &Bpffs {
        self.bpffs
    }

    /// A name that nothing has yet.
    pub fn fresh(&mut self) -> Staged {
        self.next += 1;
        Staged(self.next.to_string())
    }

    /// The path at which `BPF_OBJ_PIN` makes a pin of that name.
    pub fn pin_path(&self, staged: &Staged) -> PathBuf {
        proc_path(&self.directory, staged.0.as_ref())
    }

    /// Makes a directory in it, of mode 0700 at most.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_directory(&self, staged: &Staged) -> io::Result<()> {
        Ok(fs::mkdirat(&self.directory, &staged.0, fs::Mode::from_raw_mode(0o700))?)
    }

    /// Mode, owner and group of something in it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn meta(&self, staged: &Staged) -> io::Result<Meta> {
        let stat = fs::statat(&self.directory, &staged.0, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Meta { mode: Mode::from_stat(stat.st_mode), uid: stat.st_uid, gid: stat.st_gid })
    }

    /// Opens something in it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn file(&self, staged: &Staged) -> io::Result<File> {
        File::open(&self.directory, Path::new(&staged.0))
    }

    /// Moves something out of it, to a path at which nothing is.
    ///
    /// # Errors
    /// The kernel's; `EEXIST` if something is there.
    pub fn publish(&self, staged: &Staged, path: &PinPath) -> io::Result<()> {
        let parent = self.bpffs.parent(path)?;
        let flags = RenameFlags::NOREPLACE;
        Ok(fs::renameat_with(&self.directory, &staged.0, &parent, path.name(), flags)?)
    }

    /// Exchanges something in it with what is at `path`: no moment is without either.
    ///
    /// # Errors
    /// The kernel's; `ENOENT` if nothing is at `path`.
    pub fn exchange(&self, staged: &Staged, path: &PinPath) -> io::Result<()> {
        let parent = self.bpffs.parent(path)?;
        let flags = RenameFlags::EXCHANGE;
        Ok(fs::renameat_with(&self.directory, &staged.0, &parent, path.name(), flags)?)
    }

    /// Moves something out of it, over what is at `path`, which is gone then.
    ///
    /// # Errors
    /// The kernel's.
    pub fn replace(&self, staged: &Staged, path: &PinPath) -> io::Result<()> {
        let parent = self.bpffs.parent(path)?;
        Ok(fs::renameat(&self.directory, &staged.0, &parent, path.name())?)
    }

    /// Moves what is at `path` into it.
    ///
    /// # Errors
    /// The kernel's; `ENOENT` if nothing is there.
    pub fn withdraw(&self, path: &PinPath, staged: &Staged) -> io::Result<()> {
        let parent = self.bpffs.parent(path)?;
        let flags = RenameFlags::NOREPLACE;
        Ok(fs::renameat_with(&parent, path.name(), &self.directory, &staged.0, flags)?)
    }

    /// Leaves it as it is, and returns its path: it holds the pins that could not be put back.
    pub fn keep(mut self) -> PathBuf {
        self.removed = true;
        self.place.path.join(&self.name)
    }

    /// Removes it with everything in it.
    ///
    /// # Errors
    /// The kernel's: then it is still there, for the next apply to remove.
    pub fn remove(mut self) -> io::Result<()> {
        self.removed = true;
        remove(self.place, &self.name)
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        if !self.removed {
            // A thread has panicked; the next apply removes what is left.
            let _ = remove(self.place, &self.name);
        }
    }
}

impl Lock {
    /// Removes the staging directories that killed applies have left: under the lock, no other apply is using
    /// one. Those of other users are left alone.
    ///
    /// # Errors
    /// If the names in a directory cannot be read.
    pub fn remove_stale_staging(&self) -> io::Result<Stale> {
        let mut stale = Stale::default();
        let Some(place) = self.places.last() else { return Ok(stale) };
        let own_uid = rustix::process::geteuid().as_raw();
        let mut names =
            names_with(&open_directory(&place.fd, Path::new("."), OFlags::RDONLY)?, OWN_PREFIX)?;
        let is_kept = |name: &CString| name.as_bytes().starts_with(KEPT_PREFIX.as_bytes());
        if self.places.len() > 1 {
            // Maps are kept where the manifest starts, for what is pinned below.
            names.retain(|name| !is_kept(name));
            let root = open_directory(&self.bpffs().root, Path::new("."), OFlags::RDONLY)?;
            names.extend(names_with(&root, KEPT_PREFIX)?);
        }
        for name in names {
            let Ok(name) = name.to_str() else { continue };
            stale.has_kept_maps |= name.starts_with(KEPT_PREFIX);
            if !name.starts_with(STAGING_PREFIX) {
                continue;
            }
            // Another user may make and remove such names all the time.
            let result = match File::open(&place.fd, Path::new(name)) {
                Ok(file) if file.kind.is_dir() && file.meta.uid == own_uid => remove(place, name),
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => stale.removed += 1,
                Err(error) => stale.left.push((place.path.join(name), error)),
            }
        }
        Ok(stale)
    }
}

fn remove(place: &Place, name: &str) -> io::Result<()> {
    let directory = open_directory(&place.fd, Path::new(name), OFlags::RDONLY)?;
    let results: Vec<_> = names_in(&directory)?
        .iter()
        .map(|name| match fs::unlinkat(&directory, name, AtFlags::empty()) {
            // It was to be moved to its path. Or another user had put it in the place of a pin, and it could
            // not be put back: then what is in it is not iterctl's.
            Err(Errno::ISDIR) => fs::unlinkat(&directory, name, AtFlags::REMOVEDIR),
            other => other,
        })
        .collect();
    // Everything that can be removed is removed by now.
    results.into_iter().collect::<Result<(), _>>()?;
    Ok(fs::unlinkat(&place.fd, name, AtFlags::REMOVEDIR)?)
}
