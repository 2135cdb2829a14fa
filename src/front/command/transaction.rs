//! The transaction, in which `apply`, `pin`, `unpin` and `watch` end: lock, look, plan, execute, look again.
//!
//! In: the aim. Out: the report of what was done. Either everything is done, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::load::Loader;
use super::observe::{look, needed_maps, too_deep};
use super::resolve::Resolved;
use crate::front::errors::{Blocked, Context as _, Error, NotDone, Result};
use crate::front::report::words::{applied, unpinned};
use crate::front::report::{self, Diagnostic, Report, Summary, error};
use crate::host::bpffs::{Bpffs, Lock, LockError, WalkError, mount_if_missing};
use crate::host::execute::{self, Done, Failure, Work, execute};
use crate::host::sys::signals::Signals;
use iterctl_core::desired::{Desired, Program};
use iterctl_core::escaped::Escaped;
use iterctl_core::ids::MapId;
use iterctl_core::manifest::Source;
use iterctl_core::names::SetName;
use iterctl_core::observed::{Observed, ObservedPin};
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Obstacle, Plan, Removal, Step};

/// The aim of a transaction. The plan is made again at the end, to check that nothing is left to do.
pub(super) enum Aim<'a> {
    /// Pins are as desired.
    Pinned {
        resolved: &'a Resolved,
        /// Makes the plan.
        plan: &'a dyn Fn(&Desired, &Observed) -> Plan,
        mount: Mount,
    },
    /// Pins are gone.
    Unpinned {
        /// From this bpffs.
        bpffs: &'a Path,
        /// Makes the plan.
        plan: &'a dyn Fn(&Observed) -> Removal,
    },
}

/// Whether to mount a bpffs if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mount {
    /// No: a missing bpffs is an error.
    Never,
    /// Yes, and if the transaction fails, it is unmounted again.
    ForSuccess,
    /// Yes, and it stays: the transaction is tried again if it fails, and other processes may use the bpffs
    /// meanwhile.
    ForGood,
}

impl Mount {
    /// The choice that `--mount` stands for.
    pub(super) fn asked_for(is_given: bool, otherwise: Self) -> Self {
        if is_given { otherwise } else { Self::Never }
    }
}

/// Carries it out. While it does, [`Signals`] are held back: they stop it only before anything is changed.
///
/// # Errors
/// [`Blocked`] or [`NotDone`], or an error of opening, locking or looking. Then bpffs is as it was, or the
/// error says what is not.
pub(super) fn transaction(
    aim: &Aim<'_>,
    lock_timeout: Duration,
    signals: &Signals,
) -> Result<Report> {
    let _held = signals.hold();
    let (lock, is_mounted) = aim.lock(lock_timeout, signals)?;
    carry_out(aim, &lock, is_mounted, signals).map_err(|error| {
        if !is_mounted || (aim.mount() == Mount::ForSuccess && lock.unmount()) {
            return error;
        }
        Error::Mounted(lock.bpffs().path().to_path_buf(), Box::new(error))
    })
}

fn carry_out(aim: &Aim<'_>, lock: &Lock, is_mounted: bool, signals: &Signals) -> Result<Report> {
    let bpffs = lock.bpffs();
    let remains = remove_stale_staging(lock)?;
    let (planned, too_deep) = {
        let observed = aim.look(bpffs)?;
        (aim.plan(&observed), too_deep(&observed))
    };
    if !planned.plan().obstacles.is_empty() {
        let bpffs = bpffs.path().to_path_buf();
        return Err(Blocked { obstacles: planned.into_plan().obstacles, bpffs }.into());
    }
    let mounted = is_mounted
        .then(|| error::note(format!("mounted a bpffs on {}", Escaped::new(bpffs.path()))));
    let mut diagnostics: Vec<Diagnostic> = mounted.into_iter().chain(remains.notes).collect();
    diagnostics.extend(error::notes(&planned.plan().notes, bpffs.path()));
    diagnostics.extend(too_deep);
    let mut pins = BTreeMap::new();
    if !planned.plan().steps.is_empty() {
        let look_again = || {
            let observed = aim.look(bpffs)?;
            let needed = remains.has_kept_maps.then(|| needed_maps(&observed));
            Ok((aim.plan(&observed).verify()?, needed))
        };
        let done = planned.execute(lock, signals, look_again);
        let Done { verified: (now, needed), untidy } =
            done.map_err(|failure| NotDone { failure, sources: aim.sources() })?;
        pins = now;
        diagnostics.extend(needed.iter().flat_map(|needed| release_kept(bpffs, needed)));
        diagnostics.extend(untidy.iter().map(error::warning));
    }
    let (changes, summary) =
        report::changes(planned.plan(), aim.set(), bpffs.path(), &aim.sources(), &pins);
    let changed = summary.changes() > 0;
    Ok(Report { changed, summary, changes, diagnostics, ..Report::new(aim.comment(summary)) })
}

impl<'a> Aim<'a> {
    /// Opens and locks the bpffs, and mounts it first if that is wanted. Returns whether it did.
    fn lock(&self, timeout: Duration, signals: &Signals) -> Result<(Lock, bool)> {
        let (start, mut left) = (Instant::now(), timeout);
        loop {
            let is_wanted = self.mount() != Mount::Never;
            if is_wanted && let Some(lock) = mount_if_missing(self.bpffs())? {
                return Ok((lock, true));
            }
            let locked = Bpffs::open(self.bpffs())
                .map_err(LockError::Gone)
                .and_then(|bpffs| bpffs.lock(left, signals));
            left = timeout.saturating_sub(start.elapsed());
            match locked {
                // The process that mounted it has unmounted it again, as it had no use for it.
                Err(LockError::Gone(why)) if is_wanted && why.is_missing() && !left.is_zero() => {}
                Err(LockError::Gone(why)) => return Err(why.into()),
                other => return Ok((other?, false)),
            }
        }
    }

    fn mount(&self) -> Mount {
        match self {
            Self::Pinned { mount, .. } => *mount,
            Self::Unpinned { .. } => Mount::Never,
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

    /// The set that will own new pins.
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
        lock: &Lock,
        signals: &Signals,
        verify: impl FnOnce() -> Result<T, execute::Error>,
    ) -> Result<Done<T>, Failure> {
        match self {
            Self::Pinned(resolved, plan) => {
                let loader = Loader::new(resolved, plan);
                let load =
                    |program: &Program, walked: &BTreeSet<&str>| loader.load(program, walked);
                execute(Work::Plan(plan, &load), lock, signals, verify)
            }
            Self::Unpinned(removal) => execute(Work::Removal(removal), lock, signals, verify),
        }
    }

    /// Checks that nothing is left to do. Returns every pin of the set.
    fn verify(self) -> Result<BTreeMap<PinPath, ObservedPin>, execute::Error> {
        let is_done = match &self {
            Self::Pinned(_, plan) => plan.is_done(),
            // Obstacles do not matter: nothing will be pinned.
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

/// Releases maps that no pinned iterator needs any more. Only under the lock.
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

/// The remains of earlier applies.
struct Remains {
    /// The notes that tell the user about them.
    notes: Vec<Diagnostic>,
    /// Whether maps are kept for pinned iterators, or were.
    has_kept_maps: bool,
}

/// Removes what killed applies have left.
fn remove_stale_staging(lock: &Lock) -> Result<Remains> {
    let stale = lock.remove_stale_staging().context("failed to remove old staging directories")?;
    let removed =
        (stale.removed > 0).then(|| error::note("removed what an apply that was killed had left"));
    let left = stale.left.into_iter().map(|(path, why)| {
        let what = format!("failed to remove the old staging directory {}", Escaped::new(&path));
        error::warning(&Error::from(why).context(what))
    });
    let notes = removed.into_iter().chain(left).collect();
    Ok(Remains { notes, has_kept_maps: stale.has_kept_maps })
}
