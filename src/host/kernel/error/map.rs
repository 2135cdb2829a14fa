//! A map that the kernel does not create: why, from its errno and from what the object declares.

use std::fmt;
use std::io;

use libbpf_rs::OpenObject;

use super::{E2BIG, EINVAL, ENOMEM, printable};
use crate::host::kernel::capability;
use crate::host::kernel::ffi::{self, probe};

/// The declaration of a map in an object.
#[derive(Clone, Debug)]
pub(in crate::host::kernel) struct Declared {
    name: String,
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// Why the kernel does not create a map.
#[derive(Debug)]
pub enum MapRefusal {
    /// It is to have no entries at all: its loader sets its size.
    NoSize,
    /// The kernel has no maps of this type.
    NoSuchType(String),
    /// Something else.
    Other {
        /// The kernel's error.
        error: io::Error,
        /// The declaration of the map in the object.
        declared: Option<String>,
    },
}

impl Declared {
    /// All maps of an object that is not loaded yet.
    pub(in crate::host::kernel) fn all(object: &OpenObject) -> Vec<Self> {
        let declared = object.maps().map(|map| Self {
            name: map.name().to_string_lossy().into_owned(),
            map_type: ffi::map_type(&map),
            key_size: map.key_size(),
            value_size: map.value_size(),
            max_entries: map.max_entries(),
            flags: map.map_flags(),
        });
        declared.collect()
    }

    fn type_name(&self) -> String {
        ffi::map_type_name(self.map_type).map_or_else(|| self.map_type.to_string(), str::to_owned)
    }

    /// Whether a map of this type has a size. Those that are stored with sockets, inodes, tasks and cgroups
    /// have none (`bpf_local_storage_map_alloc_check()` in kernel/bpf/bpf_local_storage.c).
    fn is_sized(&self) -> bool {
        !self.type_name().ends_with("_storage")
    }
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_size, value_size, max_entries, flags, .. } = self;
        write!(
            f,
            "type {}, {max_entries} entries, keys of {key_size} bytes, values of {value_size} bytes, flags \
             {flags:#x}",
            self.type_name()
        )
    }
}

impl MapRefusal {
    /// Understands why the map of that name was not created. `kernel_has` tells of a type of map that libbpf
    /// knows whether this kernel has it.
    pub(super) fn new(
        name: &str,
        declared: &[Declared],
        error: io::Error,
        kernel_has: impl Fn(u32) -> bool,
    ) -> Self {
        let declared = declared.iter().find(|map| map.name == name);
        let is_known =
            |map: &Declared| ffi::map_type_name(map.map_type).is_some() && kernel_has(map.map_type);
        match (error.raw_os_error(), declared) {
            (Some(EINVAL), Some(map)) if !is_known(map) => Self::NoSuchType(map.type_name()),
            (Some(EINVAL), Some(map)) if map.max_entries == 0 && map.is_sized() => Self::NoSize,
            _ => Self::Other { error, declared: declared.map(ToString::to_string) },
        }
    }

    /// The hint, if there is one.
    pub(super) fn hint(&self, name: &str) -> Option<String> {
        match self {
            Self::NoSize => Some(format!(
                "the object leaves its size to the loader: give one with `max-entries` (`--max-entries {name}=N`), or \
                 use an existing map with `maps` (`--reuse`)",
                name = printable(name)
            )),
            Self::NoSuchType(_) => Some("use a kernel that has maps of this type".to_owned()),
            Self::Other { error, declared } => {
                let declared = declared.as_ref()?;
                match error.raw_os_error() {
                    Some(E2BIG) => Some(format!(
                        "make it smaller with `max-entries`; the kernel was asked for {declared}"
                    )),
                    Some(ENOMEM) => Some(format!(
                        "make it smaller with `max-entries`, or raise the memory limit of this process's cgroup; \
                         the kernel was asked for {declared}"
                    )),
                    Some(EINVAL) => {
                        Some(format!("this kernel does not accept such a map: {declared}"))
                    }
                    _ => None,
                }
            }
        }
    }

    /// Says it of the map of that name.
    pub(super) fn say(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = printable(name);
        match self {
            Self::NoSize => write!(f, "the object's map `{name}` has no size (`max_entries` is 0)"),
            Self::NoSuchType(map_type) => {
                write!(
                    f,
                    "the object's map `{name}` has type `{map_type}`, which this kernel does not have"
                )
            }
            Self::Other { error, .. } => {
                write!(f, "failed to create the object's map `{name}`: {error}")
            }
        }
    }
}

/// Whether this kernel has maps of a type. Yes for a process that lacks a capability: the kernel would refuse
/// it each type.
pub(super) fn kernel_has(map_type: u32) -> bool {
    capability::is_lacking() || probe::has_map_type(map_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::kernel::error::LoadError;

    const HASH: u32 = libbpf_sys::BPF_MAP_TYPE_HASH;
    const TASK_STORAGE: u32 = libbpf_sys::BPF_MAP_TYPE_TASK_STORAGE;

    #[track_caller]
    fn check(map_type: u32, max_entries: u32, errno: i32, message: &str, hint: &str) {
        let name = "seen".to_owned();
        let declared =
            Declared { name, map_type, key_size: 4, value_size: 8, max_entries, flags: 0 };
        let error = io::Error::from_raw_os_error(errno);
        let why = MapRefusal::new("seen", &[declared], error, |map_type| map_type == HASH);
        let error = LoadError::MapRefused { map: "seen".to_owned(), why };
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint().unwrap_or_default(), hint);
    }

    #[test]
    fn a_map_without_a_size_is_told() {
        check(
            HASH,
            0,
            EINVAL,
            "the object's map `seen` has no size (`max_entries` is 0)",
            "the object leaves its size to the loader: give one with `max-entries` (`--max-entries seen=N`), or use \
             an existing map with `maps` (`--reuse`)",
        );
    }

    #[test]
    fn a_type_that_the_kernel_does_not_have_is_told() {
        let hint = "use a kernel that has maps of this type";
        let cause = "the object's map `seen` has type `9999`, which this kernel does not have";
        check(9999, 1, EINVAL, cause, hint);
        let cause =
            "the object's map `seen` has type `task_storage`, which this kernel does not have";
        check(TASK_STORAGE, 0, EINVAL, cause, hint);
    }

    #[test]
    fn what_is_declared_is_shown() {
        const HUGE: &str =
            "type hash, 4294967295 entries, keys of 4 bytes, values of 8 bytes, flags 0x0";
        let big = "failed to create the object's map `seen`: Argument list too long (os error 7)";
        let hint = format!("make it smaller with `max-entries`; the kernel was asked for {HUGE}");
        check(HASH, u32::MAX, E2BIG, big, &hint);
        let none = "failed to create the object's map `seen`: Cannot allocate memory (os error 12)";
        let hint = format!(
            "make it smaller with `max-entries`, or raise the memory limit of this process's cgroup; the kernel was \
             asked for {HUGE}"
        );
        check(HASH, u32::MAX, ENOMEM, none, &hint);
    }

    #[test]
    fn storages_have_no_size() {
        let storage = Declared {
            name: "seen".to_owned(),
            map_type: TASK_STORAGE,
            key_size: 4,
            value_size: 8,
            max_entries: 0,
            flags: 0,
        };
        assert!(!storage.is_sized());
        assert!(Declared { map_type: HASH, ..storage }.is_sized());
    }
}
