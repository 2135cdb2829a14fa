//! A program that a pin of the set has already → the same for new pins: each is loaded once, also
//! where an apply adds to what another one has made, or finishes what one that was killed has begun.

use anyhow::Context as _;

use crate::desired::{Desired, Program};
use crate::kernel::{Loaded, reopen};
use crate::meta::MapId;
use crate::observed::ObservedPin;
use crate::path::PinPath;
use crate::plan::{Plan, Step};

/// The program as a pin that stays in place has it, if its stamp is what a new one's would be.
pub(super) fn loaded_already(
    program: &Program,
    desired: &Desired,
    plan: &Plan,
) -> anyhow::Result<Option<Loaded>> {
    let is_same =
        |path: &PinPath| desired.pins.get(path).is_some_and(|pin| *pin.program == *program);
    // The pin is in sync, or would be with another mode and owner: only where the program is from is
    // not compared for that.
    let stamped = staying(plan).filter(|(path, _)| is_same(path)).find_map(|(_, have)| {
        let stamp = have.provenance.stamp()?;
        let is_from_here = stamp.object == program.object && stamp.source == desired.set.source;
        is_from_here.then_some((have.link.program, stamp))
    });
    let Some((id, stamp)) = stamped else { return Ok(None) };
    let own_maps = stamp.own_maps.iter().map(|(name, id)| (name.clone(), MapId(*id))).collect();
    reopen(id, own_maps).with_context(|| format!("failed to open the loaded program {}", id.0))
}

fn staying(plan: &Plan) -> impl Iterator<Item = (&PinPath, &ObservedPin)> {
    let changing = plan.steps.iter().filter_map(|step| match step {
        Step::SetMeta { path, have, .. } => Some((path, have)),
        Step::Unpin { .. }
        | Step::RemoveDirectory { .. }
        | Step::MakeDirectory { .. }
        | Step::Pin { .. }
        | Step::Replace { .. } => None,
    });
    plan.unchanged.iter().chain(changing)
}
