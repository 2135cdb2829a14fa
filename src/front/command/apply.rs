//! `apply`: the whole line, and round once more to prove that nothing is left to do.

mod keep_going;
mod reuse;
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::bail;

use self::keep_going::Outcome;
use self::reuse::LoadedAlready;
use self::wait::Named;
use super::load::load;
use super::observe::{look, named_by, needed_maps};
use super::resolve::{Entries, Resolved, Trust, policy, read_input, resolve_entries};
use super::transaction::{release_kept, remove_stale_staging, report_plan};
use super::{Answer, Say};
use crate::front::cli::ApplyArgs;
use crate::front::exit::Exit;
use crate::front::report::words::{add_left_out, count_changes, iterators};
use crate::front::report::{self, Blocked, NotDone, Report, error};
use crate::host::bpffs::{Bpffs, mount_if_missing};
use crate::host::execute;
use iterctl_core::desired::{Desired, Program};
use iterctl_core::manifest::{self, Input};
use iterctl_core::observed::{Observed, ObservedPin};
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{self, Plan};
use iterctl_core::stamp::Stamp;

pub(super) fn apply(args: &ApplyArgs, say: Say<'_>) -> anyhow::Result<Answer> {
    let policy = policy(&args.policy);
    let how = How {
        plan: &|desired, observed| plan::plan(desired, observed, policy),
        lock_timeout: args.lock.lock_timeout,
        mount: args.mount,
    };
    let trust = Trust::of(&args.policy.trust);
    // Read once, and not waited for.
    let input = read_input(&args.manifest, trust)?;
    let entries = Entries::of(&args.keep_going);
    let attempt = |named: Option<&mut Named>| attempt(&input, trust, entries, &how, named);
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
    how: &How<'_>,
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
        Entries::All => carry_out(&resolved, how).map(|report| Outcome { report, left_out }),
        Entries::Sound => keep_going::carry_out_others(resolved, left_out, how),
    }
}

fn answer(outcome: Outcome) -> Answer {
    let Outcome { mut report, left_out } = outcome;
    if left_out.is_empty() {
        return Answer::new(report, Exit::Done);
    }
    add_left_out(&mut report, &left_out);
    Answer { failed: Some(left_out.into()), ..Answer::new(report, Exit::Failed) }
}

/// How a manifest is carried out.
pub(super) struct How<'a> {
    /// Makes the plan; it is made again to see that nothing is left to do.
    pub(super) plan: &'a dyn Fn(&Desired, &Observed) -> Plan,
    /// How long to wait for another apply.
    pub(super) lock_timeout: Duration,
    /// Whether to mount a bpffs where there is none.
    pub(super) mount: bool,
}

/// The line from desired on: lock, observe, plan, execute, observe again.
pub(super) fn carry_out(resolved: &Resolved, how: &How<'_>) -> anyhow::Result<Report> {
    let desired = &resolved.desired;
    let mut notes = Vec::new();
    if how.mount && mount_if_missing(&desired.bpffs)? {
        notes.push(error::note(format!("mounted a bpffs on {}", desired.bpffs.display())));
    }
    let bpffs = Bpffs::open(&desired.bpffs)?;
    let _lock = bpffs.lock(how.lock_timeout)?;
    let remains = remove_stale_staging(&bpffs)?;
    notes.extend(remains.notes);
    let plan = (how.plan)(desired, &look(&bpffs, Some(desired))?);
    if !plan.obstacles.is_empty() {
        let bpffs = bpffs.path().to_path_buf();
        return Err(Blocked { obstacles: plan.obstacles, bpffs }.into());
    }
    let mut report =
        report_plan(&plan, Some(&desired.set), bpffs.path(), resolved.origin.sources());
    let loaded_already = LoadedAlready::new(desired, &plan);
    let load_and_stamp = |program: &Program, walked: &BTreeSet<&str>| {
        if let Some(loaded) = loaded_already.get(program, walked)? {
            return Ok(loaded);
        }
        let (loaded, maps) = load(program, walked, &plan, &resolved.objects)?;
        loaded.bind(&Stamp::new(&desired.set, program, &maps, loaded.own_maps()))?;
        Ok(loaded)
    };
    let (mut pins, mut needed) = (BTreeMap::new(), BTreeSet::new());
    let mut look_again = || {
        let observed = look(&bpffs, Some(desired))?;
        if remains.has_kept_maps {
            needed = needed_maps(&observed, &BTreeSet::new());
        }
        pins = verify((how.plan)(desired, &observed))?;
        Ok(())
    };
    let untidy = execute::execute(&plan, &bpffs, &load_and_stamp, &mut look_again)
        .map_err(|failure| NotDone { failure, sources: resolved.origin.sources().to_vec() })?;
    report::fill_in_ids(&mut report.changes, &pins);
    report.changed = report.summary.changes() > 0;
    report.comment = comment(&report);
    report.diagnostics = notes;
    if report.changed && remains.has_kept_maps {
        report.diagnostics.extend(release_kept(&bpffs, &needed));
    }
    report.diagnostics.extend(untidy.iter().map(error::warning));
    Ok(report)
}

/// What is planned after everything was done must be nothing. Gives every pin of the set.
fn verify(again: Plan) -> anyhow::Result<BTreeMap<PinPath, ObservedPin>> {
    if again.is_done() {
        return Ok(again.unchanged);
    }
    let paths = again.steps.iter().map(plan::Step::path);
    let paths = paths.chain(again.obstacles.iter().filter_map(plan::Obstacle::path));
    let paths: Vec<String> = paths.map(|path| format!("`{path}`")).collect();
    bail!("somebody else is changing the same pins: {}", paths.join(", "))
}

fn comment(report: &Report) -> String {
    let unchanged = report.summary.unchanged;
    if !report.changed {
        return format!("nothing to do: {} in sync", iterators(unchanged));
    }
    let changes = count_changes(report, ["pinned", "replaced", "updated", "unpinned"]);
    match unchanged {
        0 => changes,
        number => format!("{changes}; {number} in sync already"),
    }
}
