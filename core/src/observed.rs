//! The findings on bpffs and in the kernel → [`Observed`]. Pure.
//!
//! In: a [`Scan`], raw, as the shell found it. Out: what is at every path of the bpffs, and who owns each
//! pinned iterator.

mod same_name;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::same_name::{Holder, ScannedMap};
use crate::access::Meta;
use crate::desired::{MapRef, Order};
use crate::ids::{LinkId, MapId, ProgramId};
use crate::names::SetName;
use crate::pin_path::PinPath;
use crate::stamp::{InvalidStamp, Stamp};
use crate::target::Target;

/// The findings of the shell, not interpreted yet.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Every directory and file of the bpffs, except those with a dot in their names.
    pub nodes: Vec<(PinPath, ScannedNode)>,
    /// Mode, owner and group of the bpffs root, if it was looked at.
    pub root: Option<Meta>,
    /// Every program that is behind one of the links, or that holds one of several maps with the same name.
    pub programs: BTreeMap<ProgramId, ScannedProgram>,
    /// Every map that was asked for.
    pub maps: BTreeMap<MapRef, ScannedMap>,
    /// The id of every cgroup that was asked for, or why it has none.
    pub cgroups: BTreeMap<PathBuf, Result<u64, CgroupProblem>>,
    /// The path of the bpffs, if it is mounted read-only.
    pub read_only: Option<PathBuf>,
    /// Every directory with something in it whose path is too long or too deep for a pin.
    pub too_deep: Vec<PinPath>,
}

/// One path of a bpffs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScannedNode {
    /// A directory.
    Directory(Meta),
    /// A pinned iterator link.
    Iterator(Link, Meta),
    /// Something else.
    Other(Kind),
}

/// An iterator link, as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// Its program.
    pub program: ProgramId,
    /// The target that it walks.
    pub target: Target,
    /// Its parameter.
    pub param: LinkParam,
}

/// The parameter of a link, as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkParam {
    /// None.
    None,
    /// The map that is walked.
    Map(MapId),
    /// The one thread that is walked.
    Thread(u32),
    /// The one process that is walked.
    Process(u32),
    /// The cgroup that the walk starts from.
    Cgroup {
        /// The cgroup's id: the inode number of its directory.
        id: u64,
        /// `enum bpf_cgroup_iter_order`.
        order: u32,
    },
}

/// A program, as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScannedProgram {
    /// The name that the kernel keeps: at most 15 bytes.
    pub name: String,
    /// Its stamp.
    pub stamp: ScannedStamp,
    /// The maps that it holds.
    pub maps: BTreeSet<MapId>,
}

/// The stamp of a program, not interpreted yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ScannedStamp {
    /// No map that is bound to the program looks like a stamp's.
    #[default]
    None,
    /// The value of the map that looks like a stamp's.
    Value(Vec<u8>),
    /// This user loaded the program, and is neither root nor the user who looks: its maps were not read.
    OtherUser(u32),
}

/// Something on bpffs that is not an iterator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pinned map.
    Map,
    /// A pinned program.
    Program,
    /// A pinned link of this type, as fdinfo names it.
    Link(String),
    /// A symbolic link, which is never followed.
    Symlink,
    /// A directory on which another bpffs is mounted, and where that is.
    Bpffs(PathBuf),
    /// Something on which another file system is mounted.
    Mount,
    /// A file that the kernel does not open as a BPF object, and why.
    Unknown(String),
}

/// Why a map cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapProblem {
    /// There is no such map.
    Missing,
    /// Several maps have that name: the ones that count, or all of them if none counts.
    Ambiguous(Vec<MapId>),
    /// Several maps have that name, and what holds them is unknown, for this reason.
    Unsettled(Vec<MapId>, String),
    /// Something else is pinned there.
    NotAMap(Kind),
    /// This process may not look at it.
    NotPermitted,
    /// It cannot be read; the system's message.
    Unreadable(String),
}

/// Why a cgroup cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupProblem {
    /// It was not looked up.
    NotLookedFor,
    /// It is not there, or cannot be opened; the system's message.
    Unusable(String),
    /// Its directory would be outside cgroup v2.
    Outside {
        /// The system's message.
        why: String,
        /// The mount point of cgroup v2, if it is mounted.
        mount: Option<PathBuf>,
    },
}

/// The state of bpffs and the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Every path.
    pub nodes: BTreeMap<PinPath, Node>,
    /// Mode, owner and group of the bpffs root, if it was looked at.
    pub root: Option<Meta>,
    /// Every map that was asked for.
    pub maps: BTreeMap<MapRef, Result<MapId, MapProblem>>,
    /// The id of every cgroup that was asked for, or why it has none.
    pub cgroups: BTreeMap<PathBuf, Result<u64, CgroupProblem>>,
    /// The path of the bpffs, if it is mounted read-only.
    pub read_only: Option<PathBuf>,
    /// Every directory with something in it that was not looked at: it is too deep to be a pin.
    pub too_deep: Vec<PinPath>,
}

/// One path of a bpffs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory(Meta),
    /// A pinned iterator.
    Iterator(ObservedPin),
    /// Something else.
    Other(Kind),
}

/// A pinned iterator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedPin {
    /// Its link.
    pub link: Link,
    /// The program's name, as the kernel keeps it.
    pub program_name: Arc<str>,
    /// The owner of its program.
    pub provenance: Provenance,
    /// The maps that the program holds.
    pub maps: Arc<BTreeSet<MapId>>,
    /// Mode, owner and group.
    pub meta: Meta,
}

/// The owner of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Provenance {
    /// A set; all pins of one program share the stamp.
    Stamped(Arc<Stamp>),
    /// No stamp: another tool loaded it.
    #[default]
    Unstamped,
    /// A stamp that cannot be read: it has another form, or is from a later version.
    Illegible(InvalidStamp),
    /// This user loaded it, whose stamps are not believed: any user who may load programs can bind a copy of
    /// another stamp to them.
    OtherUser(u32),
}

/// A program, as far as it is known.
#[derive(Clone, Default)]
struct Program {
    name: Arc<str>,
    provenance: Provenance,
    maps: Arc<BTreeSet<MapId>>,
}

/// Interprets what has been found, for a manifest of the set `set` if there is one.
pub fn observe(scan: Scan, set: Option<&SetName>) -> Observed {
    let programs: BTreeMap<ProgramId, Program> = scan
        .programs
        .into_iter()
        .map(|(id, ScannedProgram { name, stamp, maps })| {
            let provenance = provenance(&stamp);
            (id, Program { name: name.into(), provenance, maps: Arc::new(maps) })
        })
        .collect();
    let nodes = scan.nodes.into_iter().map(|(path, node)| {
        let node = match node {
            ScannedNode::Directory(meta) => Node::Directory(meta),
            ScannedNode::Other(kind) => Node::Other(kind),
            ScannedNode::Iterator(link, meta) => {
                let program = programs.get(&link.program).cloned().unwrap_or_default();
                let Program { name: program_name, provenance, maps } = program;
                Node::Iterator(ObservedPin { link, program_name, provenance, maps, meta })
            }
        };
        (path, node)
    });
    let whose = |id| programs.get(&id).map(|program| program.provenance.clone());
    let maps =
        scan.maps.into_iter().map(|(map, found)| (map, same_name::choose(found, set, whose)));
    let (nodes, maps) = (nodes.collect(), maps.collect());
    let Scan { root, cgroups, read_only, too_deep, .. } = scan;
    Observed { nodes, root, maps, cgroups, read_only, too_deep }
}

fn provenance(stamp: &ScannedStamp) -> Provenance {
    match stamp {
        ScannedStamp::None => Provenance::Unstamped,
        ScannedStamp::Value(bytes) => match Stamp::from_bytes(bytes) {
            Ok(stamp) => Provenance::Stamped(Arc::new(stamp)),
            Err(why) => Provenance::Illegible(why),
        },
        ScannedStamp::OtherUser(uid) => Provenance::OtherUser(*uid),
    }
}

impl Observed {
    /// Every pinned iterator.
    pub fn iterators(&self) -> impl Iterator<Item = (&PinPath, &ObservedPin)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::Iterator(pin) => Some((path, pin)),
            Node::Directory(_) | Node::Other(_) => None,
        })
    }
}

impl Provenance {
    /// The stamp, if it can be read.
    pub fn stamp(&self) -> Option<&Arc<Stamp>> {
        match self {
            Self::Stamped(stamp) => Some(stamp),
            Self::Unstamped | Self::Illegible(_) | Self::OtherUser(_) => None,
        }
    }

    /// The set that owns the program, if there is one.
    pub fn set(&self) -> Option<&SetName> {
        self.stamp().map(|stamp| &stamp.set)
    }
}

impl fmt::Display for LinkParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Map(id) => write!(f, "map {id}"),
            Self::Thread(tid) => write!(f, "tid {tid}"),
            Self::Process(pid) => write!(f, "pid {pid}"),
            Self::Cgroup { id, order } => match Order::from_number(*order) {
                Some(order) => write!(f, "cgroup {id} {order}"),
                None => write!(f, "cgroup {id} order {order}"),
            },
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map => write!(f, "a pinned map"),
            Self::Program => write!(f, "a pinned program"),
            Self::Link(kind) => write!(f, "a pinned {kind} link"),
            Self::Symlink => write!(f, "a symbolic link"),
            Self::Bpffs(_) => write!(f, "a directory on which another bpffs is mounted"),
            Self::Mount => write!(f, "something on which another file system is mounted"),
            Self::Unknown(why) => write!(f, "a file that cannot be opened ({why})"),
        }
    }
}

impl fmt::Display for CgroupProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLookedFor => f.write_str("it was not looked for"),
            Self::Unusable(why) | Self::Outside { why, .. } => f.write_str(why),
        }
    }
}

impl fmt::Display for MapProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "there is no such map"),
            Self::Ambiguous(ids) => write!(f, "several maps have that name: {}", Ids(ids)),
            Self::Unsettled(ids, why) => write!(
                f,
                "several maps have that name: {}; iterctl could not find out which of them are in use: {why}",
                Ids(ids)
            ),
            Self::NotAMap(kind) => write!(f, "{kind} is there instead"),
            Self::NotPermitted => write!(f, "not permitted to open it"),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

/// Displays as "ids 7, 9".
struct Ids<'a>(&'a [MapId]);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<String> = self.0.iter().map(MapId::to_string).collect();
        write!(f, "ids {}", ids.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pin whose program has this stamp has this provenance, and no set.
    #[track_caller]
    fn check_foreign(stamp: ScannedStamp, expected: &Provenance) {
        let path: PinPath = "a".parse().expect("a pin path");
        let meta = Meta { mode: crate::access::Mode::from_stat(0o600), uid: 0, gid: 0 };
        let link = Link {
            id: LinkId(1),
            program: ProgramId(2),
            target: Target::new("task"),
            param: LinkParam::None,
        };
        let scan = Scan {
            nodes: vec![(path, ScannedNode::Iterator(link, meta))],
            programs: [(
                ProgramId(2),
                ScannedProgram { name: "dump".to_owned(), stamp, ..ScannedProgram::default() },
            )]
            .into(),
            ..Scan::default()
        };
        let observed = observe(scan, None);
        let (_, pin) = observed.iterators().next().expect("the pin was seen");
        assert_eq!(pin.provenance, *expected);
        assert_eq!(pin.provenance.set(), None);
    }

    #[test]
    fn a_stamp_that_cannot_be_read_makes_a_pin_foreign() {
        check_foreign(ScannedStamp::None, &Provenance::Unstamped);
        let later = ScannedStamp::Value(br#"{"format":9}"#.to_vec());
        check_foreign(later, &Provenance::Illegible(InvalidStamp::Format(9)));
    }

    #[test]
    fn a_program_of_another_user_makes_a_pin_foreign() {
        check_foreign(ScannedStamp::OtherUser(990), &Provenance::OtherUser(990));
    }
}
