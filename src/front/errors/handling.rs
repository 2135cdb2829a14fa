//! How an error is handled: the hint and the exit status of every case, side by side. The whole policy is here.

use std::io;

use rustix::io::Errno;

use super::{Error, NotDone};
use crate::front::exit::Exit;
use crate::host::bpffs::{LockError, MountError, OpenError, WalkError};
use crate::host::execute;
use crate::host::kernel::{self, AttachError, LoadError, MapRefusal};
use crate::host::reader::ReadError;
use crate::host::sources::SourceError;
use crate::host::sys::call::Refused;
use crate::host::wake::WakeError;
use iterctl_core::feature::Feature;
use iterctl_core::plan::WRITABLE;

const EINVAL: i32 = Errno::INVAL.raw_os_error();
const ENOSYS: i32 = Errno::NOSYS.raw_os_error();

/// How an error is handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handling {
    /// A way out for the user, if one is known.
    pub hint: Option<String>,
    /// The exit status of a command that fails with this error.
    pub exit: Exit,
}

/// An error whose hint and exit status are decided.
pub trait Handled: std::error::Error {
    /// How it is handled.
    fn handling(&self) -> Handling;
}

impl Handled for Error {
    fn handling(&self) -> Handling {
        match self {
            // Every fault, obstacle, feature and failure of a transaction has a hint of its own.
            Self::Faulty(_) => Handling::new(None, Exit::Invalid),
            Self::Blocked(blocked) => Handling::new(None, Exit::from_obstacles(&blocked.obstacles)),
            Self::NotDone(not_done) => Handling::new(None, shared_exit(not_done)),
            Self::LeftOut(_) => Handling::new(None, Exit::Failed),
            Self::MissingNeeds(obstacles) => Handling::new(None, Exit::from_obstacles(obstacles)),
            Self::MissingFeatures(_) => Handling::new(None, Exit::Unavailable),
            Self::Usage(_) => Handling::new(None, Exit::Usage),
            // To read a pin needs no privilege, and to list one no less than root.
            Self::NotShown(_) => {
                let hint =
                    "root sees what they are; to read a pin, a user needs only its read permission";
                Handling::new(Some(hint.to_owned()), Exit::NotPermitted)
            }
            Self::Closed(closed) => Handling::new(Some(closed.hint()), Exit::NotPermitted),
            Self::Source(error) => Handling::from_source(error),
            Self::Untrusted(error) => Handling::new(Some(error.hint()), Exit::NotPermitted),
            Self::Account(_) => Handling::new(None, Exit::Failed),
            Self::Open(error) => Handling::from_open(error),
            Self::Mount(error) => Handling::from_mount(error),
            Self::Lock(LockError::Locked(_)) => Handling::new(None, Exit::Locked),
            Self::Lock(LockError::Gone(error)) => Handling::from_open(error),
            Self::Lock(LockError::Stopped(stopped)) => Handling::new(None, stopped.0.into()),
            Self::Lock(LockError::Failed(_, error)) => Handling::from_io(error, Exit::Failed),
            Self::Walk(error) => Handling::from_walk(error),
            Self::Execute(error) => error.handling(),
            Self::Read(ReadError::SameElement(error)) => {
                Handling::new(Some(error.hint()), Exit::Failed)
            }
            Self::Read(ReadError::Io(error)) => Handling::from_reading(error),
            Self::Wake(WakeError::Signals(error)) => Handling::from_io(error, Exit::Failed),
            Self::Unwritten(_) => Handling::new(None, Exit::Failed),
            Self::Io(error) => Handling::from_io(error, Exit::Failed),
            Self::Other(_) => Handling::new(None, Exit::Failed),
            Self::Context(_, error) | Self::Mounted(_, error) => error.handling(),
        }
    }
}

impl Handled for execute::Error {
    fn handling(&self) -> Handling {
        match self {
            Self::Load(error) => Handling::from_load(error),
            Self::Attach(error) => Handling::from_attach(error),
            Self::Open(error) => Handling::from_open(error),
            Self::Walk(error) => Handling::from_walk(error),
            Self::Stopped(stopped) => Handling::new(None, stopped.0.into()),
            Self::Unexpected(_) => Handling::new(None, Exit::Failed),
            Self::Io(error) => Handling::from_io(error, Exit::Failed),
            Self::Context(_, error) => error.handling(),
        }
    }
}

impl Handling {
    fn new(hint: Option<String>, exit: Exit) -> Self {
        Self { hint, exit }
    }

    /// `otherwise` is the exit status of an error that decides none itself.
    fn from_io(error: &io::Error, otherwise: Exit) -> Self {
        let refused = Refused::of(error).map(|refused| refused.call);
        if error.kind() == io::ErrorKind::PermissionDenied {
            let hint = match refused {
                Some(call) => kernel::hint_for_call(call, kernel::permission_hint),
                None => kernel::permission_hint(),
            };
            return Self::new(Some(hint), Exit::NotPermitted);
        }
        // `ErrorKind::Unsupported` would also match EOPNOTSUPP.
        if refused.is_some() || error.raw_os_error() == Some(ENOSYS) {
            return Self::new(Some(missing_call_hint(refused)), Exit::Unavailable);
        }
        Self::new(None, otherwise)
    }

    /// To read needs no privilege: [`Closed`](crate::host::closed::Closed) has what permissions refuse.
    fn from_reading(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied {
            let hint =
                "its permissions seem to allow it: a security module may refuse it (see `dmesg`)";
            return Self::new(Some(hint.to_owned()), Exit::NotPermitted);
        }
        Self::from_io(error, Exit::Failed)
    }

    fn from_source(error: &SourceError) -> Self {
        match error {
            SourceError::Unreadable(_, error) => Self::from_io(error, Exit::Invalid),
            SourceError::Untrusted(_) => Self::new(error.hint(), Exit::NotPermitted),
            SourceError::TooLong(_)
            | SourceError::NotUtf8(..)
            | SourceError::NotAFile(_)
            | SourceError::NoManifest(_) => Self::new(error.hint(), Exit::Invalid),
        }
    }

    fn from_open(error: &OpenError) -> Self {
        match error {
            OpenError::Missing(_)
            | OpenError::NotBpffs(_)
            | OpenError::Gone(_)
            | OpenError::NoProc => Self::new(error.hint(), Exit::Unavailable),
            OpenError::Unusable(_, error) => Self::from_io(error, Exit::Failed),
        }
    }

    fn from_mount(error: &MountError) -> Self {
        match error {
            MountError::NotEmpty(_) => Self::new(None, Exit::Unavailable),
            // The hint for a missing permission lists what loading needs. Mounting needs something else.
            MountError::Failed(_, error) => {
                Self::new(None, Self::from_io(error, Exit::Unavailable).exit)
            }
        }
    }

    fn from_walk(error: &WalkError) -> Self {
        match error {
            // A link is opened for writing: bpf_obj_do_get() in kernel/bpf/inode.c.
            WalkError::Look(_, error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                Self::new(Some(WRITABLE.to_owned()), Exit::Unavailable)
            }
            WalkError::Read(_, error) | WalkError::Look(_, error) => {
                Self::from_io(error, Exit::Failed)
            }
        }
    }

    fn from_load(error: &LoadError) -> Self {
        let exit = match error {
            LoadError::NotPermitted => Exit::NotPermitted,
            LoadError::Lacks(_)
            | LoadError::TypesHidden
            | LoadError::UnknownTarget(_)
            | LoadError::Unmet(_)
            | LoadError::MapRefused { why: MapRefusal::NoSuchType(_), .. } => Exit::Unavailable,
            LoadError::Open(_)
            | LoadError::NoProgram
            | LoadError::Memlock
            | LoadError::Rejected { .. }
            | LoadError::MapNotHeld { .. }
            | LoadError::MapRefused {
                why: MapRefusal::NoSize | MapRefusal::Other { .. }, ..
            }
            | LoadError::SlotRefused { .. }
            | LoadError::MapDiffers { .. } => Exit::Failed,
            LoadError::GivenMap { error, .. } | LoadError::Other { error, .. } => {
                if is_refused(error) { Exit::NotPermitted } else { Exit::Failed }
            }
            LoadError::Stamp(error) if error.raw_os_error() == Some(EINVAL) => Exit::Unavailable,
            LoadError::Stamp(error) => Self::from_io(error, Exit::Failed).exit,
        };
        Self::new(error.hint(), exit)
    }

    fn from_attach(error: &AttachError) -> Self {
        if error.is_not_permitted() {
            return Self::new(error.hint(), Exit::NotPermitted);
        }
        let exit = match error {
            AttachError::Lacks(_) => Exit::Unavailable,
            AttachError::MayNotSleep(_) => Exit::Invalid,
            AttachError::Refused { .. }
            | AttachError::MapGone(_)
            | AttachError::NoThread(_)
            | AttachError::NoProcess(_)
            | AttachError::NoOwnMap(_)
            | AttachError::Mismatch { .. } => Exit::Failed,
        };
        Self::new(error.hint(), exit)
    }
}

/// The hint for a call that is not there. If the error does not name it, bpf(2) is asked whether it is there: every
/// other call that is used is older than the oldest kernel that iterctl is made for.
fn missing_call_hint(call: Option<&str>) -> String {
    let refused = |call: &str| {
        format!(
            "Linux has had {call} since before 5.10: something refuses it, such as a seccomp filter around this \
             process, or a sandbox"
        )
    };
    match call {
        Some(call) => kernel::hint_for_call(call, || refused(call)),
        None if kernel::has_bpf() => {
            kernel::hint_for_call("a call", || refused("every call that is used"))
        }
        None => kernel::hint_for_call("bpf(2)", || Feature::Bpf.hint()),
    }
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// The exit status that all failures share, or else that of a plain failure.
fn shared_exit(not_done: &NotDone) -> Exit {
    let mut statuses = not_done.failure.errors.iter().map(|failed| failed.error.handling().exit);
    let first = statuses.next().unwrap_or(Exit::Failed);
    if statuses.all(|status| status == first) { first } else { Exit::Failed }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::front::errors::Unwritten;
    use crate::host::execute::{Failed, Failure};
    use crate::host::kernel::Parameter;
    use crate::host::reader::SameElement;
    use crate::host::sys::call;
    use iterctl_core::ids::MapId;
    use iterctl_core::observed::LinkParam;
    use iterctl_core::target::Target;

    const EPERM: i32 = Errno::PERM.raw_os_error();
    const EACCES: i32 = Errno::ACCESS.raw_os_error();
    const EOPNOTSUPP: i32 = Errno::OPNOTSUPP.raw_os_error();

    fn io(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    fn path() -> PathBuf {
        PathBuf::from("/x")
    }

    #[track_caller]
    fn check(error: impl Into<Error>, exit: Exit, has_hint: bool) {
        let error = error.into();
        let handling = error.handling();
        assert_eq!((handling.exit, handling.hint.is_some()), (exit, has_hint), "{error:?}");
        assert_eq!(error.context("failed to try").handling(), handling);
    }

    #[track_caller]
    fn check_load(error: LoadError, exit: Exit, has_hint: bool) {
        check(execute::Error::from(error).context("failed to load"), exit, has_hint);
    }

    #[test]
    fn a_missing_permission_is_told_wherever_it_is_missing() {
        check(io(EACCES), Exit::NotPermitted, true);
        check(OpenError::Unusable(path(), io(EACCES)), Exit::NotPermitted, true);
        check(SourceError::Unreadable(path(), io(EACCES)), Exit::NotPermitted, true);
        check(WalkError::Read(path(), io(EACCES)), Exit::NotPermitted, true);
        check(LockError::Failed(path(), io(EACCES)), Exit::NotPermitted, true);
        check(execute::Error::from(io(EACCES)).context("failed to pin"), Exit::NotPermitted, true);
        check_load(LoadError::Stamp(io(EACCES)), Exit::NotPermitted, true);
        check(MountError::Failed(path(), io(EACCES)), Exit::NotPermitted, false);
    }

    #[test]
    fn a_load_or_an_attachment_that_is_not_permitted_says_so() {
        let given =
            |errno| LoadError::GivenMap { map: "m".to_owned(), id: MapId(1), error: io(errno) };
        let other = |errno| LoadError::Other { error: io(errno), message: None };
        let refused = |target: &str, errno| AttachError::Refused {
            target: Target::new(target),
            param: Parameter::Of(LinkParam::None),
            error: io(errno),
        };
        for errno in [EPERM, EACCES] {
            check_load(given(errno), Exit::NotPermitted, true);
            check_load(other(errno), Exit::NotPermitted, true);
            check(refused("task", errno), Exit::NotPermitted, true);
            check(AttachError::MapGone(io(errno)), Exit::NotPermitted, true);
        }
        check_load(given(EINVAL), Exit::Failed, false);
        check_load(other(EINVAL), Exit::Failed, false);
        check(AttachError::MapGone(io(EINVAL)), Exit::Failed, false);
        check(refused("bpf_map_elem", EPERM), Exit::NotPermitted, true);
        // Its keys or values are too small.
        check(refused("bpf_map_elem", EACCES), Exit::Failed, true);
    }

    #[test]
    fn a_call_that_is_refused_is_named() {
        let refused = |errno| call::failed("openat2(2)", errno);
        check(refused(Errno::NOSYS), Exit::Unavailable, true);
        check(refused(Errno::PERM), Exit::NotPermitted, true);
        check(refused(Errno::NOSPC), Exit::Failed, false);
        let hint = Error::from(refused(Errno::NOSYS)).handling().hint.unwrap_or_default();
        assert!(hint.contains("openat2(2)"), "{hint}");
    }

    #[test]
    fn a_pin_on_a_read_only_bpffs_cannot_be_opened() {
        const EROFS: i32 = Errno::ROFS.raw_os_error();
        let path = || "a".parse().expect("a pin path");
        check(WalkError::Look(path(), io(EROFS)), Exit::Unavailable, true);
        check(WalkError::Look(path(), io(EINVAL)), Exit::Failed, false);
    }

    #[test]
    fn a_report_that_cannot_be_written_is_a_failure() {
        check(Unwritten::AfterWork(io(EINVAL)), Exit::Failed, false);
        check(Unwritten::Report(io(EACCES)), Exit::Failed, false);
    }

    #[test]
    fn a_kernel_that_lacks_something_is_no_plain_failure() {
        check(io(ENOSYS), Exit::Unavailable, true);
        check(io(EOPNOTSUPP), Exit::Failed, false);
        check(MountError::Failed(path(), io(EOPNOTSUPP)), Exit::Unavailable, false);
        check(SourceError::Unreadable(path(), io(EOPNOTSUPP)), Exit::Invalid, false);
        check_load(LoadError::Stamp(io(EINVAL)), Exit::Unavailable, true);
        check_load(LoadError::Lacks(Feature::Btf), Exit::Unavailable, true);
        check(AttachError::Lacks(Feature::Btf), Exit::Unavailable, true);
        check_load(LoadError::NoProgram, Exit::Failed, false);
    }

    #[test]
    fn a_bpffs_that_has_gone_is_missing_wherever_that_is_found_out() {
        let gone = || OpenError::Gone(path());
        check(gone(), Exit::Unavailable, true);
        check(LockError::Gone(gone()), Exit::Unavailable, true);
        check(execute::Error::from(gone()), Exit::Unavailable, true);
    }

    #[test]
    fn a_reader_passes_on_why_it_cannot_go_on() {
        let read = |error| ReadError::from(error);
        check(read(io::Error::other(SameElement)), Exit::Failed, true);
        check(read(io(EACCES)), Exit::NotPermitted, true);
        check(read(io::Error::other("too long")), Exit::Failed, false);
    }

    #[test]
    fn words_have_no_status_of_their_own() {
        check(Error::Usage("no".to_owned()), Exit::Usage, false);
        check(Error::other("no"), Exit::Failed, false);
        check(execute::Error::unexpected("no"), Exit::Failed, false);
    }

    #[track_caller]
    fn check_shared(errors: Vec<execute::Error>, exit: Exit) {
        let failed = |error| Failed { paths: Vec::new(), place: None, error };
        let errors = errors.into_iter().map(failed).collect();
        let failure = Failure { errors, left: Vec::new(), kept: None, untidy: Vec::new() };
        check(NotDone { failure, sources: Arc::default() }, exit, false);
    }

    #[test]
    fn several_failures_have_the_status_that_they_share() {
        let lacks = || LoadError::Lacks(Feature::Btf).into();
        check_shared(vec![lacks(), lacks()], Exit::Unavailable);
        check_shared(vec![lacks(), LoadError::NotPermitted.into()], Exit::Failed);
        check_shared(vec![], Exit::Failed);
    }

    #[test]
    fn what_was_tried_comes_first_and_then_every_cause_once() {
        let error = execute::Error::from(io(EACCES)).context("failed to pin it");
        let error = Error::from(error.context("failed to pin `x`"));
        let mut chain = vec![error.to_string()];
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            chain.push(cause.to_string());
            source = cause.source();
        }
        let last = "Permission denied (os error 13)";
        assert_eq!(chain, ["failed to pin `x`", "failed to pin it", last]);
    }
}
