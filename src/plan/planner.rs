//! How a plan is made: the policy of every path on one screen. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Drift, Empty, Foreign, Obstacle, Plan, Policy, Step, UnpinReason, WantedParam};
use crate::desired::{CgroupRef, Desired, DesiredPin, MapRef, Naming, Param};
use crate::meta::{MapId, Mode};
use crate::observed::{LinkParam, MapProblem, Node, Observed, ObservedPin};
use crate::path::{PinPath, SetName};

/// What has to change for bpffs to match the manifest.
pub fn plan(desired: &Desired, observed: &Observed, policy: Policy) -> Plan {
    plan_set(desired, observed, policy, Some(UnpinReason::NoLongerListed))
}

/// What has to change for these pins to be there. The set's other pins stay, listed or not.
pub fn pin(desired: &Desired, observed: &Observed, foreign: Foreign) -> Plan {
    plan_set(desired, observed, Policy { foreign, empty: Empty::Refuse }, None)
}

/// What has to change for the whole set to be gone. `desired` lists nothing.
pub fn unpin_set(desired: &Desired, observed: &Observed) -> Plan {
    let policy = Policy { foreign: Foreign::Refuse, empty: Empty::Allow };
    plan_set(desired, observed, policy, Some(UnpinReason::Asked))
}

fn plan_set(
    desired: &Desired,
    observed: &Observed,
    policy: Policy,
    unpin_unlisted: Option<UnpinReason>,
) -> Plan {
    let obstacles = whole_set_obstacles(desired, observed, policy);
    if !obstacles.is_empty() {
        return Plan { obstacles, ..Plan::default() };
    }
    let mut planner = Planner { observed, policy, plan: Plan::default(), changes: Vec::new() };
    let listed: BTreeSet<&PinPath> = desired.pins.keys().chain(&desired.left_out).collect();
    for (path, pin) in observed.iterators() {
        let ours = pin.provenance.set() == Some(&desired.set.name);
        if let Some(reason) = unpin_unlisted
            && ours
            && !listed.contains(path)
        {
            planner.unpin(path, pin, reason);
        }
    }
    let emptied = planner.remove_directories(&listed);
    for (path, want) in &desired.pins {
        planner.decide(&desired.set.name, path, want, &emptied);
    }
    planner.make_directories();
    planner.finish()
}

/// What has to change for these pins to be gone, whosever set they are of.
pub fn unpin(paths: &BTreeSet<PinPath>, observed: &Observed, foreign: Foreign) -> Plan {
    let policy = Policy { foreign, empty: Empty::Allow };
    let mut planner = Planner { observed, policy, plan: Plan::default(), changes: Vec::new() };
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
    planner.remove_directories(&BTreeSet::new());
    planner.finish()
}

/// What must be settled before any single pin is looked at.
fn whole_set_obstacles(desired: &Desired, observed: &Observed, policy: Policy) -> Vec<Obstacle> {
    let set = &desired.set;
    let listed = desired.pins.len() + desired.left_out.len();
    if listed == 0 && policy.empty == Empty::Refuse {
        return vec![Obstacle::Empty { set: set.name.clone() }];
    }
    if set.naming == Naming::Written {
        return Vec::new();
    }
    // Two manifests with one file name must not unpin each other.
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

/// What only the kernel knows of an entry.
struct Resolved {
    param: WantedParam,
    maps: BTreeMap<String, MapId>,
}

struct Planner<'a> {
    observed: &'a Observed,
    policy: Policy,
    plan: Plan,
    /// What leaves a pin in place: comes after the directories are made.
    changes: Vec<Step>,
}

impl Planner<'_> {
    fn obstacle(&mut self, obstacle: Obstacle) {
        self.plan.obstacles.push(obstacle);
    }

    fn unpin(&mut self, path: &PinPath, pin: &ObservedPin, reason: UnpinReason) {
        self.plan.steps.push(Step::Unpin { path: path.clone(), have: pin.clone(), reason });
    }

    /// The whole policy of one path.
    fn decide(
        &mut self,
        set: &SetName,
        path: &PinPath,
        want: &DesiredPin,
        emptied: &BTreeSet<PinPath>,
    ) {
        let Some(Resolved { param, maps }) = self.resolve(path, want) else { return };
        let path = path.clone();
        match self.observed.nodes.get(&path) {
            Some(Node::Directory(_)) if !emptied.contains(&path) => {
                self.obstacle(Obstacle::Directory { path });
            }
            None | Some(Node::Directory(_)) => match self.blocking_parent(&path) {
                Some(parent) => self.obstacle(Obstacle::ParentNotADirectory { path, parent }),
                None => self.changes.push(Step::Pin { path, want: want.clone(), param }),
            },
            Some(Node::Other(kind)) => {
                self.obstacle(Obstacle::NotAnIterator { path, kind: kind.clone() });
            }
            Some(Node::Iterator(have)) => {
                let (want, have) = (want.clone(), have.clone());
                let ours = have.provenance.set() == Some(set);
                if !ours && self.policy.foreign == Foreign::Refuse {
                    return self.obstacle(Obstacle::Foreign { path, have });
                }
                let drift = Drift::between(set, &want, &param, &maps, &have);
                if drift.iter().any(Drift::needs_another_link) {
                    self.changes.push(Step::Replace { path, want, param, have, drift });
                } else if !drift.is_empty() {
                    self.changes.push(Step::SetMeta { path, want, have, drift });
                } else {
                    self.plan.unchanged.insert(path, have);
                }
            }
        }
    }

    /// The ids behind the names of an entry's maps and cgroup.
    fn resolve(&mut self, path: &PinPath, want: &DesiredPin) -> Option<Resolved> {
        let given = want.program.maps.iter();
        let maps: Vec<Option<(String, MapId)>> =
            given.map(|(name, map)| Some((name.clone(), self.map(path, map)?))).collect();
        let param = match &want.param {
            Param::None => WantedParam::Link(LinkParam::None),
            Param::OwnMap(name) => WantedParam::OwnMap(name.clone()),
            Param::Map(map) => WantedParam::Link(LinkParam::Map(self.map(path, map)?)),
            Param::Thread(tid) => WantedParam::Link(LinkParam::Thread(*tid)),
            Param::Process(pid) => WantedParam::Link(LinkParam::Process(*pid)),
            Param::Cgroup(cgroup, order) => {
                let id = self.cgroup(path, cgroup)?;
                WantedParam::Link(LinkParam::Cgroup { id, order: order.number() })
            }
        };
        Some(Resolved { param, maps: maps.into_iter().collect::<Option<_>>()? })
    }

    fn map(&mut self, path: &PinPath, map: &MapRef) -> Option<MapId> {
        let found = self.observed.maps.get(map).cloned().unwrap_or(Err(MapProblem::Missing));
        match found {
            Ok(id) => {
                self.plan.maps.insert(map.clone(), id);
                Some(id)
            }
            Err(why) => {
                let obstacle = Obstacle::Map { path: path.clone(), map: map.clone(), why };
                // One map may be walked and given, and given several times.
                let of_path = |other: &&Obstacle| other.path() == Some(path);
                let mut told = self.plan.obstacles.iter().rev().take_while(of_path);
                if !told.any(|other| *other == obstacle) {
                    self.obstacle(obstacle);
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
                    Some(Ok(_)) | None => "it was not looked for".to_owned(),
                };
                let cgroup = directory.clone();
                self.obstacle(Obstacle::Cgroup { path: path.clone(), cgroup, why });
                None
            }
        }
    }

    /// The nearest parent that is something else than a directory and that no step before unpins.
    fn blocking_parent(&self, path: &PinPath) -> Option<PinPath> {
        path.ancestors().find(|parent| match self.observed.nodes.get(parent) {
            None | Some(Node::Directory(_)) => false,
            Some(Node::Other(_)) => true,
            Some(Node::Iterator(_)) => !self.unpins(parent),
        })
    }

    fn unpins(&self, path: &PinPath) -> bool {
        self.plan
            .steps
            .iter()
            .any(|step| matches!(step, Step::Unpin { path: gone, .. } if gone == path))
    }

    /// Removes the directories that the unpins leave empty, the deepest first. A directory that was
    /// empty before, or that a listed pin needs, stays.
    fn remove_directories(&mut self, listed: &BTreeSet<&PinPath>) -> BTreeSet<PinPath> {
        let unpinned: BTreeSet<&PinPath> = self.plan.steps.iter().map(Step::path).collect();
        let above: BTreeSet<PinPath> = unpinned.iter().flat_map(|path| path.ancestors()).collect();
        if above.is_empty() {
            return above;
        }
        let staying = self
            .observed
            .nodes
            .keys()
            .filter(|path| !unpinned.contains(path) && !above.contains(*path));
        let kept: BTreeSet<PinPath> =
            staying.chain(listed.iter().copied()).flat_map(PinPath::ancestors).collect();
        let emptied: BTreeSet<PinPath> = above.difference(&kept).cloned().collect();
        for path in emptied.iter().rev() {
            if let Some(Node::Directory(meta)) = self.observed.nodes.get(path) {
                let (path, meta) = (path.clone(), *meta);
                self.plan.steps.push(Step::RemoveDirectory { path, meta });
            }
        }
        emptied
    }

    /// Makes the directories that new pins need, parents first.
    fn make_directories(&mut self) {
        let mut missing: BTreeMap<PinPath, Mode> = BTreeMap::new();
        for step in &self.changes {
            let Step::Pin { path, want, .. } = step else { continue };
            for parent in path.ancestors() {
                if !matches!(self.observed.nodes.get(&parent), Some(Node::Directory(_))) {
                    missing.entry(parent).or_insert(want.dir_mode);
                }
            }
        }
        let make = |(path, mode)| Step::MakeDirectory { path, mode };
        self.plan.steps.extend(missing.into_iter().map(make));
    }

    fn finish(mut self) -> Plan {
        self.plan.steps.append(&mut self.changes);
        self.plan
    }
}
