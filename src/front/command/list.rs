//! `list`: bpffs and the kernel → observed → report.

use super::Answer;
use super::observe::{look, too_deep};
use crate::front::cli::ListArgs;
use crate::front::errors::Result;
use crate::front::report::words::iterators;
use crate::front::report::{self, Report};
use crate::host::bpffs::Bpffs;

pub(super) fn list(args: &ListArgs) -> Result<Answer> {
    let bpffs = Bpffs::open(&std::path::absolute(&args.bpffs)?)?;
    let observed = look(&bpffs, None)?;
    let mut pins = report::pins(&observed, bpffs.path());
    if args.set.is_some() {
        pins.retain(|pin| pin.state.set == args.set);
    }
    let place = bpffs.path().display();
    let comment = match (pins.len(), &args.set) {
        (0, None) => format!("no iterator is pinned on {place}"),
        (0, Some(set)) => format!("no iterator of the set {set} is pinned on {place}"),
        (number, _) => format!("{} pinned on {place}", iterators(number)),
    };
    let diagnostics = too_deep(&observed).into_iter().collect();
    let report = Report { pins: Some(pins), diagnostics, ..Report::new(comment) };
    Ok(Answer::done(report))
}
