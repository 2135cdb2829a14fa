//! Every error of a command, in one closed enum. One match decides the [`Handling`] of all cases, so a new error does
//! not compile before its hint and its exit status are decided.
//!
//! In: the errors of the host, each of its own type. Out: their chain of causes, as for any
//! [error](std::error::Error), and how each is handled.

mod cases;
mod from;
mod handling;
mod origin;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

pub use cases::{Blocked, Faulty, LeftOut, NotDone, NotShown, Unwritten};
pub use from::Context;
pub use handling::{Handled, Handling};
pub use origin::{Origin, Words};

use crate::host::accounts::LookupError;
use crate::host::bpffs::{LockError, MountError, OpenError, WalkError};
use crate::host::closed::Closed;
use crate::host::execute;
use crate::host::reader::ReadError;
use crate::host::sources::SourceError;
use crate::host::trust::Untrusted;
use crate::host::wake::WakeError;
use iterctl_core::feature::Lack;
use iterctl_core::plan::Obstacle;

/// The result of the front's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A command failed.
#[derive(Debug)]
pub enum Error {
    /// Entries of the manifest, or the one of the command line, have faults.
    Faulty(Faulty),
    /// The plan has obstacles.
    Blocked(Blocked),
    /// The plan was not carried out.
    NotDone(Box<NotDone>),
    /// `--keep-going` skipped entries.
    LeftOut(Box<LeftOut>),
    /// Something that the iterator of `read` needs is missing. `read` changes nothing, so it is not
    /// [`Blocked`](Self::Blocked).
    MissingNeeds(Vec<Obstacle>),
    /// The kernel lacks features that the manifest needs.
    MissingFeatures(Vec<Lack>),
    /// The arguments make no sense together.
    Usage(String),
    /// `list` could not look at everything.
    NotShown(NotShown),
    /// This user may not read a file, or look into a directory.
    Closed(Closed),
    /// A manifest cannot be read.
    Source(SourceError),
    /// Another user could have changed an object.
    Untrusted(Untrusted),
    /// A user or a group cannot be looked up.
    Account(LookupError),
    /// The bpffs cannot be used.
    Open(OpenError),
    /// No bpffs was mounted.
    Mount(MountError),
    /// The lock could not be taken.
    Lock(LockError),
    /// The bpffs cannot be searched for pins.
    Walk(WalkError),
    /// A program that `read` runs cannot be loaded or attached.
    Execute(execute::Error),
    /// An iterator cannot be read to its end.
    Read(ReadError),
    /// Wake-ups cannot be waited for.
    Wake(WakeError),
    /// The report could not be written.
    Unwritten(Unwritten),
    /// A system call failed.
    Io(io::Error),
    /// Anything else, in words.
    Other(String),
    /// A failed attempt and its reason. The reason decides how it is handled.
    Context(String, Box<Error>),
    /// A bpffs was mounted at this path and stays there, and then something failed, which decides how it is handled.
    Mounted(PathBuf, Box<Error>),
}

impl Error {
    /// An error that is described only in words.
    pub fn other(words: impl Into<String>) -> Self {
        Self::Other(words.into())
    }

    /// Adds what was tried.
    pub fn context(self, what: impl Into<String>) -> Self {
        Self::Context(what.into(), Box::new(self))
    }

    /// The error without what was tried: never [`Error::Context`] or [`Error::Mounted`].
    pub fn without_context(&self) -> &Self {
        let mut case = self;
        while let Self::Context(_, error) | Self::Mounted(_, error) = case {
            case = error;
        }
        case
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faulty(faulty) => write!(f, "{faulty}"),
            Self::Blocked(blocked) => write!(f, "{blocked}"),
            Self::NotDone(not_done) => write!(f, "{}", not_done.failure),
            Self::LeftOut(_) => f.write_str("some entries failed, and were left out"),
            Self::MissingNeeds(_) => f.write_str("what the iterator needs is not there"),
            Self::MissingFeatures(_) => f.write_str("this kernel lacks required features"),
            Self::NotShown(not_shown) => write!(f, "{not_shown}"),
            Self::Closed(closed) => write!(f, "{closed}"),
            Self::Source(error) => write!(f, "{error}"),
            Self::Untrusted(error) => write!(f, "{error}"),
            Self::Account(error) => write!(f, "{error}"),
            Self::Open(error) => write!(f, "{error}"),
            Self::Mount(error) => write!(f, "{error}"),
            Self::Lock(error) => write!(f, "{error}"),
            Self::Walk(error) => write!(f, "{error}"),
            Self::Execute(error) => write!(f, "{error}"),
            Self::Read(error) => write!(f, "{error}"),
            Self::Wake(error) => write!(f, "{error}"),
            Self::Unwritten(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Mounted(_, error) => write!(f, "{error}"),
            Self::Usage(words) | Self::Other(words) | Self::Context(words, _) => f.write_str(words),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Source(error) => error.source(),
            Self::Untrusted(error) => error.source(),
            Self::Account(error) => error.source(),
            Self::Open(error) => error.source(),
            Self::Mount(error) => error.source(),
            Self::Lock(error) => error.source(),
            Self::Walk(error) => error.source(),
            Self::Execute(error) => error.source(),
            Self::Read(error) => error.source(),
            Self::Wake(error) => error.source(),
            Self::Unwritten(error) => Some(error.error()),
            Self::Io(error) => error.source(),
            Self::Context(_, error) => Some(&**error),
            Self::Mounted(_, error) => error.source(),
            Self::Faulty(_)
            | Self::Blocked(_)
            | Self::NotDone(_)
            | Self::LeftOut(_)
            | Self::MissingNeeds(_)
            | Self::MissingFeatures(_)
            | Self::NotShown(_)
            | Self::Closed(_)
            | Self::Usage(_)
            | Self::Other(_) => None,
        }
    }
}
