//! The steps that only undo what others have done to pins. Pure.

use super::{Drift, Plan, Step};

impl Plan {
    /// Separates the steps that follow a map or a cgroup from those that only undo what others have done to
    /// pins. Meant for a manifest and objects that have been applied before.
    pub fn part_repairs(self) -> (Self, Self) {
        let (steps, repairs) = self.steps.into_iter().partition(follows_a_parameter);
        let rest = Self { steps, ..self };
        let repairs = Self { steps: repairs, ..Self::default() };
        (rest, repairs)
    }
}

/// Whether the pin is as it was made, but the map or cgroup that it follows has been replaced by another.
fn follows_a_parameter(step: &Step) -> bool {
    match step {
        Step::Replace { drift, .. } => {
            let followed = |drift: &Drift| match drift {
                Drift::Param(..) | Drift::GivenMap { .. } => Some(true),
                Drift::Foreign(_)
                | Drift::Object(..)
                | Drift::Program(..)
                | Drift::Target(..)
                | Drift::Globals
                | Drift::MapNotHeld { .. }
                | Drift::MaxEntries { .. } => Some(false),
                // These do not need another link: if both have changed, the link decides.
                Drift::Mode(..)
                | Drift::Owner(..)
                | Drift::Group(..)
                | Drift::DirectoryMode(..)
                | Drift::DirectoryOwner(..)
                | Drift::DirectoryGroup(..) => None,
            };
            drift.iter().filter_map(followed).all(|follows| follows)
        }
        Step::Unpin { .. }
        | Step::RemoveDirectory { .. }
        | Step::MakeDirectory { .. }
        | Step::Pin { .. }
        | Step::SetMeta { .. }
        | Step::SetDirectoryMeta { .. } => false,
    }
}
