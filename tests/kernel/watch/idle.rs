//! If nothing happens, it does nothing, and its size does not grow.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rustix::process::Signal;

use super::super::sandbox::{Sandbox, entry};
use super::super::strace;
use super::Watching;

/// How often every thread has gone to sleep.
fn naps(watching: &Watching<'_>) -> BTreeMap<String, u64> {
    let threads = fs::read_dir(watching.proc("task")).expect("it runs");
    let nap = |thread: &Path| {
        let status = fs::read_to_string(thread.join("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|number| number.trim().parse().ok()).expect("the kernel counts them")
    };
    threads
        .map(|thread| thread.expect("it runs").path())
        .map(|thread| (thread.display().to_string(), nap(&thread)))
        .collect()
}

/// The same, after all threads have finished earlier work.
fn settled(watching: &Watching<'_>) -> BTreeMap<String, u64> {
    let mut before = naps(watching);
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let now = naps(watching);
        if now == before {
            return now;
        }
        before = now;
    }
    panic!("its threads do not come to rest: {before:?}");
}

#[kernel_test]
fn nothing_wakes_it_if_nothing_happens() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "observe/a"));
    let (watching, _) = Watching::start(&sandbox, "");
    // The check after the first change is over when the one that is asked for is.
    watching.has_nothing_to_do();
    watching.has_nothing_to_do();
    let asleep = || {
        let read = |file| fs::read_to_string(watching.proc(file)).expect("it runs");
        // Old kernels may not report where it sleeps: 0.
        let place = read("wchan");
        read("status").contains("State:\tS") && (place.contains("futex") || place == "0")
    };
    while !asleep() {
        std::thread::yield_now();
    }
    let before = settled(&watching);
    // Readers of the pin or of the files do not wake it.
    for _ in 0..10 {
        sandbox.read("observe/a");
        fs::read(sandbox.file("iters.toml")).expect("it is there");
        fs::read(sandbox.file("tasks_v1.bpf.o")).expect("it is there");
        fs::read_dir(sandbox.pin("observe")).expect("it is there").count();
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(naps(&watching), before);
}

#[kernel_test]
fn its_own_pins_do_not_make_it_apply_again() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "observe/a"));
    let script = format!(
        "exec strace -f -qq -o trace -e trace=flock,renameat2 {} -j watch -f iters.toml",
        super::super::sandbox::ITERCTL
    );
    sandbox.write("run", &script);
    let watching = Watching::spawn_script(&sandbox, "run");
    watching.changes(&["pin observe/a"]);
    sandbox.manifest("iters.toml", &entry("tasks_v2.bpf.o", "observe/a"));
    watching.changes(&["replace observe/a"]);
    let pid = strace::traced(&sandbox);
    watching.asks(pid);
    watching.end(pid, Signal::TERM);
    let trace = fs::read_to_string(sandbox.file("trace")).expect("strace has made it");
    let calls = |call: &str| trace.lines().filter(|line| line.contains(call)).count();
    assert_eq!(calls("LOCK_EX"), 2, "two applies, and no more: {trace}");
    assert_eq!(calls("RENAME_EXCHANGE"), 1, "{trace}");
}

/// The number of descriptors, and the resident memory in kilobytes.
pub(super) fn size(watching: &Watching<'_>) -> (usize, u64) {
    let descriptors = fs::read_dir(watching.proc("fd")).expect("it runs").count();
    let status = fs::read_to_string(watching.proc("status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    (descriptors, memory.expect("the kernel says so"))
}

#[kernel_test]
fn it_never_grows() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "observe/a"));
    let (watching, _) = Watching::start(&sandbox, "--debounce 20ms");
    let change = |round: usize| {
        let version = ["tasks_v2.bpf.o", "tasks_v1.bpf.o"][round % 2];
        sandbox.manifest("iters.toml", &entry(version, "observe/a"));
        watching.changes(&["replace observe/a"]);
        fs::remove_file(sandbox.pin("observe/a")).expect("it is there");
        watching.changes(&["pin observe/a"]);
    };
    (0..15).for_each(change);
    watching.has_nothing_to_do();
    let (descriptors, memory) = size(&watching);
    (15..45).for_each(change);
    watching.has_nothing_to_do();
    let (descriptors_after, memory_after) = size(&watching);
    assert_eq!(descriptors, descriptors_after);
    // The allocator keeps some pages.
    assert!(memory_after < memory + 1024, "{memory} kB became {memory_after} kB");
}
