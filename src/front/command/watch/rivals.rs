//! Another iterctl that manages the same set with another manifest: each would undo what the other does, for ever. Pure.
//!
//! In: what each round found. Out: one warning, and how long to wait so that the two do not race. Only iterctl stamps a
//! program with a set, so a pin with this set's stamp that was not made here was made by another iterctl.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::front::report::{Diagnostic, Severity};
use iterctl_core::desired::Set;
use iterctl_core::escaped::Escaped;
use iterctl_core::observed::ObservedPin;
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Plan, Step};

/// So many rounds that undo the work of another iterctl, within this time, are no coincidence. Pins that only the other
/// manifest lists send no events here, so these are found once in an interval, which is a minute by default.
const ROUNDS: usize = 3;
const WITHIN: Duration = Duration::from_secs(5 * 60);

/// How long to wait after the first of them. Each further round doubles it.
const FIRST_HOLD: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// How many pins a warning names.
const NAMED: usize = 3;

/// Pins of this set that another iterctl has made, and that are not as desired here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Theirs {
    /// Its `-f` arguments.
    source: Vec<String>,
    /// The differences, pin by pin.
    pins: Vec<String>,
}

/// The findings of earlier rounds.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// The links of this set that were in place after the last round. `None` before the first one.
    links: Option<BTreeSet<u32>>,
    /// When rounds undid the work of another iterctl.
    undone: VecDeque<Instant>,
    /// How many rounds have had to wait.
    holds: u32,
    /// Whether the last round was one of those.
    is_contested: bool,
}

impl Rivals {
    /// The changes of a plan to pins that another iterctl has made since the last round.
    pub(super) fn theirs(&self, plan: &Plan, set: &Set) -> Option<Theirs> {
        let links = self.links.as_ref()?;
        let mut theirs: Option<Theirs> = None;
        for (path, have, what) in plan.steps.iter().filter_map(changed) {
            let stamp = have.provenance.stamp().filter(|stamp| stamp.set == set.name);
            let Some(stamp) = stamp.filter(|_| !links.contains(&have.link.id.0)) else { continue };
            let pin = format!("`{path}` {what}");
            match &mut theirs {
                None => theirs = Some(Theirs { source: stamp.source.clone(), pins: vec![pin] }),
                Some(theirs) => theirs.pins.push(pin),
            }
        }
        theirs
    }

    /// A round has ended, with these links of the set in place. Returns the warning, if there is one to give.
    pub(super) fn round(
        &mut self,
        now: Instant,
        links: BTreeSet<u32>,
        theirs: Option<Theirs>,
        set: &Set,
    ) -> Option<Diagnostic> {
        self.links = Some(links);
        self.is_contested = false;
        let forgotten = WITHIN.max(2 * self.hold());
        while self.undone.front().is_some_and(|first| now.duration_since(*first) > forgotten) {
            self.undone.pop_front();
        }
        if self.undone.is_empty() {
            self.holds = 0;
        }
        let theirs = theirs?;
        self.undone.push_back(now);
        if self.holds == 0 && self.undone.len() < ROUNDS {
            return None;
        }
        self.is_contested = true;
        self.holds = self.holds.saturating_add(1);
        (self.holds == 1).then(|| warning(&theirs, set))
    }

    /// How long the next round must wait, if the last one undid the work of another iterctl once more.
    pub(super) fn holds_for(&self) -> Option<Duration> {
        self.is_contested.then(|| self.hold())
    }

    fn hold(&self) -> Duration {
        let doublings = self.holds.saturating_sub(1).min(16);
        (FIRST_HOLD * 2_u32.pow(doublings)).min(LONGEST_HOLD)
    }
}

/// The pin that a step changes, and how it differs from what is desired.
fn changed(step: &Step) -> Option<(&PinPath, &ObservedPin, &'static str)> {
    match step {
        Step::Unpin { path, have, .. } => Some((path, have, "is not in this manifest")),
        Step::Replace { path, have, .. } => Some((path, have, "is another iterator here")),
        Step::SetMeta { path, have, .. } => {
            Some((path, have, "has another mode, owner or group here"))
        }
        Step::RemoveDirectory { .. }
        | Step::MakeDirectory { .. }
        | Step::SetDirectoryMeta { .. }
        | Step::Pin { .. } => None,
    }
}

fn warning(theirs: &Theirs, set: &Set) -> Diagnostic {
    let source = theirs.source.join(" ");
    let mut pins = theirs.pins.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if theirs.pins.len() > NAMED {
        pins.push_str(&format!(", and {} more", theirs.pins.len() - NAMED));
    }
    let manifest = match theirs.source == set.source {
        true => "with another manifest at the same path",
        false => "with another manifest",
    };
    let name = &set.name;
    Diagnostic {
        severity: Severity::Warning,
        message: format!(
            "another iterctl manages the set `{name}` {manifest}: {}; what each of them pins, the other \
             one changes back: {pins}; from now on, this one waits longer and longer before it does",
            Escaped::new(&source)
        ),
        causes: Vec::new(),
        hint: Some(
            "stop one of the two, put all entries into one call, or give one manifest another set: \
             `set = \"NAME\"` or `--set NAME`"
                .to_owned(),
        ),
        place: None,
        also: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iterctl_core::desired::Naming;

    fn set() -> Set {
        Set {
            name: "observe".parse().expect("a set name"),
            naming: Naming::Written,
            source: vec!["/a.toml".to_owned()],
        }
    }

    fn theirs() -> Option<Theirs> {
        Some(Theirs { source: vec!["/b.toml".to_owned()], pins: vec!["`p` x".to_owned()] })
    }

    #[test]
    fn a_contest_is_told_once_and_slowed_down() {
        let mut rivals = Rivals::default();
        let mut now = Instant::now();
        let mut holds = Vec::new();
        let mut warnings = Vec::new();
        for round in 0..9 {
            let told = rivals.round(now, BTreeSet::new(), theirs(), &set());
            warnings.extend(told.map(|told| (round, told.message)));
            let hold = rivals.holds_for().unwrap_or_default();
            holds.push(hold.as_secs());
            now += hold + Duration::from_millis(200);
            // The look after each change finds nothing.
            assert!(rivals.round(now, BTreeSet::new(), None, &set()).is_none());
            assert_eq!(rivals.holds_for(), None);
        }
        assert_eq!(holds, [0, 0, 1, 2, 4, 8, 16, 32, 60]);
        let [(2, message)] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert!(message.contains("`observe` with another manifest: /b.toml"), "{message}");
    }

    #[test]
    fn what_happens_now_and_then_is_no_contest() {
        let mut rivals = Rivals::default();
        let mut now = Instant::now();
        for _ in 0..9 {
            assert!(rivals.round(now, BTreeSet::new(), theirs(), &set()).is_none());
            assert_eq!(rivals.holds_for(), None);
            now += WITHIN / 2 + Duration::from_secs(1);
        }
    }
}
