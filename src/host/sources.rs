//! The `-f` arguments → the texts of the manifest.
//!
//! In: paths from the command line. Out: an [`Input`], every file read once, in the order in which
//! they are to be taken.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::host::contents;
use crate::host::trust::{Directory, Opened, Refused, Trust, Untrusted};
use iterctl_core::escaped::Escaped;
use iterctl_core::manifest::{Argument, Input, Source};

/// Manifests longer than this, in bytes, are refused: 4 MiB are about 35,000 usual entries. An empty entry has nine
/// bytes and takes about a hundred times as many to be read.
const LONGEST: u64 = 4 * 1024 * 1024;

/// A source that cannot be read.
#[derive(Debug)]
pub enum SourceError {
    /// The system's words.
    Unreadable(PathBuf, io::Error),
    /// Longer than any manifest.
    TooLong(PathBuf),
    /// Not UTF-8, from that byte on.
    NotUtf8(PathBuf, usize),
    /// Another user could have changed it.
    Untrusted(Untrusted),
    /// Neither a file nor a directory of manifests.
    NotAFile(PathBuf),
    /// A directory without a single `*.toml`.
    NoManifest(PathBuf),
}

/// Reads every file: those named, those in the directories named, and `-`.
///
/// # Errors
/// The first that cannot be read, or that is not trusted.
pub fn read(files: &[PathBuf], set: Option<String>, trust: Trust) -> Result<Input, SourceError> {
    let (mut sources, mut arguments) = (Vec::new(), Vec::new());
    for path in files {
        if let Some(stream) = stream(path) {
            let stream = stream.map_err(|error| SourceError::Unreadable(path.clone(), error))?;
            sources.push(read_stream(path, &stream)?);
            arguments.push(match path.as_os_str() == "-" {
                true => Argument::Stdin,
                false => Argument::Stream(absolute(path)?),
            });
            continue;
        }
        match trust.open(path).map_err(|refused| not_read(path, refused))? {
            Opened::File(file) => {
                sources.push(read_file(path, &file)?);
                arguments.push(Argument::File(absolute(path)?));
            }
            Opened::Directory(directory) => {
                for name in names_in(path, &directory)? {
                    let path = path.join(&name);
                    let opened = trust.open_in(&directory, &name);
                    match opened.map_err(|refused| not_read(&path, refused))? {
                        Opened::File(file) => sources.push(read_file(&path, &file)?),
                        Opened::Directory(_) => return Err(SourceError::NotAFile(path)),
                    }
                }
                arguments.push(Argument::Directory(absolute(path)?));
            }
        }
    }
    Ok(Input { sources: sources.into(), arguments, set })
}

/// A descriptor that the caller has opened, and that therefore is trusted as the caller is: standard input, and the
/// pipe of a shell's `<(…)`. Also the empty `/dev/null`. `None` for any other path.
fn stream(path: &Path) -> Option<io::Result<File>> {
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    match path.to_str()? {
        "-" => Some(io::stdin().as_fd().try_clone_to_owned().map(File::from)),
        // The usual name of an empty file.
        "/dev/stdin" | "/dev/null" => Some(File::open(path)),
        text => {
            let name = text.strip_prefix("/dev/fd/").or(text.strip_prefix("/proc/self/fd/"))?;
            is_number(name).then(|| File::open(path))
        }
    }
}

fn not_read(path: &Path, refused: Refused) -> SourceError {
    match refused {
        Refused::Untrusted(untrusted) => SourceError::Untrusted(untrusted),
        Refused::Special(_) => SourceError::NotAFile(path.to_path_buf()),
        Refused::Unreachable { error, .. } => SourceError::Unreadable(path.to_path_buf(), error),
    }
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
/// If a directory cannot be listed, or has none.
pub fn files(argument: &Path) -> Result<Vec<PathBuf>, SourceError> {
    if !argument.is_dir() {
        return Ok(vec![argument.to_path_buf()]);
    }
    let unreadable = |error| SourceError::Unreadable(argument.to_path_buf(), error);
    let names = fs::read_dir(argument).map_err(unreadable)?;
    let names = manifests_of(argument, names.map(|entry| Ok(entry?.file_name())))?;
    Ok(names.into_iter().map(|name| argument.join(name)).collect())
}

/// The names of the manifests of a directory that is at `path`.
fn names_in(path: &Path, directory: &Directory) -> Result<Vec<OsString>, SourceError> {
    let names =
        directory.names().map_err(|error| SourceError::Unreadable(path.to_path_buf(), error));
    manifests_of(path, names?.into_iter().map(Ok))
}

/// The names of manifests among those of the directory at `path`, in byte order.
fn manifests_of(
    path: &Path,
    names: impl Iterator<Item = io::Result<OsString>>,
) -> Result<Vec<OsString>, SourceError> {
    let names: io::Result<Vec<OsString>> = names.collect();
    let mut names = names.map_err(|error| SourceError::Unreadable(path.to_path_buf(), error))?;
    names.retain(|name| is_manifest_name(name));
    names.sort();
    if names.is_empty() { Err(SourceError::NoManifest(path.to_path_buf())) } else { Ok(names) }
}

fn read_file(path: &Path, file: &File) -> Result<Source, SourceError> {
    let text = read_text(path, file)?;
    let mut base = absolute(path)?;
    base.pop();
    Ok(Source { name: path.display().to_string(), text, base })
}

/// The name of a stream says nothing of where its text comes from.
fn read_stream(path: &Path, stream: &File) -> Result<Source, SourceError> {
    let text = read_text(path, stream)?;
    let name =
        if path.as_os_str() == "-" { "<stdin>".to_owned() } else { path.display().to_string() };
    Ok(Source { name, text, base: absolute(Path::new("."))? })
}

fn read_text(path: &Path, file: &File) -> Result<String, SourceError> {
    let bytes = contents::read(file, LONGEST)
        .map_err(|error| SourceError::Unreadable(path.to_path_buf(), error))?
        .ok_or_else(|| SourceError::TooLong(path.to_path_buf()))?;
    String::from_utf8(bytes)
        .map_err(|error| SourceError::NotUtf8(path.to_path_buf(), error.utf8_error().valid_up_to()))
}

impl SourceError {
    /// The way out, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoManifest(_) => Some(
                "an empty directory could be a mistake; `unpin --set NAME` unpins a whole set"
                    .to_owned(),
            ),
            Self::Untrusted(untrusted) => Some(untrusted.hint()),
            Self::NotAFile(_) => {
                Some("`-f -` reads a manifest from standard input, also from a pipe".to_owned())
            }
            Self::TooLong(_) => Some(
                "divide it into several files: `-f` can be given several times, and takes a directory".to_owned(),
            ),
            Self::Unreadable(..) | Self::NotUtf8(..) => None,
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, _) => {
                write!(f, "failed to read the manifest {}", Escaped::new(path))
            }
            Self::TooLong(path) => {
                let path = Escaped::new(path);
                write!(f, "{path} is longer than 4 MiB, which is as long as a manifest may be")
            }
            Self::NotUtf8(path, byte) => {
                write!(f, "{} is not UTF-8 after byte {byte}", Escaped::new(path))
            }
            Self::Untrusted(untrusted) => write!(f, "{untrusted}"),
            Self::NotAFile(path) => {
                write!(f, "{} is not a regular file", Escaped::new(path))
            }
            Self::NoManifest(path) => write!(f, "no *.toml in {}", Escaped::new(path)),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_, error) => Some(error),
            Self::TooLong(_)
            | Self::NotUtf8(..)
            | Self::Untrusted(_)
            | Self::NotAFile(_)
            | Self::NoManifest(_) => None,
        }
    }
}
