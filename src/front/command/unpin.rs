//! `unpin`: a set, or single pins, and nothing else. The objects need not be there any more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Answer;
use super::resolve::trust;
use super::transaction::{Aim, transaction};
use crate::front::cli::UnpinArgs;
use crate::front::errors::{Error, Faulty, Origin, Result};
use crate::host::bpffs::bpffs_of;
use crate::host::sources;
use crate::host::sys::signals::Signals;
use iterctl_core::desired::{self, DEFAULT_BPFFS, Desired, Set};
use iterctl_core::escaped::Escaped;
use iterctl_core::manifest::{self, Manifest};
use iterctl_core::observed::Observed;
use iterctl_core::pin_path::{InvalidPinPath, PinPath};
use iterctl_core::plan::{self, Foreign};

/// The pins that are to go.
enum What {
    /// Every pin of a set.
    Set(Set),
    /// These pins.
    Paths(BTreeSet<PinPath>),
}

pub(super) fn unpin(args: &UnpinArgs, signals: &Signals) -> Result<Answer> {
    let (what, bpffs) = what(args)?;
    let foreign = if args.adopt { Foreign::Adopt } else { Foreign::Refuse };
    let plan = |observed: &Observed| match &what {
        What::Set(set) => plan::unpin_set(set, observed),
        What::Paths(paths) => plan::unpin(paths, observed, foreign),
    };
    let aim = Aim::Unpinned { bpffs: &bpffs, plan: &plan };
    Ok(Answer::done(transaction(&aim, args.lock.lock_timeout, signals)?))
}

fn what(args: &UnpinArgs) -> Result<(What, PathBuf)> {
    if !args.file.is_empty() {
        let input = sources::read(&args.file, args.set.clone(), trust(&args.trust))?;
        let manifest = manifest::parse(&input);
        let Desired { set, bpffs, .. } = resolve_empty(&manifest, Origin::Manifest(input.sources))?;
        return Ok((What::Set(set), bpffs));
    }
    let bpffs = bpffs(args)?;
    let Some(name) = &args.set else {
        let paths = args.paths.iter().map(|path| pin_path(path, &bpffs));
        return Ok((What::Paths(paths.collect::<Result<_>>()?), bpffs));
    };
    let manifest = Manifest { set: Some(name.clone()), ..Manifest::default() };
    let Desired { set, .. } = resolve_empty(&manifest, Origin::Manifest(Arc::default()))?;
    Ok((What::Set(set), bpffs))
}

/// The one that is given, or that the paths are on, or the usual one.
fn bpffs(args: &UnpinArgs) -> Result<PathBuf> {
    if let Some(bpffs) = &args.bpffs {
        return Ok(std::path::absolute(bpffs)?);
    }
    let usual = || PathBuf::from(DEFAULT_BPFFS);
    // A relative path is on none, so it is below the usual one.
    let all: BTreeSet<PathBuf> =
        args.paths.iter().map(|path| bpffs_of(path).unwrap_or_else(usual)).collect();
    let mut all = all.into_iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(usual()),
        (Some(bpffs), None) => Ok(bpffs),
        (Some(first), Some(second)) => Err(Error::Usage(format!(
            "the paths are on two bpffs, {} and {}: unpin them one after the other",
            Escaped::new(&first),
            Escaped::new(&second)
        ))),
    }
}

fn resolve_empty(manifest: &Manifest, origin: Origin) -> Result<Desired> {
    desired::resolve_empty(manifest).map_err(|faults| Faulty { faults, origin }.into())
}

/// A path of the command line, relative to the bpffs or below it.
fn pin_path(path: &Path, bpffs: &Path) -> Result<PinPath> {
    let usage = |why: String| Error::Usage(format!("{} {why}", Escaped::new(path)));
    let outside = || usage(format!("is not below the bpffs {}", Escaped::new(bpffs)));
    let relative =
        if path.is_absolute() { path.strip_prefix(bpffs).map_err(|_| outside())? } else { path };
    let text = relative.to_str().ok_or_else(|| usage("is not UTF-8".to_owned()))?;
    text.parse().map_err(|why: InvalidPinPath| usage(format!("cannot be a pin: {why}")))
}
