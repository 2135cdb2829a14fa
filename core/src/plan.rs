//! [`Desired`](crate::desired::Desired) + [`Observed`](crate::observed::Observed) → [`Plan`]: the ordered changes, each with its reasons. Pure.
//!
//! A plan leaves nothing to decide: it says which link is to be where, which directories come and
//! go, and in which order. The same inputs give the same plan, byte for byte.

mod drift;
mod obstacle;
mod planner;
mod repair;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use drift::Drift;
pub use planner::{pin, plan, unpin, unpin_set};

use crate::access::{Meta, Mode};
use crate::desired::{DesiredPin, MapRef};
use crate::ids::MapId;
use crate::names::SetName;
use crate::observed::{CgroupProblem, Kind, LinkParam, MapProblem, ObservedPin};
use crate::pin_path::PinPath;

/// What may be done that is not done unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of iterators that others have pinned.
    pub foreign: Foreign,
    /// Of a manifest that lists nothing.
    pub empty: Empty,
}

/// What to do with an iterator that somebody else has pinned where one is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Leave it alone and say so.
    Refuse,
    /// Replace it (`--adopt`).
    Adopt,
}

/// What to do with a manifest that lists nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// Take it for a mistake.
    Refuse,
    /// Unpin the whole set (`--allow-empty`).
    Allow,
}

/// The ordered changes, and what stands in their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do, in this order: unpin, remove directories, make directories, then everything
    /// that leaves a pin in place; each of these by path.
    pub steps: Vec<Step>,
    /// Why it cannot be done. Nothing is done while there is one.
    pub obstacles: Vec<Obstacle>,
    /// The pins that are as they are to be.
    pub unchanged: BTreeMap<PinPath, ObservedPin>,
    /// The id of every existing map that the steps name.
    pub maps: BTreeMap<MapRef, MapId>,
}

/// A plan that only takes away: no step of it makes or changes a pin, so nothing has to be loaded for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal(Plan);

/// The parameter of a link that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedParam {
    /// This one.
    Link(LinkParam),
    /// The map of that name which comes with the program's object: it has an id only when that is
    /// loaded.
    OwnMap(String),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Unpin this link.
    Unpin {
        /// Where it is pinned.
        path: PinPath,
        /// What is there.
        have: ObservedPin,
        /// Why.
        reason: UnpinReason,
    },
    /// Remove a directory that the unpins before leave empty.
    RemoveDirectory {
        /// The directory.
        path: PinPath,
        /// What it was like.
        meta: Meta,
    },
    /// Make a directory.
    MakeDirectory {
        /// The directory.
        path: PinPath,
        /// Its mode.
        mode: Mode,
    },
    /// Pin an iterator where nothing is.
    Pin {
        /// Where.
        path: PinPath,
        /// What.
        want: DesiredPin,
        /// Its parameter, resolved.
        param: WantedParam,
    },
    /// Put another iterator in the place of one.
    Replace {
        /// Where.
        path: PinPath,
        /// What.
        want: DesiredPin,
        /// Its parameter, resolved.
        param: WantedParam,
        /// What is there.
        have: ObservedPin,
        /// Why.
        drift: Vec<Drift>,
    },
    /// Give a pin another mode, owner or group.
    SetMeta {
        /// Where.
        path: PinPath,
        /// What it is to have.
        want: DesiredPin,
        /// What is there.
        have: ObservedPin,
        /// Why.
        drift: Vec<Drift>,
    },
}

/// Why a pin goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnpinReason {
    /// The set's manifest does not list it.
    NoLongerListed,
    /// Somebody asked for it.
    Asked,
}

/// Why a plan cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Somebody else has pinned an iterator there.
    Foreign {
        /// Where.
        path: PinPath,
        /// What is there.
        have: ObservedPin,
    },
    /// Something that is no iterator is there.
    NotAnIterator {
        /// Where.
        path: PinPath,
        /// What is there.
        kind: Kind,
    },
    /// A directory is there, and unpinning what the set no longer lists does not empty it.
    Directory {
        /// Where.
        path: PinPath,
    },
    /// A parent of the path is no directory.
    ParentNotADirectory {
        /// Where something is to be pinned.
        path: PinPath,
        /// The parent.
        parent: PinPath,
    },
    /// The map to walk cannot be used.
    Map {
        /// The pin that needs it.
        path: PinPath,
        /// The map.
        map: MapRef,
        /// The object's map that it is to stand for; `None` where it is only walked.
        stands_for: Option<String>,
        /// Why not.
        why: MapProblem,
    },
    /// The cgroup to walk from cannot be used.
    Cgroup {
        /// The pin that needs it.
        path: PinPath,
        /// Its directory.
        cgroup: PathBuf,
        /// Why not.
        why: CgroupProblem,
    },
    /// Pins of a set whose name was taken from a file come from another manifest.
    OtherSource {
        /// The set.
        set: SetName,
        /// What this call was given.
        ours: Vec<String>,
        /// What the call was given that made the pins.
        theirs: Vec<String>,
    },
    /// The manifest lists nothing.
    Empty {
        /// The set.
        set: SetName,
    },
    /// Nothing is pinned there.
    NotPinned {
        /// Where.
        path: PinPath,
    },
}

impl Plan {
    /// Whether everything is as it is to be.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.obstacles.is_empty()
    }
}

impl Removal {
    /// What it does, and what stands in its way.
    pub fn plan(&self) -> &Plan {
        &self.0
    }

    /// The same.
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
            | Self::SetMeta { path, .. } => path,
        }
    }
}

#[cfg(test)]
mod tests;
