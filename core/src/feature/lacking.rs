//! The needs of a desired + the features of a kernel → what the kernel lacks. Pure.

use std::collections::BTreeMap;

use super::{Feature, Features, State, Unmet, Without};
use crate::anatomy::Extern;
use crate::desired::{Desired, DesiredPin, Order, Param};
use crate::pin_path::PinPath;
use crate::target::{Sleep, Target};

/// Something that is needed and that a kernel lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Every entry needs it.
    Base(Feature),
    /// One entry needs it.
    Entry {
        /// The path of its pin.
        path: PinPath,
        /// The feature that it needs.
        feature: Feature,
    },
    /// The program of one entry uses it by name.
    Extern {
        /// The path of its pin.
        path: PinPath,
        /// The part that the kernel lacks.
        unmet: Unmet,
    },
    /// The target of one entry, which the table does not have either.
    Target {
        /// The path of its pin.
        path: PinPath,
        /// The target.
        target: Target,
    },
}

impl Lack {
    /// The pin that cannot be made.
    pub fn path(&self) -> Option<&PinPath> {
        match self {
            Self::Base(_) => None,
            Self::Entry { path, .. } | Self::Extern { path, .. } | Self::Target { path, .. } => {
                Some(path)
            }
        }
    }

    /// The error message.
    pub fn message(&self) -> String {
        match self {
            Self::Base(feature) | Self::Entry { feature, .. } => feature.lacking(),
            Self::Extern { unmet, .. } => unmet.to_string(),
            Self::Target { target, .. } => format!("this kernel has no target `{target}`"),
        }
    }

    /// The hint.
    pub fn hint(&self) -> String {
        match self {
            Self::Base(feature) | Self::Entry { feature, .. } => feature.hint(),
            Self::Extern { unmet, .. } => unmet.hint(),
            Self::Target { .. } => "check the program's SEC(\"iter/…\")".to_owned(),
        }
    }
}

/// Everything that is lacking: first what all entries need, then by path. A feature that the kernel could
/// not be asked about is not reported. `unmet` lists what the kernel lacks of the externs of all programs.
pub fn lacking(
    features: &Features,
    unmet: &BTreeMap<Extern, Unmet>,
    desired: Option<&Desired>,
) -> Vec<Lack> {
    let is_base = |feature: &Feature| matches!(feature.without(), Without::Nothing(_));
    let base = Feature::all().filter(is_base).filter(|feature| features.lacks(*feature));
    let pins = desired.into_iter().flat_map(|desired| &desired.pins);
    let of_entries = pins.flat_map(|(path, pin)| {
        let lacks = entry_lacks(features, path, pin);
        lacks.into_iter().chain(extern_lacks(unmet, path, pin))
    });
    base.map(Lack::Base).chain(of_entries).collect()
}

/// The externs of the entry's program that this kernel lacks.
fn extern_lacks<'a>(
    unmet: &'a BTreeMap<Extern, Unmet>,
    path: &'a PinPath,
    pin: &'a DesiredPin,
) -> impl Iterator<Item = Lack> + 'a {
    let unmet = pin.program.externs.iter().filter_map(|one| unmet.get(one).cloned());
    unmet.map(|unmet| Lack::Extern { path: path.clone(), unmet })
}

fn entry_lacks(features: &Features, path: &PinPath, pin: &DesiredPin) -> Vec<Lack> {
    let target = &pin.program.target;
    let of_target = match target.known() {
        Some(known) => Some(Feature::Target(known)),
        None => {
            // All targets are listed in the kernel's BTF.
            let are_known = features.state(Feature::Btf) == Some(&State::Present);
            if are_known && !features.others.contains(target) {
                return vec![Lack::Target { path: path.clone(), target: target.clone() }];
            }
            None
        }
    };
    let of_param = match &pin.param {
        Param::Thread(_) | Param::Process(_) => Some(Feature::TaskParameters),
        Param::Cgroup(_, Order::Children) => Some(Feature::CgroupChildren),
        Param::Cgroup(
            _,
            Order::SelfOnly | Order::DescendantsPre | Order::DescendantsPost | Order::AncestorsUp,
        )
        | Param::None
        | Param::Map(_)
        | Param::OwnMap(_) => None,
    };
    let of_program = match pin.program.sleep {
        Sleep::Allowed => Some(Feature::Sleepable),
        Sleep::Never => None,
    };
    let needed = [of_target, of_param, of_program].into_iter().flatten();
    needed
        .filter(|feature| features.lacks(*feature))
        .map(|feature| Lack::Entry { path: path.clone(), feature })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::access::{Meta, Mode};
    use crate::desired::{
        CgroupRef, DirectoryAccess, Globals, KeyPlaces, Naming, Program, Set, Wanted,
    };
    use crate::fault::Place;
    use crate::names::Sha256;

    /// A kernel that has everything but these.
    fn without(names: &[&str], state: &State) -> Features {
        let states = Feature::all().map(|feature| {
            let is_named = names.contains(&feature.name());
            (feature, if is_named { state.clone() } else { State::Present })
        });
        Features {
            release: "6.18.0".to_owned(),
            states: states.collect(),
            others: vec![Target::new("of_tomorrow")],
        }
    }

    fn pin(target: &str, param: Param, sleep: Sleep) -> DesiredPin {
        let program = Program {
            object: PathBuf::from("/opt/x.bpf.o"),
            sha256: Sha256::from([1; 32]),
            name: "dump".to_owned(),
            target: Target::new(target),
            sleep,
            globals: Globals::default(),
            maps: BTreeMap::new(),
            held: BTreeSet::new(),
            externs: BTreeSet::new(),
            max_entries: BTreeMap::new(),
        };
        let mode = |text: &str| text.parse::<Mode>().expect("a mode");
        DesiredPin {
            program: Arc::new(program),
            param,
            meta: Meta { mode: mode("0600"), uid: 0, gid: 0 },
            directory: DirectoryAccess {
                mode: Wanted::Default(mode("0700")),
                uid: Wanted::Default(0),
                gid: Wanted::Default(0),
            },
            place: Place::new(0, 0..0),
            keys: KeyPlaces { obj: Place::new(0, 0..0), param: None, maps: BTreeMap::new() },
        }
    }

    fn desired() -> Desired {
        let cgroup = |order| Param::Cgroup(CgroupRef::Id(1), order);
        let pins = [
            ("children", pin("cgroup", cgroup(Order::Children), Sleep::Never)),
            ("future", pin("of_tomorrow", Param::None, Sleep::Never)),
            ("pid", pin("task_vma", Param::Process(1), Sleep::Allowed)),
            ("plain", pin("tcp", Param::None, Sleep::Never)),
            ("self", pin("cgroup", cgroup(Order::SelfOnly), Sleep::Never)),
            ("tid", pin("task", Param::Thread(1), Sleep::Never)),
        ];
        let pins = pins.map(|(path, pin)| (path.parse().expect("a path"), pin));
        Desired {
            set: Set {
                name: "observe".parse().expect("a set name"),
                naming: Naming::Written,
                source: Vec::new(),
            },
            bpffs: PathBuf::from("/sys/fs/bpf"),
            pins: pins.into(),
            left_out: BTreeSet::new(),
            warnings: Vec::new(),
        }
    }

    #[track_caller]
    fn check(features: &Features, expected: &[&str]) {
        let lacks = lacking(features, &BTreeMap::new(), Some(&desired()));
        let written = lacks.iter().map(|lack| match lack {
            Lack::Base(feature) => feature.name().to_owned(),
            Lack::Entry { path, feature } => format!("{path} {}", feature.name()),
            Lack::Extern { path, unmet } => format!("{path} {unmet}"),
            Lack::Target { path, target } => format!("{path} {target}"),
        });
        assert_eq!(written.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn features_that_no_entry_needs_are_not_reported() {
        check(&without(&[], &State::Absent), &[]);
        check(&without(&["ksym", "exchange", "path-fd"], &State::Absent), &[]);
    }

    #[test]
    fn lacking_features_are_reported_for_each_entry() {
        check(&without(&["cgroup"], &State::Absent), &["children cgroup", "self cgroup"]);
        check(
            &without(&["task-parameters"], &State::Absent),
            &["pid task-parameters", "tid task-parameters"],
        );
        check(&without(&["cgroup-children"], &State::Absent), &["children cgroup-children"]);
        check(
            &without(&["task_vma", "sleepable-iterators"], &State::Absent),
            &["pid task_vma", "pid sleepable-iterators"],
        );
    }

    #[test]
    fn features_that_all_entries_need_are_reported_once() {
        check(&without(&["stamps"], &State::Absent), &["stamps"]);
        check(&without(&["btf"], &State::Absent), &["btf"]);
    }

    #[test]
    fn unknown_targets_are_looked_up_in_the_kernel() {
        let mut features = without(&[], &State::Absent);
        features.others.clear();
        check(&features, &["future of_tomorrow"]);
    }

    #[test]
    fn features_that_could_not_be_asked_about_are_not_reported() {
        let unknown = State::Unknown("not permitted".to_owned());
        let all: Vec<&str> = Feature::all().map(Feature::name).collect();
        check(&without(&all, &unknown), &[]);
    }

    #[test]
    fn what_a_program_takes_from_the_kernel_is_lacking_for_its_entry_only() {
        let function = Extern::Function("f".to_owned());
        let mut desired = desired();
        let path: PinPath = "plain".parse().expect("a path");
        let pin = desired.pins.get_mut(&path).expect("it is listed");
        Arc::make_mut(&mut pin.program).externs.insert(function.clone());
        let unmet = Unmet::Function("f".to_owned());
        let lacks =
            lacking(&without(&[], &State::Absent), &[(function, unmet)].into(), Some(&desired));
        let [lack] = lacks.as_slice() else { panic!("one is lacking, not {lacks:?}") };
        assert_eq!(lack.path(), Some(&path));
        assert_eq!(lack.message(), "this kernel has no kernel function `f`");
        assert!(lack.hint().contains("`bpf_ksym_exists(f)`"), "{}", lack.hint());
    }
}
