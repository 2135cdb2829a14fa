//! The wake-ups: what happens on the machine → when the next round is due.
//!
//! In: the paths that matter. Out: one [`Woken`] after the other, each when it is time. What a round does is decided
//! in [`command`](crate::front::command).

mod inbox;
mod lack;
mod mounts;
mod places;
mod service;
mod timer;
mod watcher;
mod writers;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::debug;

pub use lack::{Lack, Notice};
pub use service::Service;
pub use timer::{Ended, Timer, Waits};

use self::inbox::{Arrivals, Inbox};
use self::lack::Lacks;
use self::mounts::Mounts;
use self::places::Places;
use self::timer::QUIET_WRITE;
use self::watcher::Watcher;
use self::writers::is_open_for_writing;
use iterctl_core::escaped::Escaped;

/// The paths that matter, absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Directories of which every manifest matters.
    pub directories: BTreeSet<PathBuf>,
    /// Manifests and objects, whether they exist or not.
    pub inputs: BTreeSet<PathBuf>,
    /// Everything else, such as pins.
    pub others: BTreeSet<PathBuf>,
}

/// Why the wait is over.
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
    /// A SIGHUP asked for it.
    Reload,
}

/// The longest time between a change of a file and its event: a writer can lose its processor in between.
const LONGEST_LAG: Duration = Duration::from_millis(50);

/// The same of a file that is empty: a file system that keeps a journal can take its time between truncating the file
/// and the event (`ext4_setattr()` in fs/ext4/inode.c, 6.18).
const LONGEST_LAG_OF_EMPTY: Duration = Duration::from_secs(1);

/// Waits for what happens.
#[derive(Debug)]
pub struct Wake {
    inbox: Arc<Inbox>,
    watcher: Watcher,
    mounts: Mounts,
    interest: Interest,
    /// Whether the places of this interest were found since the round began.
    is_placed: bool,
    lacks: Lacks,
    timer: Timer,
    /// How old a file's last change must be for its event to have come.
    quiet: Duration,
    start: Instant,
    /// Whether SIGHUP has asked for a round, and none has ended since.
    asked: bool,
}

/// Wake-ups cannot be waited for.
#[derive(Debug)]
pub enum WakeError {
    /// Signals cannot be caught.
    Signals(io::Error),
}

impl Wake {
    /// Waits for nothing yet. If inotify or the table of mounts cannot be watched later, rounds are due by time alone,
    /// and [`notices`](Self::notices) say so.
    pub fn new(waits: Waits) -> Self {
        let inbox = Arc::new(Inbox::default());
        Self {
            watcher: Watcher::new(&inbox),
            mounts: Mounts::default(),
            inbox,
            interest: Interest::default(),
            is_placed: false,
            lacks: Lacks::default(),
            timer: Timer::new(waits),
            quiet: waits.debounce.min(LONGEST_LAG),
            start: Instant::now(),
            asked: false,
        }
    }

    /// Catches SIGHUP, which asks for a round, and SIGINT and SIGTERM, which end the wait.
    ///
    /// # Errors
    /// If they cannot be caught.
    pub fn catch_signals(&self) -> Result<(), WakeError> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(WakeError::Signals)?;
        let inbox = Arc::clone(&self.inbox);
        let wait = move || {
            for signal in signals.forever() {
                if signal == SIGHUP { inbox.reload() } else { inbox.stop() }
            }
        };
        let thread = thread::Builder::new().name("signals".to_owned()).spawn(wait);
        thread.map(|_| ()).map_err(WakeError::Signals)
    }

    /// From now on, these paths matter. What happened before to paths that are new is unknown.
    pub fn set_interest(&mut self, interest: Interest) {
        // The places of the same paths were found a moment ago.
        if self.is_placed && interest == self.interest {
            return;
        }
        self.interest = interest;
        self.place();
        self.is_placed = true;
    }

    /// Finds out whether the paths lead elsewhere by now. If they do, another round will come, because what happened
    /// there before is unknown.
    pub fn look_at_places(&mut self) {
        if self.place() {
            self.timer.event(self.start.elapsed());
        }
    }

    /// The notices since the last call: something has become slower or faster.
    pub fn notices(&mut self) -> Vec<Notice> {
        self.lacks.notices()
    }

    /// Whether a manifest or an object has changed since the round began, or so shortly before that its event may not
    /// have come: what was read may be half of what another process is writing. If so, another round will come.
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

    /// Makes a round due after that time, if none is due before.
    pub fn ask_in(&mut self, time: Duration) {
        self.timer.ask(self.start.elapsed() + time);
    }

    /// Waits for the next thing to do. Meanwhile, the service manager gets its signs of life.
    pub fn next(&mut self, service: &mut Service) -> Woken {
        loop {
            let due = self.due();
            let until = service.ping_due().map_or(due, |ping| ping.min(due));
            let arrivals = self.inbox.wait(until);
            service.ping();
            if arrivals.stop {
                return Woken::Stop;
            }
            self.take(&arrivals);
            if self.due() <= Instant::now() {
                self.timer.begin();
                self.is_placed = false;
                return Woken::Round(if self.asked { Cause::Reload } else { Cause::Change });
            }
        }
    }

    fn due(&self) -> Instant {
        // Not every writer's end is an event: truncate(2) changes a file that no process has open.
        self.inbox.end_writing(QUIET_WRITE, is_open_for_writing);
        let writing = self.inbox.first_quiet_since();
        let writing = writing.map(|since| since.saturating_duration_since(self.start));
        self.start + self.timer.due(writing)
    }

    fn take(&mut self, arrivals: &Arrivals) {
        if let Some((when, path)) = &arrivals.last_event {
            debug!("{} changed", Escaped::new(path));
            self.timer.event(when.duration_since(self.start));
        }
        if arrivals.overflow {
            debug!("events were lost");
            self.timer.event(self.start.elapsed());
        }
        if arrivals.inputs_changed {
            self.timer.release();
        }
        if arrivals.reload {
            self.asked = true;
            self.timer.release();
            self.timer.ask(self.start.elapsed());
        }
        if !arrivals.lost.is_empty() {
            self.watcher.forget(&arrivals.lost);
            self.place();
        }
        // Most mounts are elsewhere, and to find all places again takes long if there are many.
        if arrivals.mounts && self.mounts.have_changed(|point| self.inbox.is_on_the_way(point)) {
            debug!("a file system was mounted or unmounted on the way to a watched path");
            self.place();
            self.timer.event(self.start.elapsed());
        }
    }

    /// Watches where the paths lead now. Returns whether that is somewhere new.
    fn place(&mut self) -> bool {
        // The table is read before the places are found: a mount in between is seen as a change.
        let lack = self.mounts.watch(&self.inbox);
        let table = self.mounts.table();
        let mut inputs = Places::default();
        self.interest.directories.iter().for_each(|path| inputs.add_manifests_in(path));
        self.interest.inputs.iter().for_each(|path| inputs.add(path));
        let mut places = inputs.clone();
        self.interest.others.iter().for_each(|path| places.add(path));
        let placed = self.watcher.place(places, inputs);
        self.mounts.keep(&table, |point| self.inbox.is_on_the_way(point));
        self.lacks.are_now(placed.lacks.into_iter().chain(lack));
        placed.is_new
    }
}

/// Whether the file was changed or put there so shortly before that its event may not have come: a file is first
/// truncated, and then its watchers are told.
fn changed_within(path: &Path, quiet: Duration) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    let quiet = if metadata.size() == 0 { LONGEST_LAG_OF_EMPTY } else { quiet };
    let seconds = Duration::from_secs(metadata.ctime().unsigned_abs());
    let changed = UNIX_EPOCH + seconds + Duration::from_nanos(metadata.ctime_nsec().unsigned_abs());
    // If the clock was set back since, the change counts as old.
    SystemTime::now().duration_since(changed).is_ok_and(|age| age < quiet)
}

impl fmt::Display for WakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signals(_) => "failed to wait for signals",
        })
    }
}

impl std::error::Error for WakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Signals(error) => Some(error),
        }
    }
}
