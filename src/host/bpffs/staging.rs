//! A private directory on the same bpffs: what is in it is not in place yet, or not any more.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{Bpffs, File, names_in, open_directory, proc_path, random_name};
use iterctl_core::access::{Meta, Mode};
use iterctl_core::pin_path::{KEPT_PREFIX, PinPath, STAGING_PREFIX};

/// A staging directory, mode 0700. Everything in it goes when it is removed; it also goes, as far as
/// that succeeds, when it is dropped.
#[derive(Debug)]
pub struct Staging<'a> {
    bpffs: &'a Bpffs,
    name: String,
    directory: OwnedFd,
    next: u64,
    removed: bool,
}

/// What has become of the staging directories that killed applies have left.
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
    /// Makes one. Its name cannot be guessed, for others may be able to make files beside it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(bpffs: &'a Bpffs) -> io::Result<Self> {
        let name = random_name(STAGING_PREFIX)?;
        fs::mkdirat(&bpffs.root, &name, fs::Mode::from_raw_mode(0o700))?;
        let directory =
            open_directory(&bpffs.root, Path::new(&name), OFlags::PATH).inspect_err(|_| {
                // The error is told; what cannot be removed now, the next apply will.
                let _ = fs::unlinkat(&bpffs.root, &name, AtFlags::REMOVEDIR);
            })?;
        Ok(Self { bpffs, name, directory, next: 0, removed: false })
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

    /// Where something of that name is to be pinned, as a path for `BPF_OBJ_PIN`.
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

    /// Moves something out of it, to where nothing is.
    ///
    /// # Errors
    /// The kernel's; `EEXIST` where something is there.
    pub fn publish(&self, staged: &Staged, path: &PinPath) -> io::Result<()> {
        let parent = self.bpffs.parent(path)?;
        let flags = RenameFlags::NOREPLACE;
        Ok(fs::renameat_with(&self.directory, &staged.0, &parent, path.name(), flags)?)
    }

    /// Exchanges something in it with what is at `path`: no moment is without either.
    ///
    /// # Errors
    /// The kernel's; `ENOENT` where nothing is at `path`.
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
    /// The kernel's; `ENOENT` where nothing is there.
    pub fn withdraw(&self, path: &PinPath, staged: &Staged) -> io::Result<()> {
        let parent = self.bpffs.parent(path)?;
        let flags = RenameFlags::NOREPLACE;
        Ok(fs::renameat_with(&parent, path.name(), &self.directory, &staged.0, flags)?)
    }

    /// Leaves it as it is, and gives its path: it holds what could not be put back.
    pub fn keep(mut self) -> PathBuf {
        self.removed = true;
        self.bpffs.path.join(&self.name)
    }

    /// Removes it with everything in it.
    ///
    /// # Errors
    /// The kernel's: then it is still there, for the next apply to remove.
    pub fn remove(mut self) -> io::Result<()> {
        self.removed = true;
        remove(self.bpffs, &self.name)
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        if !self.removed {
            // Something has panicked; the next apply removes what is left.
            let _ = remove(self.bpffs, &self.name);
        }
    }
}

impl Bpffs {
    /// Removes the staging directories that killed applies have left. Only under the lock: then no
    /// other apply is using one. Those of other users are left alone.
    ///
    /// # Errors
    /// Where the names in the root cannot be read.
    pub fn remove_stale_staging(&self) -> io::Result<Stale> {
        let mut stale = Stale::default();
        let own_uid = rustix::process::geteuid().as_raw();
        for name in names_in(&open_directory(&self.root, Path::new("."), OFlags::RDONLY)?)? {
            let Ok(name) = name.to_str() else { continue };
            stale.has_kept_maps |= name.starts_with(KEPT_PREFIX);
            if !name.starts_with(STAGING_PREFIX) {
                continue;
            }
            // Another user may make and remove such names all the time.
            let result = match File::open(&self.root, Path::new(name)) {
                Ok(file) if file.kind.is_dir() && file.meta.uid == own_uid => remove(self, name),
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => stale.removed += 1,
                Err(error) => stale.left.push((self.path.join(name), error)),
            }
        }
        Ok(stale)
    }
}

fn remove(bpffs: &Bpffs, name: &str) -> io::Result<()> {
    let directory = open_directory(&bpffs.root, Path::new(name), OFlags::RDONLY)?;
    let results: Vec<_> = names_in(&directory)?
        .iter()
        .map(|name| match fs::unlinkat(&directory, name, AtFlags::empty()) {
            // It was to be moved to its path; or somebody had put it where a pin was, and it could not
            // be put back: then what is in it is not iterctl's.
            Err(Errno::ISDIR) => fs::unlinkat(&directory, name, AtFlags::REMOVEDIR),
            other => other,
        })
        .collect();
    // All that can go is gone.
    results.into_iter().collect::<Result<(), _>>()?;
    Ok(fs::unlinkat(&bpffs.root, name, AtFlags::REMOVEDIR)?)
}
