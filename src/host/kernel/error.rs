//! Translates errors of the kernel and of libbpf: what happened, and what the user can do.

mod attach;
mod map;
mod rejected;
mod said;
mod words;

use std::borrow::Cow;
use std::io;

use rustix::io::Errno;

pub use attach::AttachError;
pub(super) use map::Declared;
pub use map::MapRefusal;

use super::probe::{counts_locked_memory, has_hidden_types};
use super::{capability, verdict};
use iterctl_core::escaped::Escaped;
use iterctl_core::feature::{Feature, Unmet};
use iterctl_core::ids::MapId;
use iterctl_core::target::Target;

const EBADF: i32 = Errno::BADF.raw_os_error();
const ENOENT: i32 = Errno::NOENT.raw_os_error();
const ESRCH: i32 = Errno::SRCH.raw_os_error();
const EPERM: i32 = Errno::PERM.raw_os_error();
const E2BIG: i32 = Errno::TOOBIG.raw_os_error();
const ENOSYS: i32 = Errno::NOSYS.raw_os_error();
const EACCES: i32 = Errno::ACCESS.raw_os_error();
const EINVAL: i32 = Errno::INVAL.raw_os_error();
const ENOMEM: i32 = Errno::NOMEM.raw_os_error();

/// The first of libbpf's own error numbers (`enum libbpf_errno` in libbpf.h).
const FIRST_OF_LIBBPF: i32 = 4000;

/// Why a program could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// libbpf cannot open the object.
    Open(String),
    /// The object does not contain the program any more.
    NoProgram,
    /// This process may not load BPF programs.
    NotPermitted,
    /// RLIMIT_MEMLOCK is too low, on a kernel that counts BPF memory against it.
    Memlock,
    /// This kernel lacks a feature.
    Lacks(Feature),
    /// This kernel has types, but sysfs does not show them here.
    TypesHidden,
    /// This kernel has no such target.
    UnknownTarget(Target),
    /// This kernel lacks what the program takes from it, or has it in another form.
    Unmet(Unmet),
    /// The verifier rejected the program.
    Rejected {
        /// Its log, line by line.
        log: Vec<String>,
    },
    /// The loaded program does not hold a map that it was given, or that came with its object.
    MapNotHeld {
        /// The object's map.
        map: String,
        /// The map that it was given.
        id: MapId,
    },
    /// The kernel does not create one of the object's own maps.
    MapRefused {
        /// The map.
        map: String,
        /// Why.
        why: MapRefusal,
    },
    /// One of the object's own maps cannot hold what the object puts into it.
    SlotRefused {
        /// The map.
        map: String,
        /// Its slot.
        slot: u32,
        /// The contents that it is to have.
        holds: Holds,
        /// The kernel's error.
        error: io::Error,
    },
    /// An existing map that the program is given does not fit the object's own.
    MapDiffers {
        /// The object's map.
        map: String,
        /// The existing one.
        id: MapId,
        /// The property that differs: the type, the size of keys or of values.
        what: &'static str,
        /// The value of the object's map.
        wanted: String,
        /// The value of the existing one.
        found: String,
    },
    /// An existing map could not be given to the program.
    GivenMap {
        /// The object's map.
        map: String,
        /// The existing one.
        id: MapId,
        /// The system's error.
        error: io::Error,
    },
    /// The stamp could not be bound to the loaded program.
    Stamp(io::Error),
    /// Any other error.
    Other {
        /// The kernel's error.
        error: io::Error,
        /// The reason, in the words of libbpf.
        message: Option<String>,
    },
}

/// The contents of a slot in one of an object's maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A program, which is called from there.
    Program(String),
    /// A map.
    Map(String),
}

impl LoadError {
    /// Finds the reason of a failed load in its errno, in the messages of libbpf, and in the object's map declarations.
    pub(super) fn new(
        target: &Target,
        error: io::Error,
        messages: &[String],
        declared: &[Declared],
    ) -> Self {
        if let Some(log) = messages.iter().find_map(|message| verdict::log(message)) {
            // The message of every kernel for programs of a kind that may not sleep (`check_attach_btf_id()` in
            // kernel/bpf/verifier.c). The list of kinds in it differs.
            if log.iter().any(|line| line.contains("programs can be sleepable")) {
                return Self::Lacks(Feature::Sleepable);
            }
            return Unmet::from_log(&log).map_or(Self::Rejected { log }, Self::Unmet);
        }
        if let Some(unmet) = messages.iter().find_map(|message| Unmet::from_message(message)) {
            return Self::Unmet(unmet);
        }
        let said = |text: &str| messages.iter().any(|message| message.contains(text));
        match error.raw_os_error() {
            // libbpf 1.7 says this to root if the limit is reached (pr_perm_msg()), and whenever even the smallest
            // program cannot be loaded (bpf_object__probe_loading()).
            Some(EPERM)
                if (said("ulimit -l") || said("RLIMIT_MEMLOCK"))
                    && !capability::is_lacking()
                    && counts_locked_memory() =>
            {
                Self::Memlock
            }
            Some(EPERM) => Self::NotPermitted,
            Some(ESRCH) if said("failed to find kernel BTF type ID") => {
                Self::UnknownTarget(target.clone())
            }
            Some(ESRCH)
                if said("kernel BTF is missing") || said("failed to find valid kernel BTF") =>
            {
                if has_hidden_types() {
                    Self::TypesHidden
                } else {
                    Self::Lacks(Feature::Btf)
                }
            }
            Some(ENOSYS) => Self::Lacks(Feature::Bpf),
            _ => Self::from_map_messages(error, messages, declared),
        }
    }

    /// The reason, if the maps may be what failed.
    fn from_map_messages(error: io::Error, messages: &[String], declared: &[Declared]) -> Self {
        if let Some(map) = said::refused_map(messages) {
            let why = MapRefusal::new(map, declared, error, map::kernel_has);
            return Self::MapRefused { map: map.to_owned(), why };
        }
        match said::refused_slot(messages) {
            Some((map, slot, holds)) => Self::SlotRefused { map, slot, holds, error },
            None => Self::Other { error, message: said::reason(messages).map(str::to_owned) },
        }
    }
}

/// Text of an object or of the kernel, for people.
fn printable(text: &str) -> Cow<'_, str> {
    Escaped::new(text).text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_load(errno: i32, said: &str, message: &str) {
        let error = io::Error::from_raw_os_error(errno);
        let error = LoadError::new(&Target::new("unix"), error, &[said.to_owned()], &[]);
        assert_eq!(error.to_string(), message);
    }

    /// The messages are in lines.
    #[track_caller]
    fn check_said(errno: i32, said: &str, message: &str, hint: Option<&str>) {
        let messages: Vec<String> = said.lines().map(str::to_owned).collect();
        let error = io::Error::from_raw_os_error(errno);
        let error = LoadError::new(&Target::new("task"), error, &messages, &[]);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint().as_deref(), hint);
    }

    #[test]
    fn what_a_kernel_lacks_is_told_by_libbpfs_words() {
        check_load(ENOSYS, "Couldn't load trivial BPF program.", "this kernel has no bpf(2)");
        check_load(
            ESRCH,
            "kernel BTF is missing at '/sys/kernel/btf/vmlinux'",
            "this kernel has no BTF",
        );
        let target = "prog 'dump': failed to find kernel BTF type ID of 'unix': -ESRCH";
        check_load(ESRCH, target, "this kernel has no target `unix`");
        let frame = |log: &str| {
            format!("prog 'dump': -- BEGIN PROG LOAD LOG --\n{log}-- END PROG LOAD LOG --\n")
        };
        for kinds in ["fentry/fexit/fmod_ret and lsm", "fentry/fexit/fmod_ret, lsm, and struct_ops"]
        {
            let log =
                frame(&format!("Only {kinds} programs can be sleepable\nprocessed 0 insns\n"));
            check_load(EINVAL, &log, "this kernel has no sleepable iterators (`iter.s/…`)");
        }
    }

    #[test]
    fn the_reason_is_told_and_not_its_consequence() {
        check_said(
            EBADF,
            "map 'jmp': failed to initialize slot [0] to prog 'f2' fd=-2: -EBADF\nfailed to load object 'x'",
            "slot 0 of the object's map `jmp` should hold the program `f2`, which was not loaded",
            None,
        );
        check_said(
            EINVAL,
            "map 'jmp': failed to initialize slot [0] to prog 'f2' fd=5: -EINVAL\nfailed to load object 'x'",
            "slot 0 of the object's map `jmp` cannot hold the program `f2`, which is of another kind",
            Some(
                "all programs in a `PROG_ARRAY` must have the same target, and all must be in SEC(\"iter/…\"), or \
                 all in SEC(\"iter.s/…\")",
            ),
        );
        check_said(
            EINVAL,
            "map 'huge': failed to create: -EINVAL",
            "failed to create the object's map `huge`: Invalid argument (os error 22)",
            None,
        );
        check_said(
            EINVAL,
            "extern (kcfg) 'CONFIG_HZ': value '250' implies integer type\nerror parsing system Kconfig line \
             'CONFIG_HZ': -EINVAL",
            "this kernel's `CONFIG_HZ` does not fit the program's variable: value '250' implies integer type",
            Some("declare it with a type that its value fits"),
        );
    }

    #[test]
    fn what_is_not_understood_is_told_whole() {
        check_said(
            E2BIG,
            "prog 'f': BPF program load failed: -E2BIG\nprog 'f': failed to load: -E2BIG\nfailed to load \
             object 'x'",
            "prog 'f': BPF program load failed: Argument list too long (os error 7)",
            None,
        );
        check_said(
            4003,
            "object 'x': loading non-native endianness is unsupported",
            "object 'x': loading non-native endianness is unsupported",
            None,
        );
        check_said(
            ENOMEM,
            "failed to load object 'x'",
            "Cannot allocate memory (os error 12)",
            None,
        );
    }
}
