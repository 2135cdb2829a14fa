//! Everything that can be wrong with a manifest and the objects that it names. Pure.
//!
//! Every fault carries its data and, if there is one, its place in the manifest. How it is shown is decided
//! elsewhere.

mod command_line;
mod object;
mod words;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

pub use object::{ByteOrder, ObjectFault};
pub(crate) use words::NO_CGROUP2;

use crate::globals::Misfit;
use crate::names::{InvalidMapName, InvalidSetName};
use crate::pin_path::{InvalidPinPath, PinPath};
use crate::target::{Sleep, Target};

/// A place in a source: the number of the source in [`Input`](crate::manifest::Input), and a range of
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index of the source.
    pub source: usize,
    /// First byte of the span.
    pub start: usize,
    /// One past the last byte of the span.
    pub end: usize,
}

impl Place {
    /// The place of `span` in the source of that number.
    pub fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, start: span.start, end: span.end }
    }

    /// The bytes.
    pub fn span(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// One fault and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its place; `None` if it concerns the manifest as a whole.
    pub place: Option<Place>,
    /// The problem.
    pub problem: Problem,
}

/// All that is wrong: at least one fault, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// These faults, sorted by place.
    pub fn new(mut faults: Vec<Fault>) -> Self {
        // Faults without a place come last.
        faults.sort_by_key(|fault| (fault.place.is_none(), fault.place.clone()));
        Self(faults)
    }

    /// The faults, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "1 fault in the manifest"),
            number => write!(f, "{number} faults in the manifest"),
        }
    }
}

impl std::error::Error for Faults {}

/// Everything that can be wrong with a manifest, offline and without privilege.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not TOML.
    Syntax(String),
    /// TOML, but an unknown key or a value of the wrong type.
    Shape(String),
    /// More faults of form than are worth listing.
    TooManyShapes,
    /// A key that every entry needs.
    MissingKey(&'static str),
    /// Not the name of a set.
    SetName(InvalidSetName),
    /// The set's name would come from this `-f` argument, which has no usable name.
    NoSetName(String),
    /// Files of one call name different sets.
    SetsDiffer {
        /// The name here.
        here: String,
        /// The name in an earlier file.
        first: String,
        /// The place of that name.
        at: Option<Place>,
    },
    /// `bpffs` is not an absolute, normal path.
    BpffsNotAbsolute,
    /// Files of one call name different bpffs.
    BpffsDiffers {
        /// The path in an earlier file.
        first: PathBuf,
        /// The place of that path.
        at: Place,
    },
    /// A file of the call names a bpffs other than the usual one, and this one names none.
    BpffsNotNamed {
        /// The path in the other file.
        other: PathBuf,
        /// The place of that path.
        at: Place,
    },
    /// A pin path that bpffs cannot hold.
    PinPath {
        /// The path, without the bpffs if that is written too.
        text: String,
        /// The reason.
        why: InvalidPinPath,
    },
    /// An absolute pin path that is not below `bpffs`.
    OutsideBpffs(PathBuf),
    /// Two entries with one path.
    DuplicatePath {
        /// The path.
        path: PinPath,
        /// The place of the first one.
        at: Place,
    },
    /// A path that is also the parent directory of another entry's.
    ParentOfAnother {
        /// The path that cannot be both a pin and a directory.
        path: PinPath,
        /// The path below it.
        below: PinPath,
        /// The place of that path.
        at: Place,
    },
    /// Two entries want different modes, owners or groups for one directory.
    DirectoriesDiffer {
        /// The directory.
        directory: PinPath,
        /// `dir-mode`, `dir-owner` or `dir-group`.
        key: &'static str,
        /// The place of the first of the two paths.
        at: Place,
    },
    /// Not octal permission bits.
    Mode(String),
    /// Not octal permission bits, with or without set-id and sticky bits.
    DirectoryMode(String),
    /// No such user.
    UnknownUser(String),
    /// No such group.
    UnknownGroup(String),
    /// Not 64 hex digits.
    Sha256,
    /// The object is not the one that the manifest asks for.
    Sha256Differs {
        /// The digest of the object.
        found: String,
    },
    /// The object cannot be used at all.
    Object(ObjectFault),
    /// No iterator program in the object.
    NoIterator,
    /// Several iterators, and no `program`.
    SeveralIterators(Vec<Candidate>),
    /// No iterator of that name.
    NoSuchProgram {
        /// The name as written.
        wanted: String,
        /// The iterators in the object.
        candidates: Vec<Candidate>,
    },
    /// An unknown target whose name is close to a known one.
    MisspeltTarget {
        /// The target.
        target: Target,
        /// The known target that is probably meant.
        meant: &'static str,
    },
    /// A sleepable program for a target that takes none.
    SleepNotTaken(Target),
    /// A map that is needed, but has no number of entries.
    MapWithoutSize(String),
    /// A map given to a target that takes none.
    MapNotTaken(Target),
    /// No map given to a target that needs one.
    MapNeeded(Target),
    /// A cgroup given to a target that takes none.
    CgroupNotTaken(Target),
    /// No cgroup given to the target that needs one.
    CgroupNeeded {
        /// The target.
        target: Target,
        /// The mount point of cgroup v2, if it is mounted.
        mount: Option<PathBuf>,
    },
    /// A cgroup without an order.
    OrderNeeded,
    /// A cgroup named by neither `path` nor `id`, or by both.
    CgroupName {
        /// The mount point of cgroup v2, if it is mounted.
        mount: Option<PathBuf>,
    },
    /// A task given to a target that takes none.
    TaskNotTaken(Target),
    /// Task 0, which no process has.
    TaskZero,
    /// More than one of `map`, `cgroup` and `task`.
    TwoParameters,
    /// A value that does not fit a variable of the object.
    Global(Misfit),
    /// A map that the object does not define.
    UnknownMap {
        /// The name as written.
        wanted: String,
        /// The maps that it defines.
        known: Vec<String>,
    },
    /// `own` in a place where an existing map must be named.
    OwnMapHere,
    /// A size for a map that an existing one replaces.
    SizeOfGivenMap {
        /// The object's map.
        map: String,
        /// The place that names the existing one.
        at: Place,
    },
    /// A size for a map that the object pins by name.
    SizeOfMapByName {
        /// The object's map.
        map: String,
        /// The path of that pin.
        pin: PathBuf,
    },
    /// Not a map's name.
    MapName(InvalidMapName),
    /// Id 0, which the kernel never uses.
    MapIdZero,
    /// An empty path, or one with a `..` or a NUL, in `map = { pinned = … }`.
    MapPath,
}

/// An iterator program that an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The program's name.
    pub program: String,
    /// The target that it walks.
    pub target: Target,
    /// Whether it may sleep.
    pub sleep: Sleep,
    /// The target whose context it takes, from its BTF: `struct bpf_iter__task` belongs to `task`.
    pub context: Option<String>,
}

/// A possible mistake and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Its place.
    pub place: Place,
    /// The possible mistake.
    pub concern: Concern,
}

/// A possible mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The program reads the kernel's structures, and has no CO-RE relocations.
    NoCore,
    /// The program calls functions for GPL programs only, and its object has no GPL-compatible licence.
    NotGpl {
        /// The declared licence, if there is one.
        licence: Option<String>,
    },
    /// The program takes the context of another target than the one that it walks.
    OtherContext {
        /// The target whose context it takes.
        context: String,
        /// The target that it walks.
        target: Target,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_and_in_the_order_of_their_places() {
        let fault = |place| Fault { place, problem: Problem::NoIterator };
        let place = |source, start| Some(Place::new(source, start..9));
        let one = Faults::new(vec![fault(None)]);
        assert_eq!(one.to_string(), "1 fault in the manifest");
        let places = [None, place(1, 0), place(0, 5), place(0, 2)];
        let all = Faults::new(places.map(fault).into());
        assert_eq!(all.to_string(), "4 faults in the manifest");
        let sorted: Vec<_> = all.iter().map(|fault| fault.place.clone()).collect();
        assert_eq!(sorted, [place(0, 2), place(0, 5), place(1, 0), None]);
        assert_eq!(place(0, 2).map(|place| place.span()), Some(2..9));
    }

    #[test]
    fn what_may_be_a_mistake_is_told_with_the_way_out() {
        #[track_caller]
        fn check(concern: &Concern, message: &str, help: &str) {
            assert!(concern.to_string().contains(message), "{concern}");
            assert!(concern.help().contains(help), "{}", concern.help());
        }
        check(&Concern::NoCore, "has no CO-RE relocations", "with `preserve_access_index`");
        let accepted = "accepted: `GPL`, `GPL v2`, `GPL and additional rights`, ";
        check(&Concern::NotGpl { licence: None }, "declares no licence", accepted);
        let licence = Some("MIT".to_owned());
        check(&Concern::NotGpl { licence }, "the object's licence is `MIT`", accepted);
        let context = "tcp".to_owned();
        check(
            &Concern::OtherContext { context, target: Target::new("task") },
            "its argument is the context of target `tcp`",
            "`SEC(\"iter/task\")`, and its argument, `struct bpf_iter__tcp *`",
        );
    }
}
