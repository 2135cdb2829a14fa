//! `pin`: pins one entry of the command line. The other pins of its set are kept.

use super::resolve::{here, resolve_entry, trust};
use super::transaction::{Aim, Mount, transaction};
use super::{Answer, entry};
use crate::front::cli::PinArgs;
use crate::front::errors::{Error, Result};
use crate::front::report::Shown;
use crate::host::sys::signals::Signals;
use iterctl_core::desired::Desired;
use iterctl_core::observed::Observed;
use iterctl_core::plan::{self, Foreign};

pub(super) fn pin(args: &PinArgs, signals: &Signals) -> Result<Answer> {
    let here = here(args.bpffs.as_deref(), &args.path)?;
    let entry = entry::from_pin(args, &here).map_err(|why| Error::Usage(why.to_string()))?;
    let foreign = if args.adopt { Foreign::Adopt } else { Foreign::Refuse };
    let toml = entry.toml.clone();
    let resolved = &resolve_entry(entry, trust(&args.trust))?;
    let plan = |desired: &Desired, observed: &Observed| plan::pin(desired, observed, foreign);
    let mount = Mount::asked_for(args.mount, Mount::ForSuccess);
    let aim = Aim::Pinned { resolved, plan: &plan, mount };
    let mut report = transaction(&aim, args.lock.lock_timeout, signals)?;
    let alone = "# Add this entry to the manifest of its set: alone, it would unpin the set's other pins.\n";
    report.manifest = Some(format!("{alone}{toml}"));
    if args.verbose {
        report.shown = Shown::ChangesAndManifest;
    }
    Ok(Answer::done(report))
}
