//! A bpffs in memory that carries out steps strictly: a step fails if it does not find what it expects.

use std::collections::BTreeMap;
use std::sync::Arc;

use iterctl_core::desired::{Desired, DesiredPin, MapRef, Param, Program, Set};
use iterctl_core::ids::{LinkId, MapId, ProgramId};
use iterctl_core::observed::{Link, LinkParam, Node, ObservedPin, Provenance};
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Plan, Step, WantedParam};
use iterctl_core::stamp::Stamp;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

pub(crate) type Nodes = BTreeMap<PinPath, Node>;

/// The maps that every object defines.
pub(crate) const OWN_MAPS: [&str; 2] = ["counts", "seen"];

/// What is there after all steps.
pub(crate) fn execute(set: &Set, before: &Nodes, plan: &Plan) -> Result<Nodes, TestCaseError> {
    let mut model =
        Model { set, nodes: before.clone(), maps: &plan.maps, loaded: BTreeMap::new(), links: 0 };
    for step in &plan.steps {
        model.step(step)?;
    }
    Ok(model.nodes)
}

/// A program in the kernel.
#[derive(Clone)]
pub(crate) struct Loaded {
    number: u32,
    stamp: Arc<Stamp>,
}

impl Loaded {
    /// The program, given these maps. It brings all other maps along, each with an id of its own.
    pub(crate) fn new(
        set: &Set,
        program: &Program,
        given: &BTreeMap<String, MapId>,
        number: u32,
    ) -> Self {
        let own = OWN_MAPS.into_iter().filter(|name| !given.contains_key(*name));
        let own_maps = own.zip(1000 + number * 10..).map(|(name, id)| (name.to_owned(), MapId(id)));
        let stamp = Stamp::new(set, program, given, &own_maps.collect());
        Self { number, stamp: Arc::new(stamp) }
    }

    /// The id of a map that came with it.
    pub(crate) fn own_map(&self, name: &str) -> Option<MapId> {
        self.stamp.own_maps.get(name).copied().map(MapId)
    }

    /// What a new link to it looks like when it is observed.
    pub(crate) fn pinned(&self, want: &DesiredPin, param: LinkParam, number: u32) -> ObservedPin {
        let link = Link {
            id: LinkId(number),
            program: ProgramId(self.number),
            target: want.program.target.clone(),
            param,
        };
        ObservedPin {
            link,
            program_name: want.program.name.as_str().into(),
            provenance: Provenance::Stamped(Arc::clone(&self.stamp)),
            maps: Arc::new(self.stamp.maps.values().map(|id| MapId(*id)).collect()),
            meta: want.meta,
        }
    }
}

struct Model<'a> {
    set: &'a Set,
    nodes: Nodes,
    maps: &'a BTreeMap<MapRef, MapId>,
    /// Every program is loaded once.
    loaded: BTreeMap<Program, Loaded>,
    /// How many links have been made.
    links: u32,
}

impl Model<'_> {
    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let path = step.path().clone();
        match step {
            Step::Unpin { have, .. } => {
                expect(&self.nodes, &path, have)?;
                self.nodes.remove(&path);
            }
            Step::RemoveDirectory { meta, .. } => {
                prop_assert_eq!(self.nodes.get(&path), Some(&Node::Directory(*meta)), "{}", path);
                prop_assert!(
                    !self.nodes.keys().any(|other| is_below(other, &path)),
                    "{path} is not empty"
                );
                self.nodes.remove(&path);
            }
            Step::MakeDirectory { meta, .. } => {
                expect_free(&self.nodes, &path)?;
                self.nodes.insert(path, Node::Directory(*meta));
            }
            Step::SetDirectoryMeta { want, have, .. } => {
                prop_assert_eq!(self.nodes.get(&path), Some(&Node::Directory(*have)), "{}", path);
                self.nodes.insert(path, Node::Directory(*want));
            }
            Step::Pin { want, param, .. } => {
                expect_free(&self.nodes, &path)?;
                let pin = self.link(want, param)?;
                self.nodes.insert(path, Node::Iterator(pin));
            }
            Step::Replace { want, param, have, .. } => {
                expect(&self.nodes, &path, have)?;
                let pin = self.link(want, param)?;
                self.nodes.insert(path, Node::Iterator(pin));
            }
            Step::SetMeta { want, have, .. } => {
                expect(&self.nodes, &path, have)?;
                self.nodes
                    .insert(path, Node::Iterator(ObservedPin { meta: want.meta, ..have.clone() }));
            }
        }
        Ok(())
    }

    fn link(
        &mut self,
        want: &DesiredPin,
        param: &WantedParam,
    ) -> Result<ObservedPin, TestCaseError> {
        let loaded = self.load(&want.program)?;
        let param = match param {
            WantedParam::Link(param) => *param,
            WantedParam::OwnMap(name) => {
                let id = loaded.own_map(name);
                let id = id.ok_or_else(|| TestCaseError::fail(format!("{name} is not its own")))?;
                LinkParam::Map(id)
            }
        };
        if let Param::Map(map) = &want.param {
            prop_assert_eq!(LinkParam::Map(self.map(map)?), param);
        }
        self.links += 1;
        Ok(loaded.pinned(want, param, 1000 + self.links))
    }

    fn load(&mut self, program: &Program) -> Result<Loaded, TestCaseError> {
        if let Some(loaded) = self.loaded.get(program) {
            return Ok(loaded.clone());
        }
        let mut given = BTreeMap::new();
        for (name, map) in &program.maps {
            given.insert(name.clone(), self.map(map)?);
        }
        let number = 1000 + u32::try_from(self.loaded.len()).expect("a small world");
        let loaded = Loaded::new(self.set, program, &given, number);
        self.loaded.insert(program.clone(), loaded.clone());
        Ok(loaded)
    }

    /// The id that the plan has for the map.
    fn map(&self, map: &MapRef) -> Result<MapId, TestCaseError> {
        let id = self.maps.get(map).copied();
        id.ok_or_else(|| TestCaseError::fail(format!("the plan does not know {map}")))
    }
}

/// Checks that the link which the plan saw is still there.
fn expect(nodes: &Nodes, path: &PinPath, have: &ObservedPin) -> Result<(), TestCaseError> {
    prop_assert_eq!(nodes.get(path), Some(&Node::Iterator(have.clone())), "{}", path);
    Ok(())
}

/// Checks that nothing is there, and that the parent directory exists.
fn expect_free(nodes: &Nodes, path: &PinPath) -> Result<(), TestCaseError> {
    prop_assert_eq!(nodes.get(path), None, "{}", path);
    if let Some(parent) = path.parent() {
        let directory = matches!(nodes.get(&parent), Some(Node::Directory(_)));
        prop_assert!(directory, "the parent of {path} is {:?}", nodes.get(&parent));
    }
    Ok(())
}

pub(crate) fn is_below(path: &PinPath, parent: &PinPath) -> bool {
    path.ancestors().any(|above| above == *parent)
}

/// Checks that exactly the directories are gone which the plan's unpins emptied, and that the others are
/// unchanged.
pub(crate) fn check_directories(
    before: &Nodes,
    plan: &Plan,
    after: &Nodes,
    desired: &Desired,
) -> Result<(), TestCaseError> {
    let changed = |path: &PinPath| {
        let mut steps = plan.steps.iter();
        steps.any(|step| matches!(step, Step::SetDirectoryMeta { path: it, .. } if it == path))
    };
    let is_foreign = |path: &PinPath, node: &Node| match node {
        Node::Directory(_) => {
            let is_own = |(pin, node): (&PinPath, &Node)| match node {
                Node::Iterator(have) => {
                    have.provenance.set() == Some(&desired.set.name) && is_below(pin, path)
                }
                Node::Directory(_) | Node::Other(_) => false,
            };
            !before.iter().any(is_own) && !desired.pins.keys().any(|pin| is_below(pin, path))
        }
        Node::Iterator(pin) => {
            pin.provenance.set() != Some(&desired.set.name) && !desired.pins.contains_key(path)
        }
        Node::Other(_) => true,
    };
    let unpinned = |path: &PinPath| {
        let mut steps = plan.steps.iter();
        steps.any(|step| matches!(step, Step::Unpin { path: gone, .. } if gone == path))
    };
    for (path, node) in before.iter().filter(|(_, node)| matches!(node, Node::Directory(_))) {
        let mut below = before.iter().filter(|(other, _)| is_below(other, path)).peekable();
        let was_empty = below.peek().is_none();
        if changed(path) {
            prop_assert!(!below.any(|(path, node)| is_foreign(path, node)), "{path} is shared");
        } else if after.get(path) == Some(node) {
            let is_empty = !after.keys().any(|other| is_below(other, path));
            prop_assert!(was_empty || !is_empty, "{path} is left empty");
        } else {
            prop_assert!(!was_empty, "{path} was empty before");
            let anew = matches!(after.get(path), Some(Node::Directory(_)));
            prop_assert!(!anew, "{path} was removed and made anew");
            let mut files = below.filter(|(_, node)| !matches!(node, Node::Directory(_)));
            prop_assert!(files.all(|(file, _)| unpinned(file)), "{path} was not emptied");
        }
    }
    Ok(())
}
