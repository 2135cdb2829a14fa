//! What can be wrong with a manifest and the objects that it names. Pure.
//!
//! Every fault carries its data and, where there is one, the place in the manifest; how it looks is
//! not told here.

mod command_line;
mod object;
mod words;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

pub use object::{ByteOrder, ObjectFault};
pub use words::NO_CGROUP2;

use crate::globals::Misfit;
use crate::names::{InvalidMapName, InvalidSetName};
use crate::pin_path::{InvalidPinPath, PinPath};
use crate::target::{Sleep, Target};

/// Where something stands: a source by its number in [`Input`](crate::manifest::Input), and bytes.
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

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where; `None` where it concerns the manifest as a whole.
    pub place: Option<Place>,
    /// What.
    pub problem: Problem,
}

/// All that is wrong: at least one fault, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// These faults, sorted by place.
    pub fn new(mut faults: Vec<Fault>) -> Self {
        // What has no place of its own comes last.
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
    /// More of them than are worth listing.
    TooManyShapes,
    /// A key that every entry needs.
    MissingKey(&'static str),
    /// Not the name of a set.
    SetName(InvalidSetName),
    /// The set's name was to come from the `-f` argument, which gives none.
    NoSetName(String),
    /// Files of one call name different sets.
    SetsDiffer {
        /// The name here.
        here: String,
        /// The name in an earlier file.
        first: String,
        /// Where that is.
        at: Option<Place>,
    },
    /// `bpffs` is not an absolute, normal path.
    BpffsNotAbsolute,
    /// Files of one call name different bpffs.
    BpffsDiffers {
        /// The path in an earlier file.
        first: PathBuf,
        /// Where that is.
        at: Place,
    },
    /// The path of a pin that bpffs could not take.
    PinPath {
        /// The path, without the bpffs where that is written too.
        text: String,
        /// What is wrong with it.
        why: InvalidPinPath,
    },
    /// An absolute pin path that is not below `bpffs`.
    OutsideBpffs(PathBuf),
    /// Two entries with one path.
    DuplicatePath {
        /// The path.
        path: PinPath,
        /// Where it stands first.
        at: Place,
    },
    /// A path that is also the parent directory of another entry's.
    ParentOfAnother {
        /// The path that cannot be both a pin and a directory.
        path: PinPath,
        /// The path below it.
        below: PinPath,
        /// Where that stands.
        at: Place,
    },
    /// Not octal permission bits.
    Mode(String),
    /// No such user.
    UnknownUser(String),
    /// No such group.
    UnknownGroup(String),
    /// Not 64 hex digits.
    Sha256,
    /// The object is not the one that the manifest asks for.
    Sha256Differs {
        /// The object's own.
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
        /// Those that there are.
        candidates: Vec<Candidate>,
    },
    /// A target that is nearly the name of one that there is.
    MisspeltTarget {
        /// The target.
        target: Target,
        /// The one that may be meant.
        meant: &'static str,
    },
    /// A program that may sleep, for a target that takes none.
    SleepNotTaken(Target),
    /// A map that is needed, and has no number of entries.
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
        /// Where cgroup v2 is mounted, if it is.
        mount: Option<PathBuf>,
    },
    /// A cgroup without an order.
    OrderNeeded,
    /// A cgroup that is named neither by `path` nor by `id`, or by both.
    CgroupName {
        /// Where cgroup v2 is mounted, if it is.
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
        /// Those that it defines.
        known: Vec<String>,
    },
    /// `own` where a map from elsewhere is to be named.
    OwnMapHere,
    /// A size for a map for which an existing one stands.
    SizeOfGivenMap {
        /// The object's map.
        map: String,
        /// Where the existing one is named.
        at: Place,
    },
    /// A size for a map that the object pins by name.
    SizeOfMapByName {
        /// The object's map.
        map: String,
        /// Where it is pinned.
        pin: PathBuf,
    },
    /// Not a map's name.
    MapName(InvalidMapName),
    /// Id 0, which the kernel never gives.
    MapIdZero,
    /// An empty path, or one with a `..` or a NUL, in `map = { pinned = … }`.
    MapPath,
}

/// An iterator program that an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The program's name.
    pub program: String,
    /// What it walks.
    pub target: Target,
    /// Whether it may sleep.
    pub sleep: Sleep,
    /// The target whose context it takes, as its BTF says: `struct bpf_iter__task` is of `task`.
    pub context: Option<String>,
}

/// Something that may be a mistake, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What.
    pub concern: Concern,
}

/// What may be a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The program reads the kernel's structures, and has no CO-RE relocations.
    NoCore,
    /// The program has calls of what only programs under the GPL may call, in an object under no such licence.
    NotGpl {
        /// What the object declares, if it declares something.
        licence: Option<String>,
    },
    /// The program takes the context of another target than it walks.
    OtherContext {
        /// The target whose context it takes.
        context: String,
        /// The target that it walks.
        target: Target,
    },
}
