//! Properties of every plan, whatever is desired and whatever exists: the plan is carried out on a model of
//! bpffs, and the result is checked.

#[path = "plan_properties/model.rs"]
mod model;
#[path = "plan_properties/worlds.rs"]
mod worlds;

use std::collections::BTreeSet;
use std::path::Path;

use iterctl_core::desired::{CgroupRef, Desired, DesiredPin, Param};
use iterctl_core::ids::MapId;
use iterctl_core::names::SetName;
use iterctl_core::observed::{Kind, Node, Observed, ObservedPin};
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Empty, Foreign, Obstacle, Plan, Policy, Step, pin, plan, unpin};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{TestCaseError, TestRunner};

use model::{Nodes, check_directories, execute, is_below};
use worlds::{World, foreign, looked_up, path_sets, resolved, worlds};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn executing_a_plan_gives_what_is_desired(world in worlds(), foreign in foreign()) {
        let (desired, _, after) = carried_out(&world, foreign)?;
        for (path, want) in &desired.pins {
            let Some(Node::Iterator(pin)) = after.get(path) else {
                return Err(TestCaseError::fail(format!("{path} is {:?}", after.get(path))));
            };
            let stamp = pin.provenance.stamp().expect("a pin of this set has a stamp");
            prop_assert_eq!(&stamp.set, &desired.set.name);
            prop_assert_eq!(&stamp.sha256, &want.program.sha256);
            prop_assert_eq!(&stamp.program, &want.program.name);
            prop_assert_eq!(&pin.link.target, &want.program.target);
            let own_map = |name: &str| stamp.own_maps.get(name).copied().map(MapId);
            let param = resolved(&want.param, &world.observed, own_map);
            prop_assert_eq!(Some(pin.link.param), param);
            let globals = stamp.globals.clone().map(|globals| globals.sha256);
            prop_assert_eq!(globals, want.program.globals.digest());
            let given = want.program.maps.iter();
            let id = |map| looked_up(map, &world.observed).map(|id| id.0);
            let given: Option<_> = given.map(|(name, map)| Some((name.clone(), id(map)?))).collect();
            prop_assert_eq!(Some(&stamp.maps), given.as_ref());
            prop_assert_eq!(&stamp.max_entries, &want.program.max_entries);
            prop_assert_eq!(pin.meta, want.meta);
        }
        for (path, pin) in iterators(&after) {
            let ours = pin.provenance.set() == Some(&desired.set.name);
            prop_assert!(!ours || desired.pins.contains_key(path), "{path} is still there");
        }
    }

    #[test]
    fn planning_again_gives_nothing(world in worlds(), foreign in foreign()) {
        let (desired, _, after) = carried_out(&world, foreign)?;
        let unchanged: Vec<PinPath> = desired.pins.keys().cloned().collect();
        let again = plan(&desired, &seen(after, &world), policy(foreign));
        prop_assert!(again.is_done(), "{again:?}");
        prop_assert_eq!(again.steps, []);
        prop_assert_eq!(again.unchanged.into_keys().collect::<Vec<_>>(), unchanged);
    }

    #[test]
    fn everything_else_is_untouched(world in worlds(), foreign in foreign()) {
        let before = &world.observed.nodes;
        let (desired, plan, after) = carried_out(&world, foreign)?;
        for (path, node) in before {
            let stays = match node {
                Node::Other(_) => true,
                Node::Iterator(pin) => {
                    let ours = pin.provenance.set() == Some(&desired.set.name);
                    !ours && !desired.pins.contains_key(path)
                }
                Node::Directory(_) => false,
            };
            prop_assert!(!stays || after.get(path) == Some(node), "{path} was touched");
        }
        check_directories(before, &plan, &after, &desired)?;
        for path in after.keys().filter(|path| !before.contains_key(*path)) {
            let needed = desired.pins.keys().any(|pin| pin == path || is_below(pin, path));
            prop_assert!(needed, "nobody needs {path}");
        }
    }

    #[test]
    fn entries_that_are_left_out_are_untouched(
        mut world in worlds(), left_out in path_sets(), foreign in foreign()
    ) {
        for path in left_out {
            if world.desired.pins.contains_key(&path) {
                world.desired.leave_out(path);
            }
        }
        let (desired, _, after) = carried_out(&world, foreign)?;
        for path in &desired.left_out {
            let before = world.observed.nodes.get(path);
            // A directory there may be removed together with the set's pins in it.
            if !matches!(before, Some(Node::Directory(_))) {
                prop_assert_eq!(after.get(path), before);
            }
        }
    }

    #[test]
    fn every_listed_pin_changes_in_one_step_or_none(world in worlds(), foreign in foreign()) {
        let (desired, plan, _) = carried_out(&world, foreign)?;
        for path in desired.pins.keys() {
            // A directory that is removed to make room for a pin is not a change of that pin.
            let steps = plan.steps.iter().filter(|step| step.path() == path);
            let changes = steps.filter(|step| !matches!(step, Step::RemoveDirectory { .. }));
            let unchanged = plan.unchanged.contains_key(path);
            prop_assert_eq!(changes.count() + usize::from(unchanged), 1, "{}", path);
        }
        let order: Vec<_> = plan.steps.iter().map(place_in_order).collect();
        prop_assert!(order.is_sorted(), "{order:?}");
    }

    #[test]
    fn the_same_inputs_give_the_same_plan(world in worlds(), foreign in foreign()) {
        let World { desired, observed } = world.clone();
        let (one, two) = (
            plan(&desired, &observed, policy(foreign)),
            plan(&world.desired, &world.observed, policy(foreign)),
        );
        prop_assert_eq!(format!("{one:?}"), format!("{two:?}"));
        prop_assert_eq!(one, two);
    }

    #[test]
    fn without_consent_no_step_touches_foreign_pins(world in worlds()) {
        let World { desired, observed } = &world;
        for step in plan(desired, observed, policy(Foreign::Refuse)).steps {
            let there = observed.nodes.get(step.path());
            prop_assert!(!is_foreign(there, &desired.set.name), "{step:?} touches {there:?}");
        }
    }

    #[test]
    fn adopting_replaces_iterators_and_nothing_else(world in worlds()) {
        let World { desired, observed } = &world;
        for step in plan(desired, observed, policy(Foreign::Adopt)).steps {
            let there = observed.nodes.get(step.path());
            let adopted = matches!((&step, there), (Step::Replace { .. }, Some(Node::Iterator(_))));
            prop_assert!(adopted || !is_foreign(there, &desired.set.name), "{step:?}");
        }
    }

    #[test]
    fn adopting_removes_only_obstacles_of_foreign_pins(world in worlds()) {
        let World { desired, observed } = &world;
        let mut refused = plan(desired, observed, policy(Foreign::Refuse)).obstacles;
        refused.retain(|obstacle| !matches!(obstacle, Obstacle::Foreign { .. }));
        prop_assert_eq!(plan(desired, observed, policy(Foreign::Adopt)).obstacles, refused);
    }

    #[test]
    fn obstacles_are_real(world in worlds(), foreign in foreign()) {
        let World { desired, observed } = &world;
        let set = &desired.set.name;
        let gives_way = |path: &PinPath, node: &Node| match node {
            Node::Directory(_) => observed.nodes.keys().any(|other| is_below(other, path)),
            Node::Iterator(_) | Node::Other(_) => {
                !is_foreign(Some(node), set) && !desired.pins.contains_key(path)
            }
        };
        let obstacles = plan(desired, observed, policy(foreign)).obstacles;
        for (number, obstacle) in obstacles.iter().enumerate() {
            prop_assert!(!obstacles[..number].contains(obstacle), "told twice: {obstacle:?}");
            let real = match obstacle {
                Obstacle::Foreign { path, have } => {
                    let there = observed.nodes.get(path);
                    let seen = there == Some(&Node::Iterator(have.clone()));
                    seen && is_foreign(there, set) && foreign == Foreign::Refuse
                }
                Obstacle::NotAnIterator { path, kind } => {
                    observed.nodes.get(path) == Some(&Node::Other(kind.clone()))
                }
                Obstacle::Directory { path } => {
                    let tree = || observed.nodes.iter().filter(|(other, _)| is_below(other, path));
                    tree().next().is_none() || !tree().all(|(path, node)| gives_way(path, node))
                }
                Obstacle::ParentNotADirectory { path, parent } => {
                    is_below(path, parent) && is_foreign(observed.nodes.get(parent), set)
                }
                Obstacle::Map { path, map, why, .. } => {
                    let want = &desired.pins[path];
                    let named = want.param == Param::Map(map.clone())
                        || want.program.maps.values().any(|given| given == map);
                    named && observed.maps.get(map).is_none_or(|found| found.as_ref() == Err(why))
                }
                Obstacle::Cgroup { path, cgroup, why } => {
                    let found = observed.cgroups.get(cgroup);
                    let named = walks(&desired.pins[path], cgroup);
                    named && found.is_none_or(|found| found.as_ref() == Err(why))
                }
                Obstacle::BehindMount { path, parent, bpffs } => {
                    let there = match bpffs {
                        Some(at) => Node::Other(Kind::Bpffs(at.clone())),
                        None => Node::Other(Kind::Mount),
                    };
                    is_below(path, parent) && observed.nodes.get(parent) == Some(&there)
                }
                Obstacle::ReadOnly { .. }
                | Obstacle::OtherSource { .. }
                | Obstacle::Empty { .. }
                | Obstacle::NotPinned { .. } => false,
            };
            prop_assert!(real, "{obstacle:?}");
        }
    }

    #[test]
    fn adopted_pins_are_no_longer_foreign(world in worlds()) {
        let (desired, _, after) = carried_out(&world, Foreign::Adopt)?;
        let again = plan(&desired, &seen(after, &world), policy(Foreign::Refuse));
        prop_assert_eq!(again.obstacles, []);
    }

    #[test]
    fn pinning_keeps_everything_that_is_not_listed(world in worlds(), foreign in foreign()) {
        let before = &world.observed.nodes;
        let pinned = |desired: &Desired, observed: &Observed| match desired.pins.is_empty() {
            true => Plan::default(),
            false => pin(desired, observed, foreign),
        };
        let of_world = |desired: &Desired| pinned(desired, &world.observed);
        let (desired, plan) = without_obstacles(&world.desired, of_world)?;
        let after = execute(&desired.set, before, &plan)?;
        for (path, node) in before.iter().filter(|(path, _)| !desired.pins.contains_key(*path)) {
            // An entry may state what a directory above its pin is like.
            let is_above = desired.pins.keys().any(|pin| is_below(pin, path));
            let both = (node, after.get(path));
            let stays = is_above && matches!(both, (Node::Directory(_), Some(Node::Directory(_))));
            prop_assert!(stays || after.get(path) == Some(node), "{path} was touched");
        }
        check_directories(before, &plan, &after, &desired)?;
        for path in after.keys().filter(|path| !before.contains_key(*path)) {
            let needed = desired.pins.keys().any(|pin| pin == path || is_below(pin, path));
            prop_assert!(needed, "nobody needs {path}");
        }
        let again = pinned(&desired, &seen(after, &world));
        prop_assert!(again.is_done(), "{again:?}");
        prop_assert_eq!(again.unchanged.len(), desired.pins.len());
    }

    #[test]
    fn unpinning_removes_the_requested_pins_and_nothing_else(
        world in worlds(),
        asked in path_sets(),
        foreign in foreign(),
    ) {
        let before = &world.observed.nodes;
        let (asked, plan) = unpin_feasible(&asked, &world.observed, foreign)?;
        let after = execute(&world.desired.set, before, &plan)?;
        for (path, node) in before.iter().filter(|(path, _)| !asked.contains(*path)) {
            let stays = !matches!(node, Node::Directory(_));
            prop_assert!(!stays || after.get(path) == Some(node), "{path} was touched");
        }
        prop_assert!(after.keys().all(|path| before.contains_key(path) && !asked.contains(path)));
        check_directories(before, &plan, &after, &world.desired)?;

        let again = unpin(&asked, &seen(after, &world), foreign).into_plan();
        prop_assert_eq!(again.steps, []);
        let gone = asked.into_iter().map(|path| Obstacle::NotPinned { path });
        prop_assert_eq!(again.obstacles, gone.collect::<Vec<_>>());
    }

    #[test]
    fn every_requested_path_is_unpinned_or_an_obstacle(
        world in worlds(),
        asked in path_sets(),
        foreign in foreign(),
    ) {
        let removal = unpin(&asked, &world.observed, foreign);
        prop_assert_eq!(&removal, &unpin(&asked.clone(), &world.observed.clone(), foreign));
        let plan = removal.into_plan();
        let mut answered = Vec::new();
        for step in &plan.steps {
            let (path, have) = match step {
                Step::Unpin { path, have, .. } => (path, have),
                Step::RemoveDirectory { .. } => continue,
                Step::MakeDirectory { path, .. }
                | Step::SetDirectoryMeta { path, .. }
                | Step::Pin { path, .. }
                | Step::Replace { path, .. }
                | Step::SetMeta { path, .. } => {
                    return Err(TestCaseError::fail(format!("{path} is not only taken away")));
                }
            };
            let anyones = foreign == Foreign::Adopt || have.provenance.set().is_some();
            prop_assert!(anyones, "{path} is foreign");
            answered.push(path);
        }
        for obstacle in &plan.obstacles {
            let unasked = foreign == Foreign::Refuse;
            prop_assert!(unasked || !matches!(obstacle, Obstacle::Foreign { .. }), "{obstacle:?}");
            answered.extend(obstacle.path());
        }
        answered.sort();
        prop_assert_eq!(answered, asked.iter().collect::<Vec<_>>());
    }
}

/// Properties hold trivially if nothing ever happens: the worlds must lead to every step.
#[test]
fn worlds_lead_to_every_step_and_every_obstacle() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..256 {
        let world = worlds().new_tree(&mut runner).expect("nothing is filtered out").current();
        let refused = plan(&world.desired, &world.observed, policy(Foreign::Refuse));
        seen.extend(refused.obstacles.iter().map(variant));
        let (_, feasible) = feasible(&world, Foreign::Refuse).expect("obstacles are of one pin");
        seen.extend(feasible.steps.iter().map(variant));
        seen.extend(feasible.unchanged.first_key_value().map(|_| "unchanged".to_owned()));
    }
    let expected = [
        "BehindMount",
        "Cgroup",
        "Directory",
        "Foreign",
        "MakeDirectory",
        "Map",
        "NotAnIterator",
        "ParentNotADirectory",
        "Pin",
        "RemoveDirectory",
        "Replace",
        "SetDirectoryMeta",
        "SetMeta",
        "Unpin",
        "unchanged",
    ];
    assert_eq!(seen, expected.map(str::to_owned).into());
}

fn variant(of: &impl std::fmt::Debug) -> String {
    format!("{of:?}").split(' ').next().unwrap_or_default().to_owned()
}

fn policy(foreign: Foreign) -> Policy {
    Policy { foreign, empty: Empty::Allow }
}

fn seen(nodes: Nodes, world: &World) -> Observed {
    Observed { nodes, ..world.observed.clone() }
}

/// Plans the world without the desired pins that have an obstacle, and carries the plan out.
fn carried_out(world: &World, foreign: Foreign) -> Result<(Desired, Plan, Nodes), TestCaseError> {
    let (desired, plan) = feasible(world, foreign)?;
    let after = execute(&desired.set, &world.observed.nodes, &plan)?;
    Ok((desired, plan, after))
}

fn feasible(world: &World, foreign: Foreign) -> Result<(Desired, Plan), TestCaseError> {
    let of_all = |desired: &Desired| plan(desired, &world.observed, policy(foreign));
    without_obstacles(&world.desired, of_all)
}

fn without_obstacles(
    desired: &Desired,
    plan: impl Fn(&Desired) -> Plan,
) -> Result<(Desired, Plan), TestCaseError> {
    let mut desired = desired.clone();
    loop {
        let plan = plan(&desired);
        if plan.obstacles.is_empty() {
            return Ok((desired, plan));
        }
        let paths: BTreeSet<_> = plan.obstacles.iter().map(Obstacle::path).collect();
        for path in paths {
            let pin = path.and_then(|path| desired.pins.remove(path));
            prop_assert!(pin.is_some(), "no pin is behind an obstacle of {path:?}");
        }
    }
}

fn walks(pin: &DesiredPin, directory: &Path) -> bool {
    match &pin.param {
        Param::Cgroup(CgroupRef::Path(path), _) => path == directory,
        Param::Cgroup(CgroupRef::Id(_), _)
        | Param::None
        | Param::Map(_)
        | Param::OwnMap(_)
        | Param::Thread(_)
        | Param::Process(_) => false,
    }
}

fn unpin_feasible(
    asked: &BTreeSet<PinPath>,
    observed: &Observed,
    foreign: Foreign,
) -> Result<(BTreeSet<PinPath>, Plan), TestCaseError> {
    let mut asked = asked.clone();
    for obstacle in unpin(&asked, observed, foreign).into_plan().obstacles {
        asked.retain(|path| Some(path) != obstacle.path());
    }
    let plan = unpin(&asked, observed, foreign).into_plan();
    prop_assert_eq!(&plan.obstacles, &[]);
    Ok((asked, plan))
}

fn iterators(nodes: &Nodes) -> impl Iterator<Item = (&PinPath, &ObservedPin)> {
    nodes.iter().filter_map(|(path, node)| match node {
        Node::Iterator(pin) => Some((path, pin)),
        Node::Directory(_) | Node::Other(_) => None,
    })
}

fn is_foreign(node: Option<&Node>, set: &SetName) -> bool {
    match node {
        None | Some(Node::Directory(_)) => false,
        Some(Node::Iterator(pin)) => pin.provenance.set() != Some(set),
        Some(Node::Other(_)) => true,
    }
}

/// The order of steps: unpins, removals from the bottom up, directories, the rest, changes of
/// directories; each of these by path.
fn place_in_order(step: &Step) -> (u8, Option<std::cmp::Reverse<&PinPath>>, Option<&PinPath>) {
    match step {
        Step::Unpin { path, .. } => (0, None, Some(path)),
        Step::RemoveDirectory { path, .. } => (1, Some(std::cmp::Reverse(path)), None),
        Step::MakeDirectory { path, .. } => (2, None, Some(path)),
        Step::Pin { path, .. } | Step::Replace { path, .. } | Step::SetMeta { path, .. } => {
            (3, None, Some(path))
        }
        Step::SetDirectoryMeta { path, .. } => (4, None, Some(path)),
    }
}
