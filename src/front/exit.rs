//! The exit statuses. Scripts depend on them, so no version changes them.

use crate::host::sys::signals::Signal;
use iterctl_core::observed::MapProblem;
use iterctl_core::plan::Obstacle;

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed; bpffs is unchanged, or the report says what has changed.
    Failed = 1,
    /// `plan --detailed-exitcode` found changes.
    Changes = 2,
    /// The command line is wrong.
    Usage = 64,
    /// The manifest or an object is invalid.
    Invalid = 65,
    /// bpffs, a kernel feature or a system call is missing, or bpffs is read-only.
    Unavailable = 69,
    /// A pin that does not belong to the set is in the way.
    Foreign = 73,
    /// Another apply holds the lock.
    Locked = 75,
    /// This process lacks a permission.
    NotPermitted = 77,
    /// Stopped by SIGHUP. These three are 128 and the signal's number, as a shell reports a process that a
    /// signal ended.
    Hangup = 129,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl From<Signal> for Exit {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Hangup => Self::Hangup,
            Signal::Interrupt => Self::Interrupted,
            Signal::Terminate => Self::Terminated,
        }
    }
}

impl Exit {
    /// The status of a plan that cannot be executed.
    pub(crate) fn from_obstacles(obstacles: &[Obstacle]) -> Self {
        let statuses = obstacles.iter().map(|obstacle| match obstacle {
            Obstacle::Empty { .. } => Self::Invalid,
            Obstacle::Foreign { .. }
            | Obstacle::NotAnIterator { .. }
            | Obstacle::Directory { .. }
            | Obstacle::ParentNotADirectory { .. }
            | Obstacle::BehindMount { .. }
            | Obstacle::OtherSource { .. } => Self::Foreign,
            Obstacle::ReadOnly { .. } => Self::Unavailable,
            Obstacle::Map { why: MapProblem::NotPermitted, .. } => Self::NotPermitted,
            Obstacle::Map { .. } | Obstacle::Cgroup { .. } | Obstacle::NotPinned { .. } => {
                Self::Failed
            }
        });
        statuses.max_by_key(|status| *status as u8).unwrap_or(Self::Done)
    }
}
