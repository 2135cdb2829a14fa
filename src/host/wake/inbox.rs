//! The events since the last look, from all threads that wait for something.
//!
//! It holds at most one note of each kind, however much happens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::places::Places;

/// The place where the threads leave their notes, and the loop collects them.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    notes: Mutex<Notes>,
    woken: Condvar,
}

/// The events since the last time.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals {
    /// When and where something happened last at a place that matters.
    pub(super) last_event: Option<(Instant, PathBuf)>,
    /// A manifest or an object has changed.
    pub(super) inputs_changed: bool,
    /// Directories that are gone, together with their watches.
    pub(super) lost: BTreeSet<PathBuf>,
    /// Something was mounted or unmounted somewhere.
    pub(super) mounts: bool,
    /// The kernel or the watcher has lost events.
    pub(super) overflow: bool,
    /// SIGHUP asks for a round.
    pub(super) reload: bool,
    /// A signal asks for the end.
    pub(super) stop: bool,
}

#[derive(Debug, Default)]
struct Notes {
    arrivals: Arrivals,
    is_new: bool,
    /// Manifests and objects that another process has written to and not closed, and when it did that last.
    writing: BTreeMap<PathBuf, Instant>,
    places: Places,
    /// The places of the manifests and the objects alone.
    inputs: Places,
}

/// A change to a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A process has written to it and may write more.
    Writing,
    /// It was closed after writing.
    Written,
    /// It was removed or renamed.
    Gone,
    /// It was created, or got another mode or owner.
    Other,
}

impl Inbox {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each change of the notes is complete, so they are good after a panic, too.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, note: impl FnOnce(&mut Arrivals)) {
        let mut notes = self.notes();
        note(&mut notes.arrivals);
        notes.is_new = true;
        self.woken.notify_one();
    }

    /// From now on these places matter.
    pub(super) fn set_places(&self, places: Places, inputs: Places) {
        let mut notes = self.notes();
        notes.writing.retain(|path, _| inputs.concern(path));
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
                notes.writing.insert(path.to_path_buf(), Instant::now());
            }
            Change::Writing | Change::Other => {}
            Change::Written => {
                notes.writing.remove(path);
            }
            Change::Gone => {
                notes.writing.remove(path);
                if notes.places.is_directory(path) {
                    notes.arrivals.lost.insert(path.to_path_buf());
                }
            }
        }
        notes.arrivals.last_event = Some((Instant::now(), path.to_path_buf()));
        notes.arrivals.inputs_changed |= is_input;
        notes.is_new = true;
        self.woken.notify_one();
    }

    /// Something was mounted or unmounted somewhere.
    pub(super) fn mounts_changed(&self) {
        self.leave(|arrivals| arrivals.mounts = true);
    }

    /// Events were lost: what they were is unknown.
    pub(super) fn overflow(&self) {
        self.notes().writing.clear();
        self.leave(|arrivals| arrivals.overflow = true);
    }

    /// SIGHUP asks for a round.
    pub(super) fn reload(&self) {
        self.leave(|arrivals| arrivals.reload = true);
    }

    /// A signal asks for the end.
    pub(super) fn stop(&self) {
        self.leave(|arrivals| arrivals.stop = true);
    }

    /// Whether something has happened to a manifest or an object, or may have.
    pub(super) fn have_inputs_changed(&self) -> bool {
        let notes = self.notes();
        notes.arrivals.inputs_changed || notes.arrivals.overflow
    }

    /// Looks at the files that were written to and then left alone for that long: those that are not open any more are
    /// not being written.
    pub(super) fn end_writing(&self, quiet: Duration, is_open: impl Fn(&Path) -> bool) {
        let now = Instant::now();
        let is_quiet = |written: &Instant| now.saturating_duration_since(*written) >= quiet;
        let writing = self.notes().writing.clone();
        for (path, written) in writing.into_iter().filter(|(_, written)| is_quiet(written)) {
            let is_open = is_open(&path);
            let mut notes = self.notes();
            // A later write says more.
            if notes.writing.get(&path) != Some(&written) {
                continue;
            }
            if is_open {
                notes.writing.insert(path, now);
            } else {
                notes.writing.remove(&path);
            }
        }
    }

    /// Since when nothing has been written to the file that was left alone for the longest time, of those that are
    /// being written.
    pub(super) fn first_quiet_since(&self) -> Option<Instant> {
        self.notes().writing.values().min().copied()
    }

    /// Whether something that is mounted there hides a place, or shows another one.
    pub(super) fn is_on_the_way(&self, point: &Path) -> bool {
        self.notes().places.are_reached_through(point)
    }

    /// Waits until there is news, or until then.
    pub(super) fn wait(&self, until: Instant) -> Arrivals {
        let mut notes = self.notes();
        loop {
            let wait = until.saturating_duration_since(Instant::now());
            if notes.is_new || wait.is_zero() {
                notes.is_new = false;
                return std::mem::take(&mut notes.arrivals);
            }
            let result = self.woken.wait_timeout(notes, wait);
            (notes, _) = result.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_being_written_until_it_is_quiet_and_not_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = std::fs::canonicalize(folder.path()).expect("it is there");
        let path = folder.join("iters.toml");
        let mut places = Places::default();
        places.add(&path);
        let inbox = Inbox::default();
        inbox.set_places(places.clone(), places);
        inbox.event(&path, Change::Writing);
        inbox.end_writing(Duration::from_secs(60), |_| panic!("it is not quiet yet"));
        let first = inbox.first_quiet_since().expect("it is being written");
        inbox.end_writing(Duration::ZERO, |found| found == path);
        assert!(inbox.first_quiet_since().is_some_and(|since| since >= first), "it is open");
        let writes = |_: &Path| {
            inbox.event(&path, Change::Writing);
            false
        };
        inbox.end_writing(Duration::ZERO, writes);
        assert!(inbox.first_quiet_since().is_some(), "it was written meanwhile");
        inbox.end_writing(Duration::ZERO, |_| false);
        assert_eq!(inbox.first_quiet_since(), None);
    }
}
