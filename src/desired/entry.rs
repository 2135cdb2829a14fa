//! Every entry of a manifest → the pin that it wants. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::path::Path;
use std::sync::Arc;

use serde_spanned::Spanned;

use super::resolver::{Resolver, Written};
use super::{DesiredPin, Facts, ObjectFacts, Program, param};
use crate::fault::{Candidate, Fault, ObjectFault, Place, Problem};
use crate::manifest::{Manifest, wire};
use crate::meta::{Meta, Mode};
use crate::path::{PinPath, Sha256};

/// What came of the entries.
pub(super) struct Entries {
    /// The pins of those that are sound.
    pub(super) pins: BTreeMap<PinPath, DesiredPin>,
    /// What is wrong with others, and with nothing else: each has a path, which no other entry has.
    pub(super) faulty: BTreeMap<PinPath, Vec<Fault>>,
    /// What else is wrong.
    pub(super) faults: Vec<Fault>,
}

/// Resolves all entries. `faults` are those of the manifest so far.
pub(super) fn entries(
    manifest: &Manifest,
    facts: &Facts,
    (bpffs, bpffs_is_known): (&Path, bool),
    faults: Vec<Fault>,
) -> Entries {
    let programs = BTreeMap::new();
    let mut resolver = Resolver { facts, bpffs, bpffs_is_known, faults, programs };
    let (pins, faulty) = resolver.entries(manifest);
    Entries { pins, faulty, faults: resolver.faults }
}

type PinsAndFaults = (BTreeMap<PinPath, DesiredPin>, BTreeMap<PinPath, Vec<Fault>>);

impl<'a> Resolver<'a> {
    fn entries(&mut self, manifest: &Manifest) -> PinsAndFaults {
        let mut places: BTreeMap<PinPath, Place> = BTreeMap::new();
        let (mut pins, mut faulty) = (BTreeMap::new(), BTreeMap::new());
        for (number, file) in manifest.files.iter().enumerate() {
            // Where no entry says otherwise, a faulty default is complained about once, here.
            self.access(number, &file.keys.defaults, &wire::Access::default());
            for keys in &file.keys.iter {
                let written = Written { number, file, keys };
                let path = self.path(&written);
                let before = self.faults.len();
                let pin = self.pin(&written);
                let Some((path, place)) = path else { continue };
                match places.entry(path.clone()) {
                    Slot::Occupied(first) => {
                        let at = first.get().clone();
                        self.fault(place, Problem::DuplicatePath { path, at });
                    }
                    Slot::Vacant(slot) => {
                        slot.insert(place.clone());
                        let own = self.faults.split_off(before);
                        match pin {
                            Some(pin) if own.is_empty() => {
                                pins.insert(path, DesiredPin { place, ..pin });
                            }
                            Some(_) | None => {
                                faulty.insert(path, own);
                            }
                        }
                    }
                }
            }
        }
        self.refuse_parents(&places);
        (pins, faulty)
    }

    fn refuse_parents(&mut self, places: &BTreeMap<PinPath, Place>) {
        for (below, at) in places {
            for parent in below.ancestors() {
                if let Some(place) = places.get(&parent) {
                    let problem = Problem::ParentOfAnother {
                        path: parent,
                        below: below.clone(),
                        at: at.clone(),
                    };
                    self.fault(place.clone(), problem);
                }
            }
        }
    }

    fn path(&mut self, written: &Written<'_>) -> Option<(PinPath, Place)> {
        let Some(path) = &written.keys.get_ref().path else {
            self.missing(written, "path");
            return None;
        };
        let place = written.place(path.span());
        let text = path.get_ref();
        let relative = if text.starts_with('/') {
            match Path::new(text).strip_prefix(self.bpffs).ok().and_then(Path::to_str) {
                Some(relative) if !relative.is_empty() => relative,
                Some(_) | None => {
                    if self.bpffs_is_known {
                        self.fault(place, Problem::OutsideBpffs(self.bpffs.to_path_buf()));
                    }
                    return None;
                }
            }
        } else {
            text
        };
        match relative.parse() {
            Ok(parsed) => Some((parsed, place)),
            Err(why) => {
                self.fault(place, Problem::PinPath { text: relative.to_owned(), why });
                None
            }
        }
    }

    fn pin(&mut self, written: &Written<'_>) -> Option<DesiredPin> {
        let entry = written.keys.get_ref();
        let own = wire::Access {
            mode: entry.mode.clone(),
            owner: entry.owner.clone(),
            group: entry.group.clone(),
            dir_mode: entry.dir_mode.clone(),
        };
        let access = self.access(written.number, &own, &written.file.keys.defaults);
        let sha256 = entry.sha256.as_ref().and_then(|digest| self.sha256(written, digest));
        let Some(obj) = &entry.obj else {
            self.missing(written, "obj");
            return None;
        };
        let facts = self.object(written, obj, sha256);
        let globals = self.globals(written, facts);
        let maps = self.maps(written, facts);
        let candidate = facts.and_then(|facts| self.candidate(written, obj, facts));
        let param = self.param(written, obj, facts, candidate.map(|one| &one.target));
        let (facts, candidate) = (facts?, candidate?);
        let program = self.share(Program {
            object: written.file.object(obj.get_ref()),
            sha256: facts.sha256.clone(),
            name: candidate.program.clone(),
            target: candidate.target.clone(),
            globals: globals?,
            maps: maps?,
        });
        let param = param::walked(param?, &program.maps);
        let (meta, dir_mode) = access?;
        let place = written.place(written.keys.span());
        Some(DesiredPin { program, param, meta, dir_mode, place })
    }

    fn access(
        &mut self,
        number: usize,
        own: &wire::Access,
        defaults: &wire::Access,
    ) -> Option<(Meta, Mode)> {
        let mode = self.mode(number, &own.mode, &defaults.mode, "0600");
        let dir_mode = self.mode(number, &own.dir_mode, &defaults.dir_mode, "0700");
        let uid = self.id(number, &own.owner, &defaults.owner, Account::User);
        let gid = self.id(number, &own.group, &defaults.group, Account::Group);
        Some((Meta { mode: mode?, uid: uid?, gid: gid? }, dir_mode?))
    }

    fn mode(
        &mut self,
        number: usize,
        own: &Option<Spanned<String>>,
        default: &Option<Spanned<String>>,
        otherwise: &str,
    ) -> Option<Mode> {
        let Some(written) = own else {
            // A faulty default has been complained about already.
            let text = default.as_ref().map_or(otherwise, |written| written.get_ref());
            return text.parse().ok();
        };
        let mode = written.get_ref().parse();
        if mode.is_err() {
            let problem = Problem::Mode(written.get_ref().clone());
            self.fault(Place::new(number, written.span()), problem);
        }
        mode.ok()
    }

    fn id(
        &mut self,
        number: usize,
        own: &Option<Spanned<String>>,
        default: &Option<Spanned<String>>,
        account: Account,
    ) -> Option<u32> {
        let Some(written) = own.as_ref().or(default.as_ref()) else {
            return Some(match account {
                Account::User => self.facts.uid,
                Account::Group => self.facts.gid,
            });
        };
        let name = written.get_ref();
        let known = match account {
            Account::User => &self.facts.users,
            Account::Group => &self.facts.groups,
        };
        // chown(2) takes the largest number for "leave it as it is".
        let number_given = name.parse::<u32>().ok().filter(|id| *id != u32::MAX);
        let id = number_given.or_else(|| known.get(name).copied().flatten());
        if id.is_none() && own.is_some() {
            let problem = match account {
                Account::User => Problem::UnknownUser(name.clone()),
                Account::Group => Problem::UnknownGroup(name.clone()),
            };
            self.fault(Place::new(number, written.span()), problem);
        }
        id
    }

    /// What is known of the entry's object, if it can be used.
    fn object(
        &mut self,
        written: &Written<'_>,
        obj: &Spanned<String>,
        sha256: Option<(Sha256, Place)>,
    ) -> Option<&'a ObjectFacts> {
        let path = written.file.object(obj.get_ref());
        let at_obj = written.place(obj.span());
        match self.facts.objects.get(&path) {
            Some(Ok(facts)) => {
                if let Some((wanted, place)) = sha256
                    && wanted != facts.sha256
                {
                    let found = facts.sha256.to_string();
                    self.fault(place, Problem::Sha256Differs { found });
                }
                Some(facts)
            }
            Some(Err(fault)) => {
                self.fault(at_obj, Problem::Object(fault.clone()));
                None
            }
            None => {
                self.fault(at_obj, Problem::Object(ObjectFault::Missing(path)));
                None
            }
        }
    }

    /// The iterator that the entry means.
    fn candidate(
        &mut self,
        written: &Written<'_>,
        obj: &Spanned<String>,
        facts: &'a ObjectFacts,
    ) -> Option<&'a Candidate> {
        let candidates = facts.iterators.as_slice();
        if let Some(wanted) = &written.keys.get_ref().program {
            let found = candidates.iter().find(|one| one.program == *wanted.get_ref());
            if found.is_none() {
                let problem = Problem::NoSuchProgram {
                    wanted: wanted.get_ref().clone(),
                    candidates: candidates.to_vec(),
                };
                self.fault(written.place(wanted.span()), problem);
            }
            return found;
        }
        let problem = match candidates {
            [only] => return Some(only),
            [] => Problem::NoIterator,
            several => {
                self.missed(written, obj.span(), Problem::SeveralIterators(several.to_vec()));
                return None;
            }
        };
        self.fault(written.place(obj.span()), problem);
        None
    }

    fn share(&mut self, program: Program) -> Arc<Program> {
        if let Some(shared) = self.programs.get(&program) {
            return Arc::clone(shared);
        }
        let shared = Arc::new(program.clone());
        self.programs.insert(program, Arc::clone(&shared));
        shared
    }

    /// `None` where it is no digest, which has been complained about.
    fn sha256(
        &mut self,
        written: &Written<'_>,
        digest: &Spanned<String>,
    ) -> Option<(Sha256, Place)> {
        let place = written.place(digest.span());
        match digest.get_ref().parse() {
            Ok(wanted) => Some((wanted, place)),
            Err(_) => {
                self.fault(place, Problem::Sha256);
                None
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Account {
    User,
    Group,
}
