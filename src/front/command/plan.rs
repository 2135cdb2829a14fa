//! `plan`: `-f` → desired + observed → plan, and no further.

use std::collections::BTreeMap;
use std::mem;

use super::observe::{look, too_deep};
use super::resolve::{Selection, policy, read_input, resolve_entries, trust};
use super::{Answer, Ending};
use crate::front::cli::PlanArgs;
use crate::front::errors::{Origin, Result};
use crate::front::report::words::{add_left_out, count_changes, iterators};
use crate::front::report::{self, Report, Summary, error, faults};
use crate::host::bpffs::Bpffs;
use iterctl_core::manifest;
use iterctl_core::plan::{self, Obstacle};

pub(super) fn plan(args: &PlanArgs) -> Result<Answer> {
    let (trust, entries) = (trust(&args.policy.trust), Selection::from_args(&args.keep_going));
    let input = read_input(&args.manifest, trust)?;
    let manifest = manifest::parse(&input);
    let origin = Origin::Manifest(input.sources);
    let (resolved, mut left_out) = resolve_entries(origin, &manifest, trust, entries)?;
    let desired = &resolved.desired;
    let bpffs = Bpffs::open(&desired.bpffs)?;
    let observed = look(&bpffs, Some(desired))?;
    let mut plan = plan::plan(desired, &observed, policy(&args.policy));
    if entries == Selection::Sound && plan.obstacles.iter().all(|one| one.path().is_some()) {
        left_out.obstacles = mem::take(&mut plan.obstacles);
    }

    let sources = resolved.origin.sources();
    let set = Some(&desired.set.name);
    let (changes, summary) = report::changes(&plan, set, bpffs.path(), sources, &BTreeMap::new());
    let mut report = Report {
        changed: summary.changes() > 0,
        changes,
        summary,
        diagnostics: faults::warnings(&desired.warnings, sources),
        ..Report::new(comment(summary, &plan.obstacles))
    };
    report.diagnostics.extend(error::notes(&plan.notes, bpffs.path()));
    report.diagnostics.extend(too_deep(&observed));
    if !left_out.is_empty() {
        add_left_out(&mut report, &left_out);
        return Ok(Answer::new(report, Ending::Failed(left_out.into())));
    }
    let ending = if !plan.obstacles.is_empty() {
        report.diagnostics.extend(error::beside_rows(&plan.obstacles));
        Ending::InTheWay(plan.obstacles)
    } else if report.changed && args.detailed_exitcode {
        Ending::Changes
    } else {
        Ending::Done
    };
    Ok(Answer::new(report, ending))
}

fn comment(summary: Summary, obstacles: &[Obstacle]) -> String {
    let unchanged = summary.unchanged;
    if let Some(what) = error::in_the_way(obstacles) {
        return format!("apply would change nothing: {what}");
    }
    if summary.changes() == 0 {
        return format!("nothing to do: {} in sync", iterators(unchanged));
    }
    let changes = count_changes(summary, ["to pin", "to replace", "to update", "to unpin"]);
    match unchanged {
        0 => changes,
        number => format!("{changes}; {number} in sync"),
    }
}
