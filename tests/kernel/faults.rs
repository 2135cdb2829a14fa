//! System calls of an apply fail: one at a time, or all from one on. Afterwards bpffs and the kernel are as
//! before, or what differs is reported.
//!
//! With `ITERCTL_FAULTS=all` every call fails with every error. If it is not set, only a few of each fail.

use iterctl_core::feature::Feature;

use super::attempts::{APPLY, Attempts, large, small};
use super::needs::needs;
use super::sandbox::{Run, entry};
use super::strace;

const ERRORS: [&str; 5] = ["ENOMEM", "EIO", "EPERM", "ENOSPC", "EINTR"];

/// The number of faults with each outcome.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// The apply failed, and nothing was changed.
    failed: usize,
    /// The apply succeeded despite the fault.
    done: usize,
}

/// Whether this is the long run.
fn is_long() -> bool {
    std::env::var("ITERCTL_FAULTS").is_ok_and(|which| which == "all")
}

impl Attempts {
    /// One call fails: afterwards everything is done, or nothing is, and the report is true.
    #[track_caller]
    fn fail(&self, call: &str, number: usize, error: &str, tally: &mut Tally) {
        // If names cannot be exchanged, a pin that is put back has another inode.
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

    /// Each call of this name fails once with each of these errors. Returns how often nothing was done.
    #[track_caller]
    fn fail_each(&self, call: &str, error: &str) -> usize {
        let mut tally = Tally::default();
        for number in 1..=self.count(call) {
            self.fail(call, number, error, &mut tally);
        }
        tally.failed
    }

    /// Calls of this name fail: this many, evenly spread, or all of them with all errors.
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

    /// All calls of this name fail, from one on: whatever is not as before is named, and the old objects
    /// are kept. The next apply repairs it. Returns how many changes were not undone.
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

/// An error names the operation that failed and its object, which is mostly a path.
#[track_caller]
fn names_the_step(run: &Run) {
    let mut errors = run.stderr.lines().filter_map(|line| line.strip_prefix("error: "));
    let names = |error: &str| {
        ["`", "/", "manifest new.toml", "staging director"].iter().any(|it| error.contains(it))
    };
    // The process may have failed before it ran any code of iterctl.
    let is_loader = run.stderr.contains("error while loading shared libraries");
    assert!(errors.next().is_some_and(names) || is_loader, "{run}");
}

#[kernel_test]
fn a_call_of_bpf_that_fails_changes_nothing() {
    large().fail_some("bpf", 12);
}

#[kernel_test]
fn a_failed_change_to_bpffs_undoes_the_earlier_ones() {
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
fn a_machine_without_random_numbers_changes_nothing() {
    large().fail_some("getrandom", 3);
}

/// An allocation that fails ends the process (`std::alloc::handle_alloc_error()`), like a kill.
#[kernel_test]
fn a_machine_without_memory_leaves_each_path_old_or_new() {
    let attempts = large();
    let calls = strace::calls_from(&attempts.sandbox, "flock", APPLY);
    attempts.go_back();
    let maps: Vec<usize> =
        calls.into_iter().filter(|(name, _)| name == "mmap").map(|(_, number)| number).collect();
    let samples = if is_long() { maps.len() } else { maps.len().min(10) };
    let (mut done, mut failed, mut ended) = (0, 0, 0);
    for sample in 0..samples {
        let number = maps[sample * maps.len() / samples].to_string();
        let what = format!("mmap number {number} failed");
        let (tree, before) = (attempts.sandbox.tree(), attempts.now());
        let run = strace::inject(&attempts.sandbox, "mmap", "error=ENOMEM", &number, APPLY);
        match run.status() {
            Some(0) => {
                done += 1;
                attempts.is_done(&run);
            }
            Some(_) => {
                failed += 1;
                assert_eq!(attempts.sandbox.tree(), tree, "{what}: {run}");
                names_the_step(&run);
            }
            None => {
                ended += 1;
                attempts.every_path_is_old_or_new(&before, &what);
            }
        }
        attempts.converges(&what);
        attempts.go_back();
    }
    println!("{} calls of mmap: {done} done, {failed} failed, {ended} ended", maps.len());
    assert!(samples > 0, "no mmap was made");
}

/// 250 pins in one directory, of two programs: threads look at the directory, load, and look again.
#[kernel_test]
fn threads_that_cannot_be_started_make_no_difference() {
    let entries = |first: &str, second: &str| -> String {
        let path = |number: usize| format!("p{number}");
        let halves = (0..250).map(|number| entry([first, second][number % 2], &path(number)));
        halves.collect()
    };
    let old = entries("tasks_v1.bpf.o", "rodata.bpf.o");
    let attempts = Attempts::new(&old, &entries("tasks_v2.bpf.o", "tasks_v1.bpf.o"));
    let threads = strace::threads(&attempts.sandbox, APPLY);
    attempts.go_back();
    assert!(threads >= 3 || strace::cores() == 1, "only {threads} threads were started");
    for number in 1..=threads {
        for when in [number.to_string(), format!("{number}+")] {
            let run = strace::refuse_threads(&attempts.sandbox, &when, APPLY).exits(0);
            attempts.is_done(&run);
            attempts.converges(&format!("thread {when} could not be started"));
            attempts.go_back();
        }
    }
    println!("{threads} threads");
}

#[kernel_test]
fn every_call_of_each_step_is_made_to_fail() {
    let attempts = small();
    // One unpin, one replacement, one new pin, and its two parents.
    assert_eq!(attempts.fail_each("renameat2", "EIO"), 5);
    // The staging directory, and two parents of the new pin in it.
    assert_eq!(attempts.fail_each("mkdirat", "ENOSPC"), 3);
    // The directory that becomes empty.
    assert_eq!(attempts.fail_each("unlinkat", "EIO"), 1);
    // The owners of two new pins, of the two parents, and of one pin that stays.
    assert_eq!(attempts.fail_each("fchownat", "EPERM"), 5);
    // Their modes, and those of the two parents.
    assert_eq!(attempts.fail_each("fchmodat", "EPERM"), 5);
    assert!(attempts.fail_each("openat2", "EIO") > 5);
}

#[kernel_test]
fn every_call_of_bpf_is_made_to_fail() {
    // Only one program is loaded, to save time.
    let old = ["changes", "goes"].map(|path| entry("tasks_v1.bpf.o", path)).concat();
    let new = ["changes", "new"].map(|path| entry("tasks_v2.bpf.o", path)).concat();
    assert!(Attempts::new(&old, &new).fail_each("bpf", "EINVAL") > 20);
}

#[kernel_test]
fn a_failed_undo_is_reported_and_repaired_by_the_next_apply() {
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
            // Starts from the end, where the most has to be undone.
            left += attempts.fail_from(call, calls - sample * calls / samples);
        }
    }
    assert!(left > 100, "hardly any undo failed: {left}");
}
