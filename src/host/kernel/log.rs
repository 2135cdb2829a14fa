//! What libbpf says while it opens and loads: one collector, each thread's messages apart.
//!
//! `libbpf_set_print()` is process-wide, but libbpf calls back on the thread that called it. So
//! every thread collects its own, and loads on different threads never mix.

use std::cell::RefCell;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_sys::{LIBBPF_DEBUG, LIBBPF_WARN};

use super::ffi;
use iterctl_core::escaped::escape_lines;

thread_local! {
    static MESSAGES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static DEBUG: AtomicBool = AtomicBool::new(false);

/// Has everything that libbpf and the verifier say also written to standard error (`--debug`). To be
/// called before anything is opened.
pub fn show_all() {
    DEBUG.store(true, Ordering::Relaxed);
}

/// Runs `work` and gives what libbpf warned of on this thread meanwhile, a message each.
pub(super) fn collect<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    ffi::hear(if DEBUG.load(Ordering::Relaxed) { LIBBPF_DEBUG } else { LIBBPF_WARN }, keep);
    MESSAGES.take();
    let result = work();
    (result, MESSAGES.take())
}

fn keep(level: u32, message: Vec<u8>) {
    // What libbpf and the verifier quote of an object, its names and its source, may be anything.
    let message = String::from_utf8_lossy(&message);
    let message = escape_lines(&message);
    if DEBUG.load(Ordering::Relaxed) {
        // Where standard error is closed, there is nobody to tell.
        let _ = std::io::stderr().write_all(message.as_bytes());
    }
    if level == LIBBPF_WARN {
        let message = message.strip_prefix("libbpf: ").unwrap_or(&message);
        MESSAGES.with_borrow_mut(|messages| messages.push(message.trim_end().to_owned()));
    }
}
