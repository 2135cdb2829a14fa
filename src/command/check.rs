//! `check`: `-f` → desired, and no further.

use super::{Answer, iterators, resolve};
use crate::cli::CheckArgs;
use crate::exit::Exit;
use crate::report::Report;

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<Answer> {
    let desired = resolve(&args.manifest)?.desired;
    let comment = format!("set {}: {}, no faults", desired.set.name, iterators(desired.pins.len()));
    Ok(Answer { report: Report::new(comment), exit: Exit::Done })
}
