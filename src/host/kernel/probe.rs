//! The kernel → which of the [features](iterctl_core::feature) it has. BTF tells it, and calls that leave nothing
//! behind. The version number of the kernel is not used.
//!
//! A feature is unknown if this process may not ask for it.

mod types;

use std::fs;
use std::io;
use std::sync::OnceLock;

use rustix::fs::CWD;
use rustix::io::Errno;

pub(super) use self::types::VMLINUX;
use self::types::{Types, Unreadable};
use super::ffi::{self, probe};
use crate::host::bpffs::try_exchange;
use iterctl_core::feature::{Feature, Features, State};
use iterctl_core::target::Target;

const EBADF: i32 = Errno::BADF.raw_os_error();
const EINVAL: i32 = Errno::INVAL.raw_os_error();
const ENOSYS: i32 = Errno::NOSYS.raw_os_error();

/// Asks for all features.
pub fn features() -> Features {
    let asked = Asked { bind: code(probe::bind_nothing()), types: Types::read() };
    let states = Feature::all().map(|feature| (feature, asked.state(feature)));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Features {
        release: release.trim().to_owned(),
        states: states.collect(),
        others: asked.types.as_ref().map(other_targets).unwrap_or_default(),
    }
}

/// Whether bpf(2) can be called at all.
pub fn has_bpf() -> bool {
    code(probe::bind_nothing()) != Some(ENOSYS)
}

/// Whether this kernel has no sleepable iterators, by its BTF. The calls do not tell: before Linux 5.18, the kernel
/// loads them, and runs them where nothing may sleep (`check_attach_btf_id()` in
/// kernel/bpf/verifier.c and `bpf_iter_run_prog()` in kernel/bpf/bpf_iter.c; seen on 5.10).
pub(super) fn lacks_sleepable() -> bool {
    static LACKS: OnceLock<bool> = OnceLock::new();
    *LACKS.get_or_init(|| Types::read().is_ok_and(|types| !types.has_sleepable()))
}

/// Whether this kernel has types that sysfs does not show.
pub(super) fn has_hidden_types() -> bool {
    fs::File::open(VMLINUX).is_err() && matches!(probe::kernel_types(), Ok(Some(_)))
}

/// Whether this kernel counts BPF memory against RLIMIT_MEMLOCK, by its BTF.
pub(super) fn counts_locked_memory() -> bool {
    Types::read().is_ok_and(|types| !types.has_memory_cgroup())
}

/// Answers of the kernel that decide several features.
struct Asked {
    /// The error of binding nothing to nothing.
    bind: Option<i32>,
    types: Result<Types, Unreadable>,
}

impl Asked {
    fn state(&self, feature: Feature) -> State {
        if self.bind == Some(ENOSYS) {
            return match feature {
                Feature::Bpf => State::Absent,
                Feature::Btf
                | Feature::Stamps
                | Feature::Target(_)
                | Feature::TaskParameters
                | Feature::CgroupChildren
                | Feature::Sleepable
                | Feature::Loader
                | Feature::KernelCore
                | Feature::MemoryCgroup
                | Feature::Exchange
                | Feature::PathFd => State::Unknown(Feature::Bpf.lacking()),
            };
        }
        match feature {
            Feature::Bpf => State::Present,
            Feature::Btf => match &self.types {
                Ok(_) => State::Present,
                Err(Unreadable::Missing) => State::Absent,
                Err(Unreadable::Broken(why)) => State::Unknown(why.clone()),
            },
            Feature::Stamps => match self.bind {
                Some(EBADF) => State::Present,
                Some(EINVAL) => State::Absent,
                other => unknown(other),
            },
            Feature::Target(known) => self.of_types(|types| target(types, known.name)),
            Feature::TaskParameters => self.of_types(|types| found(types.has_task_parameter())),
            Feature::CgroupChildren => self.of_types(|types| found(types.has_cgroup_children())),
            Feature::Sleepable => self.of_types(|types| found(types.has_sleepable())),
            Feature::Loader => self.of_types(|types| found(types.has_loader())),
            Feature::KernelCore => self.of_types(|types| found(types.has_kernel_core())),
            Feature::MemoryCgroup => self.of_types(|types| found(types.has_memory_cgroup())),
            Feature::Exchange => match code(try_exchange()) {
                None => State::Present,
                Some(EINVAL) => State::Absent,
                other => unknown(other),
            },
            // The empty path never exists.
            Feature::PathFd => match ffi::obj_get_at(CWD, c"") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => State::Present,
                Err(error) if error.raw_os_error() == Some(EINVAL) => State::Absent,
                other => unknown(code(other)),
            },
        }
    }

    fn of_types(&self, state: impl FnOnce(&Types) -> State) -> State {
        match &self.types {
            Ok(types) => state(types),
            Err(Unreadable::Missing) => State::Unknown(Feature::Btf.lacking()),
            Err(Unreadable::Broken(why)) => State::Unknown(why.clone()),
        }
    }
}

fn found(is_found: bool) -> State {
    if is_found { State::Present } else { State::Absent }
}

/// BTF may have a target that is not registered, such as that of IPv6 if IPv6 was turned off at boot. Only loading
/// tells. A process that may not load must rely on BTF.
fn target(types: &Types, name: &str) -> State {
    let Some(function) = types.target(name) else { return State::Absent };
    match probe::load_iterator(function) {
        Err(error) if error.raw_os_error() == Some(EINVAL) => State::Absent,
        Ok(_) | Err(_) => State::Present,
    }
}

/// Targets that this program does not know.
fn other_targets(types: &Types) -> Vec<Target> {
    let all = types.targets().map(Target::new);
    let is_other = |one: &Target| one.known().is_none();
    all.filter(is_other).filter(|one| target(types, one.as_str()) == State::Present).collect()
}

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().map(|error| error.raw_os_error().unwrap_or_default())
}

fn unknown(code: Option<i32>) -> State {
    let error = io::Error::from_raw_os_error(code.unwrap_or_default());
    State::Unknown(if error.kind() == io::ErrorKind::PermissionDenied {
        "not permitted to ask".to_owned()
    } else {
        error.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(types: Unreadable, btf: &State) {
        let asked = Asked { bind: Some(EBADF), types: Err(types) };
        assert_eq!(asked.state(Feature::Btf), *btf);
        assert!(matches!(asked.state(Feature::TaskParameters), State::Unknown(_)));
    }

    #[test]
    fn only_a_kernel_that_shows_no_types_anywhere_has_none() {
        check(Unreadable::Missing, &State::Absent);
        let why = || "not permitted to ask".to_owned();
        check(Unreadable::Broken(why()), &State::Unknown(why()));
    }
}
