//! `list`: bpffs and the kernel → observed → report.

use super::observe::{look_at_open, too_deep};
use super::{Answer, Ending};
use crate::front::cli::ListArgs;
use crate::front::errors::{Context as _, Error, NotShown, Result};
use crate::front::report::words::iterators;
use crate::front::report::{self, Report};
use crate::host::bpffs::{Bpffs, OpenError};
use crate::host::closed::Closed;
use iterctl_core::escaped::Escaped;

pub(super) fn list(args: &ListArgs) -> Result<Answer> {
    let bpffs = Bpffs::open(&std::path::absolute(&args.bpffs)?).or_else(not_opened)?;
    let visible = look_at_open(&bpffs)?;
    let mut pins = report::pins(&visible.observed, bpffs.path());
    if args.set.is_some() {
        pins.retain(|pin| pin.state.set == args.set);
    }
    let place = Escaped::new(bpffs.path());
    let comment = match (pins.len(), &args.set) {
        (0, None) => format!("no iterator is pinned on {place}"),
        (0, Some(set)) => {
            format!("no iterator of the set {} is pinned on {place}", Escaped::new(set))
        }
        (number, _) => format!("{} pinned on {place}", iterators(number)),
    };
    let (closed_pins, closed_directories) = (&visible.closed_pins, &visible.closed_directories);
    let closed = report::closed(closed_pins, closed_directories, bpffs.path());
    let not_shown = NotShown { pins: closed_pins.len(), directories: closed_directories.len() };
    let diagnostics = too_deep(&visible.observed).into_iter().collect();
    let mut report = Report { pins: Some(pins), closed, diagnostics, ..Report::new(comment) };
    if report.closed.is_empty() {
        return Ok(Answer::done(report));
    }
    report.comment = format!("{}; {not_shown}", report.comment);
    Ok(Answer::new(report, Ending::Failed(Error::from(not_shown))))
}

/// Why a bpffs cannot be listed. It needs no privilege but the permissions of the directories.
fn not_opened<T>(error: OpenError) -> Result<T> {
    let OpenError::Unusable(path, why) = &error else { return Err(error.into()) };
    match Closed::find(path, why) {
        Some(closed) => Err(closed).with_context(|| error.to_string()),
        None => Err(error.into()),
    }
}
