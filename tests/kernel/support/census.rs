//! The kernel objects of a set, found by id among all objects: without the code under test, and without
//! bpffs.

use std::collections::{BTreeMap, BTreeSet};

use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter, ProgInfoQueryOptions};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};
use serde_json::Value;

/// Every link, program and map of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// The program of each link.
    links: BTreeMap<u32, u32>,
    /// The stamp of each program, and its maps: the stamp's, those that it uses, and those that came with
    /// its object.
    programs: BTreeMap<u32, (String, BTreeSet<u32>)>,
    /// The maps of all these programs, and stamps without a program.
    maps: BTreeSet<u32>,
}

impl Census {
    /// Looks at everything in the kernel. Objects that disappear meanwhile are left out.
    pub(crate) fn of(set: &str) -> Self {
        let mut all_maps = BTreeSet::new();
        let mut stamps = BTreeMap::new();
        for map in MapInfoIter::default() {
            all_maps.insert(map.id);
            if map.name == "iterctl.rodata"
                && let Some(stamp) = stamp(map.id)
                && stamp["set"] == set
            {
                stamps.insert(map.id, stamp);
            }
        }
        let mut programs = BTreeMap::new();
        let with_maps = ProgInfoQueryOptions::default().include_map_ids(true);
        for program in ProgInfoIter::with_query_opts(with_maps) {
            let Some(stamp) = program.map_ids.iter().find_map(|id| stamps.get(id)) else {
                continue;
            };
            let own = stamp["own_maps"].as_object().into_iter().flatten();
            let own = own.filter_map(|(_, id)| u32::try_from(id.as_u64()?).ok());
            let maps = own.chain(program.map_ids.iter().copied());
            let maps = maps.filter(|id| all_maps.contains(id)).collect();
            programs.insert(program.id, (label(stamp), maps));
        }
        let links = LinkInfoIter::default().map(|link| (link.id, link.prog_id));
        let links = links.filter(|(_, program)| programs.contains_key(program)).collect();
        let maps = programs.values().flat_map(|(_, maps)| maps).chain(stamps.keys());
        Self { links, maps: maps.copied().collect(), programs }
    }

    /// The stamp's contents for a link's program.
    pub(crate) fn label(&self, link: u32) -> Option<String> {
        let (label, _) = self.programs.get(self.links.get(&link)?)?;
        Some(label.clone())
    }

    /// Whether exactly these links, and what they need, exist.
    pub(crate) fn is_all_of(&self, links: &BTreeSet<u32>) -> bool {
        let programs: BTreeSet<u32> = self.links.values().copied().collect();
        let maps: BTreeSet<u32> =
            self.programs.values().flat_map(|(_, maps)| maps).copied().collect();
        links.iter().eq(self.links.keys())
            && programs.iter().eq(self.programs.keys())
            && maps == self.maps
    }

    /// The number of links, of programs and of maps.
    pub(crate) fn size(&self) -> [usize; 3] {
        [self.links.len(), self.programs.len(), self.maps.len()]
    }
}

fn stamp(map: u32) -> Option<Value> {
    let value = MapHandle::from_map_id(map).ok()?.lookup(&[0; 4], MapFlags::ANY).ok()??;
    let end = value.iter().position(|byte| *byte == 0)?;
    serde_json::from_slice(value.get(..end)?).ok()
}

/// The object, and its variables if they were given values.
fn label(stamp: &Value) -> String {
    let object = stamp["object"].as_str().and_then(|path| path.rsplit('/').next());
    let globals = stamp["globals"]["toml"].as_str();
    format!("{} {}", object.unwrap_or_default(), globals.unwrap_or_default())
}
