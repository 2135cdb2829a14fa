//! The programs that pins of the set have already → the same for new pins: each is loaded once, also
//! if an apply adds to what another one has made, or finishes what one that was killed has begun.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::execute;
use crate::host::kernel::{Loaded, reopen};
use iterctl_core::desired::{Desired, Program};
use iterctl_core::ids::{MapId, ProgramId};
use iterctl_core::observed::ObservedPin;
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Plan, Step};
use iterctl_core::stamp::Stamp;

/// The programs of pins that stay in place.
pub(super) struct LoadedAlready<'a>(BTreeMap<&'a Program, (ProgramId, &'a Stamp)>);

impl<'a> LoadedAlready<'a> {
    /// Those with the stamp that a new one would get.
    pub(super) fn new(desired: &'a Desired, plan: &'a Plan) -> Self {
        if !plan.steps.iter().any(needs_program) {
            return Self(BTreeMap::new());
        }
        let stamped = staying(plan).filter_map(|(path, have)| {
            // The pin is in sync, or would be with another mode and owner: only where the program is from
            // is not compared for that.
            let program = &*desired.pins.get(path)?.program;
            let stamp = have.provenance.stamp()?;
            let is_from_here = stamp.object == program.object && stamp.source == desired.set.source;
            is_from_here.then_some((program, (have.link.program, &**stamp)))
        });
        Self(stamped.collect())
    }

    /// That program, if it is one of them, and came with the maps that are to be walked.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn get(
        &self,
        program: &Program,
        walked: &BTreeSet<&str>,
    ) -> Result<Option<Loaded>, execute::Error> {
        let Some((id, stamp)) = self.0.get(program) else { return Ok(None) };
        // A map that nothing needed was not created.
        if !walked.iter().all(|name| stamp.own_maps.contains_key(*name)) {
            return Ok(None);
        }
        let own_maps = stamp.own_maps.iter().map(|(name, id)| (name.clone(), MapId(*id)));
        reopen(*id, own_maps.collect()).map_err(|error| {
            let what = format!("failed to open the loaded program {}", id.0);
            execute::Error::from(error).context(what)
        })
    }
}

fn needs_program(step: &Step) -> bool {
    match step {
        Step::Pin { .. } | Step::Replace { .. } => true,
        Step::Unpin { .. }
        | Step::RemoveDirectory { .. }
        | Step::MakeDirectory { .. }
        | Step::SetDirectoryMeta { .. }
        | Step::SetMeta { .. } => false,
    }
}

fn staying(plan: &Plan) -> impl Iterator<Item = (&PinPath, &ObservedPin)> {
    let changing = plan.steps.iter().filter_map(|step| match step {
        Step::SetMeta { path, have, .. } => Some((path, have)),
        Step::Unpin { .. }
        | Step::RemoveDirectory { .. }
        | Step::MakeDirectory { .. }
        | Step::SetDirectoryMeta { .. }
        | Step::Pin { .. }
        | Step::Replace { .. } => None,
    });
    plan.unchanged.iter().chain(changing)
}
