//! The parameter of an entry's iterator, and the values for its program: map, cgroup, task, globals, maps
//! and their sizes. Pure.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_spanned::Spanned;

use super::resolver::{Resolver, Written};
use super::set::absolute_normal;
use super::{CgroupRef, Globals, MapRef, ObjectFacts, ObjectMap, Param};
use crate::fault::Problem;
use crate::globals::{self, Misfit};
use crate::ids::MapId;
use crate::manifest::wire;
use crate::target::{Takes, Target};

/// If an existing map replaces the object's own map to walk, the existing one is walked.
pub(super) fn walked(param: Param, given: &BTreeMap<String, MapRef>) -> Param {
    if let Param::OwnMap(name) = &param
        && let Some(map) = given.get(name)
    {
        return Param::Map(map.clone());
    }
    param
}

/// A parameter as written: its place, and its meaning if it is valid.
struct Given {
    span: Range<usize>,
    param: Option<Param>,
}

impl Resolver<'_> {
    /// The entry's parameter, if it has the one that its target takes.
    pub(super) fn param(
        &mut self,
        written: &Written<'_>,
        obj: &Spanned<String>,
        facts: Option<&ObjectFacts>,
        target: Option<&Target>,
    ) -> Option<Param> {
        let entry = written.keys.get_ref();
        let map = entry.map.as_ref().map(|map| self.walked_map(written, map, facts));
        let cgroup = entry.cgroup.as_ref().map(|cgroup| self.cgroup(written, cgroup));
        let task = entry.task.as_ref().map(|task| self.task(written, task));
        let target = target?;

        // An unknown target may belong to a newer kernel: the kernel will be asked.
        let Some(takes) = target.known().map(|known| known.takes) else {
            return self.only_one(written, [map, cgroup, task]);
        };
        let mut refused = false;
        let mut refuse = |given: &Option<Given>, problem: Problem| {
            if let Some(given) = given {
                self.fault(written.place(given.span.clone()), problem);
                refused = true;
            }
        };
        if takes != Takes::Map {
            refuse(&map, Problem::MapNotTaken(target.clone()));
        }
        if takes != Takes::Cgroup {
            refuse(&cgroup, Problem::CgroupNotTaken(target.clone()));
        }
        if takes != Takes::Task {
            refuse(&task, Problem::TaskNotTaken(target.clone()));
        }
        let mount = self.facts.cgroup2.clone();
        let (given, needed) = match takes {
            Takes::Nothing => (None, None),
            Takes::Task => (task, None),
            Takes::Map => (map, Some(Problem::MapNeeded(target.clone()))),
            Takes::Cgroup => {
                (cgroup, Some(Problem::CgroupNeeded { target: target.clone(), mount }))
            }
        };
        match (given, needed) {
            (Some(given), _) => given.param.filter(|_| !refused),
            (None, None) => (!refused).then_some(Param::None),
            (None, Some(problem)) => {
                self.missed(written, obj.span(), problem);
                None
            }
        }
    }

    fn only_one(&mut self, written: &Written<'_>, all: [Option<Given>; 3]) -> Option<Param> {
        let mut given = all.into_iter().flatten();
        let Some(first) = given.next() else { return Some(Param::None) };
        if let Some(second) = given.next() {
            self.fault(written.place(second.span), Problem::TwoParameters);
            return None;
        }
        first.param
    }

    fn walked_map(
        &mut self,
        written: &Written<'_>,
        map: &Spanned<wire::Map>,
        facts: Option<&ObjectFacts>,
    ) -> Given {
        let param = match map.get_ref() {
            wire::Map::Own(name) => {
                self.own_map(written, name, map.span(), facts).map(Param::OwnMap)
            }
            wire::Map::Id(_) | wire::Map::Pinned(_) | wire::Map::Name(_) => {
                self.existing_map(written, map).map(Param::Map)
            }
        };
        Given { span: map.span(), param }
    }

    /// The name of a map that the object defines.
    fn own_map(
        &mut self,
        written: &Written<'_>,
        name: &str,
        span: Range<usize>,
        facts: Option<&ObjectFacts>,
    ) -> Option<String> {
        let facts = facts?;
        if !facts.maps.iter().any(|known| known.name == name) {
            let known = facts.maps.iter().map(|map| map.name.clone()).collect();
            let problem = Problem::UnknownMap { wanted: name.to_owned(), known };
            self.fault(written.place(span), problem);
            return None;
        }
        Some(name.to_owned())
    }

    /// An existing map; `None` if it is named wrongly.
    fn existing_map(&mut self, written: &Written<'_>, map: &Spanned<wire::Map>) -> Option<MapRef> {
        let problem = match map.get_ref() {
            wire::Map::Id(0) => Problem::MapIdZero,
            wire::Map::Id(id) => return Some(MapRef::Id(MapId(*id))),
            wire::Map::Pinned(path) if path.is_empty() => Problem::MapPath,
            wire::Map::Pinned(path) => match absolute_normal(&self.bpffs.join(path)) {
                Some(path) => return Some(MapRef::Pinned(path)),
                None => Problem::MapPath,
            },
            wire::Map::Name(name) => match name.parse() {
                Ok(name) => return Some(MapRef::Name(name)),
                Err(why) => Problem::MapName(why),
            },
            wire::Map::Own(_) => Problem::OwnMapHere,
        };
        self.fault(written.place(map.span()), problem);
        None
    }

    fn cgroup(&mut self, written: &Written<'_>, cgroup: &Spanned<wire::Cgroup>) -> Given {
        let wire::Cgroup { path, id, order } = cgroup.get_ref();
        let name = match (path, id) {
            (Some(path), None) => absolute_normal(Path::new(path)).map(CgroupRef::Path),
            (None, Some(id)) if *id != 0 => Some(CgroupRef::Id(*id)),
            (Some(_), Some(_)) | (None, Some(_) | None) => None,
        };
        if name.is_none() {
            self.fault(
                written.place(cgroup.span()),
                Problem::CgroupName { mount: self.facts.cgroup2.clone() },
            );
        }
        if order.is_none() {
            self.fault(written.place(cgroup.span()), Problem::OrderNeeded);
        }
        let param = name.zip(*order).map(|(name, order)| Param::Cgroup(name, order));
        Given { span: cgroup.span(), param }
    }

    fn task(&mut self, written: &Written<'_>, task: &Spanned<wire::Task>) -> Given {
        let param = match task.get_ref() {
            wire::Task::Pid(0) | wire::Task::Tid(0) => {
                self.fault(written.place(task.span()), Problem::TaskZero);
                None
            }
            wire::Task::Pid(pid) => Some(Param::Process(*pid)),
            wire::Task::Tid(tid) => Some(Param::Thread(*tid)),
        };
        Given { span: task.span(), param }
    }

    /// The values of `globals`; `None` if one does not fit.
    pub(super) fn globals(
        &mut self,
        written: &Written<'_>,
        facts: Option<&ObjectFacts>,
    ) -> Option<Globals> {
        let Some(table) = &written.keys.get_ref().globals else { return Some(Globals::default()) };
        let facts = facts?;
        let mut patches = Vec::new();
        let mut all_fit = true;
        for (name, value) in &table.get_ref().0 {
            let misfits = match facts.globals.iter().find(|one| one.name == *name.get_ref()) {
                Some(global) => match globals::encode(global, value) {
                    Ok(more) => {
                        patches.extend(more);
                        continue;
                    }
                    Err(misfits) => misfits,
                },
                None => {
                    let known = facts.globals.iter().map(|one| one.name.clone()).collect();
                    vec![(name.span(), Misfit::Unknown { name: name.get_ref().clone(), known })]
                }
            };
            all_fit = false;
            for (span, misfit) in misfits {
                self.fault(written.place(span), Problem::Global(misfit));
            }
        }
        // An empty table is the same as none.
        let text = if patches.is_empty() { String::new() } else { table.get_ref().to_string() };
        all_fit.then_some(Globals { patches, text })
    }

    /// The existing maps that replace the object's own: first those of `maps`, then those pinned by name.
    /// `None` if one is wrong.
    pub(super) fn maps(
        &mut self,
        written: &Written<'_>,
        facts: Option<&ObjectFacts>,
    ) -> Option<BTreeMap<String, MapRef>> {
        let own = facts.into_iter().flat_map(|facts| &facts.maps);
        let mut maps: BTreeMap<String, MapRef> = own
            .filter_map(|map| Some((map.name.clone(), MapRef::Pinned(self.pin_of(map)?))))
            .collect();
        maps.extend(self.written_maps(written, facts)?);
        Some(maps)
    }

    /// The path at which the map is pinned, if the object pins it by name.
    fn pin_of(&self, map: &ObjectMap) -> Option<PathBuf> {
        map.is_pinned_by_name.then(|| self.bpffs.join(&map.name))
    }

    fn written_maps(
        &mut self,
        written: &Written<'_>,
        facts: Option<&ObjectFacts>,
    ) -> Option<BTreeMap<String, MapRef>> {
        let Some(table) = &written.keys.get_ref().maps else { return Some(BTreeMap::new()) };
        let entries: Vec<Option<(String, MapRef)>> = table
            .get_ref()
            .0
            .iter()
            .map(|(name, map)| {
                let own = self.own_map(written, name.get_ref(), name.span(), facts);
                let existing = self.existing_map(written, map);
                own.zip(existing)
            })
            .collect();
        entries.into_iter().collect()
    }

    /// The sizes of `max-entries`; `None` if one is wrong.
    pub(super) fn max_entries(
        &mut self,
        written: &Written<'_>,
        facts: Option<&ObjectFacts>,
    ) -> Option<BTreeMap<String, NonZeroU32>> {
        let entry = written.keys.get_ref();
        let Some(table) = &entry.max_entries else { return Some(BTreeMap::new()) };
        let given = entry.maps.iter().flat_map(|maps| &maps.get_ref().0);
        let sizes: Vec<Option<(String, NonZeroU32)>> = table
            .get_ref()
            .0
            .iter()
            .map(|(name, size)| {
                let own = self.own_map(written, name.get_ref(), name.span(), facts)?;
                let mut given = given.clone().map(|(given, _)| given);
                if let Some(given) = given.find(|given| given.get_ref() == name.get_ref()) {
                    let at = written.place(given.span());
                    let problem = Problem::SizeOfGivenMap { map: own, at };
                    self.fault(written.place(name.span()), problem);
                    return None;
                }
                let known = facts.into_iter().flat_map(|facts| &facts.maps);
                if let Some(pin) =
                    known.filter(|map| map.name == own).find_map(|map| self.pin_of(map))
                {
                    let problem = Problem::SizeOfMapByName { map: own, pin };
                    self.fault(written.place(name.span()), problem);
                    return None;
                }
                Some((own, *size.get_ref()))
            })
            .collect();
        sizes.into_iter().collect()
    }
}
