//! The state with which every entry is resolved: the facts, and the faults so far. Pure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_spanned::Spanned;

use super::{Facts, KeyPlaces, MapRef, ObjectFacts, Program};
use crate::fault::{Candidate, Concern, Fault, Place, Problem, Warning};
use crate::manifest::{File, wire};

/// Resolves entries, one after the other.
pub(super) struct Resolver<'a> {
    pub(super) facts: &'a Facts,
    pub(super) bpffs: &'a Path,
    /// Whether the manifest's `bpffs` is valid.
    pub(super) bpffs_is_known: bool,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
    /// Every program so far: equal ones are shared.
    pub(super) programs: BTreeMap<Program, Arc<Program>>,
    /// The results for plain entries: those without `globals`, `maps` and `max-entries`.
    pub(super) plain: BTreeMap<Words<'a>, Meant<'a>>,
    /// The last of them: entries that say the same often follow each other.
    pub(super) last_plain: Option<(Words<'a>, Meant<'a>)>,
}

/// The words of a plain entry about its program: its source, `obj` and `program`.
pub(super) type Words<'a> = (usize, &'a str, Option<&'a str>);

/// The meaning of an entry's words about its program, as far as they are valid.
#[derive(Clone)]
pub(super) struct Meant<'a> {
    /// The facts about the object.
    pub(super) facts: Option<&'a ObjectFacts>,
    /// The iterator in it.
    pub(super) candidate: Option<&'a Candidate>,
    /// The program with the entry's globals, maps and sizes of maps.
    pub(super) program: Option<Arc<Program>>,
    /// Existing maps for the object's own, whether the program needs them or not.
    pub(super) stand_ins: Arc<BTreeMap<String, MapRef>>,
    pub(super) concerns: Arc<[Concern]>,
}

/// One entry, with what is needed to report its faults.
pub(super) struct Written<'a> {
    pub(super) number: usize,
    pub(super) file: &'a File,
    pub(super) keys: &'a Spanned<wire::Entry>,
}

impl Resolver<'_> {
    pub(super) fn fault(&mut self, place: Place, problem: Problem) {
        self.faults.push(Fault { place: Some(place), problem });
    }

    pub(super) fn missing(&mut self, written: &Written<'_>, key: &'static str) {
        self.missed(written, written.keys.span(), Problem::MissingKey(key));
    }

    /// Reports a missing key, unless a key of the entry could not be read, which has been reported already.
    pub(super) fn missed(&mut self, written: &Written<'_>, at: Range<usize>, problem: Problem) {
        if !written.file.incomplete.contains(&written.keys.span().start) {
            self.fault(written.place(at), problem);
        }
    }
}

impl Written<'_> {
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.number, span)
    }

    /// The places of the keys that later errors may refer to; `obj` is the entry's.
    pub(super) fn key_places(&self, obj: &Spanned<String>) -> KeyPlaces {
        let wire::Entry { map, cgroup, task, maps, max_entries, .. } = self.keys.get_ref();
        let map = map.as_ref().map(Spanned::span);
        let cgroup = cgroup.as_ref().map(|cgroup| cgroup.span());
        let task = task.as_ref().map(|task| task.span());
        let given = maps.iter().flat_map(|maps| &maps.get_ref().0);
        let given = given.map(|(name, map)| (name, map.span()));
        let sizes = max_entries.iter().flat_map(|sizes| &sizes.get_ref().0);
        let sizes = sizes.map(|(name, _)| (name, name.span()));
        let of_maps = given.chain(sizes);
        KeyPlaces {
            obj: self.place(obj.span()),
            param: map.or(cgroup).or(task).map(|span| self.place(span)),
            maps: of_maps.map(|(name, span)| (name.get_ref().clone(), self.place(span))).collect(),
        }
    }
}
