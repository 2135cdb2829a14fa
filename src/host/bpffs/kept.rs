//! A private directory on the same bpffs: maps that must have a user while an iterator is pinned.
//!
//! The kernel empties a map of programs (`PROG_ARRAY`) when the last descriptor and the last pin of it go, also
//! while programs use it (`prog_array_map_clear()` in kernel/bpf/arraymap.c): then tail calls lead nowhere.
//!
//! Unlike a staging directory, it is in the directory in which the manifest starts: which maps are still needed
//! is known of the pins below that, and of no others.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Bpffs, File, names_in, open_directory, proc_path, random_name};
use iterctl_core::ids::MapId;
use iterctl_core::pin_path::KEPT_PREFIX;

/// The place of a kept map: the name of a directory in the root, and the name there, which is the map's id.
#[derive(Debug)]
pub struct Kept {
    directory: String,
    name: String,
}

impl Bpffs {
    /// Keeps a map: `pin` pins it at the path that it is given. Returns `None` if it is kept already.
    ///
    /// # Errors
    /// The kernel's, and those of `pin`.
    pub fn keep(
        &self,
        map: MapId,
        pin: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<Option<Kept>> {
        let (directory, opened) = match self.kept_directories()?.into_iter().next() {
            Some(found) => found,
            None => {
                // Another user may be able to make files beside it.
                let name = random_name(KEPT_PREFIX)?;
                fs::mkdirat(&self.root, &name, fs::Mode::from_raw_mode(0o700))?;
                let opened = open_directory(&self.root, Path::new(&name), OFlags::RDONLY)?;
                (name, opened)
            }
        };
        let name = map.to_string();
        match pin(&proc_path(&opened, name.as_ref())) {
            Ok(()) => Ok(Some(Kept { directory, name })),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets a map go again, which has been kept for nothing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn release(&self, kept: &Kept) -> io::Result<()> {
        let directory = open_directory(&self.root, Path::new(&kept.directory), OFlags::PATH)?;
        fs::unlinkat(&directory, &kept.name, AtFlags::empty())?;
        match fs::unlinkat(&self.root, &kept.directory, AtFlags::REMOVEDIR) {
            // Others are kept there, too.
            Err(Errno::NOTEMPTY) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Lets every kept map go but these. Returns what could not be removed, and why.
    ///
    /// # Errors
    /// If the names in the root cannot be read.
    pub fn release_kept(&self, but: &BTreeSet<MapId>) -> io::Result<Vec<(PathBuf, io::Error)>> {
        let mut left = Vec::new();
        for (name, directory) in self.kept_directories()? {
            let names = names_in(&directory)?;
            let is_needed = |name: &str| but.iter().any(|map| map.to_string() == name);
            let (needed, others): (Vec<_>, Vec<_>) =
                names.iter().partition(|name| name.to_str().is_ok_and(is_needed));
            let removed =
                others.into_iter().map(|name| fs::unlinkat(&directory, name, AtFlags::empty()));
            let result = removed.collect::<Result<Vec<()>, _>>().and_then(|_| match needed.len() {
                0 => fs::unlinkat(&self.root, &name, AtFlags::REMOVEDIR),
                _ => Ok(()),
            });
            left.extend(result.err().map(|error| (self.path.join(&name), error.into())));
        }
        Ok(left)
    }

    /// The directories of this user; another user may give such a name to anything.
    fn kept_directories(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let own_uid = geteuid().as_raw();
        let mut directories = Vec::new();
        for name in names_in(&open_directory(&self.root, Path::new("."), OFlags::RDONLY)?)? {
            let Some(name) = name.to_str().ok().filter(|name| name.starts_with(KEPT_PREFIX)) else {
                continue;
            };
            let is_own = File::open(&self.root, Path::new(name))
                .is_ok_and(|file| file.kind.is_dir() && file.meta.uid == own_uid);
            if is_own {
                let directory = open_directory(&self.root, Path::new(name), OFlags::RDONLY)?;
                directories.push((name.to_owned(), directory));
            }
        }
        Ok(directories)
    }
}
