//! Collects the messages of libbpf, separately for each thread.
//!
//! `libbpf_set_print()` is process-wide, but libbpf calls back on the thread that called it. So every thread collects
//! its own messages, and loads on different threads never mix.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_sys::{LIBBPF_DEBUG, LIBBPF_WARN};

use super::ffi;
use crate::host::sys::output;
use iterctl_core::escaped::escape_lines;

thread_local! {
    static MESSAGES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static DEBUG: AtomicBool = AtomicBool::new(false);

/// Also writes all messages of libbpf and the verifier to standard error (`--debug`). Call it before anything is
/// opened.
pub fn show_all() {
    DEBUG.store(true, Ordering::Relaxed);
}

/// Runs `work`. Returns also the warnings of libbpf on this thread, one string for each message.
pub(super) fn collect<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    ffi::hear(if DEBUG.load(Ordering::Relaxed) { LIBBPF_DEBUG } else { LIBBPF_WARN }, keep);
    MESSAGES.take();
    let result = work();
    (result, MESSAGES.take())
}

fn keep(level: u32, message: Vec<u8>) {
    // The names and the source that libbpf and the verifier quote of an object may be any bytes.
    let message = String::from_utf8_lossy(&message);
    let message = escape_lines(&message);
    if DEBUG.load(Ordering::Relaxed) {
        output::to_stderr(message.as_bytes());
    }
    if level == LIBBPF_WARN {
        let message = message.strip_prefix("libbpf: ").unwrap_or(&message);
        MESSAGES.with_borrow_mut(|messages| messages.push(message.trim_end().to_owned()));
    }
}
