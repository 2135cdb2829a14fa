//! What happens on the machine → when to go round: the loop of `watch`, without what it does.
//!
//! In: the paths that matter. Out: one [`Woken`] after the other, each when it is time. What is done
//! then is the business of [`command`](crate::front::command).

mod inbox;
pub mod log;
mod places;
mod service;
mod timer;
mod watcher;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{debug, warn};

pub use service::Service;
pub use timer::{Ended, Timer, Waits};

use self::inbox::{Inbox, News};
use self::places::Places;
use self::watcher::Watcher;
use iterctl_core::escaped::Escaped;

/// The paths that matter, absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Directories of which every manifest matters.
    pub directories: BTreeSet<PathBuf>,
    /// Manifests and objects, there or not.
    pub inputs: BTreeSet<PathBuf>,
    /// Everything else, such as pins.
    pub others: BTreeSet<PathBuf>,
}

/// Why the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// It is time for a round.
    Round(Cause),
    /// It is time to end.
    Stop,
}

/// Why it is time for a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Something happened, or some time has passed.
    Change,
    /// Somebody asked for it.
    Reload,
}

/// An event comes this much later than the change that it tells of, at most: a writer can lose its
/// processor in between.
const LONGEST_LAG: Duration = Duration::from_millis(50);

/// The same of a file that is empty: a file system that keeps a journal can take its time between
/// that and the event (`ext4_setattr()` in fs/ext4/inode.c, 6.18).
const LONGEST_LAG_OF_EMPTY: Duration = Duration::from_secs(1);

/// Waits for what happens.
#[derive(Debug)]
pub struct Watch {
    inbox: Arc<Inbox>,
    watcher: Watcher,
    interest: Interest,
    timer: Timer,
    /// How old a file's last change must be for its event to have come.
    quiet: Duration,
    start: Instant,
    /// Whether somebody has asked for a round, and none has ended since.
    asked: bool,
}

/// It is not possible to wait for what happens.
#[derive(Debug)]
pub enum WatchError {
    /// Files cannot be watched.
    Files(notify::Error),
    /// The table of mounts cannot be watched.
    Mounts(io::Error),
    /// Signals cannot be caught.
    Signals(io::Error),
}

impl Watch {
    /// Begins to wait, for nothing yet but signals and mounts.
    ///
    /// # Errors
    /// If inotify, the table of mounts or the signals cannot be watched.
    pub fn new(waits: Waits) -> Result<Self, WatchError> {
        let inbox = Arc::new(Inbox::default());
        let watcher = Watcher::new(&inbox).map_err(WatchError::Files)?;
        watcher::watch_mounts(&inbox).map_err(WatchError::Mounts)?;
        watcher::watch_signals(&inbox).map_err(WatchError::Signals)?;
        Ok(Self {
            inbox,
            watcher,
            interest: Interest::default(),
            timer: Timer::new(waits),
            quiet: waits.debounce.min(LONGEST_LAG),
            start: Instant::now(),
            asked: false,
        })
    }

    /// From now on, these paths matter. What happened to those that did not before is not known.
    pub fn set_interest(&mut self, interest: Interest) {
        self.interest = interest;
        self.place();
    }

    /// Looks whether the paths lead elsewhere by now. Where they do, one more round will come: what
    /// happened there before nobody has seen.
    pub fn look_at_places(&mut self) {
        if self.place() {
            self.timer.event(self.start.elapsed());
        }
    }

    /// Whether something has happened to a manifest or an object since the round began, or so short a
    /// time before that nothing has been heard of it: what was read may be half of what somebody is
    /// writing. Then another round will come.
    pub fn have_inputs_changed(&mut self) -> bool {
        self.watcher.catch_up();
        let have_changed = self.inbox.have_inputs_changed()
            || self.interest.inputs.iter().any(|path| changed_within(path, self.quiet));
        if have_changed {
            self.timer.event(self.start.elapsed());
        }
        have_changed
    }

    /// A round ended.
    pub fn end(&mut self, how: Ended) {
        self.asked = false;
        self.timer.end(self.start.elapsed(), how);
    }

    /// Has a round come after that time, if none comes before.
    pub fn ask_in(&mut self, time: Duration) {
        self.timer.ask(self.start.elapsed() + time);
    }

    /// Waits for the next thing to do, and has the service manager know that it does.
    pub fn next(&mut self, service: &mut Service) -> Woken {
        loop {
            let due = self.start + self.timer.due(self.inbox.is_writing());
            let until = service.ping_due().map_or(due, |ping| ping.min(due));
            let news = self.inbox.wait(until);
            service.ping();
            if news.stop {
                return Woken::Stop;
            }
            self.take(&news);
            let due = self.start + self.timer.due(self.inbox.is_writing());
            if due <= Instant::now() {
                self.timer.begin();
                return Woken::Round(if self.asked { Cause::Reload } else { Cause::Change });
            }
        }
    }

    fn take(&mut self, news: &News) {
        if let Some((when, path)) = &news.last_event {
            debug!("{} changed", Escaped::new(path));
            self.timer.event(when.duration_since(self.start));
        }
        if news.overflow {
            debug!("events were lost");
            self.timer.event(self.start.elapsed());
        }
        if news.reload {
            self.asked = true;
            self.timer.ask(self.start.elapsed());
        }
        if !news.lost.is_empty() {
            self.watcher.forget(&news.lost);
            self.place();
        }
        // Most mounts are somewhere else.
        if news.mounts && self.place() {
            debug!("a file system was mounted over a watched path");
            self.timer.event(self.start.elapsed());
        }
    }

    /// Watches where the paths lead now. Gives whether that is somewhere new.
    fn place(&mut self) -> bool {
        let mut inputs = Places::default();
        self.interest.directories.iter().for_each(|path| inputs.add_manifests_in(path));
        self.interest.inputs.iter().for_each(|path| inputs.add(path));
        let mut places = inputs.clone();
        self.interest.others.iter().for_each(|path| places.add(path));
        let placed = self.watcher.place(places, inputs);
        for problem in &placed.problems {
            warn!("what changes there is found later, not at once: {problem}");
        }
        placed.is_new
    }
}

/// Whether the file was changed, or put there, so short a time ago. Its event comes later than its
/// time: a file is truncated first, and then those who watch it are told.
fn changed_within(path: &Path, quiet: Duration) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    let quiet = if metadata.size() == 0 { LONGEST_LAG_OF_EMPTY } else { quiet };
    let seconds = Duration::from_secs(metadata.ctime().unsigned_abs());
    let changed = UNIX_EPOCH + seconds + Duration::from_nanos(metadata.ctime_nsec().unsigned_abs());
    // Where the clock was set back since, it was long ago as far as anybody knows.
    SystemTime::now().duration_since(changed).is_ok_and(|age| age < quiet)
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files(_) => "failed to begin to watch files",
            Self::Mounts(_) => "failed to watch the table of mounts",
            Self::Signals(_) => "failed to wait for signals",
        })
    }
}

impl std::error::Error for WatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Files(error) => Some(error),
            Self::Mounts(error) | Self::Signals(error) => Some(error),
        }
    }
}
