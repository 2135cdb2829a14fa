//! inotify → notes in the inbox, by a thread that sleeps until something happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use notify::event::{AccessKind, AccessMode, EventKindMask, Flag, ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use rustix::fs::inotify;

use super::inbox::{Change, Inbox};
use super::lack::Lack;
use super::places::Places;
use crate::host::sys::signals::blocked_in_threads_of;

/// The kinds of events that are watched. Reading a file or an iterator wakes nothing.
const KINDS: EventKindMask = EventKindMask::CORE.union(EventKindMask::ACCESS_CLOSE);

/// Watches directories.
#[derive(Debug)]
pub(super) struct Watcher {
    inbox: Arc<Inbox>,
    /// `None` as long as it could not be set up.
    inotify: Option<RecommendedWatcher>,
    /// The watched paths, each with the device and inode that it had then: a watch stays with the inode, whatever
    /// happens to the name.
    watched: BTreeMap<PathBuf, (u64, u64)>,
}

/// The result of placing the watches.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// Whether a directory is watched that was not watched before: what happened in it until now is unknown.
    pub(super) is_new: bool,
    /// The watches that could not be placed.
    pub(super) lacks: Vec<Lack>,
}

impl Watcher {
    /// A watcher that watches nothing yet.
    pub(super) fn new(inbox: &Arc<Inbox>) -> Self {
        Self { inbox: Arc::clone(inbox), inotify: None, watched: BTreeMap::new() }
    }

    /// These directories are gone, and so are their watches, even if others of the same names exist again.
    pub(super) fn forget(&mut self, lost: &BTreeSet<PathBuf>) {
        for directory in lost {
            self.unwatch(directory);
        }
    }

    /// From now on, these places are watched and no others.
    pub(super) fn place(&mut self, places: Places, inputs: Places) -> Placed {
        self.inbox.set_places(places.clone(), inputs);
        if self.inotify.is_none() {
            match start(&self.inbox) {
                Ok(inotify) => self.inotify = Some(inotify),
                Err(lack) => return Placed { is_new: false, lacks: vec![lack] },
            }
        }
        let wanted: BTreeSet<&Path> = places.directories().collect();
        let old = self.watched.keys().filter(|directory| !wanted.contains(directory.as_path()));
        for directory in old.cloned().collect::<Vec<_>>() {
            self.unwatch(&directory);
        }
        let mut placed = Placed::default();
        for directory in wanted {
            match self.watch(directory) {
                Ok(is_new) => placed.is_new |= is_new,
                Err(why) => {
                    let lack = lack_of(directory, why);
                    let is_last = matches!(lack, Lack::Watches(_));
                    placed.lacks.push(lack);
                    // The others would fail in the same way.
                    if is_last {
                        break;
                    }
                }
            }
        }
        placed
    }

    /// Waits until everything that has happened so far is in the inbox.
    pub(super) fn catch_up(&mut self) {
        let Some(inotify) = &mut self.inotify else { return };
        // notify's thread reads all events before it answers to the first, delivers them, and then
        // answers to the second (`handle_messages()` in its inotify.rs, 9.0.0-rc.7).
        let _ = inotify.update_paths(Vec::new());
        let _ = inotify.watched_paths();
    }

    /// Returns whether the directory was not watched before.
    fn watch(&mut self, directory: &Path) -> notify::Result<bool> {
        let metadata = fs::metadata(directory)?;
        let inode = (metadata.dev(), metadata.ino());
        if self.watched.get(directory) == Some(&inode) {
            return Ok(false);
        }
        // inotify does not begin again with a name that it watches, whatever has that name now.
        self.unwatch(directory);
        let Some(inotify) = &mut self.inotify else { return Ok(false) };
        inotify.watch(directory, RecursiveMode::NonRecursive)?;
        self.watched.insert(directory.to_path_buf(), inode);
        Ok(true)
    }

    fn unwatch(&mut self, directory: &Path) {
        if self.watched.remove(directory).is_some()
            && let Some(inotify) = &mut self.inotify
        {
            // It fails if the kernel has ended the watch already.
            let _ = inotify.unwatch(directory);
        }
    }
}

fn start(inbox: &Arc<Inbox>) -> Result<RecommendedWatcher, Lack> {
    // notify does not say that its thread could not be started (`EventLoop::run()` in its inotify.rs, 9.0.0-rc.7).
    let thread = thread::Builder::new().spawn(|| {});
    let thread = thread.map_err(|error| Lack::Threads(error.to_string()))?;
    let _ = thread.join();
    let notes = Arc::clone(inbox);
    let handler = move |event| note(&notes, event);
    let config = Config::default().with_event_kinds(KINDS);
    let started = blocked_in_threads_of(|| RecommendedWatcher::new(handler, config));
    let inotify = started.map_err(|error| match error.kind {
        notify::ErrorKind::Io(error) => Lack::of_instance(&error, has_descriptors()),
        notify::ErrorKind::Generic(_)
        | notify::ErrorKind::PathNotFound
        | notify::ErrorKind::WatchNotFound
        | notify::ErrorKind::InvalidConfig(_)
        | notify::ErrorKind::MaxFilesWatch => Lack::Inotify(error.to_string()),
    })?;
    if let Err(error) = inotify.watched_paths() {
        // Its thread has not started after all, and dropping it would panic for that reason.
        std::mem::forget(inotify);
        return Err(Lack::Threads(error.to_string()));
    }
    Ok(inotify)
}

/// Whether this process may open more files. notify needs more than one descriptor, so an inotify instance that can be
/// had now says that the descriptors were what was missing.
fn has_descriptors() -> bool {
    let instance = inotify::init(inotify::CreateFlags::CLOEXEC);
    instance.is_err() && File::open("/dev/null").is_ok()
}

fn lack_of(directory: &Path, why: notify::Error) -> Lack {
    let directory = directory.to_path_buf();
    match why.kind {
        notify::ErrorKind::MaxFilesWatch => Lack::Watches(directory),
        notify::ErrorKind::Io(error) => Lack::Directory(directory, error.to_string()),
        notify::ErrorKind::Generic(_)
        | notify::ErrorKind::PathNotFound
        | notify::ErrorKind::WatchNotFound
        | notify::ErrorKind::InvalidConfig(_) => Lack::Directory(directory, why.to_string()),
    }
}

fn note(inbox: &Inbox, event: notify::Result<Event>) {
    let event = match event {
        Ok(event) => event,
        Err(_) => return inbox.overflow(),
    };
    if event.flag() == Some(Flag::Rescan) {
        return inbox.overflow();
    }
    if let Some(change) = change(event.kind) {
        event.paths.iter().for_each(|path| inbox.event(path, change));
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most of the many events are alike here")]
fn change(kind: EventKind) -> Option<Change> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Change::Written),
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Data(_)) => Some(Change::Writing),
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            Some(Change::Gone)
        }
        _ => Some(Change::Other),
    }
}
