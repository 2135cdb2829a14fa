//! Entries that are left out, so that the others are carried out (`--keep-going`): why, as rows of a report.

use std::collections::BTreeMap;
use std::error::Error as _;

use super::Change;
use super::build::{from_obstacle, nothing_done, reason_of};
use super::faults::Lines;
use crate::front::errors::LeftOut;
use crate::host::execute::Failed;
use iterctl_core::fault::Fault;
use iterctl_core::language::Language;
use iterctl_core::pin_path::PinPath;

/// A row for every entry, in no order.
pub(super) fn rows(left_out: &LeftOut) -> Vec<Change> {
    let lines = Lines::of(&left_out.sources);
    let faulty = left_out.faults.iter().map(|(path, faults)| {
        let reason = |fault: &Fault| reason_of("faulty", fault.problem.message(Language::Manifest));
        let place = faults.iter().find_map(|fault| fault.place.as_ref());
        let source = place.and_then(|place| lines.line_of(place));
        let reasons = faults.iter().map(reason).collect();
        Change { source, ..nothing_done(&left_out.bpffs, path, reasons) }
    });
    let in_the_way =
        left_out.obstacles.iter().filter_map(|one| from_obstacle(one, &left_out.bpffs));
    let failed = left_out.errors.iter().flat_map(|Failed { paths, place, error }| {
        // The first message says what was tried, which the row does not need. A row has one line.
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        let why = why.split(['\n', ';']).next().unwrap_or_default().to_owned();
        let source = place.as_ref().and_then(|place| lines.line_of(place));
        let row = move |path| {
            let reasons = vec![reason_of("failed", why.clone())];
            Change { source: source.clone(), ..nothing_done(&left_out.bpffs, path, reasons) }
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
