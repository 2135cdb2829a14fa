//! A program → everything that it refers to, directly and through what it calls. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::core_relo::{CoreRelocations, Kind};
use super::layout::{Layout, MAPS, Reference};
use super::{Needs, code};

/// Follows the program `entry`, its subprograms, and the programs in the slots of the maps that they use.
pub(super) fn needs(layout: &Layout<'_>, core: &CoreRelocations, entry: usize) -> Needs {
    let mut walk = Walk {
        layout,
        core,
        seen: BTreeSet::new(),
        maps: BTreeSet::new(),
        needs: Needs::default(),
    };
    walk.program(entry);
    walk.needs.held = walk.needs.maps.clone();
    walk.functions(layout.exception_callbacks().collect());
    walk.follow_slots();
    let Some(function) = layout.functions.get(entry) else { return walk.needs };
    let others = layout.externs().filter(|name| !walk.needs.externs.contains(*name));
    Needs {
        other_externs: others.map(str::to_owned).collect(),
        // In a program with CO-RE, the offsets in the context are not the kernel's either.
        reads_fixed_layout: !walk.needs.core.contains(&Kind::Field)
            && code::reads_kernel(layout, function),
        ..walk.needs
    }
}

struct Walk<'a> {
    layout: &'a Layout<'a>,
    core: &'a CoreRelocations,
    /// Functions, by their index in the layout.
    seen: BTreeSet<usize>,
    /// Maps, by their offset in `.maps`.
    maps: BTreeSet<u64>,
    needs: Needs,
}

impl Walk<'_> {
    fn program(&mut self, entry: usize) {
        if let Some(function) = self.layout.functions.get(entry) {
            self.needs.programs.insert(function.name.to_owned());
        }
        self.functions(vec![entry]);
    }

    /// Visits these functions and those that they call.
    fn functions(&mut self, mut next: Vec<usize>) {
        while let Some(function) = next.pop() {
            if self.seen.insert(function) {
                next.extend(self.function(function));
            }
        }
    }

    /// Adds what one function refers to. Returns the functions that it calls or takes the address of.
    fn function(&mut self, index: usize) -> Vec<usize> {
        let layout = self.layout;
        let Some(function) = layout.functions.get(index) else { return Vec::new() };
        self.needs.core.extend(self.core.in_function(function));
        let mut called = Vec::new();
        for (at, instruction) in code::instructions(layout.code(function)) {
            let offset = function.start + at;
            match layout.references.get(&(function.section, offset)) {
                Some(Reference::Extern(name)) => {
                    self.needs.externs.insert((*name).to_owned());
                }
                Some(Reference::Here { section, offset }) => {
                    let target = layout.sections.get(*section);
                    if target.is_some_and(|target| target.is_code) {
                        let offset = instruction.target(*offset);
                        called.extend(layout.functions_at(*section, offset));
                    } else if let Some(target) = target {
                        self.data(target.name, *offset);
                    }
                }
                None => {
                    if let Some(offset) = instruction.local_target(offset) {
                        called.extend(layout.functions_at(function.section, offset));
                    }
                    self.needs.helpers.extend(instruction.helper());
                }
            }
        }
        called
    }

    fn data(&mut self, section: &str, offset: u64) {
        if section == MAPS {
            self.map(offset);
        } else {
            self.needs.sections.insert(section.to_owned());
        }
    }

    fn map(&mut self, offset: u64) {
        self.maps.insert(offset);
        self.needs.maps.extend(self.layout.map_at(offset).map(|map| map.name.to_owned()));
    }

    /// Adds what is in the slots of the maps found so far, and in the slots of what that uses.
    fn follow_slots(&mut self) {
        let slots_of: BTreeMap<u64, Vec<Reference<'_>>> = self.layout.slots_by_map();
        let mut done = BTreeSet::new();
        while let Some(map) = self.maps.iter().find(|map| !done.contains(*map)).copied() {
            done.insert(map);
            for slot in slots_of.get(&map).into_iter().flatten() {
                let Reference::Here { section, offset } = slot else { continue };
                if self.layout.sections.get(*section).is_some_and(|section| section.is_code) {
                    let layout = self.layout;
                    for program in layout.functions_at(*section, *offset) {
                        self.program(program);
                    }
                } else {
                    self.map(*offset);
                }
            }
        }
    }
}

impl<'a> Layout<'a> {
    /// The references of the slots of each map, by the offset of the map.
    fn slots_by_map(&self) -> BTreeMap<u64, Vec<Reference<'a>>> {
        let mut slots: BTreeMap<u64, Vec<Reference<'a>>> = BTreeMap::new();
        for (offset, reference) in &self.slots {
            if let Some(map) = self.maps_over(*offset).next() {
                slots.entry(map.start).or_default().push(*reference);
            }
        }
        slots
    }
}
