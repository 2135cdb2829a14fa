//! Signals of a process that does not catch them: they end it, on whichever thread they arrive.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::{SigSet, SigmaskHow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;

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

/// Lets SIGHUP, SIGINT and SIGTERM end this process also if it is the first of a container. The kernel gives that
/// one no signal whose action is the default (pid_namespaces(7)), so the exit status is 128 and the signal's
/// number, as a shell shows it.
///
/// # Errors
/// If a signal cannot be caught.
pub fn end_init_too() -> io::Result<()> {
    if process::id() != 1 {
        return Ok(());
    }
    let always = Arc::new(AtomicBool::new(true));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        register_conditional_shutdown(signal, 128 + signal, Arc::clone(&always))?;
    }
    Ok(())
}
