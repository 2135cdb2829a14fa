//! The directories above a set's pins → what the entries must state of them, so that `plan` finds them in sync.

use std::collections::BTreeSet;

use iterctl_core::access::{Meta, Mode};
use iterctl_core::names::SetName;
use iterctl_core::observed::{Node, Observed, ObservedPin};
use iterctl_core::pin_path::PinPath;

/// The mode of a directory if no entry states anything.
const DEFAULT: Mode = Mode::from_stat(0o700);

/// The directories of one set.
pub(super) struct Directories<'a> {
    observed: &'a Observed,
    /// Directories with a pin of the set directly in them.
    with_pins: BTreeSet<PinPath>,
    /// Directories with something in them, at any depth, that does not belong to the set: `apply` leaves them alone.
    shared: BTreeSet<PinPath>,
    /// Whether all of them are as they would be if no entry stated anything.
    are_default: bool,
}

impl<'a> Directories<'a> {
    pub(super) fn new(observed: &'a Observed, set: Option<&SetName>) -> Self {
        let is_own = |pin: &ObservedPin| set.is_some() && pin.provenance.set() == set;
        let own = || observed.iterators().filter(|(_, pin)| is_own(pin));
        let above: BTreeSet<PinPath> = own().flat_map(|(path, _)| path.ancestors()).collect();
        let foreign = observed.nodes.iter().filter(|(path, node)| match node {
            Node::Iterator(pin) => !is_own(pin),
            Node::Other(_) => true,
            Node::Directory(_) => !above.contains(*path),
        });
        let shared = foreign.flat_map(|(path, _)| path.ancestors()).collect();
        let with_pins = own().filter_map(|(path, _)| path.parent()).collect();
        let mut new = Self { observed, with_pins, shared, are_default: false };
        new.are_default = own().all(|(path, pin)| {
            let default = Meta { mode: DEFAULT, ..pin.meta };
            path.ancestors().all(|directory| new.own(&directory).is_none_or(|meta| meta == default))
        });
        new
    }

    /// The mode, owner and group that the entry of a pin must state for its directories; nothing if that is the
    /// default, or if no value is right for all of them.
    pub(super) fn stated(&self, path: &PinPath) -> Option<Meta> {
        if self.are_default {
            return None;
        }
        let parent = path.parent()?;
        let meta = self.own(&parent)?;
        // A directory with pins of its own is stated by their entries.
        let mut others = parent.ancestors().filter(|above| !self.with_pins.contains(above));
        others.all(|above| self.own(&above).is_none_or(|other| other == meta)).then_some(meta)
    }

    /// A directory that is the set's alone.
    fn own(&self, directory: &PinPath) -> Option<Meta> {
        if self.shared.contains(directory) {
            return None;
        }
        match self.observed.nodes.get(directory) {
            Some(Node::Directory(meta)) => Some(*meta),
            None | Some(Node::Iterator(_) | Node::Other(_)) => None,
        }
    }
}
