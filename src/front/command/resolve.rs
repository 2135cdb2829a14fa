//! Arguments → manifest → desired, with the objects that it was made of; and what the arguments allow.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{Entry, Here};
use crate::front::cli::{KeepGoingArgs, ManifestArgs, PolicyArgs, TrustArgs};
use crate::front::errors::{Context as _, Faulty, LeftOut, Origin, Result};
use crate::host::accounts;
use crate::host::bpffs::{bpffs_of, is_on_bpffs};
use crate::host::cgroup::cgroup2_mount;
use crate::host::object::Objects;
use crate::host::sources;
use crate::host::trust::Trust;
use iterctl_core::desired::{self, DEFAULT_BPFFS, Desired, Facts};
use iterctl_core::fault::Candidate;
use iterctl_core::manifest::{self, Argument, Input, Manifest, Source};
use iterctl_core::plan::{Empty, Foreign, Policy};
use iterctl_core::target::Takes;

/// A manifest that has been read, with everything that it names.
pub(super) struct Resolved {
    pub(super) origin: Origin,
    pub(super) objects: Objects,
    pub(super) desired: Desired,
}

pub(super) fn read_input(args: &ManifestArgs, trust: Trust) -> Result<Input> {
    Ok(sources::read(&args.file, args.set.clone(), trust)?)
}

/// The manifests and objects that are used.
pub(super) fn trust(args: &TrustArgs) -> Trust {
    if args.insecure { Trust::AnyFile } else { Trust::own_files() }
}

/// The place where `pin` and `read` are run. Without a given bpffs, it is the one that `path` is on, or the usual one.
pub(super) fn here(bpffs: Option<&Path>, path: &Path) -> Result<Here> {
    let folder = std::env::current_dir().context("failed to find the current directory")?;
    let is_on_bpffs = is_on_bpffs(&folder);
    let path = if is_on_bpffs { folder.join(path) } else { path.to_path_buf() };
    let bpffs = match bpffs {
        Some(bpffs) => std::path::absolute(bpffs)?,
        None => bpffs_of(&path).unwrap_or_else(|| PathBuf::from(DEFAULT_BPFFS)),
    };
    Ok(Here { is_on_bpffs, folder, bpffs })
}

/// The arguments of `pin` or `read`, written as a manifest → desired.
pub(super) fn resolve_entry(entry: Entry, trust: Trust) -> Result<Resolved> {
    let Entry { toml, words } = entry;
    // All its paths are absolute, or below bpffs.
    let base = PathBuf::from("/");
    let source = Source { name: "arguments".to_owned(), text: toml, base };
    let arguments = vec![Argument::CommandLine];
    let manifest = manifest::parse(&Input { sources: Arc::new([source]), arguments, set: None });
    resolve_manifest(Origin::CommandLine(words), &manifest, trust)
}

pub(super) fn resolve_input(input: Input, trust: Trust) -> Result<Resolved> {
    let manifest = manifest::parse(&input);
    resolve_manifest(Origin::Manifest(input.sources), &manifest, trust)
}

pub(super) fn resolve_manifest(
    origin: Origin,
    manifest: &Manifest,
    trust: Trust,
) -> Result<Resolved> {
    let (objects, facts) = find_facts(manifest, trust)?;
    match desired::resolve(manifest, &facts) {
        Ok(desired) => Ok(Resolved { origin, objects, desired }),
        Err(faults) => Err(Faulty { faults, origin }.into()),
    }
}

/// The entries that are carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// All, or none.
    All,
    /// Those with which nothing is wrong.
    Sound,
}

impl Selection {
    pub(super) fn from_args(args: &KeepGoingArgs) -> Self {
        if args.keep_going { Self::Sound } else { Self::All }
    }
}

/// The same, but that entries with faults may be left out.
pub(super) fn resolve_entries(
    origin: Origin,
    manifest: &Manifest,
    trust: Trust,
    entries: Selection,
) -> Result<(Resolved, LeftOut)> {
    if entries == Selection::All {
        let resolved = resolve_manifest(origin, manifest, trust)?;
        return Ok((resolved, LeftOut::default()));
    }
    let (objects, facts) = find_facts(manifest, trust)?;
    let sound = match desired::resolve_sound(manifest, &facts) {
        Ok(sound) => sound,
        Err(faults) => return Err(Faulty { faults, origin }.into()),
    };
    let sources = origin.shared_sources();
    let bpffs = sound.desired.bpffs.clone();
    let left_out = LeftOut { faults: sound.faults, sources, bpffs, ..LeftOut::default() };
    Ok((Resolved { origin, objects, desired: sound.desired }, left_out))
}

fn find_facts(manifest: &Manifest, trust: Trust) -> Result<(Objects, Facts)> {
    let (objects, facts_of_objects) = Objects::read(&manifest.objects(), trust)?;
    let walks_cgroups =
        |one: &Candidate| one.target.known().is_some_and(|known| known.takes == Takes::Cgroup);
    let has_to_do_with_cgroups = manifest.entries().any(|(_, _, entry)| entry.cgroup.is_some())
        || facts_of_objects
            .values()
            .flatten()
            .any(|object| object.iterators.iter().any(walks_cgroups));
    let facts = Facts {
        objects: facts_of_objects,
        users: accounts::users(manifest.users())?,
        groups: accounts::groups(manifest.groups())?,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        cgroup2: if has_to_do_with_cgroups { cgroup2_mount() } else { None },
    };
    Ok((objects, facts))
}

pub(super) fn policy(args: &PolicyArgs) -> Policy {
    Policy {
        foreign: if args.adopt { Foreign::Adopt } else { Foreign::Refuse },
        empty: if args.allow_empty { Empty::Allow } else { Empty::Refuse },
    }
}
