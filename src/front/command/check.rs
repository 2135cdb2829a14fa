//! `check`: the line of values up to desired; with `--kernel`, also what the kernel has, and what it lacks for the
//! manifest.

use std::path::PathBuf;

use super::resolve::{Resolved, resolve_input};
use super::{Answer, Ending};
use crate::front::cli::CheckArgs;
use crate::front::errors::{Error, Result};
use crate::front::report::words::iterators;
use crate::front::report::{KernelReport, Report, error, faults};
use crate::host::kernel::{features, unmet};
use crate::host::sources;
use crate::host::trust::Trust;
use iterctl_core::feature::lacking;

pub(super) fn check(args: &CheckArgs) -> Result<Answer> {
    let resolved =
        if args.file.is_empty() { None } else { Some(resolved(&args.file, args.set.clone())?) };
    let desired = resolved.as_ref().map(|resolved| &resolved.desired);
    let manifest = desired.map(|desired| {
        format!("set {}: {}, no faults", desired.set.name, iterators(desired.pins.len()))
    });
    let mut report = Report::new(manifest.unwrap_or_default());
    if let Some(Resolved { desired, origin, .. }) = &resolved {
        report.diagnostics = faults::warnings(&desired.warnings, origin.sources());
    }
    if desired.is_some_and(|desired| desired.pins.is_empty()) {
        let note =
            "apply refuses a manifest that lists nothing, unless it is given `--allow-empty`";
        report.diagnostics.push(error::note(note));
    }
    if !args.kernel {
        return Ok(Answer::done(report));
    }
    let features = features();
    let kernel = KernelReport::new(&features);
    let parts = [report.comment, kernel.comment()];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    report.comment = parts.join("; ");
    report.kernel = Some(kernel);
    let programs = desired.into_iter().flat_map(|desired| desired.pins.values());
    let externs = programs.flat_map(|pin| &pin.program.externs).collect();
    let lacks = lacking(&features, &unmet(&externs), desired);
    if lacks.is_empty() {
        return Ok(Answer::done(report));
    }
    Ok(Answer::new(report, Ending::Failed(Error::MissingFeatures(lacks))))
}

/// `-f` → manifest → desired.
fn resolved(file: &[PathBuf], set: Option<String>) -> Result<Resolved> {
    let input = sources::read(file, set, Trust::AnyFile)?;
    resolve_input(input, Trust::AnyFile)
}
