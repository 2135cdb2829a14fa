//! System calls that this process may not make: errors that name the call.
//!
//! A seccomp filter answers with any errno, mostly `ENOSYS` or `EPERM`, and an errno alone does not say which call
//! it was.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// A call that the kernel does not have, or that something does not let this process make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The call: `openat2(2)`.
    pub call: &'static str,
    errno: Errno,
}

/// The error of a call, named if that is why it failed.
pub fn failed(call: &'static str, errno: Errno) -> io::Error {
    let kind = match errno {
        Errno::NOSYS => io::ErrorKind::Unsupported,
        Errno::PERM => io::ErrorKind::PermissionDenied,
        other => return other.into(),
    };
    io::Error::new(kind, Refused { call, errno })
}

impl Refused {
    /// The refused call in an error that [`failed`] has made.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.call, io::Error::from(self.errno))
    }
}

impl std::error::Error for Refused {}
