//! A bpffs in memory that carries steps out and is strict: a step that does not find what it
//! expects fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use iterctl::desired::{DesiredPin, Set};
use iterctl::meta::{LinkId, Meta, ProgramId};
use iterctl::observed::{Link, LinkParam, Node, ObservedPin, Provenance};
use iterctl::path::PinPath;
use iterctl::plan::Step;
use iterctl::stamp::Stamp;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

pub(crate) type Nodes = BTreeMap<PinPath, Node>;

/// What is there after all steps.
pub(crate) fn execute(set: &Set, before: &Nodes, steps: &[Step]) -> Result<Nodes, TestCaseError> {
    let mut nodes = before.clone();
    for (number, step) in (1000..).zip(steps) {
        execute_one(set, &mut nodes, step, number)?;
    }
    Ok(nodes)
}

/// What a new link looks like when it is observed.
pub(crate) fn pinned(set: &Set, want: &DesiredPin, param: LinkParam, number: u32) -> ObservedPin {
    let link = Link {
        id: LinkId(number),
        program: ProgramId(number),
        target: want.program.target.clone(),
        param,
    };
    let stamp = Arc::new(Stamp::new(set, &want.program));
    ObservedPin {
        link,
        program_name: want.program.name.clone(),
        provenance: Provenance::Stamped(stamp),
        meta: want.meta,
    }
}

fn execute_one(
    set: &Set,
    nodes: &mut Nodes,
    step: &Step,
    number: u32,
) -> Result<(), TestCaseError> {
    let path = step.path().clone();
    match step {
        Step::Unpin { have, .. } => {
            expect(nodes, &path, have)?;
            nodes.remove(&path);
        }
        Step::RemoveDirectory { meta, .. } => {
            prop_assert_eq!(nodes.get(&path), Some(&Node::Directory(*meta)), "{}", path);
            prop_assert!(!nodes.keys().any(|other| is_below(other, &path)), "{path} is not empty");
            nodes.remove(&path);
        }
        Step::MakeDirectory { mode, .. } => {
            expect_free(nodes, &path)?;
            nodes.insert(path, Node::Directory(Meta { mode: *mode, uid: 0, gid: 0 }));
        }
        Step::Pin { want, param, .. } => {
            expect_free(nodes, &path)?;
            nodes.insert(path, Node::Iterator(pinned(set, want, *param, number)));
        }
        Step::Replace { want, param, have, .. } => {
            expect(nodes, &path, have)?;
            nodes.insert(path, Node::Iterator(pinned(set, want, *param, number)));
        }
        Step::SetMeta { want, have, .. } => {
            expect(nodes, &path, have)?;
            nodes.insert(path, Node::Iterator(ObservedPin { meta: want.meta, ..have.clone() }));
        }
    }
    Ok(())
}

/// The very link that the plan saw is there.
fn expect(nodes: &Nodes, path: &PinPath, have: &ObservedPin) -> Result<(), TestCaseError> {
    prop_assert_eq!(nodes.get(path), Some(&Node::Iterator(have.clone())), "{}", path);
    Ok(())
}

/// Nothing is there, in a directory that is.
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
