//! The features that a kernel has and lacks, as rows, as a table for people, and as errors.

use anstyle::{AnsiColor, Style};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::plain;
use super::{Diagnostic, Severity};
use iterctl_core::feature::{Feature, Features, Group, Lack, State, Without};
use iterctl_core::target::{Known, Takes};

/// The features that a kernel has and lacks.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct KernelReport {
    /// The kernel's own name for its release, such as `6.18.1-amd64`.
    pub release: String,
    /// All features that not every kernel has. Rows may be added within one version of this form.
    pub features: Vec<FeatureRow>,
}

/// One feature that not every kernel has.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FeatureRow {
    /// Its name, the same in every version: `stamps`, `task-parameters`, …; for a target, the name of the target.
    pub name: String,
    /// The group of the feature: `base`, `targets`, `parameters`, `loading` or `pins`.
    pub group: &'static str,
    /// Whether this kernel has it.
    pub state: FeatureState,
    /// The first Linux that has it; none for a target that iterctl does not know.
    pub since: Option<&'static str>,
    /// A description of the feature, the effect of its absence, or the reason why it is unknown.
    pub message: String,
}

/// Whether a kernel has a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeatureState {
    /// The kernel has it.
    Present,
    /// The kernel does not have it.
    Absent,
    /// The kernel could not be asked.
    Unknown,
}

impl KernelReport {
    /// The rows, sorted by group.
    pub fn new(features: &Features) -> Self {
        let mut rows: Vec<FeatureRow> =
            features.states.iter().map(|(feature, state)| from_feature(*feature, state)).collect();
        let others = features.others.iter().map(|target| FeatureRow {
            name: target.as_str().to_owned(),
            group: Group::Targets.name(),
            state: FeatureState::Present,
            since: None,
            message: "is not known to this iterctl".to_owned(),
        });
        let is_target = |row: &FeatureRow| row.group == Group::Targets.name();
        let end = rows.iter().rposition(is_target).map_or(rows.len(), |last| last + 1);
        rows.splice(end..end, others);
        Self { release: features.release.clone(), features: rows }
    }

    /// The numbers of features that are present, absent and unknown, in one line.
    pub fn comment(&self) -> String {
        let number = |state| self.features.iter().filter(|row| row.state == state).count();
        let (absent, unknown) = (number(FeatureState::Absent), number(FeatureState::Unknown));
        let present = format!(
            "Linux {}: {} of {} features present",
            self.release,
            number(FeatureState::Present),
            self.features.len()
        );
        match (absent, unknown) {
            (0, 0) => present,
            (absent, 0) => format!("{present}, {absent} absent"),
            (0, unknown) => format!("{present}, {unknown} unknown"),
            (absent, unknown) => format!("{present}, {absent} absent, {unknown} unknown"),
        }
    }
}

fn from_feature(feature: Feature, state: &State) -> FeatureRow {
    let words = feature.words().into_owned();
    let (state, message) = match (state, feature.without()) {
        (State::Present, _) => (FeatureState::Present, what(feature)),
        (State::Absent, Without::Nothing(_)) => {
            (FeatureState::Absent, format!("{words}: nothing works without"))
        }
        (State::Absent, Without::Refused(instead) | Without::Otherwise(instead)) => {
            (FeatureState::Absent, format!("{words}: {instead}"))
        }
        (State::Unknown(why), _) => (FeatureState::Unknown, format!("{words}: {why}")),
    };
    FeatureRow {
        name: feature.name().to_owned(),
        group: feature.group().name(),
        state,
        since: Some(feature.since()),
        message,
    }
}

/// A description of the feature; for a target, the parameter that it takes.
fn what(feature: Feature) -> String {
    match feature {
        Feature::Target(Known { takes: Takes::Nothing, .. }) => "takes no parameter".to_owned(),
        Feature::Target(Known { takes: Takes::Map, .. }) => "takes a map".to_owned(),
        Feature::Target(Known { takes: Takes::Task, .. }) => "takes a task, or none".to_owned(),
        Feature::Target(Known { takes: Takes::Cgroup, .. }) => "takes a cgroup".to_owned(),
        Feature::Bpf
        | Feature::Btf
        | Feature::Stamps
        | Feature::TaskParameters
        | Feature::CgroupChildren
        | Feature::Sleepable
        | Feature::Loader
        | Feature::KernelCore
        | Feature::MemoryCgroup
        | Feature::Exchange
        | Feature::PathFd => feature.words().into_owned(),
    }
}

const PRESENT: Style = AnsiColor::Green.on_default();
const ABSENT: Style = AnsiColor::BrightRed.on_default().bold();
const UNKNOWN: Style = AnsiColor::Yellow.on_default();
const HEADER: Style = Style::new().bold();

/// A styled table for each group.
pub(super) fn render(kernel: &KernelReport) -> String {
    let width = kernel.features.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut group = "";
    for row in &kernel.features {
        if row.group != group {
            group = row.group;
            text.push_str(&format!("{HEADER}{group}{HEADER:#}\n"));
        }
        let (style, state) = match row.state {
            FeatureState::Present => (PRESENT, "present"),
            FeatureState::Absent => (ABSENT, "absent"),
            FeatureState::Unknown => (UNKNOWN, "unknown"),
        };
        let since = match (row.state, row.since) {
            (FeatureState::Absent | FeatureState::Unknown, Some(since)) => {
                format!(" (since Linux {since})")
            }
            (FeatureState::Present, _) | (_, None) => String::new(),
        };
        let (name, message) = (&row.name, &row.message);
        text.push_str(&format!("  {name:width$}  {style}{state:7}{style:#}  {message}{since}\n"));
    }
    text.push('\n');
    text
}

/// The error for one feature that is needed and that the kernel lacks.
pub(super) fn from_lack(lack: &Lack) -> Diagnostic {
    let message = match lack.path() {
        Some(path) => format!("`{path}`: {}", lack.message()),
        None => lack.message(),
    };
    Diagnostic { hint: Some(lack.hint()), ..plain(Severity::Error, message) }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use iterctl_core::target::Target;

    #[track_caller]
    fn check(others: &[&str], name: &str, state: &State, line: &str, comment: &str) {
        let states = Feature::all()
            .map(|one| (one, if one.name() == name { state.clone() } else { State::Present }));
        let kernel = KernelReport::new(&Features {
            release: "6.18.1".to_owned(),
            states: states.collect(),
            others: others.iter().copied().map(Target::new).collect(),
        });
        let text = strip_str(&render(&kernel)).to_string();
        assert!(text.lines().any(|one| one == line), "no {line:?} in:\n{text}");
        assert_eq!(kernel.comment(), comment);
    }

    #[test]
    fn every_row_says_what_is_there_and_what_is_not() {
        check(
            &[],
            "exchange",
            &State::Present,
            "  exchange             present  exchange of two pins in one step",
            "Linux 6.18.1: 29 of 29 features present",
        );
        check(
            &[],
            "exchange",
            &State::Absent,
            "  exchange             absent   exchange of two pins in one step: the new pin is renamed \
             over the old one (since Linux 5.16)",
            "Linux 6.18.1: 28 of 29 features present, 1 absent",
        );
        check(
            &[],
            "unix",
            &State::Unknown("not permitted to ask".to_owned()),
            "  unix                 unknown  target `unix`: not permitted to ask (since Linux 5.15)",
            "Linux 6.18.1: 28 of 29 features present, 1 unknown",
        );
        check(
            &["of_tomorrow"],
            "unix",
            &State::Present,
            "  of_tomorrow          present  is not known to this iterctl",
            "Linux 6.18.1: 30 of 30 features present",
        );
    }
}
