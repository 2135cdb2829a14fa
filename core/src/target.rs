//! The targets that Linux lets an iterator walk, since when, and with which parameter. Pure.
//!
//! In: the name after `SEC("iter/…")`. Out: what is known of it. A target that is not in the table may
//! still belong to a newer kernel: it is tried, and the kernel decides.

use std::fmt;
use std::sync::Arc;

use strsim::damerau_levenshtein;

use crate::escaped::Escaped;

/// A target that an iterator walks: `task`, `bpf_map_elem`, `tcp`, … Thousands of pins share a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Arc<str>);

/// The parameter that a target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None at all.
    Nothing,
    /// A map, always.
    Map,
    /// One task or all.
    Task,
    /// A cgroup and an order, always.
    Cgroup,
}

/// Whether a program may sleep while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sleep {
    /// It is in `SEC("iter/…")`.
    Never,
    /// It is in `SEC("iter.s/…")`.
    Allowed,
}

/// A target that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name, as in `SEC("iter/NAME")`.
    pub name: &'static str,
    /// The first kernel that has it.
    pub since: &'static str,
    /// Its parameter.
    pub takes: Takes,
    /// Whether it takes programs that may sleep.
    pub sleeps: bool,
}

/// Every target of Linux 6.18, oldest first. Sources: `bpf_iter_reg_target()` calls in the kernel's
/// tree and the release in which each first appeared.
pub const KNOWN: &[Known] = &[
    known("bpf_map", "5.8", Takes::Nothing, NEVER),
    known("ipv6_route", "5.8", Takes::Nothing, NEVER),
    known("netlink", "5.8", Takes::Nothing, NEVER),
    known("task", "5.8", Takes::Task, SLEEPS),
    known("task_file", "5.8", Takes::Task, SLEEPS),
    known("bpf_map_elem", "5.9", Takes::Map, NEVER),
    known("bpf_prog", "5.9", Takes::Nothing, NEVER),
    known("bpf_sk_storage_map", "5.9", Takes::Map, NEVER),
    known("tcp", "5.9", Takes::Nothing, NEVER),
    known("udp", "5.9", Takes::Nothing, NEVER),
    known("sockmap", "5.10", Takes::Map, NEVER),
    known("task_vma", "5.12", Takes::Task, SLEEPS),
    known("unix", "5.15", Takes::Nothing, NEVER),
    known("bpf_link", "5.19", Takes::Nothing, NEVER),
    known("ksym", "6.0", Takes::Nothing, SLEEPS),
    known("cgroup", "6.1", Takes::Cgroup, SLEEPS),
    known("kmem_cache", "6.13", Takes::Nothing, SLEEPS),
    known("dmabuf", "6.16", Takes::Nothing, SLEEPS),
];

const SLEEPS: bool = true;
const NEVER: bool = false;

const fn known(name: &'static str, since: &'static str, takes: Takes, sleeps: bool) -> Known {
    Known { name, since, takes, sleeps }
}

/// Names of at most this many letters have no misspellings: `tcp` and `mcp` are unrelated.
const SHORT: usize = 3;

impl Target {
    /// The target of that name, known or not.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The target of an ELF section: `task` for `iter/task` and the sleepable `iter.s/task`. libbpf's
    /// leading `?`, which only says that a program is not loaded by default, is not part of the name
    /// (`bpf_object__init_prog()`, libbpf 1.7).
    pub fn from_section(section: &str) -> Option<Self> {
        let section = section.strip_prefix('?').unwrap_or(section);
        let name = section.strip_prefix("iter/").or_else(|| section.strip_prefix("iter.s/"))?;
        (!name.is_empty()).then(|| Self::new(name))
    }

    /// The name, as in `SEC("iter/NAME")`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The known target of which it is a misspelling: one letter is wrong, missing or extra, or two are
    /// swapped. A digit makes another name: `udp6` is not a misspelling of `udp`.
    pub(crate) fn misspelt(&self) -> Option<&'static str> {
        let digits = |name: &str| -> String { name.chars().filter(char::is_ascii_digit).collect() };
        let is_near = |known: &&Known| {
            known.name.len() > SHORT
                && damerau_levenshtein(known.name, &self.0) == 1
                && digits(known.name) == digits(&self.0)
        };
        let near = KNOWN.iter().find(is_near).map(|known| known.name);
        near.filter(|_| self.known().is_none())
    }

    /// Whether it takes programs that may sleep; `None` if the target is unknown. A target that does is
    /// registered with `BPF_ITER_RESCHED`: see `bpf_iter_link_attach()` in kernel/bpf/bpf_iter.c.
    pub fn takes_sleepable(&self) -> Option<bool> {
        self.known().map(|known| known.sleeps)
    }

    /// The table's row for it; `None` if it is unknown, and may belong to a newer kernel.
    pub fn known(&self) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.name == &*self.0)
    }
}

impl Sleep {
    /// Whether a program may sleep, from an ELF section that names a [target](Target::from_section).
    pub fn from_section(section: &str) -> Self {
        let section = section.strip_prefix('?').unwrap_or(section);
        if section.starts_with("iter.s/") { Self::Allowed } else { Self::Never }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An object may hold any text.
        Escaped::new(&*self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(section: &str, expected: Option<&str>) {
        assert_eq!(Target::from_section(section), expected.map(Target::new), "{section}");
    }

    #[test]
    fn sections_name_their_target() {
        check("iter/task", Some("task"));
        check("iter.s/task_vma", Some("task_vma"));
        check("?iter/tcp", Some("tcp"));
        check("iter/", None);
        check("iter", None);
        check("fentry/iter", None);
    }

    #[test]
    fn names_are_escaped_for_a_terminal() {
        let target = Target::from_section("iter/ta\u{1b}[31m\nsk").expect("it is one");
        assert_eq!(target.to_string(), "ta\\u{1b}[31m\\nsk");
        assert_eq!(target.as_str(), "ta\u{1b}[31m\nsk");
    }

    #[test]
    fn sections_say_which_programs_may_sleep() {
        assert_eq!(Sleep::from_section("iter/task"), Sleep::Never);
        assert_eq!(Sleep::from_section("iter.s/task"), Sleep::Allowed);
        assert_eq!(Sleep::from_section("?iter.s/task"), Sleep::Allowed);
    }

    #[test]
    fn misspelt_targets_are_distinguished_from_new_ones() {
        let misspelt = |name: &str| Target::new(name).misspelt();
        assert_eq!(misspelt("tasks"), Some("task"));
        assert_eq!(misspelt("tsak"), Some("task"));
        assert_eq!(misspelt("bpf_map_elems"), Some("bpf_map_elem"));
        assert_eq!(misspelt("task_fiel"), Some("task_file"));
        assert_eq!(misspelt("netlnik"), Some("netlink"));
        for right in [
            "task",
            "udp6",
            "tcp4",
            "mcp",
            "warp_core",
            "bpf_btf",
            "io_uring",
            "sctp",
            "files",
            "ipv4_route",
            "task_mm",
        ] {
            assert_eq!(misspelt(right), None, "{right}");
        }
    }

    #[test]
    fn targets_that_take_sleepable_programs_are_known() {
        let takes = |name: &str| Target::new(name).takes_sleepable();
        assert_eq!(takes("task_vma"), Some(true));
        assert_eq!(takes("bpf_map_elem"), Some(false));
        assert_eq!(takes("no_such_target"), None);
    }

    #[test]
    fn targets_with_a_parameter_are_known() {
        let takes = |name: &str| Target::new(name).known().map(|known| known.takes);
        assert_eq!(takes("bpf_map_elem"), Some(Takes::Map));
        assert_eq!(takes("task"), Some(Takes::Task));
        assert_eq!(takes("cgroup"), Some(Takes::Cgroup));
        assert_eq!(takes("tcp"), Some(Takes::Nothing));
        assert_eq!(takes("no_such_target"), None);
    }
}
