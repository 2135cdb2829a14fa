//! `plan`: `-f` → desired + observed → plan, and no further.

use super::{Answer, Trust, count_changes, iterators, look, policy, report_plan, resolve};
use crate::bpffs::Bpffs;
use crate::cli::PlanArgs;
use crate::exit::Exit;
use crate::plan;
use crate::report::{Report, error};

pub(super) fn plan(args: &PlanArgs) -> anyhow::Result<Answer> {
    let resolved = resolve(&args.manifest, Trust::of(&args.policy.trust))?;
    let desired = &resolved.desired;
    let bpffs = Bpffs::open(&desired.bpffs)?;
    let observed = look(&bpffs, Some(desired))?;
    let plan = plan::plan(desired, &observed, policy(&args.policy));

    let mut report = report_plan(&plan, Some(&desired.set), bpffs.path(), &resolved.sources);
    report.changed = report.summary.changes() > 0;
    report.comment = comment(&report, !plan.obstacles.is_empty());
    let exit = if !plan.obstacles.is_empty() {
        report.diagnostics = error::beside_rows(&plan.obstacles);
        Exit::of_obstacles(&plan.obstacles)
    } else if report.changed && args.detailed_exitcode {
        Exit::Changes
    } else {
        Exit::Done
    };
    Ok(Answer::new(report, exit))
}

fn comment(report: &Report, is_blocked: bool) -> String {
    let unchanged = report.summary.unchanged;
    if is_blocked {
        return "apply would change nothing: something is in the way".to_owned();
    }
    if !report.changed {
        return format!("nothing to do: {} in sync", iterators(unchanged));
    }
    let changes = count_changes(report, ["to pin", "to replace", "to update", "to unpin"]);
    match unchanged {
        0 => changes,
        number => format!("{changes}; {number} in sync"),
    }
}
