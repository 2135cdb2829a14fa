//! `check`: `-f` → desired, and no further.

use super::{Answer, Trust, iterators, resolve};
use crate::cli::CheckArgs;
use crate::exit::Exit;
use crate::report::{Report, error};

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<Answer> {
    let desired = resolve(&args.manifest, Trust::Anybody)?.desired;
    let comment = format!("set {}: {}, no faults", desired.set.name, iterators(desired.pins.len()));
    let mut report = Report::new(comment);
    if desired.pins.is_empty() {
        let note =
            "apply refuses a manifest that lists nothing, unless it is given `--allow-empty`";
        report.diagnostics.push(error::note(note));
    }
    Ok(Answer::new(report, Exit::Done))
}
