//! Converts errors of the host and of the front to [`Error`].

use std::io;

use super::{Blocked, Error, Faulty, LeftOut, NotDone, NotShown, Result, Unwritten};
use crate::host::accounts::LookupError;
use crate::host::bpffs::{LockError, MountError, OpenError, WalkError};
use crate::host::closed::Closed;
use crate::host::execute;
use crate::host::kernel::AttachError;
use crate::host::reader::ReadError;
use crate::host::sources::SourceError;
use crate::host::sys::signals::Stopped;
use crate::host::trust::Untrusted;
use crate::host::wake::WakeError;

macro_rules! from {
    ($($error:ty => $case:path,)*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                $case(error.into())
            }
        })*
    };
}

from! {
    Faulty => Error::Faulty,
    Blocked => Error::Blocked,
    NotDone => Error::NotDone,
    LeftOut => Error::LeftOut,
    NotShown => Error::NotShown,
    Closed => Error::Closed,
    SourceError => Error::Source,
    Untrusted => Error::Untrusted,
    LookupError => Error::Account,
    OpenError => Error::Open,
    MountError => Error::Mount,
    LockError => Error::Lock,
    Stopped => Error::Execute,
    WalkError => Error::Walk,
    execute::Error => Error::Execute,
    AttachError => Error::Execute,
    ReadError => Error::Read,
    WakeError => Error::Wake,
    Unwritten => Error::Unwritten,
    io::Error => Error::Io,
}

/// Adds to an error what was tried.
pub trait Context<T> {
    /// Adds these words.
    ///
    /// # Errors
    /// The same error, with these words.
    fn context(self, what: &str) -> Result<T>;

    /// Adds words that are formatted only if it failed.
    ///
    /// # Errors
    /// The same error, with these words.
    fn with_context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, what: &str) -> Result<T> {
        self.map_err(|error| error.into().context(what))
    }

    fn with_context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().context(what()))
    }
}
