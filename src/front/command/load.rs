//! A plan's programs → loaded: from the bytes that were looked at, with the maps that the plan found.

mod reuse;

use std::collections::{BTreeMap, BTreeSet};

use self::reuse::LoadedAlready;
use super::resolve::Resolved;
use crate::host::execute;
use crate::host::kernel::{self, Loaded};
use crate::host::object::Objects;
use iterctl_core::desired::{MapRef, Program};
use iterctl_core::ids::MapId;
use iterctl_core::plan::Plan;
use iterctl_core::stamp::Stamp;

/// Loads the programs of a plan's new pins, each with its stamp.
pub(super) struct Loader<'a> {
    resolved: &'a Resolved,
    plan: &'a Plan,
    already: LoadedAlready<'a>,
}

impl<'a> Loader<'a> {
    /// The one of that plan.
    pub(super) fn new(resolved: &'a Resolved, plan: &'a Plan) -> Self {
        Self { resolved, plan, already: LoadedAlready::new(&resolved.desired, plan) }
    }

    /// Loads a program, with those of the object's own maps that are to be walked, or takes it from a pin
    /// that has it.
    pub(super) fn load(
        &self,
        program: &Program,
        walked: &BTreeSet<&str>,
    ) -> Result<Loaded, execute::Error> {
        if let Some(loaded) = self.already.get(program, walked)? {
            return Ok(loaded);
        }
        let Resolved { objects, desired, .. } = self.resolved;
        let (loaded, maps) = load(program, walked, self.plan, objects)?;
        loaded.bind(&Stamp::new(&desired.set, program, &maps, loaded.own_maps()))?;
        Ok(loaded)
    }
}

/// Loads a program without a stamp. Also returns the maps that it was given.
pub(super) fn load(
    program: &Program,
    walked: &BTreeSet<&str>,
    plan: &Plan,
    objects: &Objects,
) -> Result<(Loaded, BTreeMap<String, MapId>), execute::Error> {
    let bytes = objects.bytes(&program.object);
    let bytes = bytes.ok_or_else(|| execute::Error::unexpected("the object was not read"))?;
    let id = |(name, map): (&String, &MapRef)| match plan.maps.get(map) {
        Some(id) => Ok((name.clone(), *id)),
        None => Err(execute::Error::Unexpected(format!("map {map} was not looked for"))),
    };
    let maps = program.maps.iter().map(id).collect::<Result<_, _>>()?;
    let loaded = kernel::load(program, bytes, &maps, walked)?;
    Ok((loaded, maps))
}
