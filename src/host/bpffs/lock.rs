//! One apply at a time: `flock(2)` on the bpffs root. It ends with the process, however that ends.

use std::fmt;
use std::fs as std_fs;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{self, FlockOperation};
use rustix::io::Errno;

use super::{Bpffs, OpenError};

/// How long to wait before trying again. flock(2) has no timeout of its own.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock, held as long as this lives.
#[derive(Debug)]
#[must_use = "the lock is given back at once"]
pub struct Lock<'a> {
    bpffs: &'a Bpffs,
}

/// The lock could not be taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds it.
    Locked(Locked),
    /// The bpffs is no longer at its path.
    Gone(OpenError),
    /// The lock of the bpffs at this path cannot be asked for.
    Failed(PathBuf, io::Error),
}

/// Another process holds the lock.
#[derive(Debug, PartialEq, Eq)]
pub struct Locked {
    /// The bpffs.
    pub bpffs: PathBuf,
    /// How long has been waited.
    pub waited: Duration,
    /// Process id and command of the holder, where they can be seen from here.
    pub holder: Option<(u32, String)>,
}

impl Bpffs {
    /// Takes the lock, waiting up to `timeout` for it.
    ///
    /// # Errors
    /// [`LockError::Locked`] if the time is up; [`LockError::Gone`] if it was taken on a bpffs that is hidden by now.
    pub fn lock(&self, timeout: Duration) -> Result<Lock<'_>, LockError> {
        let start = Instant::now();
        loop {
            match fs::flock(&self.root, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let lock = Lock { bpffs: self };
                    self.check_in_place().map_err(LockError::Gone)?;
                    return Ok(lock);
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if start.elapsed() < timeout => {
                    thread::sleep(PAUSE.min(timeout.saturating_sub(start.elapsed())));
                }
                Err(Errno::WOULDBLOCK) => {
                    let (bpffs, holder) = (self.path.clone(), self.holder());
                    return Err(LockError::Locked(Locked { bpffs, waited: timeout, holder }));
                }
                Err(error) => return Err(LockError::Failed(self.path.clone(), error.into())),
            }
        }
    }

    /// Who holds the lock, as far as `/proc/locks` tells.
    fn holder(&self) -> Option<(u32, String)> {
        let stat = fs::fstat(&self.root).ok()?;
        let (major, minor) = (fs::major(stat.st_dev), fs::minor(stat.st_dev));
        let file = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
        let pid = holder_of(&std_fs::read_to_string("/proc/locks").ok()?, &file)?;
        let command = std_fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some((pid, command.trim_end().to_owned()))
    }
}

/// The process that holds an flock on `file` (`MAJOR:MINOR:INODE`), from the text of `/proc/locks`.
/// A process of another pid namespace shows as 0 there.
fn holder_of(locks: &str, file: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [_, "FLOCK", _, _, pid, at, ..] if *at == file => {
                pid.parse().ok().filter(|pid| *pid > 0)
            }
            _ => None,
        }
    })
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // Where this fails, the end of the process gives the lock back.
        let _ = fs::flock(&self.bpffs.root, FlockOperation::Unlock);
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(error) => write!(f, "{error}"),
            Self::Gone(error) => write!(f, "{error}"),
            Self::Failed(path, _) => write!(f, "failed to lock {}", path.display()),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Locked(error) => error.source(),
            Self::Gone(error) => error.source(),
            Self::Failed(_, error) => Some(error),
        }
    }
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bpffs, waited, holder } = self;
        let seconds = waited.as_secs_f64();
        write!(f, "{} is locked, and still was after {seconds} s: ", bpffs.display())?;
        match holder {
            Some((pid, command)) => write!(f, "process {pid} ({command}) holds the lock"),
            None => write!(f, "a process that cannot be seen from here holds the lock"),
        }
    }
}

impl std::error::Error for Locked {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found() {
        let locks = "1: POSIX  ADVISORY  WRITE 900 00:2a:1 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 0 00:2b:1 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 1234 00:2a:1 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 77 00:2a:1 0 EOF\n";
        assert_eq!(holder_of(locks, "00:2a:1"), Some(1234), "not the waiter, not the POSIX lock");
        assert_eq!(holder_of(locks, "00:2b:1"), None, "a process of another namespace");
        assert_eq!(holder_of(locks, "00:2c:1"), None);
    }
}
