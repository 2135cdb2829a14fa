//! What can be wrong with a manifest and the objects that it names. Pure.
//!
//! Every fault carries its data and, where there is one, the place in the manifest; how it looks is
//! the business of [`report`](crate::report).

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::globals::Misfit;
use crate::path::{
    InvalidMapName, InvalidPinPath, InvalidSetName, PinPath, Printable, STAGING_PREFIX,
};
use crate::target::Target;

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
    /// A map given to a target that takes none.
    MapNotTaken(Target),
    /// No map given to a target that needs one.
    MapNeeded(Target),
    /// A cgroup given to a target that takes none.
    CgroupNotTaken(Target),
    /// No cgroup given to the target that needs one.
    CgroupNeeded(Target),
    /// A cgroup without an order.
    OrderNeeded,
    /// A cgroup that is named neither by `path` nor by `id`, or by both.
    CgroupName,
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
}

/// Why an object cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectFault {
    /// No such file.
    Missing(PathBuf),
    /// The system's words on why it cannot be read.
    Unreadable(PathBuf, String),
    /// A directory, a device, a FIFO, …
    NotAFile(PathBuf),
    /// Larger than any BPF object; bytes, and how many are allowed.
    TooLarge(PathBuf, u64, u64),
    /// Empty, or without an ELF header.
    NotElf(PathBuf),
    /// An ELF file for another machine; `e_machine`.
    NotBpf(PathBuf, u16),
    /// libbpf cannot open it; libbpf's words.
    Rejected(PathBuf, String),
}

impl Problem {
    /// The way out, where there is one.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::SetName(_) => Some(
                "a set's name has 1 to 64 ASCII letters, digits and `_-.@+:`, \
                 and begins with a letter or a digit"
                    .to_owned(),
            ),
            Self::NoSetName(_) => {
                Some("write `set = \"…\"` at the top of the manifest, or give `--set`".to_owned())
            }
            Self::SetsDiffer { at: Some(_), .. } => {
                Some("one call is one set: apply the files apart, or give `--set`".to_owned())
            }
            Self::SetsDiffer { at: None, .. } => Some(
                "the names are taken from the files: write `set = \"…\"` in one of them, or give \
                 `--set`"
                    .to_owned(),
            ),
            Self::BpffsNotAbsolute => Some("write it like `/sys/fs/bpf`".to_owned()),
            Self::BpffsDiffers { .. } => {
                Some("one call has one bpffs: apply the files apart".to_owned())
            }
            Self::PinPath { text, why } => pin_path_help(text, why),
            Self::OutsideBpffs(bpffs) => Some(format!(
                "write a path below {}, or set `bpffs` at the top of the manifest",
                bpffs.display()
            )),
            Self::Mode(_) => Some("write three octal digits, such as `0440`".to_owned()),
            Self::UnknownUser(_) => Some("name a user of this machine, or give a uid".to_owned()),
            Self::UnknownGroup(_) => Some("name a group of this machine, or give a gid".to_owned()),
            Self::Sha256 => Some("`sha256sum FILE` prints it".to_owned()),
            Self::Sha256Differs { found } => {
                Some(format!("if this is the right object, write `sha256 = \"{found}\"`"))
            }
            Self::NoIterator => Some(
                "an iterator is a program with `SEC(\"iter/…\")` or `SEC(\"iter.s/…\")`".into(),
            ),
            Self::SeveralIterators(candidates) => Some(format!(
                "add one of {}",
                join(candidates.iter().map(|one| format!("`program = \"{}\"`", one.program)))
            )),
            Self::NoSuchProgram { candidates, .. } => Some(match candidates.as_slice() {
                [] => "the object holds no iterator at all".to_owned(),
                some => format!("it holds {}", list_candidates(some)),
            }),
            Self::MapNotTaken(_) => Some(
                "remove `map`: the kernel would take the map's descriptor for something else"
                    .to_owned(),
            ),
            Self::MapNeeded(_) => Some(
                "add `map = { pinned = \"/sys/fs/bpf/…\" }`, `{ id = … }`, `{ name = \"…\" }`, or \
                 `{ own = \"…\" }` for one that the object defines"
                    .to_owned(),
            ),
            Self::MapName(InvalidMapName::TooLong { kept }) => {
                Some(format!("write `name = \"{kept}\"`"))
            }
            Self::MapPath => Some("write the path of the pinned map below bpffs".to_owned()),
            Self::Object(fault) => fault.help(),
            Self::CgroupNotTaken(_) => Some("remove `cgroup`".to_owned()),
            Self::TaskNotTaken(_) => Some("remove `task`".to_owned()),
            Self::CgroupNeeded(_) => Some(
                "add `cgroup = { path = \"/sys/fs/cgroup\", order = \"descendants-pre\" }`".to_owned(),
            ),
            Self::OrderNeeded => Some(
                "add `order`: `self-only`, `descendants-pre`, `descendants-post`, `ancestors-up` or \
                 `children`"
                    .to_owned(),
            ),
            Self::CgroupName => {
                Some("write either `path = \"/sys/fs/cgroup/…\"` or `id = …`".to_owned())
            }
            Self::Global(misfit) => misfit.help(),
            Self::UnknownMap { known, .. } => Some(match known.as_slice() {
                [] => "it defines no map".to_owned(),
                some => format!("it defines {}", join(some.iter().map(|name| format!("`{name}`")))),
            }),
            Self::OwnMapHere => {
                Some("name a map that is loaded already: `id`, `pinned` or `name`".to_owned())
            }
            Self::Syntax(_)
            | Self::Shape(_)
            | Self::TooManyShapes
            | Self::MissingKey(_)
            | Self::DuplicatePath { .. }
            | Self::ParentOfAnother { .. }
            | Self::TaskZero
            | Self::TwoParameters
            | Self::MapName(InvalidMapName::Empty)
            | Self::MapIdZero => None,
        }
    }

    /// Another place that belongs to the problem, and what to say there.
    pub fn see_also(&self) -> Option<(&Place, &'static str)> {
        if let Self::SetsDiffer { at: Some(at), .. } | Self::BpffsDiffers { at, .. } = self {
            return Some((at, "first named here"));
        }
        if let Self::DuplicatePath { at, .. } = self {
            return Some((at, "first used here"));
        }
        if let Self::ParentOfAnother { at, .. } = self {
            return Some((at, "this pin would be below it"));
        }
        None
    }
}

fn pin_path_help(text: &str, why: &InvalidPinPath) -> Option<String> {
    match why {
        InvalidPinPath::Dot(_) => Some(format!("write `{}`", text.replace('.', "_"))),
        InvalidPinPath::EmptyComponent => {
            let plain: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
            (!plain.is_empty()).then(|| format!("write `{}`", plain.join("/")))
        }
        InvalidPinPath::Reserved => {
            Some(format!("choose a name that does not begin with `{STAGING_PREFIX}`"))
        }
        InvalidPinPath::Empty
        | InvalidPinPath::NotNormal(_)
        | InvalidPinPath::ComponentTooLong(_)
        | InvalidPinPath::TooLong(_)
        | InvalidPinPath::Control => None,
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn list_candidates(candidates: &[Candidate]) -> String {
    join(candidates.iter().map(|one| format!("`{}` ({})", one.program, one.target)))
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(message) => write!(f, "not TOML: {message}"),
            Self::Shape(message) => f.write_str(message),
            Self::TooManyShapes => write!(f, "too many faults like these to list: mend them first"),
            Self::MissingKey(key) => write!(f, "entry has no `{key}`"),
            Self::SetName(why) => write!(f, "{why}"),
            Self::NoSetName(argument) => {
                write!(f, "no name for the set can be taken from {argument}")
            }
            Self::SetsDiffer { here, first, .. } => {
                write!(f, "two sets in one call: `{first}` and `{here}`")
            }
            Self::BpffsNotAbsolute => {
                write!(f, "`bpffs` is not an absolute path without `.` and `..`")
            }
            Self::BpffsDiffers { first, .. } => {
                write!(f, "another bpffs than {} in the same call", first.display())
            }
            Self::PinPath { why, .. } => write!(f, "{why}"),
            Self::OutsideBpffs(bpffs) => {
                write!(f, "pin path is not below the bpffs {}", bpffs.display())
            }
            Self::DuplicatePath { path, .. } => write!(f, "two entries have the path `{path}`"),
            Self::ParentOfAnother { path, below, .. } => {
                write!(f, "`{path}` cannot be a pin and the parent directory of `{below}`")
            }
            Self::Mode(text) => write!(f, "`{}` is not a mode", text.escape_debug()),
            Self::UnknownUser(name) => write!(f, "no user `{}`", name.escape_debug()),
            Self::UnknownGroup(name) => write!(f, "no group `{}`", name.escape_debug()),
            Self::Sha256 => write!(f, "not a SHA-256 in hex"),
            Self::Sha256Differs { .. } => write!(f, "the object is another one than `sha256` says"),
            Self::Object(fault) => write!(f, "{fault}"),
            Self::NoIterator => write!(f, "the object holds no iterator"),
            Self::SeveralIterators(candidates) => write!(
                f,
                "the object holds several iterators, and the entry names none: {}",
                list_candidates(candidates)
            ),
            Self::NoSuchProgram { wanted, .. } => {
                write!(f, "the object holds no iterator `{}`", wanted.escape_debug())
            }
            Self::MapNotTaken(target) => write!(f, "target `{target}` takes no map"),
            Self::MapNeeded(target) => write!(f, "target `{target}` needs a map"),
            Self::CgroupNotTaken(target) => write!(f, "target `{target}` takes no cgroup"),
            Self::CgroupNeeded(target) => write!(f, "target `{target}` needs a cgroup"),
            Self::OrderNeeded => write!(f, "cgroup without an order"),
            Self::CgroupName => write!(f, "cgroup is to be named by `path` or by `id`"),
            Self::TaskNotTaken(target) => write!(f, "target `{target}` takes no task"),
            Self::TaskZero => write!(f, "no task has the number 0"),
            Self::TwoParameters => write!(f, "an iterator takes one of `map`, `cgroup` and `task`"),
            Self::Global(misfit) => write!(f, "{misfit}"),
            Self::UnknownMap { wanted, .. } => {
                write!(f, "the object defines no map `{}`", wanted.escape_debug())
            }
            Self::OwnMapHere => write!(f, "a map cannot be replaced by the object's own"),
            Self::MapName(why) => write!(f, "{why}"),
            Self::MapIdZero => write!(f, "no map has the id 0"),
            Self::MapPath => write!(f, "not the path of a pinned map"),
        }
    }
}

impl ObjectFault {
    fn help(&self) -> Option<String> {
        match self {
            Self::Missing(_) => {
                Some("a relative `obj` is looked for in the manifest's folder".to_owned())
            }
            Self::NotElf(_) | Self::NotBpf(..) => {
                Some("compile it with `clang -g -O2 -target bpf -c`".to_owned())
            }
            Self::Rejected(_, why) if why.contains("BTF is required") => {
                Some("compile it with `clang -g`: without that, an object has no BTF".to_owned())
            }
            Self::Rejected(..) => {
                Some("the file may be cut short: compile or copy it again".to_owned())
            }
            Self::Unreadable(..) | Self::NotAFile(_) | Self::TooLarge(..) => None,
        }
    }
}

impl fmt::Display for ObjectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "no object at {}", Printable(path)),
            Self::Unreadable(path, why) => write!(f, "cannot read {}: {why}", Printable(path)),
            Self::NotAFile(path) => write!(f, "{} is not a regular file", Printable(path)),
            Self::TooLarge(path, size, limit) => {
                write!(f, "{} has {size} bytes, and {limit} are allowed", Printable(path))
            }
            Self::NotElf(path) => write!(f, "{} is not an ELF file", Printable(path)),
            Self::NotBpf(path, machine) => {
                write!(f, "{} is an ELF file for machine {machine}, not for BPF", Printable(path))
            }
            Self::Rejected(path, why) => write!(f, "libbpf cannot open {}: {why}", Printable(path)),
        }
    }
}
