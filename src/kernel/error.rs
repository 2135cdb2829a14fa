//! The kernel's and libbpf's errors, translated: what happened, and the way out.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::capability;
use crate::meta::MapId;
use crate::observed::LinkParam;
use crate::target::{Takes, Target};

const EBADF: i32 = 9;
const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EPERM: i32 = 1;
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
    /// This kernel has no BTF.
    NoBtf,
    /// This kernel has no such target.
    UnknownTarget(Target),
    /// The verifier said no.
    Rejected {
        /// Its log, line by line.
        log: Vec<String>,
    },
    /// The object wants a map of its own to be pinned by name, and nothing is pinned there.
    MapNotPinned {
        /// The map.
        map: String,
        /// Where it would be.
        path: PathBuf,
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

/// Why a loaded program could not be attached.
#[derive(Debug)]
pub enum AttachError {
    /// The kernel said no.
    Refused {
        /// What the iterator walks.
        target: Target,
        /// With what.
        param: LinkParam,
        /// The kernel's error.
        error: io::Error,
    },
    /// There is no such thread.
    NoThread(u32),
    /// There is no such process; a thread of that number may be there.
    NoProcess(u32),
    /// The program's object has no such map of its own.
    NoOwnMap(String),
    /// The map went away.
    MapGone(io::Error),
    /// The kernel made another link than it was asked for.
    Mismatch {
        /// What was asked for.
        asked: String,
        /// What the link says of itself.
        got: String,
    },
}

impl LoadError {
    /// Understands a failed load from its errno and what libbpf said.
    pub(super) fn new(target: &Target, error: io::Error, messages: &[String]) -> Self {
        if let Some(log) = messages.iter().find_map(|message| verifier_log(message)) {
            return Self::Rejected { log };
        }
        let said = |text: &str| messages.iter().any(|message| message.contains(text));
        match error.raw_os_error() {
            // pr_perm_msg() of libbpf: what it says to root who has reached the limit.
            Some(EPERM) if said("ulimit -l") && !capability::is_lacking() => Self::Memlock,
            Some(EPERM) => Self::NotPermitted,
            Some(ESRCH) if said("failed to find kernel BTF type ID") => {
                Self::UnknownTarget(target.clone())
            }
            Some(ESRCH)
                if said("kernel BTF is missing") || said("failed to find valid kernel BTF") =>
            {
                Self::NoBtf
            }
            _ => Self::Other { error, message: messages.last().cloned() },
        }
    }

    /// The way out, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotPermitted => Some(capability::hint()),
            Self::Memlock => Some(
                "raise RLIMIT_MEMLOCK, for instance with `ulimit -l unlimited`: kernels before \
                 5.11 count BPF memory against it"
                    .to_owned(),
            ),
            Self::NoBtf => Some("use a kernel with CONFIG_DEBUG_INFO_BTF=y".to_owned()),
            Self::UnknownTarget(target) => Some(match target.known() {
                Some(known) => format!("`{target}` is there since Linux {}", known.since),
                None => "check the program's SEC(\"iter/…\")".to_owned(),
            }),
            Self::Rejected { log } => {
                log.iter().any(|line| line.contains("ptr_or_null_")).then(|| {
                    "a pointer in the context may be NULL: read it once into a local variable, and \
                 check that"
                        .to_owned()
                })
            }
            Self::MapNotPinned { path, .. } => {
                Some(format!("start whatever pins {} before", path.display()))
            }
            Self::Stamp(error) if error.raw_os_error() == Some(EINVAL) => {
                Some("stamps need Linux 5.10".to_owned())
            }
            Self::Stamp(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some(capability::hint())
            }
            Self::MapDiffers { .. } => {
                Some("give it a map that is made like the object's own".to_owned())
            }
            Self::Open(_)
            | Self::NoProgram
            | Self::GivenMap { .. }
            | Self::Stamp(_)
            | Self::Other { .. } => None,
        }
    }
}

/// The verifier's log, if that is what the message holds.
fn verifier_log(message: &str) -> Option<Vec<String>> {
    let (_, log) = message.split_once("-- BEGIN PROG LOAD LOG --\n")?;
    let log = log.split("-- END PROG LOAD LOG --").next().unwrap_or(log);
    Some(log.lines().map(str::to_owned).collect())
}

/// How much of the verifier's log an error shows.
const LAST_LINES: usize = 4;

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(why) => write!(f, "libbpf cannot open it: {why}"),
            Self::NoProgram => write!(f, "the object has no such program"),
            Self::NotPermitted => write!(f, "not permitted to load BPF programs"),
            Self::Memlock => write!(f, "not enough memory may be locked"),
            Self::NoBtf => write!(f, "this kernel has no BTF, which iterators need"),
            Self::UnknownTarget(target) => write!(f, "this kernel has no target `{target}`"),
            Self::Rejected { log } => {
                write!(
                    f,
                    "the verifier rejected it; the last lines of its log (all with --debug):"
                )?;
                // The very last line counts instructions.
                let lines: Vec<&String> =
                    log.iter().filter(|line| !line.starts_with("processed ")).collect();
                let first = lines.len().saturating_sub(LAST_LINES);
                lines.iter().skip(first).try_for_each(|line| write!(f, "\n    {line}"))
            }
            Self::MapNotPinned { map, path } => write!(
                f,
                "its map `{map}` is to be the one pinned at {}, and nothing is pinned there",
                path.display()
            ),
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

impl AttachError {
    /// The way out, where there is one.
    pub fn hint(&self) -> Option<String> {
        let Self::Refused { target, error, .. } = self else { return None };
        let takes = target.known().map(|known| known.takes);
        match (error.raw_os_error(), takes) {
            (Some(EACCES), Some(Takes::Map)) => Some(
                "give it a map whose keys and values are as large as those that the program reads"
                    .to_owned(),
            ),
            (Some(EPERM), _) => Some(capability::hint()),
            _ => None,
        }
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { target, param, error } => {
                // Sources: the attach_target functions in kernel/bpf/map_iter.c,
                // net/core/bpf_sk_storage.c and net/core/sock_map.c, and measured on 6.18.
                let takes = target.known().map(|known| known.takes);
                match (error.raw_os_error(), takes) {
                    (Some(EBADF), Some(Takes::Map)) => write!(f, "`{target}` needs a map"),
                    (Some(EACCES), Some(Takes::Map)) => {
                        write!(f, "{param} has smaller keys or values than the program reads")
                    }
                    (Some(EINVAL), Some(Takes::Map)) => {
                        write!(f, "`{target}` cannot walk a map of the type of {param}")
                    }
                    (Some(ENOENT), Some(Takes::Cgroup)) => match param {
                        LinkParam::Cgroup { id, .. } => {
                            write!(f, "no cgroup with the id {id} can be seen from here")
                        }
                        LinkParam::None
                        | LinkParam::Map(_)
                        | LinkParam::Thread(_)
                        | LinkParam::Process(_) => write!(f, "{error}"),
                    },
                    (Some(EINVAL), Some(Takes::Cgroup | Takes::Task)) => {
                        write!(f, "this kernel's `{target}` does not take {param}")
                    }
                    (Some(ENOENT | EINVAL), _) => {
                        write!(f, "this kernel does not attach `{target}` so: {error}")
                    }
                    _ => write!(f, "failed to attach `{target}`: {error}"),
                }
            }
            Self::NoThread(tid) => write!(f, "there is no thread {tid}"),
            Self::NoProcess(pid) => write!(f, "there is no process {pid}"),
            Self::NoOwnMap(name) => write!(f, "its object came without a map `{name}`"),
            Self::MapGone(error) => write!(f, "the map went away: {error}"),
            Self::Mismatch { asked, got } => {
                write!(
                    f,
                    "the kernel made another iterator than it was asked for: {got}, not {asked}"
                )
            }
        }
    }
}

impl std::error::Error for AttachError {}
