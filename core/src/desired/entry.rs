//! Every entry of a manifest → the pin that it wants. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use serde_spanned::Spanned;

use super::directory::{self, Contradiction};
use super::resolver::{Meant, Resolver, Written};
use super::{DesiredPin, DirectoryAccess, Facts, ObjectFacts, Wanted, param};
use crate::access::{Meta, Mode};
use crate::fault::{Fault, Place, Problem, Warning};
use crate::manifest::{Manifest, wire};
use crate::names::Sha256;
use crate::pin_path::PinPath;

/// The result for all entries.
pub(super) struct ResolvedEntries {
    /// The pins of those that are sound.
    pub(super) pins: BTreeMap<PinPath, DesiredPin>,
    /// Faults that concern one entry alone, by its path. No other entry has the same path.
    pub(super) faulty: BTreeMap<PinPath, Vec<Fault>>,
    /// All other faults.
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
}

/// Resolves all entries. `faults` are those of the manifest so far.
pub(super) fn entries(
    manifest: &Manifest,
    facts: &Facts,
    (bpffs, bpffs_is_known): (&Path, bool),
    faults: Vec<Fault>,
) -> ResolvedEntries {
    let mut resolver = Resolver {
        facts,
        bpffs,
        bpffs_is_known,
        faults,
        warnings: Vec::new(),
        programs: BTreeMap::new(),
        plain: BTreeMap::new(),
        last_plain: None,
    };
    let by_path = resolver.entries(manifest);
    resolver.refuse_parents(&by_path);
    resolver.refuse_contradictions(&by_path);
    let (mut pins, mut faulty) = (Vec::with_capacity(by_path.len()), Vec::new());
    for ResolvedEntry { path, place, pin } in by_path {
        match pin {
            Ok(pin) => pins.push((path, DesiredPin { place, ..pin })),
            Err(faults) => faulty.push((path, faults)),
        }
    }
    ResolvedEntries {
        pins: pins.into_iter().collect(),
        faulty: faulty.into_iter().collect(),
        faults: resolver.faults,
        warnings: resolver.warnings,
    }
}

/// An entry whose path can be read.
struct ResolvedEntry {
    path: PinPath,
    /// The place of the path.
    place: Place,
    /// The pin that it wants, or the faults of this entry alone.
    pin: Result<DesiredPin, Vec<Fault>>,
}

impl<'a> Resolver<'a> {
    /// Every entry whose path can be read, in the order of the paths, each path once.
    fn entries(&mut self, manifest: &'a Manifest) -> Vec<ResolvedEntry> {
        let mut by_path = Vec::with_capacity(manifest.entries().count());
        for (number, file) in manifest.files.iter().enumerate() {
            // A faulty default is reported once, here, even if no entry uses it.
            let defaults = WrittenAccess::from(&file.keys.defaults);
            self.access(number, defaults, WrittenAccess::default());
            for keys in &file.keys.iter {
                let written = Written { number, file, keys };
                let path = self.path(&written);
                let before = self.faults.len();
                let access = self.access(number, WrittenAccess::from(keys.get_ref()), defaults);
                let pin = self.pin(&written, access);
                if let Some((path, place)) = path {
                    let own = self.faults.split_off(before);
                    let pin = pin.filter(|_| own.is_empty()).ok_or(own);
                    by_path.push(ResolvedEntry { path, place, pin });
                }
            }
        }
        // Entries with the same path keep the order in which they are written.
        by_path.sort_by(|one, other| one.path.cmp(&other.path));
        by_path.dedup_by(|second, first| {
            let is_second = second.path == first.path;
            if is_second {
                self.refuse_second(second, first);
            }
            is_second
        });
        by_path
    }

    /// A second entry with the same path is not a fault of one entry alone.
    fn refuse_second(&mut self, second: &mut ResolvedEntry, first: &ResolvedEntry) {
        if let Err(own) = &mut second.pin {
            self.faults.append(own);
        }
        let (path, at) = (first.path.clone(), first.place.clone());
        self.fault(second.place.clone(), Problem::DuplicatePath { path, at });
    }

    /// In the order of the paths, everything below a path follows directly after it.
    fn refuse_parents(&mut self, by_path: &[ResolvedEntry]) {
        let mut above: Vec<&ResolvedEntry> = Vec::new();
        for entry in by_path {
            while above.pop_if(|above| !entry.path.is_below(&above.path)).is_some() {}
            for ResolvedEntry { path, place, .. } in &above {
                let (path, below) = (path.clone(), entry.path.clone());
                let problem = Problem::ParentOfAnother { path, below, at: entry.place.clone() };
                self.fault(place.clone(), problem);
            }
            above.push(entry);
        }
    }

    /// One directory cannot be as two entries want it.
    fn refuse_contradictions(&mut self, by_path: &[ResolvedEntry]) {
        let sound: Vec<(&ResolvedEntry, &DirectoryAccess)> = by_path
            .iter()
            .filter_map(|entry| Some((entry, &entry.pin.as_ref().ok()?.directory)))
            .collect();
        let pins = sound.iter().map(|(entry, directory)| (&entry.path, *directory));
        for Contradiction { directory, key, first, second } in directory::merge(pins).1 {
            let (Some((first, _)), Some((second, _))) = (sound.get(first), sound.get(second))
            else {
                continue;
            };
            let at = first.place.clone();
            self.fault(second.place.clone(), Problem::DirectoriesDiffer { directory, key, at });
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

    fn pin(
        &mut self,
        written: &Written<'a>,
        access: Option<(Meta, DirectoryAccess)>,
    ) -> Option<DesiredPin> {
        let entry = written.keys.get_ref();
        let sha256 = entry.sha256.as_ref().and_then(|digest| self.sha256(written, digest));
        let Some(obj) = &entry.obj else {
            self.missing(written, "obj");
            return None;
        };
        let Meant { facts, candidate, program, stand_ins, concerns } = self.meant(written, obj);
        if let (Some((wanted, place)), Some(ObjectFacts { sha256: found, .. })) = (sha256, facts)
            && wanted != *found
        {
            self.fault(place, Problem::Sha256Differs { found: found.to_string() });
        }
        let param = self.param(written, obj, facts, candidate.map(|one| &one.target));
        let program = program?;
        let param = param::walked(param?, &stand_ins);
        self.refuse_walk_without_size(written, &param, facts?)?;
        self.warn(written, obj, &concerns);
        let (meta, directory) = access?;
        let place = written.place(written.keys.span());
        let keys = written.key_places(obj);
        Some(DesiredPin { program, param, meta, directory, place, keys })
    }

    fn access(
        &mut self,
        number: usize,
        own: WrittenAccess<'_>,
        defaults: WrittenAccess<'_>,
    ) -> Option<(Meta, DirectoryAccess)> {
        let mode = self.mode(number, own.mode, defaults.mode, ModeOf::Pin);
        let dir_mode = self.mode(number, own.dir_mode, defaults.dir_mode, ModeOf::Directory);
        let Facts { uid, gid, .. } = *self.facts;
        let uid = self.id(number, own.owner, defaults.owner, Account::User, uid);
        let gid = self.id(number, own.group, defaults.group, Account::Group, gid);
        // A faulty owner has been reported: which one a directory would get does not matter.
        let of_pin = |id: Option<Wanted<u32>>| id.map_or(0, Wanted::value);
        let (dir_uid, dir_gid) = (of_pin(uid), of_pin(gid));
        let dir_uid = self.id(number, own.dir_owner, defaults.dir_owner, Account::User, dir_uid);
        let dir_gid = self.id(number, own.dir_group, defaults.dir_group, Account::Group, dir_gid);
        let meta = Meta { mode: mode?.value(), uid: uid?.value(), gid: gid?.value() };
        Some((meta, DirectoryAccess { mode: dir_mode?, uid: dir_uid?, gid: dir_gid? }))
    }

    fn mode(
        &mut self,
        number: usize,
        own: Option<&Spanned<String>>,
        default: Option<&Spanned<String>>,
        of: ModeOf,
    ) -> Option<Wanted<Mode>> {
        let Some(written) = own.or(default) else { return Some(Wanted::Default(of.default())) };
        let mode = written.get_ref().parse().ok().filter(|mode| of.allows(*mode));
        // A faulty default has been reported already.
        if mode.is_none() && own.is_some() {
            let text = written.get_ref().clone();
            let problem = match of {
                ModeOf::Pin => Problem::Mode(text),
                ModeOf::Directory => Problem::DirectoryMode(text),
            };
            self.fault(Place::new(number, written.span()), problem);
        }
        mode.map(Wanted::Stated)
    }

    fn id(
        &mut self,
        number: usize,
        own: Option<&Spanned<String>>,
        default: Option<&Spanned<String>>,
        account: Account,
        otherwise: u32,
    ) -> Option<Wanted<u32>> {
        let Some(written) = own.or(default) else { return Some(Wanted::Default(otherwise)) };
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
        id.map(Wanted::Stated)
    }

    /// `None` if it is not a digest, which has been reported.
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

/// Mode and ownership of a pin and of the directories above it, as far as they are written.
#[derive(Clone, Copy, Default)]
struct WrittenAccess<'a> {
    mode: Option<&'a Spanned<String>>,
    owner: Option<&'a Spanned<String>>,
    group: Option<&'a Spanned<String>>,
    dir_mode: Option<&'a Spanned<String>>,
    dir_owner: Option<&'a Spanned<String>>,
    dir_group: Option<&'a Spanned<String>>,
}

impl<'a> From<&'a wire::Access> for WrittenAccess<'a> {
    fn from(written: &'a wire::Access) -> Self {
        let wire::Access { mode, owner, group, dir_mode, dir_owner, dir_group } = written;
        Self {
            mode: mode.as_deref(),
            owner: owner.as_deref(),
            group: group.as_deref(),
            dir_mode: dir_mode.as_deref(),
            dir_owner: dir_owner.as_deref(),
            dir_group: dir_group.as_deref(),
        }
    }
}

impl<'a> From<&'a wire::Entry> for WrittenAccess<'a> {
    fn from(written: &'a wire::Entry) -> Self {
        Self {
            mode: written.mode.as_deref(),
            owner: written.owner.as_deref(),
            group: written.group.as_deref(),
            dir_mode: written.dir_mode.as_deref(),
            dir_owner: written.dir_owner.as_deref(),
            dir_group: written.dir_group.as_deref(),
        }
    }
}

#[derive(Clone, Copy)]
enum Account {
    User,
    Group,
}

#[derive(Clone, Copy)]
enum ModeOf {
    Pin,
    Directory,
}

impl ModeOf {
    fn default(self) -> Mode {
        match self {
            Self::Pin => Mode::from_stat(0o600),
            Self::Directory => Mode::from_stat(0o700),
        }
    }

    fn allows(self, mode: Mode) -> bool {
        match self {
            Self::Pin => !mode.has_special_bits(),
            Self::Directory => true,
        }
    }
}
