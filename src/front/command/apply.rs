//! `apply`: the whole line, and round once more to prove that nothing is left to do.

mod keep_going;
mod wait;

use std::collections::BTreeSet;

use self::keep_going::{Outcome, carry_out_others};
use self::wait::Named;
use super::observe::named_by;
use super::resolve::{Entries, Resolved, Trust, policy, read_input, resolve_entries};
use super::transaction::{Aim, transaction};
use super::{Answer, Say};
use crate::front::cli::ApplyArgs;
use crate::front::exit::Exit;
use crate::front::report::Report;
use crate::front::report::words::add_left_out;
use iterctl_core::desired::Desired;
use iterctl_core::manifest::{self, Input};
use iterctl_core::observed::Observed;
use iterctl_core::plan;

pub(super) fn apply(args: &ApplyArgs, say: Say<'_>) -> anyhow::Result<Answer> {
    let policy = policy(&args.policy);
    let plan = |desired: &Desired, observed: &Observed| plan::plan(desired, observed, policy);
    let carry_out = |resolved: &Resolved| {
        let aim = Aim::Pinned { resolved, plan: &plan, mount: args.mount };
        transaction(&aim, args.lock.lock_timeout)
    };
    let trust = Trust::of(&args.policy.trust);
    // Read once, and not waited for.
    let input = read_input(&args.manifest, trust)?;
    let entries = Entries::of(&args.keep_going);
    let attempt = |named: Option<&mut Named>| attempt(&input, trust, entries, &carry_out, named);
    let outcome = match args.wait {
        None => attempt(None)?,
        Some(time) => wait::wait(time, |named| attempt(Some(named)), say)?,
    };
    Ok(answer(outcome))
}

/// Where somebody has to know what the manifest names, that is put into `named`.
fn attempt(
    input: &Input,
    trust: Trust,
    entries: Entries,
    carry_out: CarryOut<'_>,
    mut named: Option<&mut Named>,
) -> anyhow::Result<Outcome> {
    let manifest = manifest::parse(input);
    if let Some(named) = &mut named {
        **named = Named { objects: manifest.objects(), others: BTreeSet::new() };
    }
    let (resolved, left_out) = resolve_entries(input.clone(), &manifest, trust, entries)?;
    if let Some(named) = named {
        named.others = named_by(&resolved.desired);
    }
    match entries {
        Entries::All => carry_out(&resolved).map(|report| Outcome { report, left_out }),
        Entries::Sound => carry_out_others(resolved, left_out, carry_out),
    }
}

/// Desired → bpffs.
type CarryOut<'a> = &'a dyn Fn(&Resolved) -> anyhow::Result<Report>;

fn answer(outcome: Outcome) -> Answer {
    let Outcome { mut report, left_out } = outcome;
    if left_out.is_empty() {
        return Answer::new(report, Exit::Done);
    }
    add_left_out(&mut report, &left_out);
    Answer { failed: Some(left_out.into()), ..Answer::new(report, Exit::Failed) }
}
