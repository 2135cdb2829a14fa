//! Why a loaded program cannot be attached: what the errno of the kernel means.

use std::fmt;
use std::io;

use super::{E2BIG, EACCES, EBADF, EINVAL, ENOENT, EPERM, printable};
use crate::host::kernel::capability;
use crate::host::kernel::link::Parameter;
use iterctl_core::desired::Order;
use iterctl_core::feature::Feature;
use iterctl_core::observed::LinkParam;
use iterctl_core::target::{Sleep, Takes, Target};

/// Why a loaded program could not be attached.
#[derive(Debug)]
pub enum AttachError {
    /// The kernel refused.
    Refused {
        /// The target of the iterator.
        target: Target,
        /// Its parameter.
        param: Parameter,
        /// The kernel's error.
        error: io::Error,
    },
    /// This kernel lacks what the parameter needs.
    Lacks(Feature),
    /// The program may sleep, and the target takes only those that never do.
    MayNotSleep(Target),
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
        /// The link that was asked for.
        asked: String,
        /// The link that the kernel made.
        got: String,
    },
}

impl AttachError {
    /// Finds out why the kernel refuses.
    ///
    /// A parameter that it does not know is too long for it, if it is beyond what it reads of
    /// `bpf_iter_link_info`: the process, before Linux 6.1 (`bpf_iter_link_attach()` in
    /// kernel/bpf/bpf_iter.c).
    pub(in crate::host::kernel) fn refused(
        (target, sleep): (&Target, Sleep),
        param: &Parameter,
        error: io::Error,
    ) -> Self {
        match (error.raw_os_error(), param) {
            // Before anything that has to do with the parameter (`bpf_iter_link_attach()`).
            (Some(EINVAL), _)
                if sleep == Sleep::Allowed && target.takes_sleepable() == Some(false) =>
            {
                Self::MayNotSleep(target.clone())
            }
            (Some(E2BIG), Parameter::Of(LinkParam::Thread(_) | LinkParam::Process(_))) => {
                Self::Lacks(Feature::TaskParameters)
            }
            (Some(EINVAL), Parameter::Of(LinkParam::Cgroup { order, .. }))
                if *order == Order::Children.number() =>
            {
                Self::Lacks(Feature::CgroupChildren)
            }
            _ => Self::Refused { target: target.clone(), param: param.clone(), error },
        }
    }

    /// Understands what the kernel has made instead.
    ///
    /// The thread is where the map's descriptor is, so before Linux 6.1 a kernel reads it, and does
    /// nothing with it.
    pub(in crate::host::kernel) fn mismatch(
        asked: (&Target, LinkParam),
        got: (&Target, LinkParam),
    ) -> Self {
        let is_same_target = asked.0 == got.0;
        match (asked.1, got.1) {
            (LinkParam::Thread(_) | LinkParam::Process(_), LinkParam::None) if is_same_target => {
                Self::Lacks(Feature::TaskParameters)
            }
            _ => Self::Mismatch {
                asked: format!("{} {}", asked.0, asked.1),
                got: format!("{} {}", got.0, got.1),
            },
        }
    }

    /// Whether this process may not do it. `EACCES` of a map says that its keys or values are too small.
    pub fn is_not_permitted(&self) -> bool {
        match self {
            Self::Refused { target, error, .. } => {
                let takes_map = target.known().is_some_and(|known| known.takes == Takes::Map);
                match error.raw_os_error() {
                    Some(EPERM) => true,
                    Some(EACCES) => !takes_map,
                    _ => false,
                }
            }
            Self::MapGone(error) => error.kind() == io::ErrorKind::PermissionDenied,
            Self::Lacks(_)
            | Self::MayNotSleep(_)
            | Self::NoThread(_)
            | Self::NoProcess(_)
            | Self::NoOwnMap(_)
            | Self::Mismatch { .. } => false,
        }
    }

    /// The hint, if there is one.
    pub fn hint(&self) -> Option<String> {
        if self.is_not_permitted() {
            return Some(capability::hint());
        }
        let (target, error) = match self {
            Self::Lacks(feature) => return Some(feature.hint()),
            Self::MayNotSleep(target) => {
                return Some(format!(
                    "write `SEC(\"iter/{target}\")` instead of `SEC(\"iter.s/{target}\")`"
                ));
            }
            Self::Refused { target, error, .. } => (target, error),
            Self::NoThread(_)
            | Self::NoProcess(_)
            | Self::NoOwnMap(_)
            | Self::MapGone(_)
            | Self::Mismatch { .. } => return None,
        };
        let takes = target.known().map(|known| known.takes);
        match (error.raw_os_error(), takes) {
            (Some(EACCES), Some(Takes::Map)) => Some(
                "walk a map whose keys and values are at least as large as those that the program reads"
                    .to_owned(),
            ),
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
                let cgroup = match param {
                    Parameter::Of(LinkParam::Cgroup { id, .. }) => Some(id),
                    Parameter::Of(
                        LinkParam::None
                        | LinkParam::Map(_)
                        | LinkParam::Thread(_)
                        | LinkParam::Process(_),
                    )
                    | Parameter::OwnMap(..) => None,
                };
                let param = Named(param);
                match (error.raw_os_error(), takes) {
                    (Some(EBADF), Some(Takes::Map)) => write!(f, "`{target}` needs a map"),
                    (Some(EACCES), Some(Takes::Map)) => {
                        write!(f, "{param} has smaller keys or values than the program reads")
                    }
                    (Some(EINVAL), Some(Takes::Map)) => {
                        write!(
                            f,
                            "target `{target}` cannot walk {param}: it does not support this type of map"
                        )
                    }
                    (Some(ENOENT), Some(Takes::Cgroup)) => match cgroup {
                        Some(id) => write!(f, "no cgroup with the id {id} can be seen from here"),
                        None => write!(f, "{error}"),
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
            Self::Lacks(feature) => f.write_str(&feature.lacking()),
            Self::MayNotSleep(target) => {
                write!(f, "target `{target}` takes no sleepable program (`iter.s/…`)")
            }
            Self::NoThread(tid) => write!(f, "there is no thread {tid}"),
            Self::NoProcess(pid) => write!(f, "there is no process {pid}"),
            Self::NoOwnMap(name) => {
                write!(f, "the object has no map `{}`", printable(name))
            }
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

/// A parameter as an error names it: a map of the object's own by its name, for it is gone with its id before
/// anybody reads of it.
struct Named<'a>(&'a Parameter);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Parameter::Of(param) => write!(f, "{param}"),
            Parameter::OwnMap(name, _) => write!(f, "the object's map `{}`", printable(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iterctl_core::ids::MapId;

    #[track_caller]
    fn check(error: &AttachError, message: &str, hint: Option<&str>) {
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint().as_deref(), hint);
    }

    fn refused(target: &str, param: LinkParam, errno: i32) -> AttachError {
        refused_program((target, Sleep::Never), &Parameter::Of(param), errno)
    }

    fn refused_program(program: (&str, Sleep), param: &Parameter, errno: i32) -> AttachError {
        let (target, sleep) = program;
        let error = io::Error::from_raw_os_error(errno);
        AttachError::refused((&Target::new(target), sleep), param, error)
    }

    fn mismatch(asked: LinkParam, got: LinkParam) -> AttachError {
        let task = Target::new("task");
        AttachError::mismatch((&task, asked), (&task, got))
    }

    const NO_TASK: &str = "this kernel has no parameter of task iterators (`pid`, `tid`)";
    const SINCE_6_1: Option<&str> =
        Some("it is there since Linux 6.1; before, all tasks can be walked");

    #[test]
    fn a_kernel_without_task_parameters_refuses_a_process_and_ignores_a_thread() {
        check(&refused("task", LinkParam::Process(1), E2BIG), NO_TASK, SINCE_6_1);
        check(&mismatch(LinkParam::Thread(1), LinkParam::None), NO_TASK, SINCE_6_1);
    }

    #[test]
    fn an_order_that_the_kernel_does_not_have_is_told() {
        let cgroup = |order| refused("cgroup", LinkParam::Cgroup { id: 7, order }, EINVAL);
        let other = "this kernel's `cgroup` does not take cgroup 7 self-only";
        check(&cgroup(Order::SelfOnly.number()), other, None);
        check(
            &cgroup(Order::Children.number()),
            "this kernel has no order `children` of cgroups",
            Some("it is there since Linux 7.0; before, the other orders can be used"),
        );
    }

    #[test]
    fn what_is_no_lack_stays_what_it_is() {
        check(
            &mismatch(LinkParam::Thread(1), LinkParam::Thread(2)),
            "the kernel made another iterator than it was asked for: task tid 2, not task tid 1",
            None,
        );
        check(
            &refused("bpf_map_elem", LinkParam::Map(MapId(1)), E2BIG),
            "failed to attach `bpf_map_elem`: Argument list too long (os error 7)",
            None,
        );
    }

    #[test]
    fn a_target_that_takes_no_sleepable_program_says_so() {
        let map = Parameter::Of(LinkParam::Map(MapId(1)));
        let refused = |target: &str, sleep| refused_program((target, sleep), &map, EINVAL);
        check(
            &refused("bpf_map_elem", Sleep::Allowed),
            "target `bpf_map_elem` takes no sleepable program (`iter.s/…`)",
            Some("write `SEC(\"iter/bpf_map_elem\")` instead of `SEC(\"iter.s/bpf_map_elem\")`"),
        );
        let map_type =
            "target `bpf_map_elem` cannot walk map 1: it does not support this type of map";
        check(&refused("bpf_map_elem", Sleep::Never), map_type, None);
        let process = Parameter::Of(LinkParam::Process(1));
        let other = "this kernel's `task` does not take pid 1";
        check(&refused_program(("task", Sleep::Allowed), &process, EINVAL), other, None);
    }

    #[test]
    fn a_map_of_the_objects_own_is_told_by_its_name() {
        let own = Parameter::OwnMap("conns".to_owned(), MapId(1));
        let refused = |errno| refused_program(("bpf_map_elem", Sleep::Never), &own, errno);
        check(
            &refused(EACCES),
            "the object's map `conns` has smaller keys or values than the program reads",
            Some(
                "walk a map whose keys and values are at least as large as those that the program reads",
            ),
        );
        check(
            &refused(EINVAL),
            "target `bpf_map_elem` cannot walk the object's map `conns`: it does not support this type of map",
            None,
        );
    }
}
