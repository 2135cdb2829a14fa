//! What libbpf says while it opens and loads: one collector, each thread's messages apart.
//!
//! `libbpf_set_print()` is process-wide, but libbpf calls back on the thread that called it. So
//! every thread collects its own, and loads on different threads never mix.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_sys::{LIBBPF_DEBUG, LIBBPF_WARN};

use super::ffi;
use crate::host::sys::output;

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
    let message = harmless(&message);
    if DEBUG.load(Ordering::Relaxed) {
        output::to_stderr(message.as_bytes());
    }
    if level == LIBBPF_WARN {
        let message = message.strip_prefix("libbpf: ").unwrap_or(&message);
        MESSAGES.with_borrow_mut(|messages| messages.push(message.trim_end().to_owned()));
    }
}

/// A message as text in lines that does nothing to a terminal. What libbpf and the verifier quote of an object,
/// its names and its source, may be anything.
fn harmless(message: &[u8]) -> String {
    let is_kept = |character: char| matches!(character, '\n' | '\t') || !character.is_control();
    let text = String::from_utf8_lossy(message);
    if text.chars().all(is_kept) {
        return text.into_owned();
    }
    let mut harmless = String::new();
    for character in text.chars() {
        match is_kept(character) {
            true => harmless.push(character),
            false => harmless.extend(character.escape_default()),
        }
    }
    harmless
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[track_caller]
    fn check(message: &[u8], expected: &str) {
        assert_eq!(harmless(message), expected);
    }

    #[test]
    fn what_an_object_says_does_nothing_to_a_terminal() {
        check(
            b"prog 'dump': -- BEGIN --\n; \tif (!x) @ a.c:1\n",
            "prog 'dump': -- BEGIN --\n; \tif (!x) @ a.c:1\n",
        );
        check(b"map 'a\x1b[31m\x07\rb'", "map 'a\\u{1b}[31m\\u{7}\\rb'");
        check(b"map '\xff\xc2\x9b'", "map '\u{fffd}\\u{9b}'");
    }
}
