//! What is done under the lock.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::front::report::{self, Diagnostic, Report, error};
use crate::host::bpffs::Bpffs;
use iterctl_core::desired;
use iterctl_core::escaped::Escaped;
use iterctl_core::ids::MapId;
use iterctl_core::manifest::Source;
use iterctl_core::plan::Plan;

/// Lets maps go that no pinned iterator needs any more. Only under the lock.
pub(super) fn release_kept(bpffs: &Bpffs, needed: &BTreeSet<MapId>) -> Vec<Diagnostic> {
    let left = match bpffs.release_kept(needed) {
        Ok(left) => left,
        Err(why) => vec![(bpffs.path().to_path_buf(), why)],
    };
    let warning = |(path, why): (PathBuf, io::Error)| {
        let what = format!("failed to let maps go that are kept in {}", Escaped::new(&path));
        error::warning(&anyhow::Error::from(why).context(what))
    };
    left.into_iter().map(warning).collect()
}

/// What applies before have left.
pub(super) struct Remains {
    /// What is said of it.
    pub(super) notes: Vec<Diagnostic>,
    /// Whether maps are kept for pinned iterators, or were.
    pub(super) has_kept_maps: bool,
}

/// Removes what killed applies have left. Only under the lock.
pub(super) fn remove_stale_staging(bpffs: &Bpffs) -> anyhow::Result<Remains> {
    let stale = bpffs.remove_stale_staging().context("failed to remove old staging directories")?;
    let removed =
        (stale.removed > 0).then(|| error::note("removed what an apply that was killed had left"));
    let left = stale.left.into_iter().map(|(path, why)| {
        let what = format!("failed to remove the old staging directory {}", Escaped::new(&path));
        error::warning(&anyhow::Error::from(why).context(what))
    });
    let notes = removed.into_iter().chain(left).collect();
    Ok(Remains { notes, has_kept_maps: stale.has_kept_maps })
}

/// A plan as a report, without a comment.
pub(super) fn report_plan(
    plan: &Plan,
    set: Option<&desired::Set>,
    bpffs: &Path,
    sources: &[Source],
) -> Report {
    let (changes, summary) = report::changes(plan, set.map(|set| &set.name), bpffs, sources);
    Report { changes, summary, ..Report::new("") }
}
