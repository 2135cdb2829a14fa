//! Entries that are left out, so that the others are carried out all the same (`--keep-going`): what is
//! wrong with each, as rows of a report and as errors.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::Change;
use super::build::{nothing_done, of_obstacle, reason_of};
use super::faults::{Faulty, Lines, Origin};
use crate::host::execute::Failed;
use iterctl_core::fault::{Fault, Faults};
use iterctl_core::language::Language;
use iterctl_core::manifest::Source;
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::Obstacle;

/// What is wrong with the entries that are left out.
#[derive(Debug, Default)]
pub struct LeftOut {
    /// In the manifest and the objects, by the paths of the pins.
    pub faults: BTreeMap<PinPath, Vec<Fault>>,
    /// The bpffs.
    pub bpffs: PathBuf,
    /// The text that the faults stand in.
    pub sources: Arc<[Source]>,
    /// On bpffs, and among what the entries name.
    pub obstacles: Vec<Obstacle>,
    /// What failed when it was tried.
    pub errors: Vec<Failed>,
}

impl LeftOut {
    /// Whether every entry was carried out.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty() && self.obstacles.is_empty() && self.errors.is_empty()
    }

    /// A row for every entry, in no order.
    pub fn rows(&self) -> Vec<Change> {
        let lines = Lines::of(&self.sources);
        let faulty = self.faults.iter().map(|(path, faults)| {
            let reason =
                |fault: &Fault| reason_of("faulty", fault.problem.message(Language::Manifest));
            let place = faults.iter().find_map(|fault| fault.place.as_ref());
            let source = place.and_then(|place| lines.line_of(place));
            let reasons = faults.iter().map(reason).collect();
            Change { source, ..nothing_done(&self.bpffs, path, reasons) }
        });
        let in_the_way = self.obstacles.iter().filter_map(|one| of_obstacle(one, &self.bpffs));
        let failed = self.errors.iter().flat_map(|Failed { paths, place, error }| {
            // The first says what was tried, which the row need not; and a row is a line.
            let why = error.chain().nth(1).map_or_else(|| error.to_string(), ToString::to_string);
            let why = why.split(['\n', ';']).next().unwrap_or_default().to_owned();
            let source = place.as_ref().and_then(|place| lines.line_of(place));
            let row = move |path| {
                let reasons = vec![reason_of("failed", why.clone())];
                Change { source: source.clone(), ..nothing_done(&self.bpffs, path, reasons) }
            };
            paths.iter().map(row)
        });
        let mut rows = BTreeMap::<PinPath, Change>::new();
        for change in faulty.chain(in_the_way).chain(failed) {
            match rows.get_mut(&change.relative) {
                // A map and a cgroup of one entry may both be missing.
                Some(row) => row.reasons.extend(change.reasons),
                None => {
                    rows.insert(change.relative.clone(), change);
                }
            }
        }
        rows.into_values().collect()
    }

    /// The faults, with the text that they stand in.
    pub(super) fn faulty(&self) -> Option<Faulty> {
        let faults: Vec<Fault> = self.faults.values().flatten().cloned().collect();
        let origin = || Origin::Manifest(Arc::clone(&self.sources));
        (!faults.is_empty()).then(|| Faulty { faults: Faults::new(faults), origin: origin() })
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "some entries failed, and were left out")
    }
}

impl std::error::Error for LeftOut {}
