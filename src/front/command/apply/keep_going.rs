//! `--keep-going`: entries that fail are left out, and the transaction is tried again without them,
//! until the others go well together.

use std::collections::BTreeSet;

use super::CarryOut;
use crate::front::command::resolve::Resolved;
use crate::front::report::words::applied;
use crate::front::report::{Action, Blocked, Change, LeftOut, NotDone, Report};
use iterctl_core::pin_path::PinPath;

/// What was done, and what was not.
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
                // It is in sync by now, but where somebody else has been there since.
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
/// What concerns more than single entries.
pub(super) fn carry_out_others(
    mut resolved: Resolved,
    mut left_out: LeftOut,
    carry_out: CarryOut<'_>,
) -> anyhow::Result<Outcome> {
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
/// The error itself, where it concerns more than single entries.
fn leave_out(error: anyhow::Error, left_out: &mut LeftOut) -> anyhow::Result<BTreeSet<PinPath>> {
    let error = match error.downcast::<Blocked>() {
        Ok(Blocked { obstacles, bpffs }) => {
            let paths: Option<_> = obstacles.iter().map(|one| one.path().cloned()).collect();
            return match paths {
                Some(paths) => {
                    left_out.obstacles.extend(obstacles);
                    Ok(paths)
                }
                None => Err(Blocked { obstacles, bpffs }.into()),
            };
        }
        Err(error) => error,
    };
    let NotDone { failure, sources } = error.downcast()?;
    let concerns_all = failure.errors.iter().any(|failed| failed.paths.is_empty());
    if concerns_all || !failure.left.is_empty() {
        return Err(NotDone { failure, sources }.into());
    }
    let paths = failure.errors.iter().flat_map(|failed| failed.paths.iter().cloned()).collect();
    left_out.errors.extend(failure.errors);
    Ok(paths)
}
