//! How a plan is made: the policy of every path on one screen. Pure.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use itertools::EitherOrBoth::{Both, Left, Right};
use itertools::Itertools as _;

use super::{
    Drift, Empty, Foreign, Note, Obstacle, Plan, Policy, Removal, Step, UnpinReason, WantedParam,
    note,
};
use crate::access::Meta;
use crate::desired::{CgroupRef, Desired, DesiredPin, MapRef, Naming, Param, Set, Wanted};
use crate::ids::MapId;
use crate::names::SetName;
use crate::observed::{CgroupProblem, Kind, LinkParam, MapProblem, Node, Observed, ObservedPin};
use crate::pin_path::PinPath;

/// The policy for the set's pins that are not listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unlisted {
    Go,
    Stay,
}

/// The changes that make bpffs match the manifest.
pub fn plan(desired: &Desired, observed: &Observed, policy: Policy) -> Plan {
    plan_set(desired, observed, policy, Unlisted::Go)
}

/// The changes that bring these pins. The set's other pins stay, listed or not.
pub fn pin(desired: &Desired, observed: &Observed, foreign: Foreign) -> Plan {
    plan_set(desired, observed, Policy { foreign, empty: Empty::Refuse }, Unlisted::Stay)
}

fn plan_set(desired: &Desired, observed: &Observed, policy: Policy, unlisted: Unlisted) -> Plan {
    let obstacles = whole_set_obstacles(desired, observed, policy);
    if !obstacles.is_empty() {
        return Plan { obstacles, ..Plan::default() };
    }
    let mut planner = Planner::new(observed, policy);
    let mut wanted = Vec::with_capacity(desired.pins.len());
    // Both are sorted by path, so they are walked side by side.
    let by_path = |(want, _): &(&PinPath, _), (have, _): &(&PinPath, _)| want.cmp(have);
    for found in desired.pins.iter().merge_join_by(&observed.nodes, by_path) {
        match found {
            Both((path, want), (_, node)) => wanted.push((path, want, Some(node))),
            Left((path, want)) => wanted.push((path, want, None)),
            Right((path, Node::Iterator(pin))) => {
                if unlisted == Unlisted::Go
                    && pin.provenance.set() == Some(&desired.set.name)
                    && !desired.left_out.contains(path)
                {
                    planner.unpin(path, pin, UnpinReason::NoLongerListed);
                }
            }
            Right((_, Node::Directory(_) | Node::Other(_))) => {}
        }
    }
    let emptied = planner.remove_directories(desired.pins.keys().chain(&desired.left_out));
    for (path, want, node) in wanted {
        planner.decide(&desired.set.name, path, want, node, &emptied);
    }
    planner.directories(desired);
    planner.finish()
}

/// The changes that remove the whole set.
pub fn unpin_set(set: &Set, observed: &Observed) -> Removal {
    let obstacles = other_sources(set, observed);
    if !obstacles.is_empty() {
        return Removal(Plan { obstacles, ..Plan::default() });
    }
    let policy = Policy { foreign: Foreign::Refuse, empty: Empty::Allow };
    let mut planner = Planner::new(observed, policy);
    for (path, pin) in observed.iterators() {
        if pin.provenance.set() == Some(&set.name) {
            planner.unpin(path, pin, UnpinReason::Asked);
        }
    }
    planner.remove_directories(std::iter::empty());
    Removal(planner.finish())
}

/// The changes that remove these pins, regardless of which set owns them.
pub fn unpin(paths: &BTreeSet<PinPath>, observed: &Observed, foreign: Foreign) -> Removal {
    let policy = Policy { foreign, empty: Empty::Allow };
    let mut planner = Planner::new(observed, policy);
    for path in paths {
        match observed.nodes.get(path) {
            Some(Node::Iterator(pin)) => {
                if pin.provenance.set().is_some() || foreign == Foreign::Adopt {
                    planner.unpin(path, pin, UnpinReason::Asked);
                } else {
                    planner.obstacle(Obstacle::Foreign { path: path.clone(), have: pin.clone() });
                }
            }
            Some(Node::Other(kind)) => {
                planner
                    .obstacle(Obstacle::NotAnIterator { path: path.clone(), kind: kind.clone() });
            }
            Some(Node::Directory(_)) => {
                planner.obstacle(Obstacle::Directory { path: path.clone() });
            }
            None => planner.obstacle(Obstacle::NotPinned { path: path.clone() }),
        }
    }
    planner.remove_directories(std::iter::empty());
    Removal(planner.finish())
}

/// The obstacles that are looked for before any single pin.
fn whole_set_obstacles(desired: &Desired, observed: &Observed, policy: Policy) -> Vec<Obstacle> {
    let set = &desired.set;
    let listed = desired.pins.len() + desired.left_out.len();
    if listed == 0 && policy.empty == Empty::Refuse {
        return vec![Obstacle::Empty { set: set.name.clone() }];
    }
    other_sources(set, observed)
}

/// Two manifests with one file name must not unpin each other.
fn other_sources(set: &Set, observed: &Observed) -> Vec<Obstacle> {
    if set.naming == Naming::Written {
        return Vec::new();
    }
    let other_sources: BTreeSet<&Vec<String>> = observed
        .iterators()
        .filter_map(|(_, pin)| pin.provenance.stamp())
        .filter(|stamp| stamp.set == set.name && stamp.source != set.source)
        .map(|stamp| &stamp.source)
        .collect();
    let obstacle = |theirs: &Vec<String>| Obstacle::OtherSource {
        set: set.name.clone(),
        ours: set.source.clone(),
        theirs: theirs.clone(),
    };
    other_sources.into_iter().map(obstacle).collect()
}

/// Every directory above a listed path or a pin of the set.
fn above_pins(desired: &Desired, observed: &Observed) -> BTreeSet<PinPath> {
    let own =
        observed.iterators().filter(|(_, pin)| pin.provenance.set() == Some(&desired.set.name));
    let listed = desired.pins.keys().chain(&desired.left_out);
    own.map(|(path, _)| path).chain(listed).flat_map(PinPath::ancestors).collect()
}

/// The values of an entry that only the kernel knows.
struct KernelValues {
    param: WantedParam,
    maps: BTreeMap<String, MapId>,
}

struct Planner<'a> {
    observed: &'a Observed,
    policy: Policy,
    plan: Plan,
    /// The paths of all pins that are unpinned.
    unpinned: BTreeSet<PinPath>,
    /// Steps that leave a pin in place: they come after the directories are made.
    changes: Vec<Step>,
    /// Steps that change directories: they come last, when nothing has to be made in them any more.
    of_directories: Vec<Step>,
    /// The pins that are already as desired, by path.
    unchanged: Vec<(PinPath, ObservedPin)>,
}

impl<'a> Planner<'a> {
    fn new(observed: &'a Observed, policy: Policy) -> Self {
        let plan = Plan::default();
        let (changes, of_directories, unchanged) = (Vec::new(), Vec::new(), Vec::new());
        let unpinned = BTreeSet::new();
        Self { observed, policy, plan, unpinned, changes, of_directories, unchanged }
    }

    fn obstacle(&mut self, obstacle: Obstacle) {
        self.plan.obstacles.push(obstacle);
    }

    fn unpin(&mut self, path: &PinPath, pin: &ObservedPin, reason: UnpinReason) {
        self.unpinned.insert(path.clone());
        self.plan.steps.push(Step::Unpin { path: path.clone(), have: pin.clone(), reason });
    }

    /// The whole policy for one path, at which `node` was found.
    fn decide(
        &mut self,
        set: &SetName,
        path: &PinPath,
        want: &DesiredPin,
        node: Option<&Node>,
        emptied: &BTreeSet<PinPath>,
    ) {
        let Some(KernelValues { param, maps }) = self.resolve(path, want) else { return };
        let to_path = || path.clone();
        match node {
            Some(Node::Directory(_)) if !emptied.contains(path) => {
                self.obstacle(Obstacle::Directory { path: to_path() });
            }
            None | Some(Node::Directory(_)) => match self.blocking_parent(path) {
                Some((parent, Node::Other(Kind::Bpffs(at)))) => {
                    let bpffs = Some(at.clone());
                    self.obstacle(Obstacle::BehindMount { path: to_path(), parent, bpffs });
                }
                Some((parent, Node::Other(Kind::Mount))) => {
                    self.obstacle(Obstacle::BehindMount { path: to_path(), parent, bpffs: None });
                }
                Some((parent, _)) => {
                    self.obstacle(Obstacle::ParentNotADirectory { path: to_path(), parent });
                }
                None => {
                    let (path, want) = (to_path(), want.clone());
                    self.changes.push(Step::Pin { path, want, param });
                }
            },
            Some(Node::Other(kind)) => {
                self.obstacle(Obstacle::NotAnIterator { path: to_path(), kind: kind.clone() });
            }
            Some(Node::Iterator(have)) => {
                let (path, have) = (to_path(), have.clone());
                let ours = have.provenance.set() == Some(set);
                if !ours && self.policy.foreign == Foreign::Refuse {
                    return self.obstacle(Obstacle::Foreign { path, have });
                }
                let drift = Drift::between(set, want, &param, &maps, &have);
                if drift.iter().any(Drift::needs_another_link) {
                    let want = want.clone();
                    self.changes.push(Step::Replace { path, want, param, have, drift });
                } else if !drift.is_empty() {
                    self.changes.push(Step::SetMeta { path, want: want.clone(), have, drift });
                } else {
                    self.unchanged.push((path, have));
                }
            }
        }
    }

    /// The ids behind the names of an entry's maps and cgroup.
    fn resolve(&mut self, path: &PinPath, want: &DesiredPin) -> Option<KernelValues> {
        let given = want.program.maps.iter();
        let maps: Vec<Option<(String, MapId)>> = given
            .map(|(name, map)| Some((name.clone(), self.map(path, map, Some(name))?)))
            .collect();
        let param = match &want.param {
            Param::None => WantedParam::Link(LinkParam::None),
            Param::OwnMap(name) => WantedParam::OwnMap(name.clone()),
            Param::Map(map) => WantedParam::Link(LinkParam::Map(self.map(path, map, None)?)),
            Param::Thread(tid) => WantedParam::Link(LinkParam::Thread(*tid)),
            Param::Process(pid) => WantedParam::Link(LinkParam::Process(*pid)),
            Param::Cgroup(cgroup, order) => {
                let id = self.cgroup(path, cgroup)?;
                WantedParam::Link(LinkParam::Cgroup { id, order: order.number() })
            }
        };
        Some(KernelValues { param, maps: maps.into_iter().collect::<Option<_>>()? })
    }

    /// The id of a map. The map is walked, or it replaces the object's own map `replaces`.
    fn map(&mut self, path: &PinPath, map: &MapRef, replaces: Option<&String>) -> Option<MapId> {
        let found = self.observed.maps.get(map).cloned().unwrap_or(Err(MapProblem::Missing));
        match found {
            Ok(id) => {
                self.plan.maps.insert(map.clone(), id);
                Some(id)
            }
            Err(why) => {
                // One map may be walked and given, and given several times: it is reported once.
                let of_path = |other: &&Obstacle| other.path() == Some(path);
                let mut told = self.plan.obstacles.iter().rev().take_while(of_path);
                let is_same = |other: &Obstacle| matches!(other, Obstacle::Map { map: told, .. } if told == map);
                if !told.any(is_same) {
                    let (path, map) = (path.clone(), map.clone());
                    let replaces = replaces.cloned();
                    self.obstacle(Obstacle::Map { path, map, replaces, why });
                }
                None
            }
        }
    }

    fn cgroup(&mut self, path: &PinPath, cgroup: &CgroupRef) -> Option<u64> {
        let directory = match cgroup {
            CgroupRef::Id(id) => return Some(*id),
            CgroupRef::Path(directory) => directory,
        };
        match self.observed.cgroups.get(directory) {
            Some(Ok(id)) => Some(*id),
            other => {
                let why = match other {
                    Some(Err(why)) => why.clone(),
                    Some(Ok(_)) | None => CgroupProblem::NotLookedFor,
                };
                let cgroup = directory.clone();
                self.obstacle(Obstacle::Cgroup { path: path.clone(), cgroup, why });
                None
            }
        }
    }

    /// The nearest parent that is not a directory and that no earlier step unpins, and what is there.
    fn blocking_parent(&self, path: &PinPath) -> Option<(PinPath, &'a Node)> {
        path.ancestors().find_map(|parent| {
            let node = self.observed.nodes.get(&parent)?;
            let is_blocking = match node {
                Node::Directory(_) => false,
                Node::Other(_) => true,
                Node::Iterator(_) => !self.unpinned.contains(&parent),
            };
            is_blocking.then_some((parent, node))
        })
    }

    /// Removes the directories that the unpins leave empty, the deepest first. A directory that was empty
    /// before, or that a listed pin needs, stays.
    fn remove_directories<'b>(
        &mut self,
        listed: impl Iterator<Item = &'b PinPath>,
    ) -> BTreeSet<PinPath> {
        let mut emptied: BTreeSet<PinPath> = BTreeSet::new();
        for path in &self.unpinned {
            // If a directory is known, so are those above it.
            let mut above = path.ancestors();
            while above.next().is_some_and(|directory| emptied.insert(directory)) {}
        }
        if emptied.is_empty() {
            return emptied;
        }
        let is_staying = |path: &PinPath| !self.unpinned.contains(path) && !emptied.contains(path);
        let staying = self.observed.nodes.keys().filter(|path| is_staying(path));
        // Directories are nodes, too, so it is enough that each node keeps the directory that holds it.
        let holding: Vec<PinPath> = staying.filter_map(PinPath::parent).collect();
        for directory in holding {
            let mut kept = std::iter::successors(Some(directory), PinPath::parent);
            while kept.next().is_some_and(|directory| emptied.remove(&directory)) {}
        }
        for directory in listed.flat_map(PinPath::ancestors) {
            emptied.remove(&directory);
        }
        for path in emptied.iter().rev() {
            if let Some(Node::Directory(meta)) = self.observed.nodes.get(path) {
                let (path, meta) = (path.clone(), *meta);
                self.plan.steps.push(Step::RemoveDirectory { path, meta });
            }
        }
        emptied
    }

    /// Makes the directories that new pins need, parents first, and changes those that are not as stated.
    fn directories(&mut self, desired: &Desired) {
        let needed = self.directories_to_make();
        let mut after = BTreeMap::new();
        let observed = self.observed;
        let above_pins = LazyCell::new(|| above_pins(desired, observed));
        for (path, access) in desired.directories() {
            let have = match self.observed.nodes.get(&path) {
                Some(Node::Directory(have)) => *have,
                None | Some(Node::Iterator(_) | Node::Other(_)) => {
                    let meta = access.meta();
                    if needed.contains(&path) {
                        self.plan.steps.push(Step::MakeDirectory { path: path.clone(), meta });
                    }
                    after.insert(path, meta);
                    continue;
                }
            };
            let drift = Drift::of_directory(&access, have);
            let other =
                if drift.is_empty() { None } else { self.foreign_in(desired, &above_pins, &path) };
            let stated = |wanted: Wanted<u32>, have| wanted.stated().unwrap_or(have);
            let want = Meta {
                mode: access.mode.stated().unwrap_or(have.mode),
                uid: stated(access.uid, have.uid),
                gid: stated(access.gid, have.gid),
            };
            match other {
                Some(other) => {
                    let directory = path.clone();
                    self.plan.notes.push(Note::SharedDirectory { directory, drift, other });
                    after.insert(path, have);
                }
                None => {
                    after.insert(path.clone(), want);
                    if !drift.is_empty() {
                        self.of_directories.push(Step::SetDirectoryMeta {
                            path,
                            want,
                            have,
                            drift,
                        });
                    }
                }
            }
        }
        self.plan.notes.extend(note::kept_out(desired, &after, self.observed.root));
    }

    /// Everything above new pins.
    fn directories_to_make(&self) -> BTreeSet<PinPath> {
        let new = self.changes.iter().filter_map(|step| match step {
            Step::Pin { path, .. } => Some(path),
            Step::Unpin { .. }
            | Step::RemoveDirectory { .. }
            | Step::MakeDirectory { .. }
            | Step::SetDirectoryMeta { .. }
            | Step::Replace { .. }
            | Step::SetMeta { .. } => None,
        });
        new.flat_map(PinPath::ancestors).collect()
    }

    /// Something below the directory that does not belong to the set, nor will after the plan.
    fn foreign_in(
        &self,
        desired: &Desired,
        above_pins: &BTreeSet<PinPath>,
        directory: &PinPath,
    ) -> Option<PinPath> {
        // In the order of the paths, everything below a path follows directly after it.
        let below = self.observed.nodes.range(directory.clone()..).skip(1);
        let mut below = below.take_while(|(path, _)| path.is_below(directory));
        let foreign = below.find(|(path, node)| match node {
            Node::Directory(_) => !above_pins.contains(*path),
            Node::Iterator(pin) => {
                let is_adopted =
                    self.policy.foreign == Foreign::Adopt && desired.pins.contains_key(*path);
                pin.provenance.set() != Some(&desired.set.name) && !is_adopted
            }
            Node::Other(_) => true,
        });
        foreign.map(|(path, _)| path.clone())
    }

    fn finish(mut self) -> Plan {
        self.plan.steps.append(&mut self.changes);
        self.plan.steps.append(&mut self.of_directories);
        self.plan.unchanged = self.unchanged.into_iter().collect();
        if let Some(bpffs) = &self.observed.read_only
            && !self.plan.steps.is_empty()
        {
            self.plan.obstacles.push(Obstacle::ReadOnly { bpffs: bpffs.clone() });
        }
        self.plan
    }
}
