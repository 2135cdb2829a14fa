//! Helpers: the inputs of a plan in a few words, and a plan as a few lines.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::access::{Meta, Mode};
use crate::desired::{
    Desired, DesiredPin, DirectoryAccess, Globals, KeyPlaces, MapRef, Naming, Param, Program, Set,
    Wanted,
};
use crate::fault::Place;
use crate::ids::{LinkId, MapId, ProgramId};
use crate::names::Sha256;
use crate::observed::{
    CgroupProblem, Kind, Link, LinkParam, MapProblem, Node, Observed, ObservedPin, Provenance,
};
use crate::pin_path::PinPath;
use crate::plan::{
    Drift, Empty, Foreign, Obstacle, Plan, Policy, Step, UnpinReason, pin, plan, unpin, unpin_set,
};
use crate::stamp::Stamp;
use crate::target::{Sleep, Target};

/// A plan's inputs. The set is `observe`, its name is written, and there is no consent to anything.
pub(super) struct Case {
    desired: Desired,
    observed: Observed,
    policy: Policy,
}

pub(super) fn want(pins: &[(&str, DesiredPin)]) -> Case {
    let pins = pins.iter().map(|(path, pin)| (at(path), pin.clone())).collect();
    let set = set("observe");
    Case {
        desired: Desired {
            set,
            bpffs: PathBuf::from("/sys/fs/bpf"),
            pins,
            left_out: BTreeSet::new(),
            warnings: Vec::new(),
        },
        observed: Observed::default(),
        policy: Policy { foreign: Foreign::Refuse, empty: Empty::Refuse },
    }
}

impl Case {
    pub(super) fn have(mut self, nodes: &[(&str, Node)]) -> Self {
        self.observed.nodes = nodes.iter().map(|(path, node)| (at(path), node.clone())).collect();
        self
    }

    pub(super) fn read_only(mut self) -> Self {
        self.observed.read_only = Some(self.desired.bpffs.clone());
        self
    }

    /// The bpffs root has this mode, owner and group.
    pub(super) fn below_root(mut self, root: Meta) -> Self {
        self.observed.root = Some(root);
        self
    }

    pub(super) fn left_out(mut self, paths: &[&str]) -> Self {
        paths.iter().for_each(|path| self.desired.leave_out(at(path)));
        self
    }

    pub(super) fn map(mut self, map: MapRef, found: Result<u32, MapProblem>) -> Self {
        self.observed.maps.insert(map, found.map(MapId));
        self
    }

    pub(super) fn cgroup(mut self, path: &Path, found: Result<u64, &str>) -> Self {
        let found = found.map_err(|why| CgroupProblem::Unusable(why.to_owned()));
        self.observed.cgroups.insert(path.to_path_buf(), found);
        self
    }

    pub(super) fn adopt(mut self) -> Self {
        self.policy.foreign = Foreign::Adopt;
        self
    }

    pub(super) fn allow_empty(mut self) -> Self {
        self.policy.empty = Empty::Allow;
        self
    }

    pub(super) fn taken(mut self) -> Self {
        self.desired.set.naming = Naming::Taken;
        self
    }

    pub(super) fn for_set(mut self, set: &str) -> Self {
        self.desired.set.name = set.parse().expect("a set name");
        self
    }

    pub(super) fn plan(&self) -> Plan {
        plan(&self.desired, &self.observed, self.policy)
    }
}

/// Each step, each obstacle (`!`) and each unchanged pin (`=`) is a line.
#[track_caller]
pub(super) fn check(case: Case, expected: &[&str]) {
    same(&case.plan(), expected);
}

/// The same for a plan that only pins.
#[track_caller]
pub(super) fn check_pin(case: Case, expected: &[&str]) {
    same(&pin(&case.desired, &case.observed, case.policy.foreign), expected);
}

#[track_caller]
pub(super) fn check_unpin(case: Case, paths: &[&str], expected: &[&str]) {
    let paths = paths.iter().map(|path| at(path)).collect();
    same(unpin(&paths, &case.observed, case.policy.foreign).plan(), expected);
}

#[track_caller]
pub(super) fn check_unpin_set(case: Case, expected: &[&str]) {
    same(unpin_set(&case.desired.set, &case.observed).plan(), expected);
}

#[track_caller]
fn same(plan: &Plan, expected: &[&str]) {
    let steps = plan.steps.iter().map(step_line);
    let obstacles = plan.obstacles.iter().map(obstacle_line);
    let unchanged = plan.unchanged.keys().map(|path| format!("= {path}"));
    let notes = plan.notes.iter().map(|note| format!("note: {}", note.message(Path::new("/bpf"))));
    let lines: Vec<String> = steps.chain(obstacles).chain(unchanged).chain(notes).collect();
    assert_eq!(lines, expected);
}

fn step_line(step: &Step) -> String {
    match step {
        Step::Unpin { path, reason: UnpinReason::NoLongerListed, .. } => format!("unpin {path}"),
        Step::Unpin { path, reason: UnpinReason::Asked, .. } => format!("unpin {path} as asked"),
        Step::RemoveDirectory { path, .. } => format!("rmdir {path}"),
        Step::MakeDirectory { path, meta } => format!("mkdir {path} {}", ids(*meta)),
        Step::Pin { path, param, .. } => {
            format!("pin {path} {param}").trim_end_matches(" none").to_owned()
        }
        Step::Replace { path, drift, .. } => format!("replace {path}: {}", reasons(drift)),
        Step::SetMeta { path, drift, .. } => format!("set {path}: {}", reasons(drift)),
        Step::SetDirectoryMeta { path, drift, .. } => format!("set {path}/: {}", reasons(drift)),
    }
}

/// The mode; owner and group if they are not root's.
fn ids(meta: Meta) -> String {
    match meta {
        Meta { mode, uid: 0, gid: 0 } => mode.to_string(),
        Meta { mode, uid, gid } => format!("{mode} {uid}:{gid}"),
    }
}

fn reasons(drift: &[Drift]) -> String {
    drift.iter().map(Drift::to_string).collect::<Vec<_>>().join(", ")
}

fn obstacle_line(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Foreign { path, .. } => format!("! {path} is foreign"),
        Obstacle::NotAnIterator { path, kind } => format!("! {path} is {kind}"),
        Obstacle::Directory { path } => format!("! {path} is a directory"),
        Obstacle::ParentNotADirectory { path, parent } => format!("! {path} is below {parent}"),
        Obstacle::BehindMount { path, parent, bpffs: None } => {
            format!("! {path} is behind {parent}")
        }
        Obstacle::BehindMount { path, parent, bpffs: Some(bpffs) } => {
            format!("! {path} is behind {parent}, the bpffs {}", bpffs.display())
        }
        Obstacle::ReadOnly { bpffs } => format!("! {} is read-only", bpffs.display()),
        Obstacle::Map { path, map, why, .. } => format!("! {path} needs {map}: {why}"),
        Obstacle::Cgroup { path, cgroup, why } => {
            format!("! {path} needs {}: {why}", cgroup.display())
        }
        Obstacle::OtherSource { set, ours, theirs } => format!("! {set}: {ours:?}, not {theirs:?}"),
        Obstacle::Empty { set } => format!("! {set} is empty"),
        Obstacle::NotPinned { path } => format!("! {path} is not pinned"),
    }
}

fn at(path: &str) -> PinPath {
    path.parse().expect("a pin path")
}

pub(super) fn mode(text: &str) -> Mode {
    text.parse().expect("a mode")
}

fn set(name: &str) -> Set {
    let name = name.parse().expect("a set name");
    Set { name, naming: Naming::Written, source: vec!["/etc/iters.toml".to_owned()] }
}

/// The desired pin that [`ours`] matches.
pub(super) fn task() -> DesiredPin {
    let program = Program {
        object: PathBuf::from("/opt/task.bpf.o"),
        sha256: Sha256::from([1; 32]),
        name: "dump_task".to_owned(),
        target: Target::new("task"),
        sleep: Sleep::Never,
        globals: Globals::default(),
        maps: BTreeMap::new(),
        held: BTreeSet::new(),
        externs: BTreeSet::new(),
        max_entries: BTreeMap::new(),
    };
    DesiredPin {
        program: Arc::new(program),
        param: Param::None,
        meta: Meta { mode: mode("0600"), uid: 0, gid: 0 },
        directory: DirectoryAccess {
            mode: Wanted::Default(mode("0700")),
            uid: Wanted::Default(0),
            gid: Wanted::Default(0),
        },
        place: Place::new(0, 0..0),
        keys: KeyPlaces { obj: Place::new(0, 0..0), param: None, maps: BTreeMap::new() },
    }
}

pub(super) fn taking(param: Param) -> DesiredPin {
    DesiredPin { param, ..task() }
}

pub(super) fn walking(map: MapRef) -> DesiredPin {
    taking(Param::Map(map))
}

/// A pin whose program is given these maps.
pub(super) fn given(maps: &[(&str, MapRef)]) -> DesiredPin {
    let maps = maps.iter().map(|(name, map)| ((*name).to_owned(), map.clone())).collect();
    let maps: BTreeMap<String, MapRef> = maps;
    let held = maps.keys().cloned().collect();
    let program = Program { maps, held, ..(*task().program).clone() };
    DesiredPin { program: Arc::new(program), ..task() }
}

/// A pin whose program's maps have these sizes.
pub(super) fn sized(sizes: &[(&str, u32)]) -> DesiredPin {
    let program = Program { max_entries: max_entries(sizes), ..(*task().program).clone() };
    DesiredPin { program: Arc::new(program), ..task() }
}

pub(super) fn max_entries(sizes: &[(&str, u32)]) -> BTreeMap<String, NonZeroU32> {
    let size = |number| NonZeroU32::new(number).expect("a size");
    sizes.iter().map(|(name, number)| ((*name).to_owned(), size(*number))).collect()
}

/// The same pin, but its program has these globals.
pub(super) fn put(globals: Globals, pin: DesiredPin) -> DesiredPin {
    let program = Program { globals, ..(*pin.program).clone() };
    DesiredPin { program: Arc::new(program), ..pin }
}

pub(super) fn below(dir_mode: &str) -> DesiredPin {
    let directory = DirectoryAccess { mode: Wanted::Stated(mode(dir_mode)), ..task().directory };
    DesiredPin { directory, ..task() }
}

pub(super) fn pinned() -> MapRef {
    MapRef::Pinned(PathBuf::from("/sys/fs/bpf/conns"))
}

pub(super) fn named() -> MapRef {
    MapRef::Name("conns".parse().expect("a map name"))
}

/// A pin of the set `observe`, exactly as [`task`] wants it.
pub(super) fn ours() -> Node {
    ours_but(|_, _| {})
}

/// The same, after `change` was made to the pin or the stamp.
pub(super) fn ours_but(change: impl FnOnce(&mut ObservedPin, &mut Stamp)) -> Node {
    let mut stamp =
        Stamp::new(&set("observe"), &task().program, &BTreeMap::new(), &BTreeMap::new());
    let mut pin = unstamped_pin();
    change(&mut pin, &mut stamp);
    Node::Iterator(ObservedPin { provenance: Provenance::Stamped(Arc::new(stamp)), ..pin })
}

/// The same pin, after `change` was made to its stamp.
pub(super) fn stamped(node: Node, change: impl FnOnce(&mut Stamp)) -> Node {
    let Node::Iterator(pin) = node else { panic!("only iterators have a stamp") };
    let mut stamp = (**pin.provenance.stamp().expect("it has a stamp")).clone();
    change(&mut stamp);
    Node::Iterator(ObservedPin { provenance: Provenance::Stamped(Arc::new(stamp)), ..pin })
}

fn unstamped_pin() -> ObservedPin {
    let DesiredPin { program, meta, .. } = task();
    let (id, target) = (LinkId(7), program.target.clone());
    let link = Link { id, program: ProgramId(70), target, param: LinkParam::None };
    let program_name = program.name.as_str().into();
    let maps = Arc::default();
    ObservedPin { link, program_name, provenance: Provenance::Unstamped, maps, meta }
}

pub(super) fn over(param: LinkParam) -> Node {
    ours_but(|pin, _| pin.link.param = param)
}

pub(super) fn owned_by(set: &str) -> Node {
    ours_but(|_, stamp| stamp.set = set.parse().expect("a set name"))
}

pub(super) fn from(source: &str) -> Node {
    ours_but(|_, stamp| stamp.source = vec![source.to_owned()])
}

pub(super) fn without_owner(provenance: Provenance) -> Node {
    Node::Iterator(ObservedPin { provenance, ..unstamped_pin() })
}

pub(super) fn unstamped() -> Node {
    without_owner(Provenance::Unstamped)
}

pub(super) fn dir() -> Node {
    dir_of("0755", 0, 0)
}

pub(super) fn dir_of(text: &str, uid: u32, gid: u32) -> Node {
    Node::Directory(Meta { mode: mode(text), uid, gid })
}

pub(super) fn other(kind: Kind) -> Node {
    Node::Other(kind)
}
