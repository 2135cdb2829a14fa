//! The exit statuses. They are an interface: they are the same in every version.

use iterctl_core::observed::MapProblem;
use iterctl_core::plan::Obstacle;

/// An exit status.
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
    /// The manifest or an object is wrong.
    Invalid = 65,
    /// bpffs, a kernel feature or a system call is missing, or bpffs is read-only.
    Unavailable = 69,
    /// A foreign pin is in the way.
    Foreign = 73,
    /// Another apply holds the lock.
    Locked = 75,
    /// This process is not permitted to do that.
    NotPermitted = 77,
}

impl Exit {
    /// The status of a plan that cannot be carried out.
    pub fn from_obstacles(obstacles: &[Obstacle]) -> Self {
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
