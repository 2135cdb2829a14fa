//! The words of an entry about its program → the program to load for it. Pure.

use std::path::PathBuf;
use std::sync::Arc;

use serde_spanned::Spanned;

use super::resolver::{Meant, Resolver, Written};
use super::sound::concerns;
use super::{ObjectFacts, Program};
use crate::anatomy::Extern;
use crate::fault::{Candidate, ObjectFault, Problem};

impl<'a> Resolver<'a> {
    /// Resolves the entry's `obj`, `program`, `globals`, `maps` and `max-entries`. Many entries that say
    /// the same are resolved once.
    pub(super) fn meant(&mut self, written: &Written<'a>, obj: &'a Spanned<String>) -> Meant<'a> {
        let entry = written.keys.get_ref();
        let name = entry.program.as_ref().map(|name| name.get_ref().as_str());
        let words = (written.number, obj.get_ref().as_str(), name);
        if entry.globals.is_some() || entry.maps.is_some() || entry.max_entries.is_some() {
            return self.look_into(written, obj);
        }
        if let Some((last, meant)) = &self.last_plain
            && *last == words
        {
            return meant.clone();
        }
        let meant = match self.plain.get(&words) {
            Some(meant) => meant.clone(),
            None => {
                let meant = self.look_into(written, obj);
                if meant.program.is_none() {
                    // A fault is reported again for each entry that has it.
                    return meant;
                }
                self.plain.insert(words, meant.clone());
                meant
            }
        };
        self.last_plain = Some((words, meant.clone()));
        meant
    }

    /// Resolves an entry that differs from all before it.
    fn look_into(&mut self, written: &Written<'a>, obj: &Spanned<String>) -> Meant<'a> {
        let found = self.object(written, obj);
        let facts = found.map(|(_, facts)| facts);
        let globals = self.globals(written, facts);
        let maps = self.maps(written, facts);
        let max_entries = self.max_entries(written, facts);
        let candidate = facts.and_then(|facts| self.candidate(written, obj, facts));
        let needs =
            facts.zip(candidate).and_then(|(facts, one)| facts.anatomy.programs.get(&one.program));
        let is_sound = match (facts, candidate, &maps) {
            (Some(facts), Some(candidate), Some(maps)) => {
                self.refuse_what_cannot_load(written, obj, facts, candidate, maps)
            }
            _ => false,
        };
        let concerns = facts.zip(candidate).map(|(facts, candidate)| concerns(facts, candidate));
        let concerns = concerns.unwrap_or_default().into();
        let stand_ins = Arc::new(maps.clone().unwrap_or_default());
        let (Some((object, facts)), Some(candidate), Some(globals)) = (found, candidate, globals)
        else {
            return Meant { facts, candidate, program: None, stand_ins, concerns };
        };
        let (Some(mut maps), Some(max_entries), true) = (maps, max_entries, is_sound) else {
            let (facts, candidate) = (Some(facts), Some(candidate));
            return Meant { facts, candidate, program: None, stand_ins, concerns };
        };
        if let Some(needs) = needs {
            maps.retain(|name, _| needs.maps.contains(name));
        }
        let is_held = |name: &&String| needs.is_some_and(|needs| needs.held.contains(*name));
        let held = maps.keys().filter(is_held).cloned().collect();
        let is_strong = |one: &&Extern| {
            needs.is_some_and(|needs| needs.externs.contains(one.name()))
                && !facts.anatomy.weak.contains(one.name())
        };
        let externs = facts.externs.iter().filter(is_strong).cloned().collect();
        let program = self.share(Program {
            object: object.clone(),
            sha256: facts.sha256.clone(),
            name: candidate.program.clone(),
            target: candidate.target.clone(),
            sleep: candidate.sleep,
            globals,
            maps,
            held,
            externs,
            max_entries,
        });
        let (facts, candidate, program) = (Some(facts), Some(candidate), Some(program));
        Meant { facts, candidate, program, stand_ins, concerns }
    }

    /// The entry's object and the facts about it, if it can be used.
    fn object(
        &mut self,
        written: &Written<'_>,
        obj: &Spanned<String>,
    ) -> Option<(&'a PathBuf, &'a ObjectFacts)> {
        let path = written.file.object(obj.get_ref());
        let fault = match self.facts.objects.get_key_value(&path) {
            Some((path, Ok(facts))) => return Some((path, facts)),
            Some((_, Err(fault))) => fault.clone(),
            None => ObjectFault::Missing(path),
        };
        self.fault(written.place(obj.span()), Problem::Object(fault));
        None
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
}
