//! [`Manifest`] + [`Facts`] → [`Desired`], or all [`Faults`]. Pure.
//!
//! In: the manifest, and facts about the objects, users and groups that it names. Out: what every pin must
//! be. Only the ids of maps are left to look up, because only the kernel knows them.

mod directory;
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

pub use self::directory::{DirectoryAccess, Wanted};
use self::entry::ResolvedEntries;
use crate::access::Meta;
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

/// The facts about the files and names of a manifest.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Facts about every object, by absolute path.
    pub objects: BTreeMap<PathBuf, Result<ObjectFacts, ObjectFault>>,
    /// The uid of every named owner, if there is such a user.
    pub users: BTreeMap<String, Option<u32>>,
    /// The gid of every named group, if there is such a group.
    pub groups: BTreeMap<String, Option<u32>>,
    /// The effective uid of this process, which a new pin gets.
    pub uid: u32,
    /// Its effective gid.
    pub gid: u32,
    /// The mount point of cgroup v2, if it is mounted and the manifest names cgroups.
    pub cgroup2: Option<PathBuf>,
}

/// The facts about an object that are known without loading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFacts {
    /// The SHA-256 of the whole file.
    pub sha256: Sha256,
    /// Its iterator programs, in the order of the file.
    pub iterators: Vec<Candidate>,
    /// The maps that it defines, except those that hold its variables.
    pub maps: Vec<ObjectMap>,
    /// Its global variables, if it has BTF.
    pub globals: Vec<Global>,
    /// The externs that its programs use.
    pub externs: Vec<Extern>,
    /// The needs of each of its programs.
    pub anatomy: Anatomy,
}

/// A map that an object defines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMap {
    /// Its name there.
    pub name: String,
    /// Whether the map needs a number of entries, and the object leaves that to its loader.
    pub lacks_size: bool,
    /// Whether it is declared with `LIBBPF_PIN_BY_NAME`: then the map that is pinned at its name is used.
    pub is_pinned_by_name: bool,
}

/// The state that the manifest asks for, fully resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The set that owns the pins.
    pub set: Set,
    /// The bpffs, as an absolute path.
    pub bpffs: PathBuf,
    /// Every pin.
    pub pins: BTreeMap<PinPath, DesiredPin>,
    /// The paths of entries that are left out: pins there count as listed, and stay as they are.
    pub left_out: BTreeSet<PinPath>,
    /// Possible mistakes, which prevent nothing from being pinned.
    pub warnings: Vec<Warning>,
}

/// The part of a manifest that can be resolved, and the faults of the other entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// The entries without a fault; the others are left out.
    pub desired: Desired,
    /// The faults of the entries that are left out, by the paths of their pins.
    pub faults: BTreeMap<PinPath, Vec<Fault>>,
}

/// The owner of the pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: SetName,
    /// How the name was chosen.
    pub naming: Naming,
    /// The `-f` arguments, absolute.
    pub source: Vec<String>,
}

/// How a set's name was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Written by the user: `set = "…"` or `--set`.
    Written,
    /// Taken from the name of the file or the directory, which another manifest may share.
    Taken,
}

/// One pin as the manifest wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredPin {
    /// The program behind the link, shared by all entries that want the same.
    pub program: Arc<Program>,
    /// The link's parameter.
    pub param: Param,
    /// Mode, owner and group.
    pub meta: Meta,
    /// The directories above it.
    pub directory: DirectoryAccess,
    /// The entry's `path` in the manifest.
    pub place: Place,
    /// Its other keys that an error of the execution may refer to.
    pub keys: KeyPlaces,
}

/// The places of an entry's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlaces {
    /// `obj`.
    pub obj: Place,
    /// `map`, `cgroup` or `task`, if there is one.
    pub param: Option<Place>,
    /// Every value of `maps` and every name in `max-entries`, by the object's map: no map is in both.
    pub maps: BTreeMap<String, Place>,
}

/// A program to load. Equal ones are loaded once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Program {
    /// The absolute path of the object.
    pub object: PathBuf,
    /// The object's digest.
    pub sha256: Sha256,
    /// The program's name.
    pub name: String,
    /// The target that it walks.
    pub target: Target,
    /// Whether it may sleep.
    pub sleep: Sleep,
    /// Initial values of its object's variables.
    pub globals: Globals,
    /// Existing maps that replace the object's own, by the names of the latter: only maps that the program
    /// needs.
    pub maps: BTreeMap<String, MapRef>,
    /// The names in `maps` that the program itself refers to: once loaded, it holds these maps.
    pub held: BTreeSet<String>,
    /// The externs without which it cannot be loaded.
    pub externs: BTreeSet<Extern>,
    /// The sizes of other maps of its object, in elements, by their names.
    pub max_entries: BTreeMap<String, NonZeroU32>,
}

/// Initial values of an object's variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Globals {
    /// The bytes to write, and where.
    pub patches: Vec<Patch>,
    /// The same as it is written in TOML; empty if nothing is written.
    pub text: String,
}

/// The parameter of an iterator link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Param {
    /// No parameter: the target takes none, or everything is walked.
    None,
    /// A map to walk.
    Map(MapRef),
    /// A map of the object's own to walk, by its name in the object.
    OwnMap(String),
    /// The one thread to walk.
    Thread(u32),
    /// The one process to walk.
    Process(u32),
    /// A cgroup to walk from.
    Cgroup(CgroupRef, Order),
}

/// A cgroup, as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CgroupRef {
    /// Its id: the inode number of its directory.
    Id(u64),
    /// Its directory.
    Path(PathBuf),
}

/// An existing map, as a manifest names it.
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
    /// The digest of all patches; `None` if there are none.
    pub fn digest(&self) -> Option<Sha256> {
        if self.patches.is_empty() {
            return None;
        }
        let mut hasher = Hasher::new();
        for Patch { section, offset, bytes } in &self.patches {
            // Each part comes with its length, so that no two different lists have the same input.
            for part in [section.as_bytes(), &offset.to_le_bytes(), bytes] {
                hasher.update(part.len().to_le_bytes());
                hasher.update(part);
            }
        }
        Some(Sha256::from(<[u8; 32]>::from(hasher.finalize())))
    }
}

impl Desired {
    /// Leaves out the entry of that path.
    pub fn leave_out(&mut self, path: PinPath) {
        self.pins.remove(&path);
        self.left_out.insert(path);
    }

    /// The mode, owner and group that the entries want for every directory above their pins.
    pub fn directories(&self) -> BTreeMap<PinPath, DirectoryAccess> {
        directory::merge(self.pins.iter().map(|(path, pin)| (path, &pin.directory))).0
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

    /// The directory of every cgroup that an entry names by path, each once.
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
    pub(crate) const ALL: [Self; 5] = [
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
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.number() == number)
    }
}

/// The name in a manifest.
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

/// The path of the bpffs, unless a manifest says otherwise.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf";

/// Resolves every entry.
///
/// # Errors
/// Every fault of the manifest: those of its form and those of its meaning.
pub fn resolve(manifest: &Manifest, facts: &Facts) -> Result<Desired, Faults> {
    let (set, bpffs, entries) = resolve_entries(manifest, facts);
    let ResolvedEntries { pins, faulty, mut faults, warnings } = entries;
    faults.extend(faulty.into_values().flatten());
    finish(set, faults, bpffs, pins, warnings)
}

/// Resolves every entry that has no fault.
///
/// # Errors
/// Every fault that concerns more than one entry, or that hides which pin is meant: if it is unknown what
/// is listed, it is also unknown what is no longer listed.
pub fn resolve_sound(manifest: &Manifest, facts: &Facts) -> Result<Sound, Faults> {
    let (set, bpffs, entries) = resolve_entries(manifest, facts);
    let ResolvedEntries { pins, faulty, faults, warnings } = entries;
    let mut desired = finish(set, faults, bpffs, pins, warnings)?;
    desired.left_out = faulty.keys().cloned().collect();
    Ok(Sound { desired, faults: faulty })
}

fn resolve_entries(
    manifest: &Manifest,
    facts: &Facts,
) -> (Result<Set, Fault>, PathBuf, ResolvedEntries) {
    let mut faults = manifest.faults.clone();
    let set = set::set(manifest, &mut faults);
    let before = faults.len();
    let bpffs = set::bpffs(manifest, &mut faults);
    // If it is written wrongly, no path can be reported as outside of it.
    let bpffs_is_known =
        faults.len() == before && !manifest.files.iter().any(|file| file.document_is_incomplete);
    let entries = entry::entries(manifest, facts, (&bpffs, bpffs_is_known), faults);
    (set, bpffs, entries)
}

/// Resolves only the set and the bpffs, for a result that wants no pin at all. The values of entries are
/// not read, so a missing object is no fault.
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
