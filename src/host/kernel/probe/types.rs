//! Reads the kernel's BTF, in one pass over its hundred thousand types.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};

use libbpf_rs::btf::types::{Composite, Enum, Func, FuncProto, Ptr, Struct};
use libbpf_rs::btf::{Btf, BtfType, ReferencesType as _};

use rustix::fs::{MemfdFlags, memfd_create};

use super::super::ffi::probe;
use super::super::log;
use crate::host::sys::descriptors;

/// The path of the kernel's BTF.
pub(in crate::host::kernel) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The beginning of the name of the function that stands for a target (`BPF_ITER_FUNC_PREFIX` of
/// include/linux/bpf.h).
const PREFIX: &str = "bpf_iter_";

/// The values of enums that are looked for.
const VALUES: [&str; 4] = [
    "BPF_FUNC_copy_from_user_task",
    "BPF_PROG_TYPE_SYSCALL",
    "BPF_FUNC_ktime_get_coarse_ns",
    "BPF_CGROUP_ITER_CHILDREN",
];

/// The types that were found.
#[derive(Debug, Default)]
pub(super) struct Types {
    /// The function of every target, by the target's name.
    targets: BTreeMap<String, u32>,
    /// The members of `union bpf_iter_link_info`.
    parameters: BTreeSet<String>,
    values: BTreeSet<&'static str>,
    has_core_relo: bool,
}

/// Why the types cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The kernel has no BTF, or does not show it.
    Missing,
    /// libbpf cannot parse it, or this process may not ask for it.
    Broken(String),
}

impl Types {
    /// Reads them, as libbpf does. If sysfs does not show them, as in a container that masks it, the kernel is asked for
    /// them: libbpf's generated loaders use what the kernel has.
    pub(super) fn read() -> Result<Self, Unreadable> {
        let (btf, messages) = log::collect(Btf::from_vmlinux);
        match btf {
            Ok(btf) => Ok(Self::of(&btf)),
            Err(_) if File::open(VMLINUX).is_err() => Self::ask(),
            Err(error) => Err(Unreadable::Broken(
                messages.last().cloned().unwrap_or_else(|| error.to_string()),
            )),
        }
    }

    fn ask() -> Result<Self, Unreadable> {
        // The kernel reads its types when they are first needed (bpf_get_btf_vmlinux() in kernel/bpf/verifier.c):
        // this asks for a type, which is none of a target.
        let _ = probe::load_iterator(1);
        let types = match probe::kernel_types() {
            Ok(Some(types)) => types,
            Ok(None) => return Err(Unreadable::Missing),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Unreadable::Broken(format!(
                    "not permitted to ask, and {VMLINUX} cannot be read"
                )));
            }
            Err(error) => return Err(Unreadable::Broken(error.to_string())),
        };
        let parsed = in_memory(&types).and_then(|file| {
            let (btf, _) = log::collect(|| Btf::from_path(descriptors::path(&file)));
            btf.map(|btf| Self::of(&btf)).map_err(io::Error::other)
        });
        parsed.map_err(|error| Unreadable::Broken(error.to_string()))
    }

    fn of(btf: &Btf<'_>) -> Self {
        let mut types = Self::default();
        for one in btf.type_by_kind::<BtfType<'_>>() {
            let name = one.name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(target) = name.strip_prefix(PREFIX)
                && let Ok(function) = Func::try_from(one)
                && stands_for_a_target(btf, function)
            {
                types.targets.insert(target.to_owned(), one.type_id().into());
            } else if let Ok(values) = Enum::try_from(one) {
                let names = (0..values.len()).filter_map(|at| values.get(at)?.name?.to_str());
                let wanted = |name: &str| VALUES.into_iter().find(|value| *value == name);
                types.values.extend(names.filter_map(wanted));
            } else if name == "bpf_iter_link_info"
                && let Ok(union) = Composite::try_from(one)
            {
                let names = (0..union.len()).filter_map(|at| union.get(at)?.name?.to_str());
                types.parameters.extend(names.map(str::to_owned));
            } else if name == "bpf_core_relo" && Struct::try_from(one).is_ok() {
                types.has_core_relo = true;
            }
        }
        types
    }

    /// The id of the function that stands for a target.
    pub(super) fn target(&self, name: &str) -> Option<u32> {
        self.targets.get(name).copied()
    }

    /// The names of all targets.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        self.targets.keys().map(String::as_str)
    }

    pub(super) fn has_task_parameter(&self) -> bool {
        self.parameters.contains("task")
    }

    pub(super) fn has_cgroup_children(&self) -> bool {
        self.values.contains("BPF_CGROUP_ITER_CHILDREN")
    }

    /// The kernel got this helper in the commit after sleepable iterators.
    pub(super) fn has_sleepable(&self) -> bool {
        self.values.contains("BPF_FUNC_copy_from_user_task")
    }

    pub(super) fn has_loader(&self) -> bool {
        self.values.contains("BPF_PROG_TYPE_SYSCALL")
    }

    pub(super) fn has_kernel_core(&self) -> bool {
        self.has_core_relo
    }

    /// libbpf decides it in the same way (`probe_memcg_account()`, libbpf 1.7).
    pub(super) fn has_memory_cgroup(&self) -> bool {
        self.values.contains("BPF_FUNC_ktime_get_coarse_ns")
    }
}

/// A file that holds these bytes and has no name.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"iterctl", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// Among all functions with this prefix, only those of targets take a `struct bpf_iter_meta *` first and return an
/// `int` (`DEFINE_BPF_ITER_FUNC()` of include/linux/bpf.h; checked for all functions of 6.18).
///
/// Only the kernel itself has targets: `bpf_iter_reg_target()` is not exported to modules.
fn stands_for_a_target(btf: &Btf<'_>, function: Func<'_>) -> bool {
    let takes_and_gives = || {
        let prototype = FuncProto::try_from(function.referenced_type()).ok()?;
        let first: Ptr<'_> = btf.type_by_id(prototype.get(0)?.ty)?;
        Some((first.referenced_type().name()?.to_str()?, prototype.next_type()?.name()?.to_str()?))
    };
    takes_and_gives() == Some(("bpf_iter_meta", "int"))
}
