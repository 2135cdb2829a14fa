//! Plans and observed pins → the rows of a report.

use std::collections::BTreeMap;
use std::path::Path;

use super::faults::Lines;
use super::{Action, Change, ListedPin, PinState, Reason, Summary};
use iterctl_core::desired::DesiredPin;
use iterctl_core::manifest::Source;
use iterctl_core::names::SetName;
use iterctl_core::observed::{LinkParam, Observed, ObservedPin};
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Drift, Obstacle, Plan, Step, UnpinReason, WantedParam};

/// Every pin that a plan changes or cannot change, by path, and how many there are of each kind.
/// `set` is who will own the new ones; the entries' places are in `sources`.
pub fn changes(
    plan: &Plan,
    set: Option<&SetName>,
    bpffs: &Path,
    sources: &[Source],
) -> (Vec<Change>, Summary) {
    let lines = Lines::of(sources);
    let mut summary = Summary { unchanged: plan.unchanged.len(), ..Summary::default() };
    let mut changes: Vec<(&PinPath, Change)> = Vec::new();
    for step in &plan.steps {
        let Some(change) = of_step(step, set, &lines) else { continue };
        *summary.count(change.action) += 1;
        changes.push((step.path(), change));
    }
    let before = changes.len();
    changes.extend(plan.obstacles.iter().filter_map(of_obstacle));
    summary.blocked = changes.len() - before;
    (by_path(changes, bpffs), summary)
}

fn by_path(mut changes: Vec<(&PinPath, Change)>, bpffs: &Path) -> Vec<Change> {
    changes.sort_by_key(|(path, _)| *path);
    changes.into_iter().map(|(path, change)| on_bpffs(bpffs, path, change)).collect()
}

/// The same change, with its path.
pub(super) fn on_bpffs(bpffs: &Path, path: &PinPath, change: Change) -> Change {
    Change {
        path: bpffs.join(path.as_path()).to_string_lossy().into_owned(),
        relative: path.to_string(),
        ..change
    }
}

/// Every pin that something is in the way of, by path.
pub(super) fn blocked(obstacles: &[Obstacle], bpffs: &Path) -> Vec<Change> {
    by_path(obstacles.iter().filter_map(of_obstacle).collect(), bpffs)
}

/// Gives every change the ids that its pin has after it: `now` is every pin that is as it is to be.
pub fn fill_in_ids(changes: &mut [Change], now: &BTreeMap<PinPath, ObservedPin>) {
    for change in changes {
        // What is to be there after it has a path that a manifest has written.
        let pin = now.get(Path::new(&change.relative));
        if let (Some(after), Some(pin)) = (&mut change.after, pin) {
            after.program_id = Some(pin.link.program.0);
            after.link_id = Some(pin.link.id.0);
        }
    }
}

/// Every pinned iterator, by path.
pub fn pins(observed: &Observed, bpffs: &Path) -> Vec<ListedPin> {
    observed
        .iterators()
        .map(|(path, pin)| ListedPin {
            path: bpffs.join(path.as_path()).to_string_lossy().into_owned(),
            state: of_observed(pin),
            relative: path.to_string(),
        })
        .collect()
}

fn of_step(step: &Step, set: Option<&SetName>, lines: &Lines<'_>) -> Option<Change> {
    let change =
        |action, reasons, before: Option<&ObservedPin>, after, want: Option<&DesiredPin>| {
            Some(Change {
                path: String::new(),
                relative: String::new(),
                action,
                reasons,
                before: before.map(of_observed),
                after,
                source: want.and_then(|want| lines.line_of(&want.place)),
            })
        };
    match step {
        Step::RemoveDirectory { .. } | Step::MakeDirectory { .. } => None,
        Step::Unpin { have, reason, .. } => {
            let reason = match reason {
                UnpinReason::NoLongerListed => reason_of("no-longer-listed", "no longer listed"),
                UnpinReason::Asked => reason_of("asked", "asked for"),
            };
            change(Action::Unpin, vec![reason], Some(have), None, None)
        }
        Step::Pin { want, param, .. } => {
            let after = of_desired(want, param, set);
            let what = match &after.parameter {
                Some(parameter) => format!("{} {parameter}", after.target),
                None => after.target.clone(),
            };
            let reasons = vec![reason_of("missing", what)];
            change(Action::Pin, reasons, None, Some(after), Some(want))
        }
        Step::Replace { want, param, have, drift, .. } => {
            let after = of_desired(want, param, set);
            let reasons = drift.iter().map(of_drift).collect();
            change(Action::Replace, reasons, Some(have), Some(after), Some(want))
        }
        Step::SetMeta { want, have, drift, .. } => {
            let meta = PinState {
                mode: want.meta.mode.to_string(),
                uid: want.meta.uid,
                gid: want.meta.gid,
                ..of_observed(have)
            };
            let reasons = drift.iter().map(of_drift).collect();
            change(Action::Update, reasons, Some(have), Some(meta), Some(want))
        }
    }
}

pub(super) fn reason_of(kind: &'static str, message: impl Into<String>) -> Reason {
    Reason { kind, message: message.into() }
}

fn of_drift(drift: &Drift) -> Reason {
    let kind = match drift {
        Drift::Foreign(_) => "foreign",
        Drift::Object(..) => "object-changed",
        Drift::Program(..) => "program-changed",
        Drift::Target(..) => "target-changed",
        Drift::Param(LinkParam::Map(_), WantedParam::Link(LinkParam::Map(_))) => "map-changed",
        Drift::Globals => "globals-changed",
        Drift::GivenMap { .. } => "given-map-changed",
        Drift::MapNotHeld { .. } => "map-not-held",
        Drift::MaxEntries { .. } => "max-entries-changed",
        Drift::Param(..) => "parameter-changed",
        Drift::Mode(..) => "mode-changed",
        Drift::Owner(..) => "owner-changed",
        Drift::Group(..) => "group-changed",
    };
    reason_of(kind, drift.to_string())
}

/// An obstacle of one path; those of the whole set are errors of the command.
pub(super) fn of_obstacle(obstacle: &Obstacle) -> Option<(&PinPath, Change)> {
    let (path, kind, before) = match obstacle {
        Obstacle::Foreign { path, have } => (path, "foreign", Some(of_observed(have))),
        Obstacle::NotAnIterator { path, .. } => (path, "not-an-iterator", None),
        Obstacle::Directory { path } => (path, "directory", None),
        Obstacle::ParentNotADirectory { path, .. } => (path, "parent-not-a-directory", None),
        Obstacle::Map { path, .. } => (path, "no-map", None),
        Obstacle::Cgroup { path, .. } => (path, "no-cgroup", None),
        Obstacle::NotPinned { path } => (path, "not-pinned", None),
        Obstacle::OtherSource { .. } | Obstacle::Empty { .. } => return None,
    };
    Some((path, Change { before, ..nothing_done(vec![reason_of(kind, obstacle.to_string())]) }))
}

/// The row of a pin with which nothing is done, without its path.
pub(super) fn nothing_done(reasons: Vec<Reason>) -> Change {
    Change {
        path: String::new(),
        relative: String::new(),
        action: Action::Blocked,
        reasons,
        before: None,
        after: None,
        source: None,
    }
}

fn of_observed(pin: &ObservedPin) -> PinState {
    let stamp = pin.provenance.stamp();
    PinState {
        target: pin.link.target.as_str().to_owned(),
        parameter: parameter(pin.link.param),
        program: stamp.map_or_else(|| pin.program_name.to_string(), |stamp| stamp.program.clone()),
        program_id: Some(pin.link.program.0),
        link_id: Some(pin.link.id.0),
        set: stamp.map(|stamp| stamp.set.to_string()),
        object: stamp.map(|stamp| stamp.object.to_string_lossy().into_owned()),
        sha256: stamp.map(|stamp| stamp.sha256.to_string()),
        mode: pin.meta.mode.to_string(),
        uid: pin.meta.uid,
        gid: pin.meta.gid,
    }
}

fn of_desired(want: &DesiredPin, param: &WantedParam, set: Option<&SetName>) -> PinState {
    PinState {
        target: want.program.target.as_str().to_owned(),
        parameter: match param {
            WantedParam::Link(param) => parameter(*param),
            WantedParam::OwnMap(_) => Some(param.to_string()),
        },
        program: want.program.name.clone(),
        program_id: None,
        link_id: None,
        set: set.map(SetName::to_string),
        object: Some(want.program.object.to_string_lossy().into_owned()),
        sha256: Some(want.program.sha256.to_string()),
        mode: want.meta.mode.to_string(),
        uid: want.meta.uid,
        gid: want.meta.gid,
    }
}

fn parameter(param: LinkParam) -> Option<String> {
    (param != LinkParam::None).then(|| param.to_string())
}
