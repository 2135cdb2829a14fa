//! `apply`: the whole line, and round once more to prove that nothing is left to do.

mod keep_going;
mod wait;

use std::collections::BTreeSet;

use self::keep_going::{Outcome, carry_out_others};
use self::wait::Attempt;
use super::observe::named_by;
use super::resolve::{Resolved, Selection, policy, read_input, resolve_entries, trust};
use super::transaction::{Aim, Mount, transaction};
use super::{Answer, Ending, Say};
use crate::front::cli::ApplyArgs;
use crate::front::errors::{Origin, Result};
use crate::front::report::Report;
use crate::front::report::words::add_left_out;
use crate::host::sys::signals::Signals;
use iterctl_core::desired::Desired;
use iterctl_core::manifest;
use iterctl_core::observed::Observed;
use iterctl_core::plan;

pub(super) fn apply(args: &ApplyArgs, signals: &Signals, say: Say<'_>) -> Result<Answer> {
    let policy = policy(&args.policy);
    let plan = |desired: &Desired, observed: &Observed| plan::plan(desired, observed, policy);
    let carry_out = |resolved: &Resolved| {
        let mount = if args.wait.is_some() { Mount::ForGood } else { Mount::ForSuccess };
        let mount = Mount::asked_for(args.mount, mount);
        transaction(&Aim::Pinned { resolved, plan: &plan, mount }, args.lock.lock_timeout, signals)
    };
    let entries = Selection::from_args(&args.keep_going);
    let trust = trust(&args.policy.trust);
    // Read once, and not waited for.
    let input = read_input(&args.manifest, trust)?;
    let manifest = manifest::parse(&input);
    let origin = Origin::Manifest(input.sources);
    let resolve = || resolve_entries(origin.clone(), &manifest, trust, entries);
    let carry_out = |(resolved, left_out)| match entries {
        Selection::All => carry_out(&resolved).map(|report| Outcome { report, left_out }),
        Selection::Sound => carry_out_others(resolved, left_out, &carry_out),
    };
    let outcome = match args.wait {
        None => carry_out(resolve()?)?,
        Some(time) => {
            let attempt = || match resolve() {
                Ok(sound) => {
                    Attempt { names: named_by(&sound.0.desired), came_to: carry_out(sound) }
                }
                Err(error) => Attempt { names: BTreeSet::new(), came_to: Err(error) },
            };
            wait::wait(time, &manifest.objects(), attempt, say)?
        }
    };
    Ok(answer(outcome))
}

/// Desired → bpffs.
type CarryOut<'a> = &'a dyn Fn(&Resolved) -> Result<Report>;

fn answer(outcome: Outcome) -> Answer {
    let Outcome { mut report, left_out } = outcome;
    if left_out.is_empty() {
        return Answer::done(report);
    }
    add_left_out(&mut report, &left_out);
    Answer::new(report, Ending::Failed(left_out.into()))
}
