//! The features that kernels have and lack: one table, used by `check --kernel` and by the errors. Pure.
//!
//! In: a feature, or a kernel's answers about all of them. Out: its names, the first release that has it,
//! and what happens without it; the features that a desired needs and a kernel lacks.

mod lacking;
mod unmet;

use std::borrow::Cow;

pub use lacking::{Lack, lacking};
pub use unmet::Unmet;

use crate::target::{KNOWN, Known, Target};

/// Something that iterctl uses and that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// bpf(2) itself.
    Bpf,
    /// The kernel's own types, which are needed to attach iterators.
    Btf,
    /// `BPF_PROG_BIND_MAP`.
    Stamps,
    /// One of the targets that this program knows.
    Target(&'static Known),
    /// `bpf_iter_link_info.task`.
    TaskParameters,
    /// `BPF_CGROUP_ITER_CHILDREN`.
    CgroupChildren,
    /// `SEC("iter.s/…")`.
    Sleepable,
    /// `BPF_PROG_TYPE_SYSCALL`, the type of libbpf's generated loaders.
    Loader,
    /// CO-RE in the kernel, which those loaders use.
    KernelCore,
    /// BPF memory is counted against the cgroup, not against `RLIMIT_MEMLOCK`.
    MemoryCgroup,
    /// `RENAME_EXCHANGE` on bpffs.
    Exchange,
    /// `BPF_F_PATH_FD`.
    PathFd,
}

/// The purpose of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Everything.
    Base,
    /// The targets of iterators.
    Targets,
    /// The parameters of iterators.
    Parameters,
    /// How programs are loaded into the kernel.
    Loading,
    /// How pins are changed and inspected.
    Pins,
}

/// The effect of a missing feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Nothing works; the hint.
    Nothing(&'static str),
    /// Entries that need it are refused; what works instead.
    Refused(&'static str),
    /// The same is done in another way, which is given.
    Otherwise(&'static str),
}

/// The answer of a kernel about a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// The kernel could not be asked; the reason.
    Unknown(String),
}

/// The features that a kernel has and lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// The kernel's own name for its release: `6.18.1-amd64`.
    pub release: String,
    /// Every feature of the table, in its order.
    pub states: Vec<(Feature, State)>,
    /// Targets that the kernel has and the table lacks.
    pub others: Vec<Target>,
}

/// A row of the table.
struct Row {
    name: &'static str,
    words: Cow<'static, str>,
    since: &'static str,
    group: Group,
    without: Without,
}

const fn row(
    name: &'static str,
    words: &'static str,
    since: &'static str,
    group: Group,
    without: Without,
) -> Row {
    Row { name, words: Cow::Borrowed(words), since, group, without }
}

impl Feature {
    /// All features; those of one group follow each other.
    pub fn all() -> impl Iterator<Item = Self> {
        let base = [Self::Bpf, Self::Btf, Self::Stamps];
        let others = [
            Self::TaskParameters,
            Self::CgroupChildren,
            Self::Sleepable,
            Self::Loader,
            Self::KernelCore,
            Self::MemoryCgroup,
            Self::Exchange,
            Self::PathFd,
        ];
        base.into_iter().chain(KNOWN.iter().map(Self::Target)).chain(others)
    }

    /// The table. The releases are those in which the commit that brought it is first: of targets, see
    /// [`KNOWN`]; `bpf: Add BPF_PROG_BIND_MAP syscall` (5.10), `bpf: Parameterize task iterators` (6.1),
    /// `bpf: add new BPF_CGROUP_ITER_CHILDREN control option` (7.0), `bpf: Add support for bpf iterator
    /// programs to use sleepable helpers` (5.18), `bpf: Introduce bpf_sys_bpf() helper and program type`
    /// (5.14), `bpf: Add bpf_core_add_cands() and wire it into bpf_core_apply_relo_insn()` (5.17), `bpf:
    /// Eliminate rlimit-based memory accounting …` (5.11), `libfs: Support RENAME_EXCHANGE in
    /// simple_rename()` (5.16), `bpf: Support O_PATH FDs in BPF_OBJ_PIN and BPF_OBJ_GET commands` (6.5).
    fn row(self) -> Row {
        use Group::{Base, Loading, Parameters, Pins, Targets};
        use Without::{Nothing, Otherwise, Refused};
        match self {
            Self::Bpf => row(
                "bpf",
                "bpf(2)",
                "3.18",
                Base,
                Nothing(
                    "use a kernel with CONFIG_BPF_SYSCALL=y; on one that has it, a seccomp filter forbids \
                     the call",
                ),
            ),
            Self::Btf => row(
                "btf",
                "BTF",
                "5.4",
                Base,
                Nothing(
                    "use a kernel with CONFIG_DEBUG_INFO_BTF=y; on one that has it, \
                     /sys/kernel/btf/vmlinux must be there",
                ),
            ),
            Self::Stamps => row(
                "stamps",
                "stamps (BPF_PROG_BIND_MAP)",
                "5.10",
                Base,
                Nothing("use Linux 5.10 or later"),
            ),
            Self::Target(known) => Row {
                name: known.name,
                words: Cow::Owned(format!("target `{}`", known.name)),
                since: known.since,
                group: Targets,
                without: Refused("its iterators cannot be loaded"),
            },
            Self::TaskParameters => row(
                "task-parameters",
                "parameter of task iterators (`pid`, `tid`)",
                "6.1",
                Parameters,
                Refused("all tasks can be walked"),
            ),
            Self::CgroupChildren => row(
                "cgroup-children",
                "order `children` of cgroups",
                "7.0",
                Parameters,
                Refused("the other orders can be used"),
            ),
            Self::Sleepable => row(
                "sleepable-iterators",
                "sleepable iterators (`iter.s/…`)",
                "5.18",
                Loading,
                Refused("programs in `iter/…` can be loaded"),
            ),
            Self::Loader => row(
                "generated-loader",
                "programs that load programs",
                "5.14",
                Loading,
                Otherwise("libbpf loads them, which takes longer"),
            ),
            Self::KernelCore => row(
                "kernel-core",
                "CO-RE in the kernel",
                "5.17",
                Loading,
                Otherwise("libbpf does it, which takes longer"),
            ),
            Self::MemoryCgroup => row(
                "memcg-accounting",
                "memory that RLIMIT_MEMLOCK does not limit",
                "5.11",
                Loading,
                Otherwise("the limit is raised, if that is permitted"),
            ),
            Self::Exchange => row(
                "exchange",
                "exchange of two pins in one step",
                "5.16",
                Pins,
                Otherwise("the new pin is renamed over the old one"),
            ),
            Self::PathFd => row(
                "path-fd",
                "pins opened by directory descriptor",
                "6.5",
                Pins,
                Otherwise("they are opened through /proc/thread-self/fd"),
            ),
        }
    }

    /// Its name for programs, the same in every version; for a target, the name of the target.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its name for people.
    pub fn words(self) -> Cow<'static, str> {
        self.row().words
    }

    /// The first Linux that has it.
    pub fn since(self) -> &'static str {
        self.row().since
    }

    /// Its group.
    pub fn group(self) -> Group {
        self.row().group
    }

    /// The effect on a kernel without it.
    pub fn without(self) -> Without {
        self.row().without
    }

    /// The error for a kernel that lacks it.
    pub fn lacking(self) -> String {
        format!("this kernel has no {}", self.words())
    }

    /// The hint for that error.
    pub fn hint(self) -> String {
        let since = self.since();
        match (self, self.without()) {
            (Self::Target(known), _) => format!("`{}` is there since Linux {since}", known.name),
            (_, Without::Nothing(hint)) => hint.to_owned(),
            (_, Without::Refused(instead) | Without::Otherwise(instead)) => {
                format!("it is there since Linux {since}; before, {instead}")
            }
        }
    }
}

impl Group {
    /// Its name for programs and people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Targets => "targets",
            Self::Parameters => "parameters",
            Self::Loading => "loading",
            Self::Pins => "pins",
        }
    }
}

impl Features {
    /// The kernel's answer about a feature.
    pub fn state(&self, feature: Feature) -> Option<&State> {
        self.states.iter().find(|(one, _)| *one == feature).map(|(_, state)| state)
    }

    /// Whether the kernel answers that it does not have the feature.
    pub fn lacks(&self, feature: Feature) -> bool {
        self.state(feature) == Some(&State::Absent)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_fit_for_programs() {
        let names: Vec<&str> = Feature::all().map(Feature::name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        let is_plain = |name: &str| {
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        };
        assert!(names.iter().all(|name| is_plain(name)), "{names:?}");
    }

    #[test]
    fn features_of_a_group_follow_each_other() {
        let groups: Vec<Group> = Feature::all().map(Feature::group).collect();
        assert!(groups.is_sorted(), "{groups:?}");
    }

    #[track_caller]
    fn check(feature: Feature, lacking: &str, hint: &str) {
        assert_eq!(feature.lacking(), lacking);
        assert_eq!(feature.hint(), hint);
    }

    #[test]
    fn lacking_features_are_reported_with_a_hint() {
        let unix = KNOWN.iter().find(|known| known.name == "unix").expect("it is in the table");
        let unix = Feature::Target(unix);
        check(unix, "this kernel has no target `unix`", "`unix` is there since Linux 5.15");
        check(
            Feature::Sleepable,
            "this kernel has no sleepable iterators (`iter.s/…`)",
            "it is there since Linux 5.18; before, programs in `iter/…` can be loaded",
        );
        check(
            Feature::Stamps,
            "this kernel has no stamps (BPF_PROG_BIND_MAP)",
            "use Linux 5.10 or later",
        );
    }

    #[test]
    fn a_feature_is_told_with_its_release_and_group() {
        let told = |feature: Feature| (feature.name(), feature.since(), feature.group().name());
        assert_eq!(told(Feature::Bpf), ("bpf", "3.18", "base"));
        let unix = KNOWN.iter().find(|known| known.name == "unix").expect("it is in the table");
        assert_eq!(told(Feature::Target(unix)), ("unix", "5.15", "targets"));
        assert_eq!(told(Feature::CgroupChildren), ("cgroup-children", "7.0", "parameters"));
        assert_eq!(told(Feature::Loader), ("generated-loader", "5.14", "loading"));
        assert_eq!(told(Feature::PathFd), ("path-fd", "6.5", "pins"));
    }
}
