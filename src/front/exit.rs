//! The exit statuses: an interface, the same in every version.

use std::io;

use rustix::io::Errno;

use crate::front::report::{Blocked, Faulty, Lacking, Lacks, NotDone, Usage};
use crate::host::bpffs::{Locked, MountError, OpenError};
use crate::host::execute::Failed;
use crate::host::kernel::{AttachError, LoadError, MapRefusal};
use crate::host::sources::SourceError;
use crate::host::trust::Untrusted;
use iterctl_core::observed::MapProblem;
use iterctl_core::plan::Obstacle;

const EINVAL: i32 = Errno::INVAL.raw_os_error();
const ENOSYS: i32 = Errno::NOSYS.raw_os_error();

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed; bpffs is as it was, or the report says what is not.
    Failed = 1,
    /// `plan --detailed-exitcode` found changes.
    Changes = 2,
    /// The command line is wrong.
    Usage = 64,
    /// The manifest or an object is.
    Invalid = 65,
    /// bpffs or a kernel feature is missing.
    Unavailable = 69,
    /// Somebody else's pin is in the way.
    Foreign = 73,
    /// Another apply holds the lock.
    Locked = 75,
    /// This process may not do that.
    NotPermitted = 77,
}

impl Exit {
    /// The status of an error: that of the first cause that has one of its own.
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Failed)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if cause.is::<Faulty>() {
            return Some(Self::Invalid);
        }
        if let Some(NotDone { failure, .. }) = cause.downcast_ref() {
            return Some(Self::of_all(&failure.errors));
        }
        if cause.is::<Untrusted>() {
            return Some(Self::NotPermitted);
        }
        if cause.is::<Usage>() {
            return Some(Self::Usage);
        }
        if let Some(error) = cause.downcast_ref::<SourceError>() {
            return Some(match error {
                SourceError::Unreadable(_, error) => Self::of_io(error).unwrap_or(Self::Invalid),
                SourceError::TooLong(_)
                | SourceError::NotUtf8(..)
                | SourceError::NotAFile(_)
                | SourceError::NoManifest(_) => Self::Invalid,
            });
        }
        if cause.is::<Locked>() {
            return Some(Self::Locked);
        }
        if let Some(blocked) = cause.downcast_ref::<Blocked>() {
            return Some(Self::of_obstacles(&blocked.obstacles));
        }
        if let Some(lacking) = cause.downcast_ref::<Lacking>() {
            return Some(Self::of_obstacles(&lacking.0));
        }
        if let Some(error) = cause.downcast_ref::<OpenError>() {
            return Some(match error {
                OpenError::Missing(_) | OpenError::NotBpffs(_) | OpenError::Gone(_) => {
                    Self::Unavailable
                }
                OpenError::Unusable(_, error) => Self::of_io(error).unwrap_or(Self::Failed),
            });
        }
        if let Some(error) = cause.downcast_ref::<MountError>() {
            return Some(match error {
                MountError::NotEmpty(_) => Self::Unavailable,
                MountError::Failed(_, error) => Self::of_io(error).unwrap_or(Self::Unavailable),
            });
        }
        if let Some(error) = cause.downcast_ref::<LoadError>() {
            return match error {
                LoadError::NotPermitted => Some(Self::NotPermitted),
                LoadError::Lacks(_)
                | LoadError::UnknownTarget(_)
                | LoadError::Unmet(_)
                | LoadError::MapRefused { why: MapRefusal::NoSuchType(_), .. } => {
                    Some(Self::Unavailable)
                }
                LoadError::Open(_)
                | LoadError::NoProgram
                | LoadError::Memlock
                | LoadError::Rejected { .. }
                | LoadError::MapNotHeld { .. }
                | LoadError::MapRefused {
                    why: MapRefusal::NoSize | MapRefusal::Other { .. },
                    ..
                }
                | LoadError::SlotRefused { .. }
                | LoadError::MapDiffers { .. }
                | LoadError::GivenMap { .. }
                | LoadError::Other { .. } => None,
                LoadError::Stamp(error) if error.raw_os_error() == Some(EINVAL) => {
                    Some(Self::Unavailable)
                }
                LoadError::Stamp(error) => Self::of_io(error),
            };
        }
        if cause.is::<Lacks>() {
            return Some(Self::Unavailable);
        }
        if let Some(error) = cause.downcast_ref::<AttachError>() {
            return match error {
                AttachError::Lacks(_) => Some(Self::Unavailable),
                AttachError::MayNotSleep(_) => Some(Self::Invalid),
                AttachError::Refused { .. }
                | AttachError::NoThread(_)
                | AttachError::NoProcess(_)
                | AttachError::NoOwnMap(_)
                | AttachError::MapGone(_)
                | AttachError::Mismatch { .. } => None,
            };
        }
        cause.downcast_ref::<io::Error>().and_then(Self::of_io)
    }

    /// The status that all errors share; otherwise, plain failure.
    fn of_all(errors: &[Failed]) -> Self {
        let mut statuses = errors.iter().map(|failed| Self::of(&failed.error));
        let first = statuses.next().unwrap_or(Self::Failed);
        if statuses.all(|status| status == first) { first } else { Self::Failed }
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Some(Self::NotPermitted);
        }
        // A call that is not there. Not `ErrorKind::Unsupported`, which EOPNOTSUPP is, too.
        (error.raw_os_error() == Some(ENOSYS)).then_some(Self::Unavailable)
    }

    /// The status of a plan that cannot be carried out.
    pub fn of_obstacles(obstacles: &[Obstacle]) -> Self {
        let statuses = obstacles.iter().map(|obstacle| match obstacle {
            Obstacle::Empty { .. } => Self::Invalid,
            Obstacle::Foreign { .. }
            | Obstacle::NotAnIterator { .. }
            | Obstacle::Directory { .. }
            | Obstacle::ParentNotADirectory { .. }
            | Obstacle::OtherSource { .. } => Self::Foreign,
            Obstacle::Map { why: MapProblem::NotPermitted, .. } => Self::NotPermitted,
            Obstacle::Map { .. } | Obstacle::Cgroup { .. } | Obstacle::NotPinned { .. } => {
                Self::Failed
            }
        });
        statuses.max_by_key(|status| *status as u8).unwrap_or(Self::Done)
    }
}
