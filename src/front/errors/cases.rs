//! The cases of [`Error`](super::Error) with several reasons: each holds what its report needs.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Origin;
use crate::host::execute::{Failed, Failure};
use iterctl_core::fault::{Fault, Faults};
use iterctl_core::manifest::Source;
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::Obstacle;

/// Entries have faults.
#[derive(Debug)]
pub struct Faulty {
    /// The faults, with their places in the text of `origin`.
    pub faults: Faults,
    /// The text of the entries.
    pub origin: Origin,
}

/// A plan cannot be carried out.
#[derive(Debug)]
pub struct Blocked {
    /// Everything that is in the way; at least one.
    pub obstacles: Vec<Obstacle>,
    /// The bpffs. The paths of the obstacles are below it.
    pub bpffs: PathBuf,
}

/// A plan was not carried out.
#[derive(Debug)]
pub struct NotDone {
    /// Everything that went wrong, and what could not be undone.
    pub failure: Failure,
    /// The text of the files with the entries; empty if the entries are in no file.
    pub sources: Arc<[Source]>,
}

/// The numbers of paths that `list` could not look at.
#[derive(Clone, Copy, Debug)]
pub struct NotShown {
    /// The number of pins.
    pub pins: usize,
    /// The number of directories.
    pub directories: usize,
}

/// A report could not be written.
#[derive(Debug)]
pub enum Unwritten {
    /// The report of a command that has done its work.
    AfterWork(io::Error),
    /// The report of a command that has no other work.
    Report(io::Error),
}

impl Unwritten {
    /// The system's error.
    pub fn error(&self) -> &io::Error {
        match self {
            Self::AfterWork(error) | Self::Report(error) => error,
        }
    }
}

/// Entries that were left out so that the others could be carried out (`--keep-going`).
#[derive(Debug, Default)]
pub struct LeftOut {
    /// Faults in the manifest and the objects, by the paths of the pins.
    pub faults: BTreeMap<PinPath, Vec<Fault>>,
    /// The bpffs. The paths of the pins are below it.
    pub bpffs: PathBuf,
    /// The text of the files with the faults.
    pub sources: Arc<[Source]>,
    /// Obstacles on bpffs, and maps and cgroups that cannot be used.
    pub obstacles: Vec<Obstacle>,
    /// Entries that could not be carried out.
    pub errors: Vec<Failed>,
}

impl LeftOut {
    /// Whether every entry was carried out.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty() && self.obstacles.is_empty() && self.errors.is_empty()
    }

    /// The faults, with the text of their files.
    pub fn faulty(&self) -> Option<Faulty> {
        let faults: Vec<Fault> = self.faults.values().flatten().cloned().collect();
        let origin = || Origin::Manifest(Arc::clone(&self.sources));
        (!faults.is_empty()).then(|| Faulty { faults: Faults::new(faults), origin: origin() })
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.faults.iter().count()) {
            (Origin::Manifest(_), _) => write!(f, "{}", self.faults),
            (Origin::CommandLine(_), 1) => write!(f, "1 fault in the arguments"),
            (Origin::CommandLine(_), number) => write!(f, "{number} faults in the arguments"),
        }
    }
}

impl fmt::Display for NotShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number, one, many| match number {
            0 => None,
            1 => Some(format!("1 {one}")),
            number => Some(format!("{number} {many}")),
        };
        let parts =
            [count(self.pins, "pin", "pins"), count(self.directories, "directory", "directories")];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        write!(f, "this user may not look at {}", parts.join(" and "))
    }
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AfterWork(_) => {
                write!(f, "the command did its work, but its report could not be written")
            }
            Self::Report(_) => write!(f, "failed to write the report"),
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.obstacles.len() {
            1 => write!(f, "nothing was changed: 1 thing is in the way"),
            number => write!(f, "nothing was changed: {number} things are in the way"),
        }
    }
}
