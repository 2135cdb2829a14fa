//! The composition root: each subcommand is the line of values, stopped early or carried on.

mod apply;
mod check;
mod entry;
mod export;
mod list;
mod pin;
mod plan;
mod print;
mod read;
mod unpin;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use self::entry::{Entry, Here};
use crate::front::cli::{Command, KeepGoingArgs, ManifestArgs, PolicyArgs, TrustArgs};
use crate::front::exit::Exit;
use crate::front::report::{
    self, Action, Change, Diagnostic, Faulty, LeftOut, Origin, Report, error,
};
use crate::host::accounts;
use crate::host::bpffs::{Bpffs, Found, is_on_bpffs};
use crate::host::cgroup::{cgroup_id, cgroup2_mount};
use crate::host::kernel::{self, FoundMaps, Loaded, Scanner, find_maps};
use crate::host::object::Objects;
use crate::host::sources;
use crate::host::trust;
use iterctl_core::desired::{self, Desired, Facts, MapRef, Program};
use iterctl_core::escaped::Escaped;
use iterctl_core::fault::Candidate;
use iterctl_core::ids::MapId;
use iterctl_core::manifest::{self, Argument, Input, Manifest, Source};
use iterctl_core::observed::{Kind, Observed, Scan, ScannedNode, observe};
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Empty, Foreign, Plan, Policy};
use iterctl_core::target::Takes;

/// What a command has to say, and how it ended.
pub struct Answer {
    /// What it found and did.
    pub report: Report,
    /// How it ended.
    pub exit: Exit,
    /// What failed, where something was done all the same.
    pub failed: Option<anyhow::Error>,
    /// `read` only: what the iterator prints, as it comes.
    pub output: Option<Box<dyn Read>>,
}

impl Answer {
    fn new(report: Report, exit: Exit) -> Self {
        Self { report, exit, failed: None, output: None }
    }
}

/// The versions of iterctl and of libbpf, and what was compiled in.
#[derive(Debug, Serialize)]
pub struct Versions {
    /// Of iterctl.
    pub version: &'static str,
    /// Of libbpf.
    pub libbpf_version: String,
    /// What was compiled in.
    pub features: Vec<&'static str>,
}

impl Versions {
    /// Those of this program.
    pub fn own() -> Self {
        let mut features = vec!["vendored-libbpf"];
        if cfg!(feature = "vendored") {
            features.extend(["vendored-libelf", "vendored-zlib"]);
        }
        Self {
            version: env!("CARGO_PKG_VERSION"),
            libbpf_version: kernel::libbpf_version(),
            features,
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, libbpf_version, features } = self;
        writeln!(f, "iterctl v{version}")?;
        writeln!(f, "using libbpf v{libbpf_version}")?;
        write!(f, "features: {}", features.join(", "))
    }
}

/// What is told before the end.
pub enum Progress<'a> {
    /// `watch`: what a round has found and done. The log has it, too.
    Round(&'a Report),
    /// `apply --wait`: what it waits for.
    Waits(Diagnostic),
}

/// Tells it.
pub type Say<'a> = &'a mut dyn FnMut(Progress<'_>) -> anyhow::Result<()>;

/// Runs a subcommand.
///
/// # Errors
/// Whatever it could not do; [`Exit::of`] gives its status.
pub fn run(command: &Command, say: Say<'_>) -> anyhow::Result<Answer> {
    match command {
        Command::Check(args) => check::check(args),
        Command::Plan(args) => plan::plan(args),
        Command::Apply(args) => apply::apply(args, say),
        Command::Watch(args) => watch::watch(args, say),
        Command::Unpin(args) => unpin::unpin(args),
        Command::List(args) => list::list(args),
        Command::Pin(args) => pin::pin(args),
        Command::Read(args) => read::read(args),
        Command::Export(args) => export::export(args),
        Command::Schema(args) => print::schema(args),
        Command::Completions(args) => Ok(print::completions(args)),
        Command::Man(args) => print::man(args),
    }
}

/// A manifest that has been read, with everything that it names.
struct Resolved {
    origin: Origin,
    objects: Objects,
    desired: Desired,
}

fn read_input(args: &ManifestArgs, trust: Trust) -> anyhow::Result<Input> {
    sources::read(&args.file, args.set.clone(), |file| trust.check(file))
}

/// Whose manifests and objects are used.
#[derive(Clone, Copy)]
enum Trust {
    /// As root, only those that nobody else could have written.
    OwnFiles,
    /// Anybody's: nothing is done with them, or the user wants it so.
    Anybody,
}

impl Trust {
    fn of(args: &TrustArgs) -> Self {
        if args.insecure { Self::Anybody } else { Self::OwnFiles }
    }

    fn check(self, file: &Path) -> anyhow::Result<()> {
        match self {
            Self::OwnFiles => trust::check(file),
            Self::Anybody => Ok(()),
        }
    }
}

/// Where `pin` and `read` are run.
fn here(bpffs: &Path) -> anyhow::Result<Here> {
    let folder = std::env::current_dir().context("failed to find the current folder")?;
    let bpffs = std::path::absolute(bpffs)?;
    Ok(Here { is_on_bpffs: is_on_bpffs(&folder), folder, bpffs })
}

/// The arguments of `pin` or `read`, written as a manifest → desired.
fn resolve_entry(entry: Entry, trust: Trust) -> anyhow::Result<Resolved> {
    let Entry { toml, words } = entry;
    // All its paths are absolute, or below bpffs.
    let base = PathBuf::from("/");
    let source = Source { name: "arguments".to_owned(), text: toml, base };
    let arguments = vec![Argument::CommandLine];
    let manifest = manifest::parse(&Input { sources: vec![source], arguments, set: None });
    resolve_manifest(Origin::CommandLine(words), &manifest, trust)
}

fn resolve_input(input: Input, trust: Trust) -> anyhow::Result<Resolved> {
    let manifest = manifest::parse(&input);
    resolve_manifest(Origin::Manifest(input.sources), &manifest, trust)
}

fn resolve_manifest(origin: Origin, manifest: &Manifest, trust: Trust) -> anyhow::Result<Resolved> {
    let (objects, facts) = find_facts(manifest, trust)?;
    match desired::resolve(manifest, &facts) {
        Ok(desired) => Ok(Resolved { origin, objects, desired }),
        Err(faults) => Err(Faulty { faults, origin }.into()),
    }
}

/// Which entries are carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entries {
    /// All, or none.
    All,
    /// Those with which nothing is wrong.
    Sound,
}

impl Entries {
    fn of(args: &KeepGoingArgs) -> Self {
        if args.keep_going { Self::Sound } else { Self::All }
    }
}

/// The same, but that entries with faults may be left out.
fn resolve_entries(
    input: Input,
    manifest: &Manifest,
    trust: Trust,
    entries: Entries,
) -> anyhow::Result<(Resolved, LeftOut)> {
    let origin = Origin::Manifest(input.sources);
    if entries == Entries::All {
        let resolved = resolve_manifest(origin, manifest, trust)?;
        return Ok((resolved, LeftOut::default()));
    }
    let (objects, facts) = find_facts(manifest, trust)?;
    let sound = match desired::resolve_sound(manifest, &facts) {
        Ok(sound) => sound,
        Err(faults) => return Err(Faulty { faults, origin }.into()),
    };
    let sources = origin.sources().to_vec();
    let bpffs = sound.desired.bpffs.clone();
    let left_out = LeftOut { faults: sound.faults, sources, bpffs, ..LeftOut::default() };
    Ok((Resolved { origin, objects, desired: sound.desired }, left_out))
}

fn find_facts(manifest: &Manifest, trust: Trust) -> anyhow::Result<(Objects, Facts)> {
    let objects = Objects::read(&manifest.objects(), |object| trust.check(object))?;
    let facts_of_objects = objects.facts();
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

fn policy(args: &PolicyArgs) -> Policy {
    Policy {
        foreign: if args.adopt { Foreign::Adopt } else { Foreign::Refuse },
        empty: if args.allow_empty { Empty::Allow } else { Empty::Refuse },
    }
}

/// bpffs and the kernel → observed. `desired` says which maps to look for.
fn look(bpffs: &Bpffs, desired: Option<&Desired>) -> anyhow::Result<Observed> {
    let scanner = Scanner::default();
    let nodes = bpffs.walk(|path, found| {
        Ok(match found {
            Found::Directory(meta) => Some(ScannedNode::Directory(meta)),
            Found::Symlink => Some(ScannedNode::Other(Kind::Symlink)),
            Found::Mount => {
                let why = "another file system is mounted there".to_owned();
                Some(ScannedNode::Other(Kind::Unknown(why)))
            }
            Found::Pin(file) => {
                scanner.look(file.directory(), file.name(), file.meta).map_err(|error| {
                    let what = format!("failed to look at the pin `{path}`");
                    anyhow::Error::from(error).context(what)
                })?
            }
        })
    })?;
    let mut scan = Scan { nodes, programs: scanner.into_programs(), ..Scan::default() };
    if let Some(desired) = desired {
        look_up(desired, &mut scan);
    }
    Ok(observe(scan, desired.map(|desired| &desired.set.name)))
}

/// The ids of the maps and cgroups that the entries name.
fn look_up(desired: &Desired, scan: &mut Scan) {
    let FoundMaps { maps, programs } = find_maps(&desired.maps());
    scan.maps = maps;
    scan.programs.extend(programs);
    scan.cgroups =
        desired.cgroups().into_iter().map(|path| (path.to_path_buf(), cgroup_id(path))).collect();
}

/// What a manifest names outside of itself, but for the objects.
fn named_by(desired: &Desired) -> BTreeSet<PathBuf> {
    let pins = desired.pins.keys().map(|path| desired.bpffs.join(path.as_path()));
    let maps = desired.maps().into_iter().filter_map(|map| match map {
        MapRef::Pinned(path) => Some(path.clone()),
        MapRef::Id(_) | MapRef::Name(_) => None,
    });
    let cgroups = desired.cgroups().into_iter().map(Path::to_path_buf);
    pins.chain(maps).chain(cgroups).collect()
}

/// The loader of a plan's programs: from the bytes that were looked at, with the maps that the plan
/// found, and with the object's own maps that are to be walked.
fn load(
    program: &Program,
    walked: &BTreeSet<&str>,
    plan: &Plan,
    objects: &Objects,
) -> anyhow::Result<(Loaded, BTreeMap<String, MapId>)> {
    let bytes = objects.bytes(&program.object).context("the object was not read")?;
    let id = |(name, map): (&String, &MapRef)| {
        let id = plan.maps.get(map).with_context(|| format!("map {map} was not looked for"))?;
        Ok((name.clone(), *id))
    };
    let maps = program.maps.iter().map(id).collect::<anyhow::Result<_>>()?;
    let loaded = kernel::load(program, bytes, &maps, walked)?;
    Ok((loaded, maps))
}

/// The maps that pinned iterators need, but for those at these paths.
fn needed_maps(observed: &Observed, but: &BTreeSet<&PinPath>) -> BTreeSet<MapId> {
    let pins = observed.iterators().filter(|(path, _)| !but.contains(path));
    pins.flat_map(|(_, pin)| {
        let stamp = pin.provenance.stamp();
        let own = stamp.into_iter().flat_map(|stamp| stamp.own_maps.values().copied().map(MapId));
        pin.maps.iter().copied().chain(own)
    })
    .collect()
}

/// Lets maps go that no pinned iterator needs any more. Only under the lock.
fn release_kept(bpffs: &Bpffs, needed: &BTreeSet<MapId>) -> Vec<Diagnostic> {
    let left = match bpffs.release_kept(needed) {
        Ok(left) => left,
        Err(why) => vec![(bpffs.path().to_path_buf(), why)],
    };
    let warning = |(path, why): (PathBuf, io::Error)| {
        let what = format!("failed to let maps go that are kept in {}", Escaped::new(&path));
        error::warning(&anyhow::Error::from(why).context(what))
    };
    left.into_iter().map(warning).collect()
}

/// What applies before have left.
struct Remains {
    /// What is said of it.
    notes: Vec<Diagnostic>,
    /// Whether maps are kept for pinned iterators, or were.
    has_kept_maps: bool,
}

/// Removes what killed applies have left. Only under the lock.
fn remove_stale_staging(bpffs: &Bpffs) -> anyhow::Result<Remains> {
    let stale = bpffs.remove_stale_staging().context("failed to remove old staging directories")?;
    let removed =
        (stale.removed > 0).then(|| error::note("removed what an apply that was killed had left"));
    let left = stale.left.into_iter().map(|(path, why)| {
        let what = format!("failed to remove the old staging directory {}", Escaped::new(&path));
        error::warning(&anyhow::Error::from(why).context(what))
    });
    let notes = removed.into_iter().chain(left).collect();
    Ok(Remains { notes, has_kept_maps: stale.has_kept_maps })
}

/// A plan as a report, without a comment.
fn report_plan(
    plan: &Plan,
    set: Option<&desired::Set>,
    bpffs: &Path,
    sources: &[Source],
) -> Report {
    let (changes, summary) = report::changes(plan, set.map(|set| &set.name), bpffs, sources);
    Report { changes, summary, ..Report::new("") }
}

/// Adds the entries that were left out to a report of the others.
fn add_left_out(report: &mut Report, left_out: &LeftOut) {
    report.changes.extend(left_out.rows());
    report.changes.sort_by(Change::by_path);
    let is_blocked = |change: &&Change| change.action == Action::Blocked;
    report.summary.blocked = report.changes.iter().filter(is_blocked).count();
    report.comment = format!("{}; {} left out", report.comment, report.summary.blocked);
}

/// "1 to pin, 2 to replace", or whatever `tense` makes of it.
fn count_changes(report: &Report, words: [&str; 4]) -> String {
    let summary = report.summary;
    let numbers = [summary.pin, summary.replace, summary.update, summary.unpin];
    let parts: Vec<String> = numbers
        .iter()
        .zip(words)
        .filter(|(number, _)| **number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    parts.join(", ")
}

/// "1 iterator", "2 iterators".
fn iterators(number: usize) -> String {
    if number == 1 { "1 iterator".to_owned() } else { format!("{number} iterators") }
}
