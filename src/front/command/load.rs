//! Programs of a plan → loaded.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use crate::host::kernel::{self, Loaded};
use crate::host::object::Objects;
use iterctl_core::desired::{MapRef, Program};
use iterctl_core::ids::MapId;
use iterctl_core::plan::Plan;

/// The loader of a plan's programs: from the bytes that were looked at, with the maps that the plan
/// found, and with the object's own maps that are to be walked.
pub(super) fn load(
    program: &Program,
    walked: &BTreeSet<&str>,
    plan: &Plan,
    objects: &Objects,
) -> anyhow::Result<(Loaded, BTreeMap<String, MapId>)> {
    let bytes = objects.bytes(&program.object).context("the object was not read")?;
    let id = |(name, map): (&String, &MapRef)| {
        let id = plan.maps.get(map).with_context(|| format!("map {map} was not looked for"))?;
        Ok((name.clone(), *id))
    };
    let maps = program.maps.iter().map(id).collect::<anyhow::Result<_>>()?;
    let loaded = kernel::load(program, bytes, &maps, walked)?;
    Ok((loaded, maps))
}
