//! The lacks that keep changes from being found at once. Pure.
//!
//! In: what is missing now. Out: a notice of each that was not missing before, and one when nothing is missing any more.

use std::fmt;
use std::io;
use std::mem::discriminant;
use std::path::PathBuf;

use iterctl_core::escaped::Escaped;

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The user has no inotify instance left.
    Instances,
    /// The user has no inotify watch left for this directory, and perhaps for others.
    Watches(PathBuf),
    /// The process has no descriptor left.
    Descriptors,
    /// No thread can be started.
    Threads(String),
    /// inotify cannot be set up.
    Inotify(String),
    /// This directory cannot be watched.
    Directory(PathBuf, String),
    /// The table of mounts cannot be watched.
    Mounts(String),
}

/// A message about lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Changes are found later.
    Slower(Lack),
    /// Nothing is missing any more.
    AsUsual,
}

/// The lacks that were told last.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    told: Vec<Lack>,
    untold: Vec<Notice>,
}

impl Lack {
    /// Why inotify cannot be set up. EMFILE stands for two limits (inotify_init(2)), of which `has_descriptors` tells
    /// one.
    pub(super) fn of_instance(error: &io::Error, has_descriptors: bool) -> Self {
        match error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
            true if has_descriptors => Self::Instances,
            true => Self::Descriptors,
            false => Self::Inotify(error.to_string()),
        }
    }

    /// Whether both are one case for the user. Which of the directories is named does not matter.
    fn is_like(&self, other: &Self) -> bool {
        match self {
            Self::Directory(..) => self == other,
            Self::Instances
            | Self::Watches(_)
            | Self::Descriptors
            | Self::Threads(_)
            | Self::Inotify(_)
            | Self::Mounts(_) => discriminant(self) == discriminant(other),
        }
    }
}

impl Lacks {
    /// All that is missing now.
    pub(super) fn are_now(&mut self, lacks: impl Iterator<Item = Lack>) {
        let now: Vec<Lack> = lacks.collect();
        let is_told = |lack: &&Lack| self.told.iter().any(|told| told.is_like(lack));
        let new = now.iter().filter(|lack| !is_told(lack)).cloned();
        self.untold.extend(new.map(Notice::Slower));
        if now.is_empty() && !self.told.is_empty() {
            self.untold.push(Notice::AsUsual);
        }
        self.told = now;
    }

    pub(super) fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.untold)
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instances => f.write_str(
                "the user has no inotify instance left: raise the sysctl fs.inotify.max_user_instances",
            ),
            Self::Watches(directory) => write!(
                f,
                "the user has no inotify watch left, for {} at least: raise the sysctl \
                 fs.inotify.max_user_watches",
                Escaped::new(directory)
            ),
            Self::Descriptors => f.write_str(
                "this process has no file descriptor left: raise its limit (`ulimit -n`, LimitNOFILE=)",
            ),
            Self::Threads(why) => write!(f, "no thread can be started: {why}"),
            Self::Inotify(why) => write!(f, "inotify cannot be set up: {why}"),
            Self::Directory(directory, why) => {
                write!(f, "{} cannot be watched: {why}", Escaped::new(directory))
            }
            Self::Mounts(why) => write!(f, "the table of mounts cannot be watched: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lack_is_told_once() {
        let watches = |path: &str| Lack::Watches(PathBuf::from(path));
        let mut lacks = Lacks::default();
        let mut told = |now: &[Lack]| {
            lacks.are_now(now.iter().cloned());
            lacks.notices()
        };
        assert_eq!(told(&[]), []);
        assert_eq!(told(&[watches("/a")]), [Notice::Slower(watches("/a"))]);
        assert_eq!(told(&[watches("/b")]), [], "which directory it is does not matter");
        let both = [watches("/b"), Lack::Instances];
        assert_eq!(told(&both), [Notice::Slower(Lack::Instances)]);
        assert_eq!(told(&[Lack::Instances]), []);
        assert_eq!(told(&[]), [Notice::AsUsual]);
        assert_eq!(told(&[]), []);
        assert_eq!(told(&[watches("/a")]), [Notice::Slower(watches("/a"))], "and again later");
    }

    #[test]
    fn the_two_limits_of_one_errno_are_told_apart() {
        let errno = |errno: rustix::io::Errno| io::Error::from(errno);
        let full = errno(rustix::io::Errno::MFILE);
        assert_eq!(Lack::of_instance(&full, true), Lack::Instances);
        assert_eq!(Lack::of_instance(&full, false), Lack::Descriptors);
        let other = errno(rustix::io::Errno::NOSYS);
        assert!(matches!(Lack::of_instance(&other, true), Lack::Inotify(_)));
    }
}
