//! `unpin`: a set, or single pins, and nothing else. The objects need not be there any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use super::Answer;
use super::observe::{look, needed_maps};
use super::transaction::{release_kept, remove_stale_staging, report_plan};
use crate::front::cli::UnpinArgs;
use crate::front::exit::Exit;
use crate::front::report::words::count_changes;
use crate::front::report::{Blocked, Faulty, NotDone, Origin, Report, Usage, error};
use crate::host::bpffs::Bpffs;
use crate::host::execute;
use crate::host::sources;
use iterctl_core::desired::{self, Desired, Program, Set};
use iterctl_core::escaped::Escaped;
use iterctl_core::manifest::{self, Manifest, Source};
use iterctl_core::observed::Observed;
use iterctl_core::pin_path::{InvalidPinPath, PinPath};
use iterctl_core::plan::{self, Foreign, Plan, Step};

/// What is to go.
enum What {
    /// Every pin of a set.
    Set(Desired),
    /// These pins.
    Paths(BTreeSet<PinPath>),
}

pub(super) fn unpin(args: &UnpinArgs) -> anyhow::Result<Answer> {
    let (what, path) = what(args)?;
    let bpffs = Bpffs::open(&path)?;
    let foreign = if args.adopt { Foreign::Adopt } else { Foreign::Refuse };
    let report = match what {
        What::Set(desired) => {
            let plan = |observed: &Observed| plan::unpin_set(&desired, observed);
            carry_out(&bpffs, Some(&desired.set), &plan, args.lock.lock_timeout)
        }
        What::Paths(paths) => {
            let plan = |observed: &Observed| plan::unpin(&paths, observed, foreign);
            carry_out(&bpffs, None, &plan, args.lock.lock_timeout)
        }
    };
    Ok(Answer::new(report?, Exit::Done))
}

/// Unpins all that a set has, whatever it is to have.
pub(super) fn unpin_whole(
    set: &Set,
    bpffs: &Path,
    lock_timeout: Duration,
) -> anyhow::Result<Report> {
    let nothing = Desired {
        set: set.clone(),
        bpffs: bpffs.to_path_buf(),
        pins: BTreeMap::new(),
        left_out: BTreeSet::new(),
        warnings: Vec::new(),
    };
    let plan = |observed: &Observed| plan::unpin_set(&nothing, observed);
    carry_out(&Bpffs::open(bpffs)?, Some(set), &plan, lock_timeout)
}

fn carry_out(
    bpffs: &Bpffs,
    set: Option<&Set>,
    plan: &dyn Fn(&Observed) -> Plan,
    lock_timeout: Duration,
) -> anyhow::Result<Report> {
    let _lock = bpffs.lock(lock_timeout)?;
    let remains = remove_stale_staging(bpffs)?;
    let observed = look(bpffs, None)?;
    let plan = plan(&observed);
    if !plan.obstacles.is_empty() {
        let bpffs = bpffs.path().to_path_buf();
        return Err(Blocked { obstacles: plan.obstacles, bpffs }.into());
    }
    let load = |_: &Program, _: &BTreeSet<&str>| bail!("unpin loads nothing");
    let untidy = execute::execute(&plan, bpffs, &load, &mut || Ok(()))
        .map_err(|failure| NotDone { failure, sources: Vec::new() })?;

    let mut report = report_plan(&plan, set, bpffs.path(), &[]);
    report.changed = report.summary.changes() > 0;
    report.comment = if report.changed {
        count_changes(&report, ["pinned", "replaced", "updated", "unpinned"])
    } else {
        "nothing to do: the set has no pins".to_owned()
    };
    report.diagnostics = remains.notes;
    report.diagnostics.extend(untidy.iter().map(error::warning));
    if report.changed && remains.has_kept_maps {
        let unpinned = plan.steps.iter().map(Step::path).collect();
        report.diagnostics.extend(release_kept(bpffs, &needed_maps(&observed, &unpinned)));
    }
    Ok(report)
}

fn what(args: &UnpinArgs) -> anyhow::Result<(What, PathBuf)> {
    if !args.file.is_empty() {
        let input = sources::read(&args.file, args.set.clone(), |_| Ok(()))?;
        let manifest = manifest::parse(&input);
        let desired = resolve_empty(&manifest, input.sources)?;
        let bpffs = desired.bpffs.clone();
        return Ok((What::Set(desired), bpffs));
    }
    let bpffs = std::path::absolute(&args.bpffs)?;
    let Some(name) = &args.set else {
        let paths = args.paths.iter().map(|path| pin_path(path, &bpffs));
        return Ok((What::Paths(paths.collect::<anyhow::Result<_>>()?), bpffs));
    };
    let manifest = Manifest { set: Some(name.clone()), ..Manifest::default() };
    let desired = resolve_empty(&manifest, Vec::new())?;
    Ok((What::Set(desired), bpffs))
}

fn resolve_empty(manifest: &Manifest, sources: Vec<Source>) -> anyhow::Result<Desired> {
    desired::resolve_empty(manifest)
        .map_err(|faults| Faulty { faults, origin: Origin::Manifest(sources) }.into())
}

/// A path of the command line, relative to the bpffs or below it.
fn pin_path(path: &Path, bpffs: &Path) -> anyhow::Result<PinPath> {
    let usage = |why: String| anyhow::Error::from(Usage(format!("{} {why}", Escaped::new(path))));
    let outside = || usage(format!("is not below the bpffs {}", Escaped::new(bpffs)));
    let relative =
        if path.is_absolute() { path.strip_prefix(bpffs).map_err(|_| outside())? } else { path };
    let text = relative.to_str().ok_or_else(|| usage("is not UTF-8".to_owned()))?;
    text.parse().map_err(|why: InvalidPinPath| usage(format!("cannot be a pin: {why}")))
}
