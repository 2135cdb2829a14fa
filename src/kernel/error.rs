//! The kernel's and libbpf's errors, translated: what happened, and the way out.

mod attach;

use std::fmt;
use std::io;

pub use attach::AttachError;

use super::features::counts_locked_memory;
use super::{capability, verdict};
use crate::feature::Feature;
use crate::meta::MapId;
use crate::target::Target;

const EBADF: i32 = 9;
const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EPERM: i32 = 1;
const E2BIG: i32 = 7;
const ENOSYS: i32 = 38;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;

/// Why a program could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// libbpf cannot open the object.
    Open(String),
    /// The object has no such program any more.
    NoProgram,
    /// This process may not load BPF programs.
    NotPermitted,
    /// RLIMIT_MEMLOCK is too low, on a kernel that counts BPF memory against it.
    Memlock,
    /// This kernel lacks something.
    Lacks(Feature),
    /// This kernel has no such target.
    UnknownTarget(Target),
    /// The verifier said no.
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
    /// An existing map that the program is given does not fit the object's own.
    MapDiffers {
        /// The object's map.
        map: String,
        /// The existing one.
        id: MapId,
        /// What differs: the type, the size of keys or of values.
        what: &'static str,
        /// What the object's map has.
        wanted: String,
        /// What the existing one has.
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
    /// Anything else.
    Other {
        /// The kernel's error.
        error: io::Error,
        /// What libbpf said last.
        message: Option<String>,
    },
}

impl LoadError {
    /// Understands a failed load from its errno and what libbpf said.
    pub(super) fn new(target: &Target, error: io::Error, messages: &[String]) -> Self {
        if let Some(log) = messages.iter().find_map(|message| verdict::log(message)) {
            // What every kernel says of kinds of programs that may not sleep (`check_attach_btf_id()` in
            // kernel/bpf/verifier.c); which those are differs.
            if log.iter().any(|line| line.contains("programs can be sleepable")) {
                return Self::Lacks(Feature::Sleepable);
            }
            return Self::Rejected { log };
        }
        let said = |text: &str| messages.iter().any(|message| message.contains(text));
        match error.raw_os_error() {
            // What libbpf says to root who has reached the limit (pr_perm_msg()), and whenever not even the
            // smallest program can be loaded (bpf_object__probe_loading(), libbpf 1.7).
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
                Self::Lacks(Feature::Btf)
            }
            Some(ENOSYS) => Self::Lacks(Feature::Bpf),
            _ => Self::Other { error, message: messages.last().cloned() },
        }
    }

    /// The way out, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotPermitted => Some(capability::hint()),
            Self::Memlock => Some(format!(
                "raise RLIMIT_MEMLOCK, for instance with `ulimit -l unlimited`: kernels before {} count \
                 BPF memory against it",
                Feature::MemoryCgroup.since()
            )),
            Self::Lacks(feature) => Some(feature.hint()),
            Self::UnknownTarget(target) => Some(match target.known() {
                Some(known) => Feature::Target(known).hint(),
                None => "check the program's SEC(\"iter/…\")".to_owned(),
            }),
            Self::Rejected { log } => {
                hint_of(&verdict::reasons(log), capability::lockdown().as_deref())
                    .or_else(|| verdict::suggestion(log))
            }
            Self::Stamp(error) if error.raw_os_error() == Some(EINVAL) => {
                Some(Feature::Stamps.hint())
            }
            Self::Stamp(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some(capability::hint())
            }
            Self::MapDiffers { .. } => {
                Some("give it a map that is made like the object's own".to_owned())
            }
            Self::Open(_)
            | Self::NoProgram
            | Self::MapNotHeld { .. }
            | Self::GivenMap { .. }
            | Self::Stamp(_)
            | Self::Other { .. } => None,
        }
    }
}

/// The way out of what the verifier has against a program, on a kernel that is locked down so.
fn hint_of(reasons: &[&str], lockdown: Option<&str>) -> Option<String> {
    let says = |text: &str| reasons.iter().any(|reason| reason.contains(text));
    if says("ptr_or_null_") {
        let hint = "a pointer in the context may be NULL: read it once into a local variable, and check that";
        return Some(hint.to_owned());
    }
    // `unknown func` up to Linux 6.10 (`check_helper_call()` in kernel/bpf/verifier.c). libbpf makes
    // bpf_probe_read#4 of the newer ones where it finds that they cannot be used.
    let is_refused =
        says("cannot use helper bpf_probe_read") || says("unknown func bpf_probe_read");
    (is_refused && lockdown == Some("confidentiality")).then(|| {
        "the kernel is locked down (`confidentiality` in /sys/kernel/security/lockdown), and gives no helper \
         that reads its memory: read members directly, as `task->pid`"
            .to_owned()
    })
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(why) => write!(f, "libbpf cannot open it: {why}"),
            Self::NoProgram => write!(f, "the object has no such program"),
            Self::NotPermitted => write!(f, "not permitted to load BPF programs"),
            Self::Memlock => write!(f, "not enough memory may be locked"),
            Self::Lacks(feature) => f.write_str(&feature.lacking()),
            Self::UnknownTarget(target) => write!(f, "this kernel has no target `{target}`"),
            Self::Rejected { log } => {
                write!(
                    f,
                    "the verifier rejected it; the last lines of its log (all with --debug):"
                )?;
                verdict::last_lines(log).iter().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Self::MapNotHeld { map, id } => {
                write!(f, "the loaded program does not hold map {id} as its map `{map}`")
            }
            Self::MapDiffers { map, id, what, wanted, found } => write!(
                f,
                "map {id} cannot stand for its map `{map}`: its {what} is {found}, not {wanted}"
            ),
            Self::GivenMap { map, id, error } => {
                write!(f, "map {id} cannot stand for its map `{map}`: {error}")
            }
            Self::Stamp(error) => write!(f, "failed to bind the stamp to it: {error}"),
            Self::Other { error, message: Some(message) } => write!(f, "{error}: {message}"),
            Self::Other { error, message: None } => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for LoadError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_load(errno: i32, said: &str, message: &str) {
        let error = io::Error::from_raw_os_error(errno);
        let error = LoadError::new(&Target::new("unix"), error, &[said.to_owned()]);
        assert_eq!(error.to_string(), message);
    }

    #[track_caller]
    fn check_hint(reason: &str, lockdown: Option<&str>, expected: Option<&str>) {
        let hint = hint_of(&[reason], lockdown);
        let begins = hint.as_deref().and_then(|hint| hint.split([',', ':']).next());
        assert_eq!(begins, expected, "{reason}");
    }

    #[test]
    fn a_helper_that_lockdown_takes_away_is_told() {
        let locked =
            Some("the kernel is locked down (`confidentiality` in /sys/kernel/security/lockdown)");
        for reason in [
            "program of this type cannot use helper bpf_probe_read#4",
            "unknown func bpf_probe_read_kernel#113",
        ] {
            check_hint(reason, Some("confidentiality"), locked);
            check_hint(reason, Some("integrity"), None);
            check_hint(reason, None, None);
        }
        check_hint("unknown func bpf_get_socket_uid#47", Some("confidentiality"), None);
        let null = Some("a pointer in the context may be NULL");
        check_hint("R1 invalid mem access 'trusted_ptr_or_null_'", None, null);
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
}
