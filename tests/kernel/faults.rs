//! System calls of an apply fail, one in each, or all from one on: bpffs and the kernel are as before,
//! or what is not is told.
//!
//! With `ITERCTL_FAULTS=all` every call fails with every error. A few of each if it is not set.

use iterctl_core::feature::Feature;

use super::attempts::{APPLY, Attempts, large, small};
use super::needs::needs;
use super::sandbox::{Run, entry};
use super::strace;

const ERRORS: [&str; 5] = ["ENOMEM", "EIO", "EPERM", "ENOSPC", "EINTR"];

/// How many faults had which end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// It failed, and nothing was changed.
    failed: usize,
    /// It did its work all the same.
    done: usize,
}

/// Whether this is the long run.
fn is_long() -> bool {
    std::env::var("ITERCTL_FAULTS").is_ok_and(|which| which == "all")
}

impl Attempts {
    /// One call fails: after it everything is done, or nothing is, and what is said is true.
    #[track_caller]
    fn fail(&self, call: &str, number: usize, error: &str, tally: &mut Tally) {
        // Where names cannot be exchanged, a pin that is put back has another inode.
        needs(Feature::Exchange);
        let what = format!("{call} number {number} gave {error}");
        let (tree, pins) = (self.sandbox.tree(), self.now());
        let fault = format!("error={error}");
        let run = strace::inject(&self.sandbox, call, &fault, &number.to_string(), APPLY);
        if run.succeeded() {
            tally.done += 1;
            self.is_done(&run);
            self.converges(&what);
            self.go_back();
        } else {
            tally.failed += 1;
            assert_eq!(self.sandbox.tree(), tree, "{what}: {run}");
            names_the_step(&run);
            self.leaks_nothing(&pins, &what);
        }
    }

    /// Every call of this name fails, each with this error. Gives how often nothing was done.
    #[track_caller]
    fn fail_each(&self, call: &str, error: &str) -> usize {
        let mut tally = Tally::default();
        for number in 1..=self.count(call) {
            self.fail(call, number, error, &mut tally);
        }
        tally.failed
    }

    /// Calls of this name fail: so many of them, evenly spread, or all of them with all errors.
    #[track_caller]
    fn fail_some(&self, call: &str, samples: usize) {
        let (calls, mut tally) = (self.count(call), Tally::default());
        if is_long() {
            for number in 1..=calls {
                for error in ERRORS {
                    self.fail(call, number, error, &mut tally);
                }
            }
        } else {
            for sample in 0..samples.min(calls) {
                let number = 1 + sample * calls / samples.min(calls);
                self.fail(call, number, ERRORS[sample % ERRORS.len()], &mut tally);
            }
        }
        println!("{calls} calls of {call}: {tally:?}");
        assert!(tally.failed + tally.done > 0, "no {call} was made");
    }

    /// All calls of this name fail, from one on: what is not as it was before is named, and what was
    /// there is kept. The next apply makes it right. Gives how many changes were not undone.
    #[track_caller]
    fn fail_from(&self, call: &str, number: usize) -> usize {
        let what = format!("from {call} number {number} on all failed");
        let before = self.now();
        let when = format!("{number}+");
        let run = strace::inject(&self.sandbox, call, "error=EIO", &when, APPLY);
        let changed = if run.succeeded() {
            self.is_done(&run);
            0
        } else {
            names_the_step(&run);
            let changed = self.tells_the_truth(&before, &run);
            println!("{what}: {changed} changes left");
            changed
        };
        self.converges(&what);
        self.go_back();
        changed
    }
}

/// An error says what could not be done, and with what: a path, mostly.
#[track_caller]
fn names_the_step(run: &Run) {
    let mut errors = run.stderr.lines().filter_map(|line| line.strip_prefix("error: "));
    let names = |error: &str| {
        ["`", "/", "manifest new.toml", "staging director"].iter().any(|it| error.contains(it))
    };
    // The process may have died before it was one of ours.
    let is_loader = run.stderr.contains("error while loading shared libraries");
    assert!(errors.next().is_some_and(names) || is_loader, "{run}");
}

#[kernel_test]
fn a_call_of_bpf_that_fails_changes_nothing() {
    large().fail_some("bpf", 12);
}

#[kernel_test]
fn a_change_to_bpffs_that_fails_takes_back_those_before_it() {
    let attempts = large();
    for (call, samples) in [
        ("renameat2", 5),
        ("mkdirat", 3),
        ("fchmodat", 4),
        ("fchownat", 4),
        ("unlinkat", 5),
        ("openat2", 6),
        ("flock", 2),
        ("getdents64", 3),
    ] {
        attempts.fail_some(call, samples);
    }
}

#[kernel_test]
fn a_read_that_fails_changes_nothing() {
    let attempts = large();
    attempts.fail_some("read", 10);
    attempts.fail_some("pread64", 1);
}

#[kernel_test]
fn what_each_step_does_is_made_to_fail() {
    let attempts = small();
    // One unpin, one replacement, one new pin, and its two parents.
    assert_eq!(attempts.fail_each("renameat2", "EIO"), 5);
    // The staging directory, and two parents of the new pin in it.
    assert_eq!(attempts.fail_each("mkdirat", "ENOSPC"), 3);
    // The directory that is emptied.
    assert_eq!(attempts.fail_each("unlinkat", "EIO"), 1);
    // The owners of two new pins and of one that stays.
    assert_eq!(attempts.fail_each("fchownat", "EPERM"), 3);
    // Their modes, and those of the two parents.
    assert_eq!(attempts.fail_each("fchmodat", "EPERM"), 5);
    assert!(attempts.fail_each("openat2", "EIO") > 5);
}

#[kernel_test]
fn every_call_of_bpf_is_made_to_fail() {
    // One program to load, for the sake of time.
    let old = ["changes", "goes"].map(|path| entry("tasks_v1.bpf.o", path)).concat();
    let new = ["changes", "new"].map(|path| entry("tasks_v2.bpf.o", path)).concat();
    assert!(Attempts::new(&old, &new).fail_each("bpf", "EINVAL") > 20);
}

#[kernel_test]
fn what_cannot_be_undone_is_told_and_mended_by_the_next_apply() {
    let attempts = large();
    let mut left = 0;
    for (call, samples) in [
        ("renameat2", 5),
        ("mkdirat", 1),
        ("unlinkat", 3),
        ("fchmodat", 2),
        ("fchownat", 2),
        ("openat2", 5),
        ("bpf", 5),
        ("read", 5),
    ] {
        let calls = attempts.count(call);
        let samples = if is_long() { calls.min(50) } else { samples };
        for sample in 0..samples {
            // From the end, where there is the most to undo.
            left += attempts.fail_from(call, calls - sample * calls / samples);
        }
    }
    assert!(left > 100, "hardly any undo failed: {left}");
}
