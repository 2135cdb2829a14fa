//! One apply at a time: the lock of a bpffs. It ends with the process, however the process ends.
//!
//! The lock is in the highest directory of the file system that this process can write to, wherever below it a
//! manifest starts. What is locked, and why no other user can hold it, is said in [`directory`].

mod directory;

use std::fmt;
use std::fs as std_fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{self, FlockOperation, Stat};

use self::directory::{Attempt, Doorway};
use super::place::{Place, Places};
use super::{Bpffs, OpenError};
use crate::host::sys::signals::{Signals, Stopped};
use iterctl_core::escaped::Escaped;

/// How long to wait before trying again. flock(2) has no timeout of its own.
const PAUSE: Duration = Duration::from_millis(20);

/// How many times in a row another user may change what is at the lock's name, even if there is no time to
/// wait.
const TRIES: usize = 1000;

/// A bpffs, locked as long as this lives.
#[derive(Debug)]
#[must_use = "the lock is given back at once"]
pub struct Lock {
    bpffs: Bpffs,
    /// None if this process cannot write to any directory of it: then it can change nothing, either.
    directory: Option<OwnedFd>,
    /// The places of iterctl's own directories: the directory in which the manifest starts, and those above it.
    pub(super) places: Vec<Place>,
}

/// The lock could not be taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds it.
    Locked(Locked),
    /// The bpffs is no longer at its path.
    Gone(OpenError),
    /// A signal came while the lock was waited for.
    Stopped(Stopped),
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
    /// Process id and command of the holder, if they can be seen from here.
    pub holder: Option<(u32, String)>,
}

impl Bpffs {
    /// Takes the lock, waiting up to `timeout` for it.
    ///
    /// # Errors
    /// [`LockError::Locked`] if the time is up; [`LockError::Gone`] if it was taken on a bpffs that is hidden
    /// by now.
    pub fn lock(self, timeout: Duration, signals: &Signals) -> Result<Lock, LockError> {
        let lock = self.lock_unseen(timeout, signals)?;
        lock.bpffs.check_in_place().map_err(LockError::Gone)?;
        Ok(lock)
    }

    /// The same for a bpffs that is not mounted yet.
    pub(super) fn lock_unseen(
        self,
        timeout: Duration,
        signals: &Signals,
    ) -> Result<Lock, LockError> {
        match self.find_lock(timeout, signals) {
            Ok((directory, places)) => Ok(Lock { bpffs: self, directory, places }),
            Err(error) => Err(error),
        }
    }

    /// The lock's directory, and where iterctl's own directories may be.
    fn find_lock(
        &self,
        timeout: Duration,
        signals: &Signals,
    ) -> Result<(Option<OwnedFd>, Vec<Place>), LockError> {
        let start = Instant::now();
        let failed = |error| self.failed_to_lock(error);
        let Places { all: mut places, on_mount } = self.places().map_err(failed)?;
        for number in (1..=places.len()).rev() {
            let Some(place) = places.get(number - 1) else { continue };
            let doorway = Doorway::new(place).map_err(failed)?;
            let mut tries = 0;
            loop {
                signals.check().map_err(LockError::Stopped)?;
                match doorway.attempt().map_err(failed)? {
                    Attempt::Taken(lock) => {
                        places.truncate(number.min(on_mount));
                        return Ok((Some(lock), places));
                    }
                    Attempt::NotPermitted => break,
                    Attempt::Again if tries < TRIES || start.elapsed() < timeout => tries += 1,
                    Attempt::Again => {
                        let why = "another user changes the lock all the time";
                        return Err(failed(io::Error::other(why)));
                    }
                    Attempt::Busy(_) if start.elapsed() < timeout => {
                        thread::sleep(PAUSE.min(timeout.saturating_sub(start.elapsed())));
                    }
                    Attempt::Busy(lock) => {
                        let (bpffs, holder) = (self.path.clone(), holder(&lock));
                        return Err(LockError::Locked(Locked { bpffs, waited: timeout, holder }));
                    }
                }
            }
        }
        places.truncate(on_mount);
        Ok((None, places))
    }

    /// If the bpffs is gone, that is why.
    fn failed_to_lock(&self, error: io::Error) -> LockError {
        match self.check_in_place() {
            Err(gone) => LockError::Gone(gone),
            Ok(()) => LockError::Failed(self.path.clone(), error),
        }
    }
}

/// The process that holds the flock, as far as `/proc/locks` tells.
fn holder(lock: &Stat) -> Option<(u32, String)> {
    let (major, minor) = (fs::major(lock.st_dev), fs::minor(lock.st_dev));
    let file = format!("{major:02x}:{minor:02x}:{}", lock.st_ino);
    let pid = holder_of(&std_fs::read_to_string("/proc/locks").ok()?, &file)?;
    // Processes choose their names, which need not be UTF-8.
    let command = std_fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, String::from_utf8_lossy(&command).trim_end_matches('\n').to_owned()))
}

impl Lock {
    /// The bpffs that is locked.
    pub fn bpffs(&self) -> &Bpffs {
        &self.bpffs
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

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it is not enough if a child has a copy of the descriptor. If this fails, the end of the
        // process gives the lock back.
        if let Some(directory) = &self.directory {
            let _ = fs::flock(directory, FlockOperation::Unlock);
        }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(error) => write!(f, "{error}"),
            Self::Gone(error) => write!(f, "{error}"),
            Self::Stopped(error) => write!(f, "{error}"),
            Self::Failed(path, _) => write!(f, "failed to lock {}", Escaped::new(path)),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Locked(error) => error.source(),
            Self::Gone(error) => error.source(),
            Self::Stopped(_) => None,
            Self::Failed(_, error) => Some(error),
        }
    }
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bpffs, waited, holder } = self;
        let seconds = waited.as_secs_f64();
        write!(f, "{} is locked, and still was after {seconds} s: ", Escaped::new(bpffs))?;
        match holder {
            Some((pid, command)) => {
                write!(f, "process {pid} ({}) holds the lock", Escaped::new(command))
            }
            None => write!(f, "a process that cannot be seen from here holds the lock"),
        }
    }
}

impl std::error::Error for Locked {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holders_name_is_escaped() {
        let holder = Some((7, "a\u{1b}[31mb\nerror: c".to_owned()));
        let locked = Locked { bpffs: PathBuf::from("/b"), waited: Duration::ZERO, holder };
        let text = locked.to_string();
        assert!(text.contains("process 7 (a\\u{1b}[31mb\\nerror: c) holds the lock"), "{text}");
    }

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
