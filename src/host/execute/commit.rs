//! Puts what is staged in place, by renames, and puts everything back if one fails.

use std::collections::BTreeSet;
use std::io;

use super::Failed;
use super::error::{Context as _, Error};
use super::prepare::StagedPins;
use crate::host::bpffs::{Bpffs, File, Staged, Staging};
use crate::host::kernel::IteratorLink;
use iterctl_core::access::Meta;
use iterctl_core::fault::Place;
use iterctl_core::ids::LinkId;
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Plan, Step};

/// How to take one step back.
#[derive(Debug)]
enum Undo {
    /// The old pin is in staging, and nothing is at its path.
    PutBack(PinPath, Staged),
    /// The old pin is in staging, and the new one, of this link, at its path.
    ExchangeBack(PinPath, Staged, LinkId),
    /// Another pin of the old link is in staging, and the new one, of this link, at its path: this
    /// kernel cannot exchange them.
    PutOver(PinPath, Staged, LinkId),
    /// The new pin, of this link, is at its path, at which nothing was before.
    TakeAway(PinPath, Staged, LinkId),
    /// The directory was removed.
    MakeDirectory(PinPath, Meta),
    /// The directory was made.
    RemoveDirectory(PinPath),
    /// The directory had this mode, owner and group.
    SetDirectoryMeta(PinPath, Meta),
    /// The pin of this link had this mode, owner and group.
    SetMeta(PinPath, LinkId, Meta),
}

impl Undo {
    fn path(&self) -> &PinPath {
        match self {
            Self::PutBack(path, _)
            | Self::ExchangeBack(path, _, _)
            | Self::PutOver(path, _, _)
            | Self::TakeAway(path, _, _)
            | Self::MakeDirectory(path, _)
            | Self::RemoveDirectory(path)
            | Self::SetDirectoryMeta(path, _)
            | Self::SetMeta(path, _, _) => path,
        }
    }
}

/// Does every step, in order, and verifies that nothing is left to do, and that all of it is where the
/// user looks for it. Returns what `verify` does.
///
/// # Errors
/// The first failure, and what could not be undone: all steps before it have been, but for that.
pub(super) fn commit<T>(
    plan: &Plan,
    mut staged: StagedPins,
    bpffs: &Bpffs,
    staging: &mut Staging<'_>,
    verify: impl FnOnce() -> Result<T, Error>,
) -> Result<T, (Failed, Vec<Error>)> {
    let mut done = Vec::new();
    let result = plan
        .steps
        .iter()
        .try_for_each(|step| {
            take(step, &mut staged, bpffs, staging, &mut done).map_err(|error| {
                let what = format!("failed to {} `{}`", verb(step), step.path());
                let (paths, place) = wanted_by(step).unzip();
                Failed { paths: paths.into_iter().collect(), place, error: error.context(what) }
            })
        })
        .and_then(|()| verify().map_err(Failed::all))
        .and_then(|verified| match bpffs.check_in_place() {
            Ok(()) => Ok(verified),
            Err(error) => Err(Failed::all(error.into())),
        });
    result.map_err(|failed| (failed, take_all_back(&done, bpffs, staging)))
}

/// The path of the entry that the step is for, and its place.
fn wanted_by(step: &Step) -> Option<(PinPath, Place)> {
    match step {
        Step::Pin { path, want, .. }
        | Step::Replace { path, want, .. }
        | Step::SetMeta { path, want, .. } => Some((path.clone(), want.place.clone())),
        Step::Unpin { .. }
        | Step::RemoveDirectory { .. }
        | Step::MakeDirectory { .. }
        | Step::SetDirectoryMeta { .. } => None,
    }
}

fn verb(step: &Step) -> &'static str {
    match step {
        Step::Unpin { .. } => "unpin",
        Step::RemoveDirectory { .. } => "remove the directory",
        Step::MakeDirectory { .. } => "make the directory",
        Step::Pin { .. } => "pin",
        Step::Replace { .. } => "replace",
        Step::SetMeta { .. } => "set the mode and owner of",
        Step::SetDirectoryMeta { .. } => "set the mode and owner of the directory",
    }
}

/// Takes one step. What it has done is added to `done`, even if it fails after that.
fn take(
    step: &Step,
    staged: &mut StagedPins,
    bpffs: &Bpffs,
    staging: &mut Staging<'_>,
    done: &mut Vec<Undo>,
) -> Result<(), Error> {
    match step {
        Step::Unpin { path, have, .. } => {
            let old = staging.fresh();
            match staging.withdraw(path, &old) {
                // Another process has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other?,
            }
            done.push(Undo::PutBack(path.clone(), old.clone()));
            expect_staged(staging, &old, have.link.id).or_else(|why| {
                // Another process has put something else there: it goes back. If that belongs to the set, the look
                // afterwards finds it.
                staging.publish(&old, path).map_err(|_| why)?;
                done.pop();
                Ok(())
            })
        }
        Step::RemoveDirectory { path, .. } => {
            match bpffs.file(path).and_then(|file| {
                bpffs.remove_directory(path)?;
                Ok(file.meta)
            }) {
                Ok(meta) => {
                    done.push(Undo::MakeDirectory(path.clone(), meta));
                    Ok(())
                }
                // Another process has put something there meanwhile, or has removed it: then it is theirs.
                Err(error) if is_not_empty_or_gone(&error) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
        Step::MakeDirectory { path, meta } => {
            match make_directory(path, staging, *meta) {
                Ok(()) => {
                    done.push(Undo::RemoveDirectory(path.clone()));
                    Ok(())
                }
                // Another process has made it meanwhile. If it is not a directory, the pin in it will fail.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
        Step::Pin { path, .. } => {
            let (new, link) = take_new(path, staged)?;
            staging.publish(&new, path).map_err(|error| changed_since(error, path))?;
            done.push(Undo::TakeAway(path.clone(), new, link));
            Ok(())
        }
        Step::Replace { path, have, .. } => {
            let (new, link) = take_new(path, staged)?;
            match staging.exchange(&new, path) {
                Ok(()) => {
                    done.push(Undo::ExchangeBack(path.clone(), new.clone(), link));
                    expect_staged(staging, &new, have.link.id)
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    let old = put_over(path, &new, have.link.id, bpffs, staging)?;
                    done.push(Undo::PutOver(path.clone(), old, link));
                    Ok(())
                }
                Err(error) => Err(changed_since(error, path)),
            }
        }
        Step::SetDirectoryMeta { path, want, .. } => {
            let mut directory = bpffs.file(path).map_err(|error| changed_since(error, path))?;
            if !directory.is_directory() {
                return Err(Error::unexpected("it is not a directory any more"));
            }
            done.push(Undo::SetDirectoryMeta(path.clone(), directory.meta));
            Ok(directory.set_meta(*want)?)
        }
        Step::SetMeta { path, want, have, .. } => {
            let mut file = bpffs.file(path).map_err(|error| changed_since(error, path))?;
            open_link(&file, have.link.id)?;
            let before = file.meta;
            done.push(Undo::SetMeta(path.clone(), have.link.id, before));
            file.set_meta(want.meta)?;
            open_link(&file, have.link.id).map(|_| ()).or_else(|why| {
                // It could not be opened for a later undo, either.
                file.set_meta(before)?;
                done.pop();
                let mode = want.meta.mode;
                Err(why.context(format!("a pin of mode {mode} cannot be opened again")))
            })
        }
    }
}

/// Makes a directory in staging, because mkdir(2) applies the umask to the mode, and moves it to its path when
/// it has its mode, owner and group. Even if the process is killed, no directory of another mode is ever visible; no
/// later apply would correct it.
fn make_directory(path: &PinPath, staging: &mut Staging<'_>, meta: Meta) -> io::Result<()> {
    let new = staging.fresh();
    staging.make_directory(&new)?;
    let mut file = staging.file(&new)?;
    file.set_meta(meta)?;
    staging.publish(&new, path)
}

/// The new pin of a path.
fn take_new(path: &PinPath, staged: &mut StagedPins) -> Result<(Staged, LinkId), Error> {
    staged.remove(path).ok_or_else(|| Error::unexpected("its new pin is not staged"))
}

/// Replaces a pin if names cannot be exchanged: on bpffs, they can since Linux 5.16
/// (`simple_rename_exchange()`). The old link gets another pin, for an undo; then the new pin is renamed over
/// the old one, also in one step. But what another process puts there between the look and the rename is lost.
fn put_over(
    path: &PinPath,
    new: &Staged,
    old: LinkId,
    bpffs: &Bpffs,
    staging: &mut Staging<'_>,
) -> Result<Staged, Error> {
    let file = bpffs.file(path).map_err(|error| changed_since(error, path))?;
    let link = open_link(&file, old)?;
    let kept = staging.fresh();
    link.pin(&staging.pin_path(&kept)).context("failed to keep the old iterator")?;
    staging.file(&kept)?.set_meta(file.meta).context("failed to keep the old mode and owner")?;
    staging.replace(new, path)?;
    Ok(kept)
}

/// Whether what is staged is a pin of that link.
fn expect_staged(staging: &Staging<'_>, staged: &Staged, link: LinkId) -> Result<(), Error> {
    open_link(&staging.file(staged)?, link).map(|_| ())
}

/// The link of that id, if that is what the file is a pin of.
fn open_link(file: &File, expected: LinkId) -> Result<IteratorLink, Error> {
    if !file.is_file() {
        return Err(Error::unexpected(
            "something that is no pin has come there since it was looked at",
        ));
    }
    match IteratorLink::open(&file.proc_path()).context("failed to open its pin")? {
        Ok(link) if link.id() == expected => Ok(link),
        Ok(_) => Err(Error::unexpected("another process has replaced it meanwhile")),
        Err(kind) => {
            Err(Error::Unexpected(format!("{kind} has come there since it was looked at")))
        }
    }
}

fn changed_since(error: io::Error, path: &PinPath) -> Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        Error::Unexpected(format!("something has come to `{path}` since it was looked at"))
    } else if error.kind() == io::ErrorKind::NotFound {
        Error::Unexpected(format!("`{path}` has gone since it was looked at"))
    } else {
        error.into()
    }
}

fn is_not_empty_or_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::DirectoryNotEmpty || error.kind() == io::ErrorKind::NotFound
}

/// Undoes everything, the last change first. Returns what could not be undone.
fn take_all_back(done: &[Undo], bpffs: &Bpffs, staging: &mut Staging<'_>) -> Vec<Error> {
    let (mut left, mut in_use) = (Vec::new(), BTreeSet::new());
    for undo in done.iter().rev() {
        if let Err(error) = take_back(undo, &in_use, bpffs, staging) {
            left.push(error);
            in_use.extend(undo.path().ancestors());
        }
    }
    left
}

/// Takes one step back. In the directories `in_use` is what could not be taken back.
fn take_back(
    undo: &Undo,
    in_use: &BTreeSet<PinPath>,
    bpffs: &Bpffs,
    staging: &mut Staging<'_>,
) -> Result<(), Error> {
    match undo {
        Undo::PutBack(path, staged) => {
            staging.publish(staged, path).with_context(|| format!("failed to put `{path}` back"))
        }
        Undo::ExchangeBack(path, staged, new) => exchange_back(path, staged, *new, staging)
            .with_context(|| format!("failed to put the old `{path}` back")),
        Undo::PutOver(path, staged, new) => put_back_over(path, staged, *new, bpffs, staging)
            .with_context(|| format!("failed to put the old `{path}` back")),
        Undo::TakeAway(path, staged, new) => take_away(path, staged, *new, staging)
            .with_context(|| format!("failed to take the new `{path}` away")),
        Undo::MakeDirectory(path, meta) => make_directory(path, staging, *meta)
            .with_context(|| format!("failed to make the directory `{path}` again")),
        Undo::RemoveDirectory(path) => match bpffs.remove_directory(path) {
            // Another process is using it by now.
            Err(error) if is_not_empty_or_gone(&error) && !in_use.contains(path) => Ok(()),
            other => other.with_context(|| format!("failed to remove the directory `{path}`")),
        },
        Undo::SetDirectoryMeta(path, meta) => bpffs
            .file(path)
            .and_then(|mut directory| match directory.is_directory() {
                true => directory.set_meta(*meta),
                // A file that has come in its place is not ours.
                false => Ok(()),
            })
            .with_context(|| {
                format!("failed to set the mode and owner of the directory `{path}` back")
            }),
        Undo::SetMeta(path, link, meta) => bpffs
            .file(path)
            .map_err(Error::from)
            .and_then(|mut file| {
                open_link(&file, *link)?;
                Ok(file.set_meta(*meta)?)
            })
            .with_context(|| format!("failed to set the mode and owner of `{path}` back")),
    }
}

/// Exchanges the old pin with the new one again. What another process has put in the new one's place stays
/// there.
fn exchange_back(
    path: &PinPath,
    staged: &Staged,
    new: LinkId,
    staging: &Staging<'_>,
) -> Result<(), Error> {
    match staging.exchange(staged, path) {
        // Another process has removed the new one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(staging.publish(staged, path)?);
        }
        other => other?,
    }
    expect_staged(staging, staged, new).or_else(|why| {
        staging.exchange(staged, path)?;
        Err(why)
    })
}

/// Renames the kept pin of the old link over the new one, unless another process has replaced the new one.
fn put_back_over(
    path: &PinPath,
    staged: &Staged,
    new: LinkId,
    bpffs: &Bpffs,
    staging: &Staging<'_>,
) -> Result<(), Error> {
    match bpffs.file(path) {
        Ok(file) => {
            open_link(&file, new)?;
            Ok(staging.replace(staged, path)?)
        }
        // Another process has removed the new one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(staging.publish(staged, path)?),
        Err(error) => Err(error.into()),
    }
}

/// Moves the new pin back into staging. What another process has put in its place stays there.
fn take_away(
    path: &PinPath,
    staged: &Staged,
    new: LinkId,
    staging: &Staging<'_>,
) -> Result<(), Error> {
    match staging.withdraw(path, staged) {
        // Another process has removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    expect_staged(staging, staged, new).or_else(|why| {
        staging.publish(staged, path)?;
        Err(why)
    })
}
