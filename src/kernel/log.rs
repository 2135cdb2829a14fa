//! What libbpf says while it opens and loads: one collector, each thread's messages apart.
//!
//! `libbpf_set_print()` is process-wide, but libbpf calls back on the thread that called it. So
//! every thread collects its own, and loads on different threads never mix.

use std::cell::RefCell;
use std::io::Write as _;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_rs::PrintLevel;

thread_local! {
    static MESSAGES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static INSTALLED: Once = Once::new();
static DEBUG: AtomicBool = AtomicBool::new(false);

/// Has everything that libbpf and the verifier say also written to standard error (`--debug`). To be
/// called before anything is opened.
pub fn show_all() {
    DEBUG.store(true, Ordering::Relaxed);
}

/// Runs `work` and gives what libbpf warned of on this thread meanwhile, a message each.
pub(super) fn collect<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    INSTALLED.call_once(|| {
        let level =
            if DEBUG.load(Ordering::Relaxed) { PrintLevel::Debug } else { PrintLevel::Warn };
        libbpf_rs::set_print(Some((level, keep)));
    });
    MESSAGES.take();
    let result = work();
    (result, MESSAGES.take())
}

fn keep(level: PrintLevel, message: String) {
    if DEBUG.load(Ordering::Relaxed) {
        // Where standard error is closed, there is nobody to tell.
        let _ = std::io::stderr().write_all(message.as_bytes());
    }
    if level == PrintLevel::Warn {
        let message = message.strip_prefix("libbpf: ").unwrap_or(&message);
        MESSAGES.with_borrow_mut(|messages| messages.push(message.trim_end().to_owned()));
    }
}
