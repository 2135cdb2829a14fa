//! What has happened and has not been looked at yet, from all threads that wait for something.
//!
//! It holds no more than one note of each kind, however much happens.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::places::Places;

/// Where the threads leave their notes, and the loop picks them up.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    notes: Mutex<Notes>,
    woken: Condvar,
}

/// What has happened since the last time.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    /// The last time when something happened at a place that matters, and where that was.
    pub(super) last_event: Option<(Instant, PathBuf)>,
    /// Whether that was a manifest or an object.
    pub(super) inputs_changed: bool,
    /// Directories that are gone, and with them their watches.
    pub(super) lost: BTreeSet<PathBuf>,
    /// Something was mounted or unmounted somewhere.
    pub(super) mounts: bool,
    /// The kernel or the watcher has lost events.
    pub(super) overflow: bool,
    /// Somebody wants a round.
    pub(super) reload: bool,
    /// It is to end.
    pub(super) stop: bool,
}

#[derive(Debug, Default)]
struct Notes {
    news: News,
    /// Whether there is any.
    is_new: bool,
    /// The files that matter and that somebody has begun to write, and not closed.
    writing: BTreeSet<PathBuf>,
    /// Where something can happen that matters.
    places: Places,
    /// Those of the manifests and the objects.
    inputs: Places,
}

/// What was done to a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Somebody has written to it and may write more.
    Writing,
    /// It is whole: it was closed after writing.
    Written,
    /// It went.
    Gone,
    /// It came, or got another mode or owner.
    Other,
}

impl Inbox {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Every change of the notes leaves them whole, so those of a thread that died are good.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, note: impl FnOnce(&mut News)) {
        let mut notes = self.notes();
        note(&mut notes.news);
        notes.is_new = true;
        self.woken.notify_one();
    }

    /// From now on these places matter.
    pub(super) fn set_places(&self, places: Places, inputs: Places) {
        let mut notes = self.notes();
        notes.writing.retain(|path| inputs.concern(path));
        notes.places = places;
        notes.inputs = inputs;
    }

    /// Something happened to `path`, which may matter or not.
    pub(super) fn event(&self, path: &Path, change: Change) {
        let mut notes = self.notes();
        if !notes.places.concern(path) {
            return;
        }
        let is_input = notes.inputs.concern(path);
        match change {
            Change::Writing if is_input => {
                notes.writing.insert(path.to_path_buf());
            }
            Change::Writing | Change::Other => {}
            Change::Written => {
                notes.writing.remove(path);
            }
            Change::Gone => {
                notes.writing.remove(path);
                if notes.places.is_directory(path) {
                    notes.news.lost.insert(path.to_path_buf());
                }
            }
        }
        notes.news.last_event = Some((Instant::now(), path.to_path_buf()));
        notes.news.inputs_changed |= is_input;
        notes.is_new = true;
        self.woken.notify_one();
    }

    /// Something was mounted or unmounted somewhere.
    pub(super) fn mounts_changed(&self) {
        self.leave(|news| news.mounts = true);
    }

    /// Events were lost: what they would have said is not known.
    pub(super) fn overflow(&self) {
        self.notes().writing.clear();
        self.leave(|news| news.overflow = true);
    }

    /// Somebody wants a round.
    pub(super) fn reload(&self) {
        self.leave(|news| news.reload = true);
    }

    /// It is to end.
    pub(super) fn stop(&self) {
        self.leave(|news| news.stop = true);
    }

    /// Whether something has happened to a manifest or an object, or may have.
    pub(super) fn have_inputs_changed(&self) -> bool {
        let notes = self.notes();
        notes.news.inputs_changed || notes.news.overflow
    }

    /// Whether somebody is writing a file that matters.
    pub(super) fn is_writing(&self) -> bool {
        !self.notes().writing.is_empty()
    }

    /// Waits until there is news, or until then.
    pub(super) fn wait(&self, until: Instant) -> News {
        let mut notes = self.notes();
        loop {
            let wait = until.saturating_duration_since(Instant::now());
            if notes.is_new || wait.is_zero() {
                notes.is_new = false;
                return std::mem::take(&mut notes.news);
            }
            let result = self.woken.wait_timeout(notes, wait);
            (notes, _) = result.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
