//! The `-f` arguments → the texts of the manifest.
//!
//! In: paths from the command line. Out: an [`Input`], every file read once, in the order in which
//! they are to be taken.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::host::contents;
use iterctl_core::manifest::{Argument, Input, Source};

/// Manifests longer than this, in bytes, are refused.
const LONGEST: u64 = 16 * 1024 * 1024;

/// A source that cannot be read.
#[derive(Debug)]
pub enum SourceError {
    /// The system's words.
    Unreadable(PathBuf, io::Error),
    /// Longer than any manifest.
    TooLong(PathBuf),
    /// Not UTF-8, from that byte on.
    NotUtf8(PathBuf, usize),
    /// A directory without a single `*.toml`.
    NoManifest(PathBuf),
}

/// Reads every file: those named, those in the directories named, and `-`. Each regular file is shown
/// to `may_use` before it is read.
///
/// # Errors
/// The first that cannot be read, or that `may_use` refuses.
pub fn read<E: From<SourceError>>(
    files: &[PathBuf],
    set: Option<String>,
    may_use: impl Fn(&Path) -> Result<(), E>,
) -> Result<Input, E> {
    let (mut sources, mut arguments) = (Vec::new(), Vec::new());
    for file in files {
        if file == Path::new("-") {
            let base = absolute(Path::new("."))?;
            let stdin = File::from(
                io::stdin()
                    .as_fd()
                    .try_clone_to_owned()
                    .map_err(|error| SourceError::Unreadable(file.clone(), error))?,
            );
            let text = read_text(file, &stdin)?;
            sources.push(Source { name: "<stdin>".to_owned(), text, base });
            arguments.push(Argument::Stdin);
        } else if is(file, Metadata::is_dir)? {
            for path in manifests_in(file)? {
                if is(&path, Metadata::is_file)? {
                    may_use(&path)?;
                }
                sources.push(read_file(&path)?);
            }
            arguments.push(Argument::Directory(absolute(file)?));
        } else {
            let is_file = is(file, Metadata::is_file)?;
            if is_file {
                may_use(file)?;
            }
            sources.push(read_file(file)?);
            let path = absolute(file)?;
            // The name of a pipe or a device says nothing of what comes out of it.
            arguments.push(match is_file {
                true => Argument::File(path),
                false => Argument::Stream(path),
            });
        }
    }
    Ok(Input { sources: sources.into(), arguments, set })
}

/// What a path leads to. Where that is not known, it is an error, and nobody's guess.
fn is(path: &Path, kind: impl Fn(&Metadata) -> bool) -> Result<bool, SourceError> {
    let metadata = fs::metadata(path);
    let metadata = metadata.map_err(|error| SourceError::Unreadable(path.to_path_buf(), error))?;
    Ok(kind(&metadata))
}

fn absolute(path: &Path) -> Result<PathBuf, SourceError> {
    std::path::absolute(path)
        // Collecting the components drops a trailing slash.
        .map(|absolute| absolute.components().collect())
        .map_err(|error| SourceError::Unreadable(path.to_path_buf(), error))
}

/// Whether a file of a directory is one of its manifests: `*.toml`, and not hidden, as an editor's
/// are.
pub fn is_manifest_name(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".toml") && !name.as_bytes().starts_with(b".")
}

/// The files behind a `-f` argument: itself, or the manifests of the directory.
///
/// # Errors
/// Where a directory cannot be listed, or has none.
pub fn files(argument: &Path) -> Result<Vec<PathBuf>, SourceError> {
    if argument.is_dir() { manifests_in(argument) } else { Ok(vec![argument.to_path_buf()]) }
}

/// The manifests of a directory, in byte order.
fn manifests_in(directory: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let unreadable = |error| SourceError::Unreadable(directory.to_path_buf(), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if is_manifest_name(&name) {
            names.push(name);
        }
    }
    names.sort();
    if names.is_empty() {
        return Err(SourceError::NoManifest(directory.to_path_buf()));
    }
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

fn read_file(path: &Path) -> Result<Source, SourceError> {
    let unreadable = |error| SourceError::Unreadable(path.to_path_buf(), error);
    let text = read_text(path, &File::open(path).map_err(unreadable)?)?;
    let mut base = absolute(path)?;
    base.pop();
    Ok(Source { name: path.display().to_string(), text, base })
}

fn read_text(path: &Path, file: &File) -> Result<String, SourceError> {
    let bytes = contents::read(file, LONGEST)
        .map_err(|error| SourceError::Unreadable(path.to_path_buf(), error))?
        .ok_or_else(|| SourceError::TooLong(path.to_path_buf()))?;
    String::from_utf8(bytes)
        .map_err(|error| SourceError::NotUtf8(path.to_path_buf(), error.utf8_error().valid_up_to()))
}

impl SourceError {
    /// The way out, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoManifest(_) => Some(
                "an empty directory could be a mistake; `unpin --set NAME` unpins a whole set"
                    .to_owned(),
            ),
            Self::Unreadable(..) | Self::TooLong(_) | Self::NotUtf8(..) => None,
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, _) => {
                write!(f, "failed to read the manifest {}", path.display())
            }
            Self::TooLong(path) => {
                write!(
                    f,
                    "{} is longer than the {LONGEST} bytes a manifest may have",
                    path.display()
                )
            }
            Self::NotUtf8(path, byte) => {
                write!(f, "{} is not UTF-8 after byte {byte}", path.display())
            }
            Self::NoManifest(path) => write!(f, "no *.toml in {}", path.display()),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_, error) => Some(error),
            Self::TooLong(_) | Self::NotUtf8(..) | Self::NoManifest(_) => None,
        }
    }
}
