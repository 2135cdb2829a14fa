//! `/proc/self/fd`: this process's descriptors as paths.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// The directory itself, opened once: on the way to it are four names that would be looked up each time.
///
/// # Errors
/// The system's, where no procfs is mounted on /proc.
pub fn own_descriptors() -> io::Result<BorrowedFd<'static>> {
    static DIRECTORY: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(directory) = DIRECTORY.get() {
        return Ok(directory.as_fd());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, "/proc/self/fd", flags, Mode::empty())?;
    Ok(DIRECTORY.get_or_init(|| opened).as_fd())
}
