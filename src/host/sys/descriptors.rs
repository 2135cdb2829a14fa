//! `/proc/thread-self/fd`: descriptors as paths. Not every thread has those of the others:
//! [`threads`](super::threads).

use std::cell::OnceCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, openat, readlinkat, stat};
use rustix::path::DecInt;

const DESCRIPTORS: &str = "/proc/thread-self/fd";

/// Returns a path that leads to what is behind a descriptor of this thread, for calls that take no descriptors.
pub fn path(fd: impl AsFd) -> PathBuf {
    PathBuf::from(format!("{DESCRIPTORS}/{}", fd.as_fd().as_raw_fd()))
}

/// Whether [`path()`] leads to what is behind the descriptor. It does not if no procfs is mounted on /proc. Then every
/// call with such a path fails with `ENOENT`, as if the file itself were gone.
pub fn are_paths(fd: impl AsFd) -> bool {
    let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
    let through_path = stat(path(&fd)).map(identity);
    through_path.is_ok_and(|found| fstat(&fd).map(identity) == Ok(found))
}

/// Returns the kernel's name of a descriptor of this thread.
///
/// # Errors
/// The system's, for instance if no procfs is mounted on /proc.
pub fn name(fd: impl AsFd) -> io::Result<Vec<u8>> {
    thread_local! {
        // On the way to it are names that would be looked up each time.
        static DIRECTORY: OnceCell<OwnedFd> = const { OnceCell::new() };
    }
    DIRECTORY.with(|directory| {
        let directory = match directory.get() {
            Some(directory) => directory,
            None => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let opened = openat(CWD, DESCRIPTORS, flags, Mode::empty())?;
                directory.get_or_init(|| opened)
            }
        };
        Ok(readlinkat(directory, DecInt::from_fd(fd), Vec::new())?.into_bytes())
    })
}
