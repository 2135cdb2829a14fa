//! `apply`: the whole line, and round once more to prove that nothing is left to do.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

use super::{
    Answer, Resolved, count_changes, iterators, look, policy, remove_stale_staging, report_plan,
    resolve,
};
use crate::bpffs::{Bpffs, mount_if_missing};
use crate::cli::ApplyArgs;
use crate::desired::{Desired, Program};
use crate::execute;
use crate::exit::Exit;
use crate::kernel;
use crate::observed::ObservedPin;
use crate::path::PinPath;
use crate::plan::{self, Plan, Policy};
use crate::report::{self, Blocked, Report, error};
use crate::stamp::Stamp;

pub(super) fn apply(args: &ApplyArgs) -> anyhow::Result<Answer> {
    let resolved = resolve(&args.manifest)?;
    let desired = &resolved.desired;
    let mut notes = Vec::new();
    if args.mount && mount_if_missing(&desired.bpffs)? {
        notes.push(error::note(format!("mounted a bpffs on {}", desired.bpffs.display())));
    }
    let bpffs = Bpffs::open(&desired.bpffs)?;
    let _lock = bpffs.lock(args.lock.lock_timeout)?;
    notes.extend(remove_stale_staging(&bpffs)?);
    let policy = policy(&args.policy);
    let plan = make_plan(desired, &bpffs, policy)?;
    if !plan.obstacles.is_empty() {
        return Err(Blocked(plan.obstacles).into());
    }
    let mut report = report_plan(&plan, Some(&desired.set), bpffs.path(), &resolved.sources);
    let untidy = carry_out(&plan, &bpffs, &resolved)?;
    if !plan.steps.is_empty() {
        let pins = verify(desired, &bpffs, policy)?;
        report::fill_in_ids(&mut report.changes, &pins);
    }
    report.changed = report.summary.changes() > 0;
    report.comment = comment(&report);
    report.diagnostics = notes;
    report.diagnostics.extend(untidy.iter().map(error::warning));
    Ok(Answer { report, exit: Exit::Done })
}

fn make_plan(desired: &Desired, bpffs: &Bpffs, policy: Policy) -> anyhow::Result<Plan> {
    let observed = look(bpffs, Some(desired))?;
    Ok(plan::plan(desired, &observed, policy))
}

fn carry_out(
    plan: &Plan,
    bpffs: &Bpffs,
    resolved: &Resolved,
) -> anyhow::Result<Vec<anyhow::Error>> {
    let load = |program: &Program| {
        let bytes = resolved.objects.bytes(&program.object).context("the object was not read")?;
        let stamp = Stamp::new(&resolved.desired.set, program);
        Ok(kernel::load(program, bytes, &stamp, bpffs.path())?)
    };
    Ok(execute::execute(plan, bpffs, &load)?)
}

/// Observes again: the plan must be empty. Gives every pin of the set.
fn verify(
    desired: &Desired,
    bpffs: &Bpffs,
    policy: Policy,
) -> anyhow::Result<BTreeMap<PinPath, ObservedPin>> {
    let again = make_plan(desired, bpffs, policy)?;
    if again.is_done() {
        return Ok(again.unchanged);
    }
    let paths = again.steps.iter().map(plan::Step::path);
    let paths = paths.chain(again.obstacles.iter().filter_map(plan::Obstacle::path));
    let paths: Vec<String> = paths.map(|path| format!("`{path}`")).collect();
    bail!("applied, but somebody else is changing the same pins: {}", paths.join(", "))
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
