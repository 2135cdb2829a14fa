//! The composition root: each subcommand is the line of values, stopped early or carried on.

mod apply;
mod check;
mod list;
mod plan;
mod unpin;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::accounts;
use crate::bpffs::{Bpffs, Found};
use crate::cli::{Command, ManifestArgs, PolicyArgs};
use crate::desired::{self, Desired, Facts};
use crate::exit::Exit;
use crate::fault::Faults;
use crate::kernel::{Scanner, find_map};
use crate::manifest::{self, Input, Manifest, Source};
use crate::object::Objects;
use crate::observed::{Kind, Observed, Scan, ScannedNode, observe};
use crate::plan::{Empty, Foreign, Plan, Policy};
use crate::report::{self, Diagnostic, Faulty, Report, error};
use crate::sources;

/// What a command has to say, and how it ended.
#[derive(Debug)]
pub struct Answer {
    /// What it found and did.
    pub report: Report,
    /// How it ended.
    pub exit: Exit,
}

/// Runs a subcommand.
///
/// # Errors
/// Whatever it could not do; [`Exit::of`] gives its status.
pub fn run(command: &Command) -> anyhow::Result<Answer> {
    match command {
        Command::Check(args) => check::check(args),
        Command::Plan(args) => plan::plan(args),
        Command::Apply(args) => apply::apply(args),
        Command::Unpin(args) => unpin::unpin(args),
        Command::List(args) => list::list(args),
    }
}

/// A manifest that has been read, with everything that it names.
struct Resolved {
    sources: Vec<Source>,
    objects: Objects,
    desired: Desired,
}

/// `-f` → manifest → desired.
fn resolve(args: &ManifestArgs) -> anyhow::Result<Resolved> {
    let (input, manifest) = read(&args.file, args.set.clone())?;
    let objects = Objects::read(manifest.objects());
    let facts = Facts {
        objects: objects.facts(),
        users: accounts::users(manifest.users())?,
        groups: accounts::groups(manifest.groups())?,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    let desired = show_faults(desired::resolve(&manifest, &facts), &input)?;
    Ok(Resolved { sources: input.sources, objects, desired })
}

fn read(files: &[PathBuf], set: Option<String>) -> anyhow::Result<(Input, Manifest)> {
    let input = sources::read(files, set)?;
    let manifest = manifest::parse(&input);
    Ok((input, manifest))
}

/// Faults are shown in the text that they stand in.
fn show_faults<T>(result: Result<T, Faults>, input: &Input) -> anyhow::Result<T> {
    result.map_err(|faults| Faulty { faults, sources: input.sources.clone() }.into())
}

fn policy(args: &PolicyArgs) -> Policy {
    Policy {
        foreign: if args.adopt { Foreign::Adopt } else { Foreign::Refuse },
        empty: if args.allow_empty { Empty::Allow } else { Empty::Refuse },
    }
}

/// bpffs and the kernel → observed. `desired` says which maps to look for.
fn look(bpffs: &Bpffs, desired: Option<&Desired>) -> anyhow::Result<Observed> {
    let mut scanner = Scanner::default();
    let mut scan = Scan::default();
    bpffs.walk(|path, found| {
        let node = match found {
            Found::Directory(file) => Some(ScannedNode::Directory(file.meta)),
            Found::Symlink => Some(ScannedNode::Other(Kind::Symlink)),
            Found::Mount => {
                let why = "another file system is mounted there".to_owned();
                Some(ScannedNode::Other(Kind::Unknown(why)))
            }
            Found::File(file) => scanner.look(&file.proc_path(), file.meta).map_err(|error| {
                anyhow::Error::from(error).context(format!("failed to look at the pin `{path}`"))
            })?,
        };
        scan.nodes.extend(node.map(|node| (path, node)));
        anyhow::Ok(())
    })?;
    scan.programs = scanner.into_programs();
    let maps = desired.map(Desired::maps).unwrap_or_default();
    scan.maps = maps.into_iter().map(|map| (map.clone(), find_map(map))).collect();
    Ok(observe(scan))
}

/// Removes what killed applies have left. Only under the lock.
fn remove_stale_staging(bpffs: &Bpffs) -> anyhow::Result<Option<Diagnostic>> {
    let removed =
        bpffs.remove_stale_staging().context("failed to remove old staging directories")?;
    Ok((removed > 0).then(|| error::note("removed what an apply that was killed had left")))
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
