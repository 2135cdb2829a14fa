//! Every entry of a manifest → the pin that it wants. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_spanned::Spanned;

use super::set::absolute_normal;
use super::{DesiredPin, Facts, MapRef, Param, Program};
use crate::fault::{Fault, ObjectFault, Place, Problem};
use crate::manifest::{File, Manifest, wire};
use crate::meta::{MapId, Meta, Mode};
use crate::path::{PinPath, Sha256};
use crate::target::{Takes, Target};

/// The pins of all entries. What is wrong with an entry is added to `faults`.
pub(super) fn pins(
    manifest: &Manifest,
    facts: &Facts,
    (bpffs, bpffs_is_known): (&Path, bool),
    faults: &mut Vec<Fault>,
) -> BTreeMap<PinPath, DesiredPin> {
    let mut resolver = Resolver { facts, bpffs, bpffs_is_known, faults, programs: BTreeMap::new() };
    resolver.pins(manifest)
}

struct Resolver<'a> {
    facts: &'a Facts,
    bpffs: &'a Path,
    bpffs_is_known: bool,
    faults: &'a mut Vec<Fault>,
    programs: BTreeMap<Program, Arc<Program>>,
}

/// One entry, with what is needed to say where it is wrong.
struct Written<'a> {
    number: usize,
    file: &'a File,
    keys: &'a Spanned<wire::Entry>,
}

impl Resolver<'_> {
    fn fault(&mut self, place: Place, problem: Problem) {
        self.faults.push(Fault { place: Some(place), problem });
    }

    fn pins(&mut self, manifest: &Manifest) -> BTreeMap<PinPath, DesiredPin> {
        let mut places: BTreeMap<PinPath, Place> = BTreeMap::new();
        let mut pins = BTreeMap::new();
        for (number, file) in manifest.files.iter().enumerate() {
            // Where no entry says otherwise, a faulty default is complained about once, here.
            self.access(number, &file.keys.defaults, &wire::Access::default());
            for keys in &file.keys.iter {
                let written = Written { number, file, keys };
                let path = self.path(&written);
                let pin = self.pin(&written);
                let Some((path, place)) = path else { continue };
                match places.entry(path.clone()) {
                    Slot::Occupied(first) => {
                        let at = first.get().clone();
                        self.fault(place, Problem::DuplicatePath { path, at });
                    }
                    Slot::Vacant(slot) => {
                        slot.insert(place.clone());
                        if let Some(pin) = pin {
                            pins.insert(path, DesiredPin { place, ..pin });
                        }
                    }
                }
            }
        }
        self.refuse_parents(&places);
        pins
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

    fn missing(&mut self, written: &Written<'_>, key: &'static str) {
        self.missed(written, written.keys.span(), Problem::MissingKey(key));
    }

    /// A key is not there. Where one could not be read, that has been complained about.
    fn missed(&mut self, written: &Written<'_>, at: Range<usize>, problem: Problem) {
        if !written.file.incomplete.contains(&written.keys.span().start) {
            self.fault(written.place(at), problem);
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
        let map = entry.map.as_ref().map(|map| self.map(written, map));
        let sha256 = entry.sha256.as_ref().and_then(|digest| self.sha256(written, digest));
        let Some(obj) = &entry.obj else {
            self.missing(written, "obj");
            return None;
        };
        let program = self.program(written, obj, sha256)?;
        let param = self.param(written, obj, &program.target, map)?;
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

    fn program(
        &mut self,
        written: &Written<'_>,
        obj: &Spanned<String>,
        sha256: Option<(Sha256, Place)>,
    ) -> Option<Arc<Program>> {
        let entry = written.keys.get_ref();
        let object = written.file.object(obj.get_ref());
        let at_obj = written.place(obj.span());
        let facts = match self.facts.objects.get(&object) {
            Some(Ok(facts)) => facts,
            Some(Err(fault)) => {
                self.fault(at_obj, Problem::Object(fault.clone()));
                return None;
            }
            None => {
                self.fault(at_obj, Problem::Object(ObjectFault::Missing(object)));
                return None;
            }
        };
        if let Some((wanted, place)) = sha256
            && wanted != facts.sha256
        {
            self.fault(place, Problem::Sha256Differs { found: facts.sha256.to_string() });
        }
        let candidates = &facts.iterators;
        let chosen = match (&entry.program, candidates.as_slice()) {
            (Some(wanted), _) => {
                let found = candidates.iter().find(|one| one.program == *wanted.get_ref());
                found.ok_or_else(|| {
                    let problem = Problem::NoSuchProgram {
                        wanted: wanted.get_ref().clone(),
                        candidates: candidates.clone(),
                    };
                    (written.place(wanted.span()), problem)
                })
            }
            (None, [only]) => Ok(only),
            (None, []) => Err((at_obj, Problem::NoIterator)),
            (None, several) => {
                self.missed(written, obj.span(), Problem::SeveralIterators(several.to_vec()));
                return None;
            }
        };
        match chosen {
            Ok(one) => {
                let program = Program {
                    object,
                    sha256: facts.sha256.clone(),
                    name: one.program.clone(),
                    target: one.target.clone(),
                };
                Some(self.share(program))
            }
            Err((place, problem)) => {
                self.fault(place, problem);
                None
            }
        }
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

    /// `None` where the map is written wrongly, which has been complained about.
    fn map(&mut self, written: &Written<'_>, map: &Spanned<wire::Map>) -> Option<MapRef> {
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
        };
        self.fault(written.place(map.span()), problem);
        None
    }

    fn param(
        &mut self,
        written: &Written<'_>,
        obj: &Spanned<String>,
        target: &Target,
        map: Option<Option<MapRef>>,
    ) -> Option<Param> {
        // A target that is not known may be one of a newer kernel: the kernel will be asked.
        let takes = target.known().map(|known| known.takes);
        match (takes, map) {
            (Some(Takes::Nothing | Takes::Task | Takes::Cgroup), Some(_)) => {
                let at = written.keys.get_ref().map.as_ref().map(Spanned::span);
                let place = written.place(at.unwrap_or_else(|| obj.span()));
                self.fault(place, Problem::MapNotTaken(target.clone()));
                None
            }
            (Some(Takes::Map), None) => {
                self.missed(written, obj.span(), Problem::MapNeeded(target.clone()));
                None
            }
            (Some(Takes::Cgroup), None) => {
                self.fault(written.place(obj.span()), Problem::ParameterNeeded(target.clone()));
                None
            }
            (Some(Takes::Map) | None, Some(map)) => map.map(Param::Map),
            (Some(Takes::Nothing | Takes::Task) | None, None) => Some(Param::None),
        }
    }
}

impl Written<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.number, span)
    }
}

#[derive(Clone, Copy)]
enum Account {
    User,
    Group,
}
