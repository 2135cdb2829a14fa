//! [`Manifest`] + [`Facts`] → [`Desired`], or all [`Faults`]. Pure.
//!
//! In: what is written, and what others have found out about the objects, users and groups that it
//! names. Out: what every pin is to be, with nothing left to look up but the maps' ids, which only
//! the kernel knows.

mod entry;
mod param;
mod program;
mod resolver;
mod set;
mod sound;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256 as Hasher};

use self::entry::Entries;
use crate::access::{Meta, Mode};
use crate::anatomy::Anatomy;
use crate::anatomy::Extern;
use crate::escaped::Escaped;
use crate::fault::{Candidate, Fault, Faults, ObjectFault, Place, Warning};
use crate::globals::{Global, Patch};
use crate::ids::MapId;
use crate::manifest::Manifest;
pub use crate::manifest::wire::Order;
use crate::names::{MapName, SetName, Sha256};
use crate::pin_path::PinPath;
use crate::target::{Sleep, Target};

/// What has been found out about the files and names of a manifest.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Of every object, by absolute path.
    pub objects: BTreeMap<PathBuf, Result<ObjectFacts, ObjectFault>>,
    /// The uid of every named owner, if there is such a user.
    pub users: BTreeMap<String, Option<u32>>,
    /// The gid of every named group, if there is such a group.
    pub groups: BTreeMap<String, Option<u32>>,
    /// The effective uid of this process, which a new pin gets.
    pub uid: u32,
    /// Its effective gid.
    pub gid: u32,
    /// Where cgroup v2 is mounted, if it is and the manifest has to do with cgroups.
    pub cgroup2: Option<PathBuf>,
}

/// What an object says of itself without being loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Of the whole file.
    pub sha256: Sha256,
    /// Its iterator programs, in the order in which they stand.
    pub iterators: Vec<Candidate>,
    /// The maps that it defines, but for those that hold its variables.
    pub maps: Vec<ObjectMap>,
    /// Its global variables, where it has BTF.
    pub globals: Vec<Global>,
    /// What its programs take from the kernel.
    pub externs: Vec<Extern>,
    /// What each of its programs needs.
    pub anatomy: Anatomy,
}

/// A map that an object defines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMap {
    /// Its name there.
    pub name: String,
    /// Whether its kind needs a number of entries, and the object leaves that to its loader.
    pub lacks_size: bool,
    /// Whether it is declared with `LIBBPF_PIN_BY_NAME`: then it is the one that is pinned at its name.
    pub is_pinned_by_name: bool,
}

/// What the manifest asks for, fully resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Who owns the pins.
    pub set: Set,
    /// The bpffs, as an absolute path.
    pub bpffs: PathBuf,
    /// Every pin.
    pub pins: BTreeMap<PinPath, DesiredPin>,
    /// Where entries are left out: what is there, is listed, and stays as it is.
    pub left_out: BTreeSet<PinPath>,
    /// What may be a mistake, and keeps nothing from being pinned.
    pub warnings: Vec<Warning>,
}

/// What can be resolved of a manifest, and the entries that cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// The entries without a fault; the others are left out.
    pub desired: Desired,
    /// What is wrong with those, by the paths of their pins.
    pub faults: BTreeMap<PinPath, Vec<Fault>>,
}

/// The owner of the pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: SetName,
    /// Where the name is from.
    pub naming: Naming,
    /// The `-f` arguments, absolute.
    pub source: Vec<String>,
}

/// Where a set's name is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `set = "…"` or `--set`: the user's own word.
    Written,
    /// The name of the file or the directory, which another manifest may share.
    Taken,
}

/// One pin as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredPin {
    /// The program behind the link, shared by all entries that want the same.
    pub program: Arc<Program>,
    /// The link's parameter.
    pub param: Param,
    /// Mode, owner and group.
    pub meta: Meta,
    /// Mode of the parent directories that have to be made.
    pub dir_mode: Mode,
    /// The entry's `path` in the manifest.
    pub place: Place,
    /// Its other keys that an error can be about when the plan is carried out.
    pub keys: KeyPlaces,
}

/// Where keys of an entry stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlaces {
    /// `obj`.
    pub obj: Place,
    /// `map`, `cgroup` or `task`, if there is one.
    pub param: Option<Place>,
    /// Every value of `maps` and every name in `max-entries`, by the object's map: none is in both.
    pub maps: BTreeMap<String, Place>,
}

/// A program that is to be loaded: equal ones are loaded once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Program {
    /// The absolute path of the object.
    pub object: PathBuf,
    /// The object's digest.
    pub sha256: Sha256,
    /// The program's name.
    pub name: String,
    /// What it walks.
    pub target: Target,
    /// Whether it may sleep.
    pub sleep: Sleep,
    /// Initial values of its object's variables.
    pub globals: Globals,
    /// Existing maps for its object's own ones, by the names of these: only for maps that are needed.
    pub maps: BTreeMap<String, MapRef>,
    /// Those of `maps` that the program itself refers to: once loaded, it holds them.
    pub held: BTreeSet<String>,
    /// What it takes from the kernel and does not load without.
    pub externs: BTreeSet<Extern>,
    /// How many elements other maps of its object have room for, by their names.
    pub max_entries: BTreeMap<String, NonZeroU32>,
}

/// Initial values of an object's variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Globals {
    /// What goes where.
    pub patches: Vec<Patch>,
    /// The same as it is written in TOML; empty where nothing is.
    pub text: String,
}

/// The parameter of an iterator link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Param {
    /// None: the target takes none, or everything is walked.
    None,
    /// A map to walk.
    Map(MapRef),
    /// A map of the object's own to walk, by its name there.
    OwnMap(String),
    /// The one thread to walk.
    Thread(u32),
    /// The one process to walk.
    Process(u32),
    /// A cgroup to walk from.
    Cgroup(CgroupRef, Order),
}

/// One of the names of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CgroupRef {
    /// Its id: the inode number of its directory.
    Id(u64),
    /// Its directory.
    Path(PathBuf),
}

/// One of the names of an existing map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapRef {
    /// The kernel's id.
    Id(MapId),
    /// The absolute path of its pin.
    Pinned(PathBuf),
    /// The kernel's name.
    Name(MapName),
}

impl fmt::Display for MapRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "id {id}"),
            Self::Pinned(path) => write!(f, "pinned {}", Escaped::new(path)),
            Self::Name(name) => write!(f, "name {}", Escaped::new(name.as_str())),
        }
    }
}

impl Globals {
    /// The digest of what goes where; `None` where nothing does.
    pub fn digest(&self) -> Option<Sha256> {
        if self.patches.is_empty() {
            return None;
        }
        let mut hasher = Hasher::new();
        for Patch { section, offset, bytes } in &self.patches {
            // With their lengths, so that no two different lists look the same.
            for part in [section.as_bytes(), &offset.to_le_bytes(), bytes] {
                hasher.update(part.len().to_le_bytes());
                hasher.update(part);
            }
        }
        Some(Sha256::from(<[u8; 32]>::from(hasher.finalize())))
    }
}

impl Desired {
    /// Leaves the entry of that path out.
    pub fn leave_out(&mut self, path: PinPath) {
        self.pins.remove(&path);
        self.left_out.insert(path);
    }

    /// Every existing map that an entry names, each once.
    pub fn maps(&self) -> BTreeSet<&MapRef> {
        let walked = self.pins.values().filter_map(|pin| match &pin.param {
            Param::Map(map) => Some(map),
            Param::None
            | Param::OwnMap(_)
            | Param::Thread(_)
            | Param::Process(_)
            | Param::Cgroup(..) => None,
        });
        walked.chain(self.pins.values().flat_map(|pin| pin.program.maps.values())).collect()
    }

    /// The directory of every cgroup that an entry names so, each once.
    pub fn cgroups(&self) -> BTreeSet<&Path> {
        self.pins
            .values()
            .filter_map(|pin| match &pin.param {
                Param::Cgroup(CgroupRef::Path(path), _) => Some(path.as_path()),
                Param::None
                | Param::Map(_)
                | Param::OwnMap(_)
                | Param::Thread(_)
                | Param::Process(_)
                | Param::Cgroup(CgroupRef::Id(_), _) => None,
            })
            .collect()
    }
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 5] = [
        Self::SelfOnly,
        Self::DescendantsPre,
        Self::DescendantsPost,
        Self::AncestorsUp,
        Self::Children,
    ];

    /// `enum bpf_cgroup_iter_order` of include/uapi/linux/bpf.h.
    pub fn number(self) -> u32 {
        match self {
            Self::SelfOnly => 1,
            Self::DescendantsPre => 2,
            Self::DescendantsPost => 3,
            Self::AncestorsUp => 4,
            Self::Children => 5,
        }
    }

    /// The order of that number.
    pub fn of_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.number() == number)
    }
}

/// As a manifest writes it.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SelfOnly => "self-only",
            Self::DescendantsPre => "descendants-pre",
            Self::DescendantsPost => "descendants-post",
            Self::AncestorsUp => "ancestors-up",
            Self::Children => "children",
        })
    }
}

/// Where bpffs is, unless a manifest says otherwise.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf";

/// Resolves every entry.
///
/// # Errors
/// Every fault of the manifest: those of its form and those of its meaning.
pub fn resolve(manifest: &Manifest, facts: &Facts) -> Result<Desired, Faults> {
    let (set, bpffs, entries) = resolve_entries(manifest, facts);
    let Entries { pins, faulty, mut faults, warnings } = entries;
    faults.extend(faulty.into_values().flatten());
    finish(set, faults, bpffs, pins, warnings)
}

/// Resolves every entry that has no fault.
///
/// # Errors
/// Every fault that concerns more than one entry, or that leaves open which pin is meant: where it is
/// not known what is listed, it is not known either what is not.
pub fn resolve_sound(manifest: &Manifest, facts: &Facts) -> Result<Sound, Faults> {
    let (set, bpffs, entries) = resolve_entries(manifest, facts);
    let Entries { pins, faulty, faults, warnings } = entries;
    let mut desired = finish(set, faults, bpffs, pins, warnings)?;
    desired.left_out = faulty.keys().cloned().collect();
    Ok(Sound { desired, faults: faulty })
}

fn resolve_entries(manifest: &Manifest, facts: &Facts) -> (Result<Set, Fault>, PathBuf, Entries) {
    let mut faults = manifest.faults.clone();
    let set = set::set(manifest, &mut faults);
    let before = faults.len();
    let bpffs = set::bpffs(manifest, &mut faults);
    // Where it is written wrongly, no path can be said to be outside of it.
    let bpffs_is_known =
        faults.len() == before && !manifest.files.iter().any(|file| file.document_is_incomplete);
    let entries = entry::entries(manifest, facts, (&bpffs, bpffs_is_known), faults);
    (set, bpffs, entries)
}

/// Resolves only who owns the pins and where they are: a desired that wants no pin at all. The
/// entries' values are not looked at, so an object that is gone is no fault.
///
/// # Errors
/// Every fault of the manifest's form, of its set's name and of its bpffs.
pub fn resolve_empty(manifest: &Manifest) -> Result<Desired, Faults> {
    let mut faults = manifest.faults.clone();
    let set = set::set(manifest, &mut faults);
    let bpffs = set::bpffs(manifest, &mut faults);
    finish(set, faults, bpffs, BTreeMap::new(), Vec::new())
}

fn finish(
    set: Result<Set, Fault>,
    mut faults: Vec<Fault>,
    bpffs: PathBuf,
    pins: BTreeMap<PinPath, DesiredPin>,
    warnings: Vec<Warning>,
) -> Result<Desired, Faults> {
    match set {
        Ok(set) if faults.is_empty() => {
            Ok(Desired { set, bpffs, pins, left_out: BTreeSet::new(), warnings })
        }
        Ok(_) => Err(Faults::new(faults)),
        Err(fault) => {
            faults.push(fault);
            Err(Faults::new(faults))
        }
    }
}

#[cfg(test)]
mod tests;
