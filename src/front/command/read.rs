//! `read`: prints the output of a pinned iterator, or of an object that is run once and not pinned.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::load::load;
use super::observe::look_up;
use super::resolve::{here, resolve_entry, trust};
use super::{Answer, OnTerminal, Output, OutputOf, entry};
use crate::front::cli::ReadArgs;
use crate::front::errors::{Context as _, Error, Result};
use crate::front::report::Report;
use crate::host::bpffs::is_on_bpffs;
use crate::host::closed::Closed;
use crate::host::execute::parameter;
use crate::host::kernel::{IteratorLink, Loaded};
use crate::host::reader::{ReadError, Reader};
use iterctl_core::desired::DesiredPin;
use iterctl_core::escaped::Escaped;
use iterctl_core::observed::{Scan, observe};
use iterctl_core::plan::{self, Foreign, Plan, Step, WantedParam};

pub(super) fn read(args: &ReadArgs) -> Result<Answer> {
    let (text, what): (Box<dyn Read>, _) = match is_object(&args.what) {
        true => {
            (Box::new(run_once(args)?), format!("the iterator of {}", Escaped::new(&args.what)))
        }
        false => {
            let path = pin_path(args);
            let what = format!("the pin {}", Escaped::new(&path));
            (Box::new(Reader::new(open_pin(args, &path)?)), what)
        }
    };
    let on_terminal = if args.raw { OnTerminal::Raw } else { OnTerminal::Escaped };
    let output = Output { text, of: OutputOf::Iterator { what, on_terminal } };
    let report = Report::new(format!("read {}", Escaped::new(&args.what)));
    Ok(Answer { output: Some(output), ..Answer::done(report) })
}

/// A running iterator of an object that is not pinned.
struct Once {
    reader: Reader,
    /// Without it, the maps through which the program makes tail calls are empty.
    _loaded: Loaded,
}

impl Read for Once {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Whether the path is a file with a dot in its name, which no pin can have, or an ELF file. Files on bpffs are not
/// opened: opening a pin runs the iterator.
fn is_object(path: &Path) -> bool {
    let has_dot = path.file_name().is_some_and(|name| name.to_string_lossy().contains('.'));
    let is_elf = || {
        let mut magic = [0; 4];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
        read.is_ok() && magic == *b"\x7fELF"
    };
    !is_on_bpffs(path) && (has_dot || is_elf())
}

/// A relative path is below the bpffs, unless it leads to one from the current directory.
fn pin_path(args: &ReadArgs) -> PathBuf {
    if args.what.is_absolute() || is_on_bpffs(&args.what) {
        args.what.clone()
    } else {
        args.bpffs.join(&args.what)
    }
}

fn open_pin(args: &ReadArgs, path: &Path) -> Result<File> {
    let given = [args.map.is_empty(), args.given.is_empty()];
    let what = || format!("failed to open {}", Escaped::new(path));
    if given.contains(&false) {
        let why = format!(
            "{} is a pin: only an object can be given a map or anything else",
            Escaped::new(path)
        );
        return Err(Error::Usage(why));
    }
    let file = File::open(path).map_err(|error| not_opened(path, error)).with_context(what)?;
    if file.metadata().with_context(what)?.is_dir() {
        return Err(Error::other("it is a directory").context(what()));
    }
    if !is_on_bpffs(path) {
        return Err(Error::other("neither a pin on bpffs nor a BPF object").context(what()));
    }
    Ok(file)
}

/// Why a pin cannot be opened. bpffs_obj_open() in kernel/bpf/inode.c answers EIO if something else than an iterator
/// is pinned there.
fn not_opened(path: &Path, error: io::Error) -> Error {
    const EIO: i32 = Errno::IO.raw_os_error();
    if error.raw_os_error() == Some(EIO) {
        return Error::other("something is pinned there, but no iterator");
    }
    match Closed::find(path, &error) {
        Some(closed) => closed.into(),
        None => ReadError::from(error).into(),
    }
}

/// Loads, attaches and runs the iterator. Nothing is pinned, and everything is freed with the last descriptor.
fn run_once(args: &ReadArgs) -> Result<Once> {
    let here = here(Some(&args.bpffs), &args.what)?;
    let entry = entry::from_read(args, &here).map_err(|why| Error::Usage(why.to_string()))?;
    let resolved = resolve_entry(entry, trust(&args.trust))?;
    let mut scan = Scan::default();
    look_up(&resolved.desired, &mut scan);
    let observed = observe(scan, Some(&resolved.desired.set.name));
    let plan = plan::pin(&resolved.desired, &observed, Foreign::Refuse);
    if !plan.obstacles.is_empty() {
        return Err(Error::MissingNeeds(plan.obstacles));
    }
    let (want, param) =
        only_pin(&plan).ok_or_else(|| Error::other("the command line names no iterator"))?;
    let program = &want.program;
    let walked = match param {
        WantedParam::OwnMap(name) => [name.as_str()].into(),
        WantedParam::Link(_) => BTreeSet::new(),
    };
    let name = Escaped::new(&program.name);
    let (loaded, _) = load(program, &walked, &plan, &resolved.objects)
        .with_context(|| format!("failed to load `{name}` of {}", Escaped::new(&args.what)))?;
    let (link, _) = parameter(param, &loaded)
        .and_then(|param| IteratorLink::attach(&loaded, program, &param))
        .with_context(|| format!("failed to attach `{name}`"))?;
    let run = link.run().with_context(|| format!("failed to run `{name}`"))?;
    Ok(Once { reader: Reader::new(File::from(run)), _loaded: loaded })
}

fn only_pin(plan: &Plan) -> Option<(&DesiredPin, &WantedParam)> {
    plan.steps.iter().find_map(|step| match step {
        Step::Pin { want, param, .. } => Some((want, param)),
        Step::Unpin { .. }
        | Step::RemoveDirectory { .. }
        | Step::MakeDirectory { .. }
        | Step::SetDirectoryMeta { .. }
        | Step::Replace { .. }
        | Step::SetMeta { .. } => None,
    })
}
