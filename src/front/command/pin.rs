//! `pin`: one entry, said on the command line; the rest of its set stays as it is.

use super::apply::{How, carry_out};
use super::resolve::{Trust, here, resolve_entry};
use super::{Answer, entry};
use crate::front::cli::PinArgs;
use crate::front::exit::Exit;
use crate::front::report::{Shown, Usage};
use iterctl_core::plan::{self, Foreign};

pub(super) fn pin(args: &PinArgs) -> anyhow::Result<Answer> {
    let here = here(&args.bpffs)?;
    let entry = entry::of_pin(args, &here).map_err(|why| Usage(why.to_string()))?;
    let foreign = if args.adopt { Foreign::Adopt } else { Foreign::Refuse };
    let how = How {
        plan: &|desired, observed| plan::pin(desired, observed, foreign),
        lock_timeout: args.lock.lock_timeout,
        mount: args.mount,
    };
    let toml = entry.toml.clone();
    let mut report = carry_out(&resolve_entry(entry, Trust::of(&args.trust))?, &how)?;
    let alone = "# Add this entry to the manifest of its set: alone, it would unpin the set's other pins.\n";
    report.manifest = Some(format!("{alone}{toml}"));
    if args.verbose {
        report.shown = Shown::ChangesAndManifest;
    }
    Ok(Answer::new(report, Exit::Done))
}
