//! SIGHUP, SIGINT and SIGTERM, which end a command, but never in the middle of its changes.
//!
//! Outside of [`Signals::hold`], such a signal ends the process at once, as if it were not caught. Within it,
//! the signal is only noted, and the command looks for it with [`Signals::check`] wherever it can still stop
//! without leaving anything. Every thread may receive a signal; the note is for all of them.

use std::fmt;
use std::fs;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// A signal that ends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the service manager stops it.
    Terminate,
}

/// A signal came while there was nothing yet to undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped(pub Signal);

/// The signals of this process. The default catches none.
#[derive(Debug, Default)]
pub struct Signals {
    notes: Option<Notes>,
}

#[derive(Debug)]
struct Notes {
    /// The number of the last signal; 0 if none came.
    last: Arc<AtomicUsize>,
    /// Whether a signal ends the process at once.
    is_deadly: Arc<AtomicBool>,
}

/// As long as this lives, signals are only noted.
#[derive(Debug)]
#[must_use = "signals are held back no longer"]
pub struct Held<'a> {
    signals: &'a Signals,
    /// Whether a signal was deadly before: one may be held within another.
    was_deadly: bool,
}

impl Signals {
    /// Catches them. Signals that were ignored when the process started (nohup(1)) stay ignored.
    ///
    /// # Errors
    /// If a handler cannot be installed.
    pub fn catch() -> io::Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        let is_deadly = Arc::new(AtomicBool::new(true));
        let ignored = ignored();
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            if ignored & (1 << (signal - 1)) == 0 {
                flag::register_usize(signal, Arc::clone(&last), signal.unsigned_abs() as usize)?;
                register_end(signal, Arc::clone(&is_deadly))?;
            }
        }
        Ok(Self { notes: Some(Notes { last, is_deadly }) })
    }

    /// From now on, signals are only noted.
    pub fn hold(&self) -> Held<'_> {
        Held { signals: self, was_deadly: self.set_deadly(false) }
    }

    /// The signal that has come, if any.
    pub fn noted(&self) -> Option<Signal> {
        let last = self.notes.as_ref()?.last.load(Ordering::SeqCst);
        [Signal::Hangup, Signal::Interrupt, Signal::Terminate]
            .into_iter()
            .find(|signal| signal.number() == last)
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// [`Stopped`] if a signal has come.
    pub fn check(&self) -> Result<(), Stopped> {
        self.noted().map_or(Ok(()), |signal| Err(Stopped(signal)))
    }

    /// Returns what it was before.
    fn set_deadly(&self, is_deadly: bool) -> bool {
        let notes = self.notes.as_ref();
        notes.is_some_and(|notes| notes.is_deadly.swap(is_deadly, Ordering::SeqCst))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.signals.set_deadly(self.was_deadly);
    }
}

impl Signal {
    fn number(self) -> usize {
        let number = match self {
            Self::Hangup => SIGHUP,
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
        };
        number.unsigned_abs() as usize
    }
}

/// Lets a write beyond the largest file that this process may make (`RLIMIT_FSIZE`) fail with EFBIG, as any other error
/// of writing, instead of ending the process.
///
/// # Errors
/// If the handler cannot be installed.
pub fn survive_file_size_limit() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::default()).map(|_| ())
}

/// Lets the signal end this process if `is_deadly`. The kernel gives the first process of a container no signal whose
/// action is the default (pid_namespaces(7)): that one exits with 128 and the signal's number, as a shell shows it.
fn register_end(signal: i32, is_deadly: Arc<AtomicBool>) -> io::Result<()> {
    match process::id() {
        1 => flag::register_conditional_shutdown(signal, 128 + signal, is_deadly)?,
        _ => flag::register_conditional_default(signal, is_deadly)?,
    };
    Ok(())
}

/// Runs `work` with all signals blocked. Threads that it starts keep them blocked, so that signals to the process
/// arrive on other threads.
pub fn blocked_in_threads_of<T>(work: impl FnOnce() -> T) -> T {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let result = work();
    if let Ok(before) = before {
        // It fails only for an invalid argument (pthread_sigmask(3)).
        let _ = before.thread_set_mask();
    }
    result
}

/// The mask of ignored signals (proc_pid_status(5)); empty if it cannot be read. There is no safe call for it.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Signal::Hangup => "stopped by SIGHUP",
            Signal::Interrupt => "stopped by SIGINT",
            Signal::Terminate => "stopped by SIGTERM",
        })
    }
}

impl std::error::Error for Stopped {}
