//! Reasons why a program cannot be loaded on any kernel, and possible mistakes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_spanned::Spanned;

use super::resolver::{Resolver, Written};
use super::{MapRef, ObjectFacts, Param};
use crate::anatomy::{Extern, is_gpl_compatible};
use crate::fault::{Candidate, Concern, Place, Problem, Warning};
use crate::target::Sleep;

/// The helpers, among those that iterators may call, that need a GPL-compatible licence: a load with each
/// number was tried under another licence (measured on Linux 6.18).
const GPL_HELPERS: [u32; 29] = [
    4, 6, 22, 25, 27, 35, 45, 55, 67, 111, 112, 113, 114, 115, 121, 126, 127, 150, 158, 165, 169,
    170, 171, 172, 173, 175, 176, 177, 191,
];

impl Resolver<'_> {
    /// Reports why no kernel can load the program. `maps` are the existing maps that replace its object's
    /// own.
    pub(super) fn refuse_what_cannot_load(
        &mut self,
        written: &Written<'_>,
        obj: &Spanned<String>,
        facts: &ObjectFacts,
        candidate: &Candidate,
        maps: &BTreeMap<String, MapRef>,
    ) -> bool {
        let before = self.faults.len();
        let place = || place_of(written, obj);
        if let Some(meant) = candidate.target.misspelt() {
            let target = candidate.target.clone();
            self.fault(place(), Problem::MisspeltTarget { target, meant });
        }
        if candidate.sleep == Sleep::Allowed && candidate.target.takes_sleepable() == Some(false) {
            self.fault(place(), Problem::SleepNotTaken(candidate.target.clone()));
        }
        let Some(needs) = facts.anatomy.programs.get(&candidate.program) else {
            return self.faults.len() == before;
        };
        let is_open = |map: &&str| !maps.contains_key(*map) && !is_sized(written, map);
        for map in without_size(facts, &needs.maps).filter(is_open) {
            self.fault(place(), Problem::MapWithoutSize(map.to_owned()));
        }
        self.faults.len() == before
    }

    /// A map of the object's own that is walked needs a size, whether the program uses it or not.
    pub(super) fn refuse_walk_without_size(
        &mut self,
        written: &Written<'_>,
        param: &Param,
        facts: &ObjectFacts,
    ) -> Option<()> {
        let (Param::OwnMap(walked), Some(map)) = (param, &written.keys.get_ref().map) else {
            return Some(());
        };
        let walked = BTreeSet::from([walked.clone()]);
        let Some(name) = without_size(facts, &walked).find(|name| !is_sized(written, name)) else {
            return Some(());
        };
        let name = name.to_owned();
        self.fault(written.place(map.span()), Problem::MapWithoutSize(name));
        None
    }

    /// Warns of possible mistakes.
    pub(super) fn warn(
        &mut self,
        written: &Written<'_>,
        obj: &Spanned<String>,
        concerns: &[Concern],
    ) {
        let warning =
            |concern: &Concern| Warning { place: place_of(written, obj), concern: concern.clone() };
        self.warnings.extend(concerns.iter().map(warning));
    }
}

/// The possible mistakes in the program.
pub(super) fn concerns(facts: &ObjectFacts, candidate: &Candidate) -> Vec<Concern> {
    let is_other = |context: &&String| *context != candidate.target.as_str();
    let other_context = candidate.context.as_ref().filter(is_other).map(|context| {
        Concern::OtherContext { context: context.clone(), target: candidate.target.clone() }
    });
    let needs = facts.anatomy.programs.get(&candidate.program);
    let has_fixed_layout = needs.is_some_and(|needs| needs.reads_fixed_layout);
    let licence = facts.anatomy.licence.clone().filter(|licence| !licence.is_empty());
    // The verifier ignores calls in branches that constants disable. Functions of the kernel are for the
    // GPL alone (`add_kfunc_call()` in kernel/bpf/verifier.c).
    let is_function = |name: &String| {
        facts.externs.iter().any(|one| matches!(one, Extern::Function(known) if known == name))
    };
    let calls_gpl_only = needs.is_some_and(|needs| {
        needs.helpers.iter().any(|one| GPL_HELPERS.contains(one))
            || needs.externs.iter().any(is_function)
    });
    let may_be_refused = calls_gpl_only && !licence.as_deref().is_some_and(is_gpl_compatible);
    other_context
        .into_iter()
        .chain(has_fixed_layout.then_some(Concern::NoCore))
        .chain(may_be_refused.then_some(Concern::NotGpl { licence }))
        .collect()
}

/// The place of `program`, or that of the object if no program is named.
fn place_of(written: &Written<'_>, obj: &Spanned<String>) -> Place {
    let program = written.keys.get_ref().program.as_ref();
    written.place(program.map_or_else(|| obj.span(), |program| program.span()))
}

/// Whether the entry sets the size of the map. A size that could not be read has been reported already.
fn is_sized(written: &Written<'_>, map: &str) -> bool {
    let entry = written.keys.get_ref();
    let mut sizes = entry.max_entries.iter().flat_map(|sizes| &sizes.get_ref().0);
    sizes.any(|(name, _)| name.get_ref() == map)
        || written.file.incomplete.contains(&written.keys.span().start)
}

/// The maps that need a number of entries, and have none.
fn without_size<'a>(
    facts: &'a ObjectFacts,
    maps: &BTreeSet<String>,
) -> impl Iterator<Item = &'a str> {
    let lacking = facts.maps.iter().filter(|map| map.lacks_size && maps.contains(&map.name));
    lacking.map(|map| map.name.as_str())
}
