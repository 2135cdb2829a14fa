//! `--keep-going`: entries that fail are left out, and the transaction is tried again without them,
//! until the others go well together.

use std::collections::BTreeSet;

use super::CarryOut;
use crate::front::command::resolve::Resolved;
use crate::front::errors::{Error, LeftOut, Result};
use crate::front::report::words::applied;
use crate::front::report::{Action, Change, Report};
use crate::host::execute::Failure;
use iterctl_core::pin_path::PinPath;

/// The result of `--keep-going`: the report, and the entries that were left out.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) report: Report,
    pub(super) left_out: LeftOut,
}

impl Outcome {
    /// Adds what an earlier try did.
    pub(super) fn after(&mut self, earlier: Report) {
        let report = &mut self.report;
        for change in earlier.changes {
            if !report.changes.iter().any(|later| later.path == change.path) {
                // It is in sync by now, unless another process has changed it since.
                let in_sync = usize::from(change.action != Action::Unpin);
                report.summary.unchanged = report.summary.unchanged.saturating_sub(in_sync);
                *report.summary.count(change.action) += 1;
                report.changes.push(change);
            }
        }
        report.changes.sort_by(Change::by_path);
        report.changed = report.summary.changes() > 0;
        report.comment = applied(report.summary);
        report.diagnostics.splice(0..0, earlier.diagnostics);
    }
}

/// Carries out what can be: every transaction is all or nothing, as ever.
///
/// # Errors
/// An error that concerns more than single entries.
pub(super) fn carry_out_others(
    mut resolved: Resolved,
    mut left_out: LeftOut,
    carry_out: CarryOut<'_>,
) -> Result<Outcome> {
    loop {
        match carry_out(&resolved) {
            Ok(report) => return Ok(Outcome { report, left_out }),
            Err(error) => {
                for path in leave_out(error, &mut left_out)? {
                    resolved.desired.leave_out(path);
                }
            }
        }
    }
}

/// The entries that failed: at least one.
///
/// # Errors
/// The error itself, if it concerns more than single entries.
fn leave_out(error: Error, left_out: &mut LeftOut) -> Result<BTreeSet<PinPath>> {
    match error {
        Error::Blocked(blocked) => {
            let paths: Option<_> =
                blocked.obstacles.iter().map(|one| one.path().cloned()).collect();
            let Some(paths) = paths else { return Err(blocked.into()) };
            left_out.obstacles.extend(blocked.obstacles);
            Ok(paths)
        }
        Error::NotDone(not_done) => {
            let Failure { errors, left, .. } = &not_done.failure;
            let concerns_all = errors.iter().any(|failed| failed.paths.is_empty());
            if concerns_all || !left.is_empty() {
                return Err(Error::NotDone(not_done));
            }
            let paths = errors.iter().flat_map(|failed| failed.paths.iter().cloned()).collect();
            left_out.errors.extend(not_done.failure.errors);
            Ok(paths)
        }
        // The bpffs is there for the next try, too.
        Error::Mounted(_, error) => leave_out(*error, left_out),
        Error::Faulty(_)
        | Error::LeftOut(_)
        | Error::MissingNeeds(_)
        | Error::MissingFeatures(_)
        | Error::NotShown(_)
        | Error::Closed(_)
        | Error::Usage(_)
        | Error::Source(_)
        | Error::Untrusted(_)
        | Error::Account(_)
        | Error::Open(_)
        | Error::Mount(_)
        | Error::Lock(_)
        | Error::Walk(_)
        | Error::Execute(_)
        | Error::Read(_)
        | Error::Wake(_)
        | Error::Unwritten(_)
        | Error::Io(_)
        | Error::Other(_)
        | Error::Context(..) => Err(error),
    }
}
