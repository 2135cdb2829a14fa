//! inotify, the table of mounts and the signals → notes in the inbox. Each has a thread of its own,
//! which sleeps until something happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use notify::event::{AccessKind, AccessMode, EventKindMask, Flag, ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::inbox::{Change, Inbox};
use super::places::Places;

use iterctl_core::escaped::Escaped;

/// What is watched: who reads a file or an iterator wakes nobody.
const KINDS: EventKindMask = EventKindMask::CORE.union(EventKindMask::ACCESS_CLOSE);

/// Watches directories.
#[derive(Debug)]
pub(super) struct Watcher {
    inbox: Arc<Inbox>,
    notify: RecommendedWatcher,
    /// What is watched, with the device and inode that it had then: a watch stays with the inode,
    /// whatever becomes of the name.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    /// What cannot be watched, and why.
    failed: BTreeMap<PathBuf, String>,
}

/// What has become of the watches.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// Whether a directory is watched that was not before: what happened in it until now, nobody has
    /// seen.
    pub(super) is_new: bool,
    /// What cannot be watched, said for the first time.
    pub(super) problems: Vec<String>,
}

impl Watcher {
    /// A watcher that watches nothing yet.
    ///
    /// # Errors
    /// Where the user has no inotify instance left.
    pub(super) fn new(inbox: &Arc<Inbox>) -> notify::Result<Self> {
        let notes = Arc::clone(inbox);
        let handler = move |event| note(&notes, event);
        let notify = RecommendedWatcher::new(handler, Config::default().with_event_kinds(KINDS))?;
        let inbox = Arc::clone(inbox);
        Ok(Self { inbox, notify, watched: BTreeMap::new(), failed: BTreeMap::new() })
    }

    /// These directories have gone, and their watches with them, even where others of the same names
    /// are there again.
    pub(super) fn forget(&mut self, lost: &BTreeSet<PathBuf>) {
        for directory in lost {
            self.unwatch(directory);
        }
    }

    /// From now on, these places are watched and no others.
    pub(super) fn place(&mut self, places: Places, inputs: Places) -> Placed {
        self.inbox.set_places(places.clone(), inputs);
        let wanted: BTreeSet<&Path> = places.directories().collect();
        let old = self.watched.keys().filter(|directory| !wanted.contains(directory.as_path()));
        for directory in old.cloned().collect::<Vec<_>>() {
            self.unwatch(&directory);
        }
        self.failed.retain(|directory, _| wanted.contains(directory.as_path()));
        let mut placed = Placed::default();
        for directory in wanted {
            match self.watch(directory) {
                Ok(is_new) => placed.is_new |= is_new,
                Err(why) => placed.problems.extend(self.problem(directory, why)),
            }
        }
        placed
    }

    /// Waits until everything that has happened so far is in the inbox.
    pub(super) fn catch_up(&mut self) {
        // notify's thread reads all events before it answers to the first, delivers them, and then
        // answers to the second (`handle_messages()` in its inotify.rs, 9.0.0-rc.7).
        let _ = self.notify.update_paths(Vec::new());
        let _ = self.notify.watched_paths();
    }

    /// Whether the directory was not watched before.
    fn watch(&mut self, directory: &Path) -> notify::Result<bool> {
        let metadata = fs::metadata(directory)?;
        let inode = (metadata.dev(), metadata.ino());
        if self.watched.get(directory) == Some(&inode) {
            return Ok(false);
        }
        // What is watched under a name that is another's by now would not be watched anew.
        self.unwatch(directory);
        self.notify.watch(directory, RecursiveMode::NonRecursive)?;
        self.watched.insert(directory.to_path_buf(), inode);
        self.failed.remove(directory);
        Ok(true)
    }

    fn unwatch(&mut self, directory: &Path) {
        if self.watched.remove(directory).is_some() {
            // It fails where the kernel has ended the watch already.
            let _ = self.notify.unwatch(directory);
        }
    }

    /// What to say of a directory that cannot be watched, if it has not been said.
    fn problem(&mut self, directory: &Path, why: notify::Error) -> Option<String> {
        let why = match why.kind {
            notify::ErrorKind::MaxFilesWatch => {
                "the user has no inotify watches left: raise fs.inotify.max_user_watches".to_owned()
            }
            notify::ErrorKind::Io(error) => error.to_string(),
            notify::ErrorKind::Generic(_)
            | notify::ErrorKind::PathNotFound
            | notify::ErrorKind::WatchNotFound
            | notify::ErrorKind::InvalidConfig(_) => why.to_string(),
        };
        let before = self.failed.insert(directory.to_path_buf(), why.clone());
        (before.as_ref() != Some(&why)).then(|| format!("{}: {why}", Escaped::new(directory)))
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

/// Has every mount and unmount in this process's namespace noted.
///
/// # Errors
/// Where `/proc` or a thread is missing.
pub(super) fn watch_mounts(inbox: &Arc<Inbox>) -> io::Result<()> {
    // The kernel reports a change of the table as an exceptional condition: proc_pid_mountinfo(5).
    let table = File::open("/proc/self/mountinfo")?;
    let inbox = Arc::clone(inbox);
    let wait = move || loop {
        match poll(&mut [PollFd::new(&table, PollFlags::PRI)], None) {
            Ok(_) => inbox.mounts_changed(),
            Err(rustix::io::Errno::INTR) => {}
            // Then the next look after a while has to do.
            Err(_) => return,
        }
    };
    thread::Builder::new().name("mounts".to_owned()).spawn(wait).map(|_| ())
}

/// Has SIGHUP, SIGINT and SIGTERM noted.
///
/// # Errors
/// Where they cannot be caught.
pub(super) fn watch_signals(inbox: &Arc<Inbox>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let inbox = Arc::clone(inbox);
    let wait = move || {
        for signal in signals.forever() {
            if signal == SIGHUP { inbox.reload() } else { inbox.stop() }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(|_| ())
}
