//! The errors of a transaction: of its own steps, and of what its caller does for it, which is to load and to look.
//!
//! In: the errors of bpffs and of the kernel. Out: one closed enum, with what was tried.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::host::bpffs::{OpenError, WalkError};
use crate::host::kernel::{AttachError, LoadError};
use crate::host::sys::signals::Stopped;

/// A step of a transaction failed.
#[derive(Debug)]
pub enum Error {
    /// A program cannot be loaded.
    Load(Box<LoadError>),
    /// A program cannot be attached.
    Attach(Box<AttachError>),
    /// The bpffs is no longer at its path.
    Open(OpenError),
    /// The bpffs cannot be looked at.
    Walk(WalkError),
    /// A signal came before anything was changed.
    Stopped(Stopped),
    /// Something has changed since it was looked at, or is not as it must be.
    Unexpected(String),
    /// A system call failed.
    Io(io::Error),
    /// A failed attempt and its reason.
    Context(String, Box<Error>),
}

impl Error {
    /// Something has changed since it was looked at, or is not as it must be.
    pub fn unexpected(words: impl Into<String>) -> Self {
        Self::Unexpected(words.into())
    }

    /// Adds what was tried.
    pub fn context(self, what: impl Into<String>) -> Self {
        Self::Context(what.into(), Box::new(self))
    }
}

/// Adds what was tried to the error of a result.
pub(super) trait Context<T> {
    fn context(self, what: &str) -> Result<T, Error>;

    /// The words are made only if it failed.
    fn with_context(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, what: &str) -> Result<T, Error> {
        self.map_err(|error| error.into().context(what))
    }

    fn with_context(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| error.into().context(what()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => write!(f, "{error}"),
            Self::Attach(error) => write!(f, "{error}"),
            Self::Open(error) => write!(f, "{error}"),
            Self::Walk(error) => write!(f, "{error}"),
            Self::Stopped(error) => write!(f, "{error}"),
            Self::Unexpected(words) | Self::Context(words, _) => f.write_str(words),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Load(error) => error.source(),
            Self::Attach(error) => error.source(),
            Self::Open(error) => error.source(),
            Self::Walk(error) => error.source(),
            Self::Stopped(_) | Self::Unexpected(_) => None,
            Self::Io(error) => error.source(),
            Self::Context(_, error) => Some(&**error),
        }
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        Self::Load(Box::new(error))
    }
}

impl From<AttachError> for Error {
    fn from(error: AttachError) -> Self {
        Self::Attach(Box::new(error))
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<WalkError> for Error {
    fn from(error: WalkError) -> Self {
        Self::Walk(error)
    }
}

impl From<Stopped> for Error {
    fn from(error: Stopped) -> Self {
        Self::Stopped(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
