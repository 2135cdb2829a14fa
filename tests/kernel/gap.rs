//! Replacement while others use the pin: there is an iterator at every moment, and readers of the old one
//! can read it to its end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::sandbox::{Sandbox, entry};

const REPLACEMENTS: usize = 30;

/// What a process saw that opens a pin again and again.
#[derive(Default)]
struct Opener {
    opened: AtomicUsize,
    stop: AtomicBool,
}

/// Ends the opener's loop, even if the test fails.
struct Stop<'a>(&'a Opener);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

impl Opener {
    /// Opens the pin in a loop, up to the first failure. Returns how often it saw another iterator than the
    /// time before.
    fn run(&self, pin: &Path) -> io::Result<usize> {
        let (mut last, mut changes) = ([0; 8], 0);
        while !self.stop.load(Ordering::SeqCst) {
            let mut text = [0; 8];
            File::open(pin)?.read_exact(&mut text)?;
            changes += usize::from(text != last);
            last = text;
            self.opened.fetch_add(1, Ordering::SeqCst);
        }
        Ok(changes)
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

#[kernel_test]
fn a_pin_is_never_missing_while_it_is_replaced() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("rodata.bpf.o", "a/b"));
    sandbox.copy("rodata.bpf.o", "marker0.bpf.o");
    sandbox.copy("rodata2.bpf.o", "marker1.bpf.o");
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let (pin, opener) = (sandbox.pin("a/b"), Opener::default());
    let mut opened_meanwhile = 0;
    let changes = thread::scope(|scope| {
        let thread = scope.spawn(|| opener.run(&pin));
        let stop = Stop(&opener);
        // The first iterator is seen before it is replaced.
        while opener.opened() == 0 && !thread.is_finished() {
            thread::yield_now();
        }
        for number in 1..=REPLACEMENTS {
            sandbox.copy(&format!("marker{}.bpf.o", number % 2), "rodata.bpf.o");
            let before = opener.opened();
            sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["~ a/b  object changed"]);
            opened_meanwhile += opener.opened() - before;
            // The next replacement begins after this one was seen.
            let seen = opener.opened();
            while opener.opened() < seen + 2 && !thread.is_finished() {
                thread::yield_now();
            }
        }
        drop(stop);
        thread.join().expect("the loop does not panic")
    });
    assert_eq!(changes.expect("the pin can be opened at every moment"), REPLACEMENTS + 1);
    assert!(opened_meanwhile > 10 * REPLACEMENTS, "opened only {opened_meanwhile} times meanwhile");
}

#[kernel_test]
fn readers_of_the_old_iterator_can_finish() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("big_output.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let mut reader = File::open(sandbox.pin("a")).expect("the pin can be opened");
    let mut output = vec![0; 100];
    reader.read_exact(&mut output).expect("there are 16 KiB for each map");

    for object in ["tasks_v1.bpf.o", "tasks_v2.bpf.o"] {
        sandbox.copy(object, "big_output.bpf.o");
        sandbox.iterctl("apply -f iters.toml").exits(0);
    }
    assert_eq!(sandbox.first_line("a"), "v2\n");
    sandbox.manifest("iters.toml", "");
    sandbox.iterctl("apply --allow-empty -f iters.toml").exits(0);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);

    reader.read_to_end(&mut output).expect("the old iterator lives as long as it is open");
    let output = String::from_utf8(output).expect("UTF-8");
    let lines: Vec<&str> = output.lines().collect();
    assert!(!lines.is_empty() && lines.len().is_multiple_of(256), "{} lines", lines.len());
    for (number, line) in lines.iter().enumerate() {
        let expected = format!(" line {:3} ....", number % 256);
        assert!(line.starts_with("map ") && line.contains(&expected), "no {expected:?} in {line}");
    }
}
