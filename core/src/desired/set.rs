//! The set and the bpffs, on which all files of one call must agree. Pure.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use serde_spanned::Spanned;

use super::{DEFAULT_BPFFS, Naming, Set};
use crate::fault::{Fault, Place, Problem};
use crate::manifest::{Argument, Manifest};
use crate::names::SetName;

/// The set: `--set`, else the name that the files agree on, else the name taken from the `-f` arguments.
///
/// The last fault is returned as the error; all others are added to `faults`.
pub(super) fn set(manifest: &Manifest, faults: &mut Vec<Fault>) -> Result<Set, Fault> {
    let source = manifest.arguments.iter().map(Argument::to_string).collect();
    if let Some(given) = &manifest.set {
        let name = given.parse().map_err(|why| anywhere(Problem::SetName(why)))?;
        return Ok(Set { name, naming: Naming::Written, source });
    }
    if let Some(name) = written_set(manifest, faults)? {
        return Ok(Set { name, naming: Naming::Written, source });
    }
    match taken_set(manifest) {
        Ok(name) => Ok(Set { name, naming: Naming::Taken, source }),
        // The name may be in a part that could not be read, which has been reported already.
        Err(fault) if manifest.files.iter().any(|file| file.document_is_incomplete) => {
            Err(faults.pop().unwrap_or(fault))
        }
        Err(fault) => Err(fault),
    }
}

fn anywhere(problem: Problem) -> Fault {
    Fault { place: None, problem }
}

fn written_set(manifest: &Manifest, faults: &mut Vec<Fault>) -> Result<Option<SetName>, Fault> {
    let mut first: Option<(SetName, Place)> = None;
    let mut wrong = Vec::new();
    for (number, file) in manifest.files.iter().enumerate() {
        let Some(written) = &file.keys.set else { continue };
        let place = Place::new(number, written.span());
        let problem = match (written.get_ref().parse::<SetName>(), &first) {
            (Err(why), _) => Problem::SetName(why),
            (Ok(name), None) => {
                first = Some((name, place));
                continue;
            }
            (Ok(name), Some((other, at))) if name != *other => Problem::SetsDiffer {
                here: name.to_string(),
                first: other.to_string(),
                at: Some(at.clone()),
            },
            (Ok(_), Some(_)) => continue,
        };
        wrong.push(Fault { place: Some(place), problem });
    }
    match wrong.pop() {
        Some(last) => {
            faults.append(&mut wrong);
            Err(last)
        }
        None => Ok(first.map(|(name, _)| name)),
    }
}

fn taken_set(manifest: &Manifest) -> Result<SetName, Fault> {
    let mut first: Option<SetName> = None;
    for argument in &manifest.arguments {
        let name = argument.set_name();
        let name = name.ok_or_else(|| anywhere(Problem::NoSetName(argument.described())))?;
        if let Some(first) = &first
            && name != *first
        {
            return Err(anywhere(Problem::SetsDiffer {
                here: name.to_string(),
                first: first.to_string(),
                at: None,
            }));
        }
        first.get_or_insert(name);
    }
    first.ok_or_else(|| anywhere(Problem::NoSetName("an empty command line".to_owned())))
}

impl Argument {
    /// The set's name if none is written: the file's stem, or the directory's name without `.d`.
    fn set_name(&self) -> Option<SetName> {
        let name = match self {
            Self::File(path) => path.file_stem()?.to_str()?,
            Self::Directory(path) => {
                let name = path.file_name()?.to_str()?;
                name.strip_suffix(".d").unwrap_or(name)
            }
            Self::Stream(_) | Self::Stdin | Self::CommandLine => return None,
        };
        name.parse().ok()
    }
}

impl Argument {
    fn described(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(_) | Self::Directory(_) | Self::Stream(_) | Self::CommandLine => {
                self.to_string()
            }
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Directory(path) | Self::Stream(path) => {
                write!(f, "{}", path.display())
            }
            Self::Stdin => f.write_str("-"),
            Self::CommandLine => f.write_str("iterctl pin"),
        }
    }
}

/// The bpffs that the files agree on.
pub(super) fn bpffs(manifest: &Manifest, faults: &mut Vec<Fault>) -> PathBuf {
    let mut first: Option<(PathBuf, Place)> = None;
    for (number, file) in manifest.files.iter().enumerate() {
        let Some(written) = &file.keys.bpffs else { continue };
        let place = Place::new(number, written.span());
        let problem = match (absolute_normal(Path::new(written.get_ref())), &first) {
            (None, _) => Problem::BpffsNotAbsolute,
            (Some(path), None) => {
                first = Some((path, place));
                continue;
            }
            (Some(path), Some((other, at))) if path != *other => {
                Problem::BpffsDiffers { first: other.clone(), at: at.clone() }
            }
            (Some(_), Some(_)) => continue,
        };
        faults.push(Fault { place: Some(place), problem });
    }
    let Some((path, at)) = first else { return PathBuf::from(DEFAULT_BPFFS) };
    if path != Path::new(DEFAULT_BPFFS) {
        faults.extend(not_named(manifest, &path, &at));
    }
    path
}

/// The files whose pins would go to a bpffs that only another file names. If that file went, they would move.
fn not_named<'a>(
    manifest: &'a Manifest,
    other: &'a Path,
    at: &'a Place,
) -> impl Iterator<Item = Fault> + 'a {
    let files = manifest.files.iter().enumerate();
    let silent =
        files.filter(|(_, file)| file.keys.bpffs.is_none() && !file.document_is_incomplete);
    silent.filter_map(move |(number, file)| {
        // An absolute path names its bpffs itself.
        let paths = file.keys.iter.iter().filter_map(|entry| entry.get_ref().path.as_ref());
        let relative =
            paths.filter(|path| !path.get_ref().starts_with('/')).map(Spanned::span).next()?;
        let problem = Problem::BpffsNotNamed { other: other.to_path_buf(), at: at.clone() };
        Some(Fault { place: Some(Place::new(number, relative)), problem })
    })
}

/// The path without doubled and trailing slashes; `None` if it is relative, or has a `..` or a NUL.
pub(super) fn absolute_normal(path: &Path) -> Option<PathBuf> {
    let normal = path
        .components()
        .all(|component| matches!(component, Component::RootDir | Component::Normal(_)));
    let usable = path.is_absolute() && normal && !path.as_os_str().as_bytes().contains(&0);
    usable.then(|| path.components().collect())
}
