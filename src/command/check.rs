//! `check`: `-f` → desired, and no further; the kernel → what it has, and what it lacks of that.

use std::path::PathBuf;

use super::{Answer, Trust, iterators, resolve_input};
use crate::cli::CheckArgs;
use crate::desired::Desired;
use crate::exit::Exit;
use crate::feature::lacking;
use crate::kernel::features;
use crate::report::{KernelReport, Lacks, Report, error};
use crate::sources;

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<Answer> {
    let desired =
        if args.file.is_empty() { None } else { Some(desired(&args.file, args.set.clone())?) };
    let manifest = desired.as_ref().map(|desired| {
        format!("set {}: {}, no faults", desired.set.name, iterators(desired.pins.len()))
    });
    let mut report = Report::new(manifest.unwrap_or_default());
    if desired.as_ref().is_some_and(|desired| desired.pins.is_empty()) {
        let note =
            "apply refuses a manifest that lists nothing, unless it is given `--allow-empty`";
        report.diagnostics.push(error::note(note));
    }
    if !args.kernel {
        return Ok(Answer::new(report, Exit::Done));
    }
    let features = features();
    let kernel = KernelReport::new(&features);
    let parts = [report.comment, kernel.comment()];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    report.comment = parts.join("; ");
    report.kernel = Some(kernel);
    let lacks = lacking(&features, desired.as_ref());
    if lacks.is_empty() {
        return Ok(Answer::new(report, Exit::Done));
    }
    Ok(Answer { failed: Some(Lacks(lacks).into()), ..Answer::new(report, Exit::Unavailable) })
}

/// `-f` → manifest → desired.
fn desired(file: &[PathBuf], set: Option<String>) -> anyhow::Result<Desired> {
    let input = sources::read(file, set, |_| Ok(()))?;
    Ok(resolve_input(input, Trust::Anybody)?.desired)
}
