//! Plans and observed pins → the rows of a report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::faults::Lines;
use super::{Action, Change, ClosedPath, ListedPin, PinState, Reason, Summary};
use iterctl_core::access::Meta;
use iterctl_core::desired::DesiredPin;
use iterctl_core::manifest::Source;
use iterctl_core::names::SetName;
use iterctl_core::observed::{LinkParam, Observed, ObservedPin};
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Drift, Obstacle, Plan, Step, UnpinReason, WantedParam};

/// Every pin that a plan changes or cannot change, by path, and the number of each kind. `set` will own the new pins;
/// the places of the entries are in `sources`. `now` has every pin that is in sync after the plan was carried out: the
/// others have no ids yet.
pub fn changes(
    plan: &Plan,
    set: Option<&SetName>,
    bpffs: &Path,
    sources: &[Source],
    now: &BTreeMap<PinPath, ObservedPin>,
) -> (Vec<Change>, Summary) {
    let rows = Rows { set, bpffs, lines: Lines::of(sources), now };
    let mut summary = Summary { unchanged: plan.unchanged.len(), ..Summary::default() };
    let mut changes: Vec<Change> =
        plan.steps.iter().filter_map(|step| rows.step_change(step)).collect();
    for change in &changes {
        *summary.count(change.action) += 1;
    }
    let blocked = blocked(&plan.obstacles, bpffs);
    summary.blocked = blocked.len();
    changes.extend(blocked);
    changes.sort_by(Change::by_path);
    (changes, summary)
}

/// Every pin that is blocked by an obstacle, by path.
pub(super) fn blocked(obstacles: &[Obstacle], bpffs: &Path) -> Vec<Change> {
    let mut rows: Vec<Change> =
        obstacles.iter().filter_map(|obstacle| from_obstacle(obstacle, bpffs)).collect();
    rows.sort_by(Change::by_path);
    rows
}

/// Every pinned iterator, by path.
pub fn pins(observed: &Observed, bpffs: &Path) -> Vec<ListedPin> {
    observed
        .iterators()
        .map(|(path, pin)| ListedPin {
            path: absolute(bpffs, path),
            state: from_observed(pin),
            relative: path.clone(),
        })
        .collect()
}

/// Everything that this user may not look at: pins, then directories.
pub fn closed(
    pins: &[(PinPath, Meta)],
    directories: &[(PathBuf, Meta)],
    bpffs: &Path,
) -> Vec<ClosedPath> {
    let row = |path: &Path, directory: bool, Meta { mode, uid, gid }: Meta| ClosedPath {
        path: path.to_string_lossy().into_owned(),
        directory,
        mode: mode.to_string(),
        uid,
        gid,
        relative: path.strip_prefix(bpffs).unwrap_or(path).to_string_lossy().into_owned(),
    };
    let pins = pins.iter().map(|(path, meta)| row(&bpffs.join(path.as_path()), false, *meta));
    pins.chain(directories.iter().map(|(path, meta)| row(path, true, *meta))).collect()
}

pub(super) fn absolute(bpffs: &Path, path: &PinPath) -> String {
    bpffs.join(path.as_path()).to_string_lossy().into_owned()
}

/// The data that all rows of a plan need.
struct Rows<'a> {
    set: Option<&'a SetName>,
    bpffs: &'a Path,
    lines: Lines<'a>,
    now: &'a BTreeMap<PinPath, ObservedPin>,
}

impl Rows<'_> {
    fn step_change(&self, step: &Step) -> Option<Change> {
        match step {
            Step::RemoveDirectory { .. } | Step::MakeDirectory { .. } => None,
            // A directory has no link that `before` and `after` could tell of.
            Step::SetDirectoryMeta { path, drift, .. } => Some(Change {
                path: absolute(self.bpffs, path),
                action: Action::Update,
                reasons: drift.iter().map(from_drift).collect(),
                before: None,
                after: None,
                source: None,
                relative: path.clone(),
            }),
            Step::Unpin { path, have, reason } => {
                let reason = match reason {
                    UnpinReason::NoLongerListed => {
                        reason_of("no-longer-listed", "no longer listed")
                    }
                    UnpinReason::Asked => reason_of("asked", "asked for"),
                };
                Some(Change {
                    path: absolute(self.bpffs, path),
                    action: Action::Unpin,
                    reasons: vec![reason],
                    before: Some(from_observed(have)),
                    after: None,
                    source: None,
                    relative: path.clone(),
                })
            }
            Step::Pin { path, want, param } => {
                let after = self.desired_state(path, want, param);
                let what = match &after.parameter {
                    Some(parameter) => format!("{} {parameter}", after.target),
                    None => after.target.clone(),
                };
                let reasons = vec![reason_of("missing", what)];
                Some(self.wanted(Action::Pin, path, want, reasons, None, after))
            }
            Step::Replace { path, want, param, have, drift } => {
                let after = self.desired_state(path, want, param);
                let reasons = drift.iter().map(from_drift).collect();
                Some(self.wanted(Action::Replace, path, want, reasons, Some(have), after))
            }
            Step::SetMeta { path, want, have, drift } => {
                let after = PinState {
                    mode: want.meta.mode.to_string(),
                    uid: want.meta.uid,
                    gid: want.meta.gid,
                    ..from_observed(have)
                };
                let reasons = drift.iter().map(from_drift).collect();
                Some(self.wanted(Action::Update, path, want, reasons, Some(have), after))
            }
        }
    }

    /// The row of a pin that an entry asks for.
    fn wanted(
        &self,
        action: Action,
        path: &PinPath,
        want: &DesiredPin,
        reasons: Vec<Reason>,
        have: Option<&ObservedPin>,
        after: PinState,
    ) -> Change {
        Change {
            path: absolute(self.bpffs, path),
            action,
            reasons,
            before: have.map(from_observed),
            after: Some(after),
            source: self.lines.line_of(&want.place),
            relative: path.clone(),
        }
    }

    fn desired_state(&self, path: &PinPath, want: &DesiredPin, param: &WantedParam) -> PinState {
        let made = self.now.get(path).map(|pin| &pin.link);
        PinState {
            target: want.program.target.as_str().to_owned(),
            parameter: match param {
                WantedParam::Link(param) => parameter(*param),
                WantedParam::OwnMap(_) => Some(param.to_string()),
            },
            program: want.program.name.clone(),
            program_id: made.map(|link| link.program.0),
            link_id: made.map(|link| link.id.0),
            set: self.set.map(SetName::to_string),
            object: Some(want.program.object.to_string_lossy().into_owned()),
            sha256: Some(want.program.sha256.to_string()),
            mode: want.meta.mode.to_string(),
            uid: want.meta.uid,
            gid: want.meta.gid,
        }
    }
}

pub(super) fn reason_of(kind: &'static str, message: impl Into<String>) -> Reason {
    Reason { kind, message: message.into() }
}

fn from_drift(drift: &Drift) -> Reason {
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
        Drift::DirectoryMode(..) => "dir-mode-changed",
        Drift::DirectoryOwner(..) => "dir-owner-changed",
        Drift::DirectoryGroup(..) => "dir-group-changed",
    };
    reason_of(kind, drift.to_string())
}

/// The row of an obstacle at one path. Obstacles of the whole set have no row: they are errors of the command.
pub(super) fn from_obstacle(obstacle: &Obstacle, bpffs: &Path) -> Option<Change> {
    let (path, kind, before) = match obstacle {
        Obstacle::Foreign { path, have } => (path, "foreign", Some(from_observed(have))),
        Obstacle::NotAnIterator { path, .. } => (path, "not-an-iterator", None),
        Obstacle::Directory { path } => (path, "directory", None),
        Obstacle::ParentNotADirectory { path, .. } => (path, "parent-not-a-directory", None),
        Obstacle::BehindMount { path, .. } => (path, "behind-mount", None),
        Obstacle::Map { path, .. } => (path, "no-map", None),
        Obstacle::Cgroup { path, .. } => (path, "no-cgroup", None),
        Obstacle::NotPinned { path } => (path, "not-pinned", None),
        Obstacle::ReadOnly { .. } | Obstacle::OtherSource { .. } | Obstacle::Empty { .. } => {
            return None;
        }
    };
    let reasons = vec![reason_of(kind, obstacle.to_string())];
    Some(Change { before, ..nothing_done(bpffs, path, reasons) })
}

/// The row of a pin with which nothing is done.
pub(super) fn nothing_done(bpffs: &Path, path: &PinPath, reasons: Vec<Reason>) -> Change {
    Change {
        path: absolute(bpffs, path),
        action: Action::Blocked,
        reasons,
        before: None,
        after: None,
        source: None,
        relative: path.clone(),
    }
}

fn from_observed(pin: &ObservedPin) -> PinState {
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

fn parameter(param: LinkParam) -> Option<String> {
    (param != LinkParam::None).then(|| param.to_string())
}
