//! The transaction, in which `apply`, `pin`, `unpin` and `watch` end: lock, look, plan, execute, look again.
//!
//! In: what it is to come to. Out: the report of what was done. All of it is done, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::load::Loader;
use super::observe::{look, needed_maps};
use super::resolve::Resolved;
use crate::front::errors::{Blocked, Context as _, Error, NotDone, Result};
use crate::front::report::words::{applied, unpinned};
use crate::front::report::{self, Diagnostic, Report, Summary, error};
use crate::host::bpffs::{Bpffs, WalkError, mount_if_missing};
use crate::host::execute::{self, Done, Failure, Work, execute};
use iterctl_core::desired::{Desired, Program};
use iterctl_core::escaped::Escaped;
use iterctl_core::ids::MapId;
use iterctl_core::manifest::Source;
use iterctl_core::names::SetName;
use iterctl_core::observed::{Observed, ObservedPin};
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Obstacle, Plan, Removal, Step};

/// What a transaction is to come to. Its plan is made again to see that nothing is left to do.
pub(super) enum Aim<'a> {
    /// Pins are as they were asked for.
    Pinned {
        /// What was asked for.
        resolved: &'a Resolved,
        /// Makes the plan.
        plan: &'a dyn Fn(&Desired, &Observed) -> Plan,
        /// Whether to mount a bpffs where there is none.
        mount: bool,
    },
    /// Pins are gone.
    Unpinned {
        /// From this bpffs.
        bpffs: &'a Path,
        /// Makes the plan.
        plan: &'a dyn Fn(&Observed) -> Removal,
    },
}

/// Carries it out.
///
/// # Errors
/// [`Blocked`] or [`NotDone`], or whatever keeps it from looking; then bpffs is as it was, or the error says
/// what is not.
pub(super) fn transaction(aim: &Aim<'_>, lock_timeout: Duration) -> Result<Report> {
    let mounted = aim.mount()?;
    let bpffs = Bpffs::open(aim.bpffs())?;
    let _lock = bpffs.lock(lock_timeout)?;
    let remains = remove_stale_staging(&bpffs)?;
    let planned = aim.plan(&aim.look(&bpffs)?);
    if !planned.plan().obstacles.is_empty() {
        let bpffs = bpffs.path().to_path_buf();
        return Err(Blocked { obstacles: planned.into_plan().obstacles, bpffs }.into());
    }
    let mut diagnostics: Vec<Diagnostic> = mounted.into_iter().chain(remains.notes).collect();
    let mut pins = BTreeMap::new();
    if !planned.plan().steps.is_empty() {
        let look_again = || {
            let observed = aim.look(&bpffs)?;
            let needed = remains.has_kept_maps.then(|| needed_maps(&observed));
            Ok((aim.plan(&observed).verify()?, needed))
        };
        let done = planned.execute(&bpffs, look_again);
        let Done { verified: (now, needed), untidy } =
            done.map_err(|failure| NotDone { failure, sources: aim.sources() })?;
        pins = now;
        diagnostics.extend(needed.iter().flat_map(|needed| release_kept(&bpffs, needed)));
        diagnostics.extend(untidy.iter().map(error::warning));
    }
    let (changes, summary) =
        report::changes(planned.plan(), aim.set(), bpffs.path(), &aim.sources(), &pins);
    let changed = summary.changes() > 0;
    Ok(Report { changed, summary, changes, diagnostics, ..Report::new(aim.comment(summary)) })
}

impl<'a> Aim<'a> {
    /// Mounts a bpffs, if that is wanted. Returns a note if it did.
    fn mount(&self) -> Result<Option<Diagnostic>> {
        match self {
            Self::Pinned { mount: true, .. } => {
                let bpffs = self.bpffs();
                let note = || error::note(format!("mounted a bpffs on {}", Escaped::new(bpffs)));
                Ok(mount_if_missing(bpffs)?.then(note))
            }
            Self::Pinned { mount: false, .. } | Self::Unpinned { .. } => Ok(None),
        }
    }

    fn bpffs(&self) -> &Path {
        match self {
            Self::Pinned { resolved, .. } => &resolved.desired.bpffs,
            Self::Unpinned { bpffs, .. } => bpffs,
        }
    }

    fn look(&self, bpffs: &Bpffs) -> Result<Observed, WalkError> {
        match self {
            Self::Pinned { resolved, .. } => look(bpffs, Some(&resolved.desired)),
            Self::Unpinned { .. } => look(bpffs, None),
        }
    }

    fn plan(&self, observed: &Observed) -> Planned<'a> {
        match self {
            Self::Pinned { resolved, plan, .. } => {
                Planned::Pinned(resolved, plan(&resolved.desired, observed))
            }
            Self::Unpinned { plan, .. } => Planned::Unpinned(plan(observed)),
        }
    }

    /// Who will own new pins.
    fn set(&self) -> Option<&SetName> {
        match self {
            Self::Pinned { resolved, .. } => Some(&resolved.desired.set.name),
            Self::Unpinned { .. } => None,
        }
    }

    /// The text that entries stand in.
    fn sources(&self) -> Arc<[Source]> {
        match self {
            Self::Pinned { resolved, .. } => resolved.origin.shared_sources(),
            Self::Unpinned { .. } => Arc::default(),
        }
    }

    fn comment(&self, summary: Summary) -> String {
        match self {
            Self::Pinned { .. } => applied(summary),
            Self::Unpinned { .. } => unpinned(summary),
        }
    }
}

/// A plan, with what its steps need.
enum Planned<'a> {
    Pinned(&'a Resolved, Plan),
    Unpinned(Removal),
}

impl Planned<'_> {
    fn plan(&self) -> &Plan {
        match self {
            Self::Pinned(_, plan) => plan,
            Self::Unpinned(removal) => removal.plan(),
        }
    }

    fn into_plan(self) -> Plan {
        match self {
            Self::Pinned(_, plan) => plan,
            Self::Unpinned(removal) => removal.into_plan(),
        }
    }

    fn execute<T>(
        &self,
        bpffs: &Bpffs,
        verify: impl FnOnce() -> Result<T, execute::Error>,
    ) -> Result<Done<T>, Failure> {
        match self {
            Self::Pinned(resolved, plan) => {
                let loader = Loader::new(resolved, plan);
                let load =
                    |program: &Program, walked: &BTreeSet<&str>| loader.load(program, walked);
                execute(Work::Plan(plan, &load), bpffs, verify)
            }
            Self::Unpinned(removal) => execute(Work::Removal(removal), bpffs, verify),
        }
    }

    /// What is planned after everything was done must be nothing. Returns every pin of the set.
    fn verify(self) -> Result<BTreeMap<PinPath, ObservedPin>, execute::Error> {
        let is_done = match &self {
            Self::Pinned(_, plan) => plan.is_done(),
            // What has come to the paths of pins that are gone is in nobody's way.
            Self::Unpinned(removal) => removal.plan().steps.is_empty(),
        };
        let again = self.into_plan();
        if is_done {
            return Ok(again.unchanged);
        }
        let paths = again.steps.iter().map(Step::path);
        let paths = paths.chain(again.obstacles.iter().filter_map(Obstacle::path));
        let paths: Vec<String> = paths.map(|path| format!("`{path}`")).collect();
        let paths = paths.join(", ");
        Err(execute::Error::Unexpected(format!(
            "another process is changing the same pins: {paths}"
        )))
    }
}

/// Lets maps go that no pinned iterator needs any more. Only under the lock.
fn release_kept(bpffs: &Bpffs, needed: &BTreeSet<MapId>) -> Vec<Diagnostic> {
    let left = match bpffs.release_kept(needed) {
        Ok(left) => left,
        Err(why) => vec![(bpffs.path().to_path_buf(), why)],
    };
    let warning = |(path, why): (PathBuf, io::Error)| {
        let what = format!(
            "failed to remove maps that no iterator needs any more from {}",
            Escaped::new(&path)
        );
        error::warning(&Error::from(why).context(what))
    };
    left.into_iter().map(warning).collect()
}

/// What applies before have left.
struct Remains {
    /// What is said of it.
    notes: Vec<Diagnostic>,
    /// Whether maps are kept for pinned iterators, or were.
    has_kept_maps: bool,
}

/// Removes what killed applies have left. Only under the lock.
fn remove_stale_staging(bpffs: &Bpffs) -> Result<Remains> {
    let stale = bpffs.remove_stale_staging().context("failed to remove old staging directories")?;
    let removed =
        (stale.removed > 0).then(|| error::note("removed what an apply that was killed had left"));
    let left = stale.left.into_iter().map(|(path, why)| {
        let what = format!("failed to remove the old staging directory {}", Escaped::new(&path));
        error::warning(&Error::from(why).context(what))
    });
    let notes = removed.into_iter().chain(left).collect();
    Ok(Remains { notes, has_kept_maps: stale.has_kept_maps })
}
