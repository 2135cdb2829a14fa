//! [`Desired`] + [`Observed`] → [`Plan`]: the ordered changes, each with its reasons. Pure.
//!
//! A plan leaves nothing to decide: it says which link goes to which path, which directories are made and
//! removed, and in which order. The same inputs give the same plan, byte for byte.
//!
//! [`Desired`]: crate::desired::Desired
//! [`Observed`]: crate::observed::Observed

mod drift;
mod note;
mod obstacle;
mod planner;
mod repair;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use drift::Drift;
pub use note::{Note, Readers};
pub use obstacle::WRITABLE;
pub use planner::{pin, plan, unpin, unpin_set};

use crate::access::Meta;
use crate::desired::{DesiredPin, MapRef};
use crate::ids::MapId;
use crate::names::SetName;
use crate::observed::{CgroupProblem, Kind, LinkParam, MapProblem, ObservedPin};
use crate::pin_path::PinPath;

/// Actions that need explicit consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// For iterators that others have pinned.
    pub foreign: Foreign,
    /// For a manifest that lists nothing.
    pub empty: Empty,
}

/// The policy for a foreign iterator that is pinned at a listed path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Leave it alone and report it.
    Refuse,
    /// Replace it (`--adopt`).
    Adopt,
}

/// The policy for a manifest that lists nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// Treat it as a mistake.
    Refuse,
    /// Unpin the whole set (`--allow-empty`).
    Allow,
}

/// The ordered changes, and what stands in their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The changes, in this order: unpin, remove directories, make directories, then everything that leaves
    /// a pin in place, then change directories; each group by path.
    pub steps: Vec<Step>,
    /// Why the plan cannot be carried out. If there is any obstacle, nothing is done.
    pub obstacles: Vec<Obstacle>,
    /// Effects that may not be meant, and that prevent nothing.
    pub notes: Vec<Note>,
    /// The pins that are already as desired.
    pub unchanged: BTreeMap<PinPath, ObservedPin>,
    /// The id of every existing map that the steps name.
    pub maps: BTreeMap<MapRef, MapId>,
}

/// A plan that only removes: no step makes or changes a pin, so nothing has to be loaded for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal(Plan);

/// The parameter of a link that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedParam {
    /// A parameter that is known now.
    Link(LinkParam),
    /// The map of that name in the program's object: it has an id only after the object is loaded.
    OwnMap(String),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Unpin this link.
    Unpin {
        /// The pin's path.
        path: PinPath,
        /// The pin to remove.
        have: ObservedPin,
        /// Why it is removed.
        reason: UnpinReason,
    },
    /// Remove a directory that the unpins before this step leave empty.
    RemoveDirectory {
        /// The directory.
        path: PinPath,
        /// Its mode, owner and group.
        meta: Meta,
    },
    /// Make a directory.
    MakeDirectory {
        /// The directory.
        path: PinPath,
        /// Its mode, owner and group.
        meta: Meta,
    },
    /// Pin an iterator at a free path.
    Pin {
        /// The pin's path.
        path: PinPath,
        /// The desired pin.
        want: DesiredPin,
        /// Its parameter, resolved.
        param: WantedParam,
    },
    /// Replace an iterator by another one.
    Replace {
        /// The pin's path.
        path: PinPath,
        /// The desired pin.
        want: DesiredPin,
        /// Its parameter, resolved.
        param: WantedParam,
        /// The pin to replace.
        have: ObservedPin,
        /// Why it is replaced.
        drift: Vec<Drift>,
    },
    /// Change the mode, owner or group of a directory in which everything belongs to the set.
    SetDirectoryMeta {
        /// The directory.
        path: PinPath,
        /// The desired mode, owner and group.
        want: Meta,
        /// The existing ones.
        have: Meta,
        /// The differences.
        drift: Vec<Drift>,
    },
    /// Change the mode, owner or group of a pin.
    SetMeta {
        /// The pin's path.
        path: PinPath,
        /// The desired pin.
        want: DesiredPin,
        /// The pin to change.
        have: ObservedPin,
        /// The differences.
        drift: Vec<Drift>,
    },
}

/// Why a pin is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnpinReason {
    /// The set's manifest does not list it.
    NoLongerListed,
    /// The user asked for it.
    Asked,
}

/// Why a plan cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A foreign iterator is pinned there.
    Foreign {
        /// The path.
        path: PinPath,
        /// The foreign pin.
        have: ObservedPin,
    },
    /// Something that is not an iterator is there.
    NotAnIterator {
        /// The path.
        path: PinPath,
        /// The kind of what is there.
        kind: Kind,
    },
    /// A directory is there, and unpinning what the set no longer lists does not empty it.
    Directory {
        /// The path.
        path: PinPath,
    },
    /// A parent of the path is not a directory.
    ParentNotADirectory {
        /// The path of the desired pin.
        path: PinPath,
        /// The parent.
        parent: PinPath,
    },
    /// A file system is mounted on a parent of the path.
    BehindMount {
        /// The path of the desired pin.
        path: PinPath,
        /// The parent.
        parent: PinPath,
        /// The path of the file system, if it is a bpffs.
        bpffs: Option<PathBuf>,
    },
    /// The bpffs is mounted read-only.
    ReadOnly {
        /// The bpffs.
        bpffs: PathBuf,
    },
    /// The map to walk cannot be used.
    Map {
        /// The pin that needs it.
        path: PinPath,
        /// The map.
        map: MapRef,
        /// The object's map that it replaces; `None` if it is only walked.
        replaces: Option<String>,
        /// Why it cannot be used.
        why: MapProblem,
    },
    /// The cgroup to walk from cannot be used.
    Cgroup {
        /// The pin that needs it.
        path: PinPath,
        /// Its directory.
        cgroup: PathBuf,
        /// Why it cannot be used.
        why: CgroupProblem,
    },
    /// The pins of a set whose name was taken from a file belong to another manifest.
    OtherSource {
        /// The set.
        set: SetName,
        /// The `-f` arguments of this call.
        ours: Vec<String>,
        /// The `-f` arguments of the call that made the pins.
        theirs: Vec<String>,
    },
    /// The manifest lists nothing.
    Empty {
        /// The set.
        set: SetName,
    },
    /// Nothing is pinned there.
    NotPinned {
        /// The path.
        path: PinPath,
    },
}

impl Plan {
    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.obstacles.is_empty()
    }
}

impl Removal {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0
    }

    /// The plan, by value.
    pub fn into_plan(self) -> Plan {
        self.0
    }
}

impl Step {
    /// The path that changes.
    pub fn path(&self) -> &PinPath {
        match self {
            Self::Unpin { path, .. }
            | Self::RemoveDirectory { path, .. }
            | Self::MakeDirectory { path, .. }
            | Self::Pin { path, .. }
            | Self::Replace { path, .. }
            | Self::SetMeta { path, .. }
            | Self::SetDirectoryMeta { path, .. } => path,
        }
    }
}

#[cfg(test)]
mod tests;
