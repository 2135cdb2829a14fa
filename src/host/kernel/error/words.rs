//! The messages and hints for programs that could not be loaded.

use std::fmt;
use std::io;

use super::{EBADF, EINVAL, FIRST_OF_LIBBPF, Holds, LoadError, printable, rejected};
use crate::host::kernel::probe::VMLINUX;
use crate::host::kernel::{capability, verdict};
use iterctl_core::feature::Feature;

impl LoadError {
    /// The hint, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotPermitted => Some(capability::hint()),
            Self::Memlock => Some(format!(
                "raise RLIMIT_MEMLOCK, for instance with `ulimit -l unlimited`: kernels before {} count \
                 BPF memory against it",
                Feature::MemoryCgroup.since()
            )),
            Self::Lacks(Feature::Bpf) => {
                Some(capability::hint_for_call("bpf(2)", || Feature::Bpf.hint()))
            }
            Self::Lacks(feature) => Some(feature.hint()),
            Self::TypesHidden => Some(format!(
                "libbpf needs them for this object: let this process read {VMLINUX}, which a container or a unit \
                 may mask"
            )),
            Self::UnknownTarget(target) => Some(match target.known() {
                Some(known) => Feature::Target(known).hint(),
                None => "check the program's SEC(\"iter/…\")".to_owned(),
            }),
            Self::Unmet(unmet) => Some(unmet.hint()),
            Self::Rejected { log } => rejected::hint(log, capability::lockdown().as_deref()),
            Self::MapRefused { map, why } => why.hint(map),
            Self::SlotRefused { holds, error, .. } => slot_hint(holds, error),
            Self::Stamp(error) if error.raw_os_error() == Some(EINVAL) => {
                Some(Feature::Stamps.hint())
            }
            Self::Stamp(error) | Self::GivenMap { error, .. } | Self::Other { error, .. }
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some(capability::hint())
            }
            Self::MapDiffers { .. } => Some(
                "use a map with the same type, key size and value size as the object declares"
                    .to_owned(),
            ),
            Self::MapNotHeld { .. } => {
                Some("this is a fault of iterctl or of libbpf: please report it".to_owned())
            }
            Self::Open(_)
            | Self::NoProgram
            | Self::GivenMap { .. }
            | Self::Stamp(_)
            | Self::Other { .. } => None,
        }
    }
}

/// Only programs of one kind go into a `PROG_ARRAY`: `__bpf_prog_map_compatible()` in kernel/bpf/core.c compares
/// also the function that they are attached to, which is the target's.
fn slot_hint(holds: &Holds, error: &io::Error) -> Option<String> {
    match holds {
        Holds::Program(_) if error.raw_os_error() == Some(EINVAL) => Some(
            "all programs in a `PROG_ARRAY` must have the same target, and all must be in SEC(\"iter/…\"), or all in \
             SEC(\"iter.s/…\")"
                .to_owned(),
        ),
        Holds::Program(_) | Holds::Map(_) => None,
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(why) => write!(f, "libbpf cannot open it: {}", printable(why)),
            Self::NoProgram => write!(f, "the object has no such program"),
            Self::NotPermitted => write!(f, "not permitted to load BPF programs"),
            Self::Memlock => write!(f, "the limit on locked memory is too low"),
            Self::Lacks(feature) => f.write_str(&feature.lacking()),
            Self::TypesHidden => write!(f, "this kernel's types (BTF) are not shown here"),
            Self::UnknownTarget(target) => {
                write!(f, "this kernel has no target `{}`", printable(target.as_str()))
            }
            Self::Unmet(unmet) => write!(f, "{unmet}"),
            Self::Rejected { log } => {
                write!(
                    f,
                    "the verifier rejected it; the last lines of its log (all with --debug):"
                )?;
                verdict::last_lines(log).iter().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Self::MapNotHeld { map, id } => {
                write!(
                    f,
                    "the loaded program does not use map {id} as the object's map `{}`",
                    printable(map)
                )
            }
            Self::MapRefused { map, why } => why.say(map, f),
            Self::SlotRefused { map, slot, holds, error } => {
                write!(f, "slot {slot} of the object's map `{}` ", printable(map))?;
                match (holds, error.raw_os_error()) {
                    (Holds::Program(name), Some(EBADF)) => {
                        write!(
                            f,
                            "should hold the program `{}`, which was not loaded",
                            printable(name)
                        )
                    }
                    (Holds::Program(name), Some(EINVAL)) => {
                        write!(
                            f,
                            "cannot hold the program `{}`, which is of another kind",
                            printable(name)
                        )
                    }
                    (Holds::Program(name), _) => {
                        write!(f, "cannot hold the program `{}`: {error}", printable(name))
                    }
                    (Holds::Map(name), _) => {
                        write!(f, "cannot hold the map `{}`: {error}", printable(name))
                    }
                }
            }
            Self::MapDiffers { map, id, what, wanted, found } => write!(
                f,
                "map {id} cannot be used as the object's map `{}`: its {what} is {found}, not {wanted}",
                printable(map)
            ),
            Self::GivenMap { map, id, error } => {
                write!(
                    f,
                    "map {id} cannot be used as the object's map `{}`: {error}",
                    printable(map)
                )
            }
            Self::Stamp(error) => write!(f, "failed to bind the stamp to it: {error}"),
            Self::Other { error, message: None } => write!(f, "{error}"),
            Self::Other { error, message: Some(message) } => {
                write!(f, "{}", printable(message))?;
                // libbpf's own numbers are no errno, and the message says what they say.
                let is_known = error.raw_os_error().is_none_or(|code| code < FIRST_OF_LIBBPF);
                if is_known { write!(f, ": {error}") } else { Ok(()) }
            }
        }
    }
}

impl std::error::Error for LoadError {}
