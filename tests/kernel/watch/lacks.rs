//! Without inotify, the table of mounts or descriptors it is slower, says why, and goes back when it can.

use std::fs;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, Signal, prlimit};

use super::super::sandbox::{ITERCTL, Sandbox, entry, finish};
use super::super::strace;
use super::Watching;

fn one(sandbox: &Sandbox) {
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
}

/// Starts to watch; the first calls `call` of a thread fail with `error`.
fn lacking<'a>(sandbox: &'a Sandbox, call: &str, error: &str) -> Watching<'a> {
    let script = format!(
        "exec strace -f -qq -o trace -e trace={call} -e inject={call}:error={error}:when=1..12 \
         {ITERCTL} -j watch -f iters.toml --interval 200ms"
    );
    sandbox.write("run", &script);
    Watching::spawn_script(sandbox, "run")
}

#[track_caller]
fn is_slower_and_recovers(call: &str, error: &str, sysctl: &str) {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let watching = lacking(&sandbox, call, error);
    watching.changes(&["pin a"]);
    watching.logs(sysctl);
    assert!(watching.log().contains(" WARN changes may be found"), "{}", watching.log());
    fs::remove_file(sandbox.pin("a")).expect("it is there");
    watching.changes(&["pin a"]);
    watching.logs("inotify works again");
    assert_eq!(watching.log().matches(sysctl).count(), 1, "{}", watching.log());
    fs::remove_file(sandbox.pin("a")).expect("it is there");
    watching.changes(&["pin a"]);
    let pid = strace::traced(&sandbox);
    watching.end(pid, Signal::TERM);
}

#[kernel_test]
fn no_inotify_instance_is_left() {
    is_slower_and_recovers("inotify_init1", "EMFILE", "fs.inotify.max_user_instances");
}

#[kernel_test]
fn no_inotify_watch_is_left() {
    is_slower_and_recovers("inotify_add_watch", "ENOSPC", "fs.inotify.max_user_watches");
}

#[kernel_test]
fn no_descriptor_is_left() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    // Three are open, signals and mounts need some, and inotify three more.
    let script = format!("ulimit -Sn 8; exec {ITERCTL} -j watch -f iters.toml --interval 200ms");
    sandbox.write("run", &script);
    let watching = Watching::spawn_script(&sandbox, "run");
    watching.round();
    watching.logs("this process has no file descriptor left");
    assert!(!watching.log().contains("max_user_instances"), "{}", watching.log());
    let limit = Rlimit { current: Some(1024), maximum: Some(1024) };
    prlimit(Some(watching.pid()), Resource::Nofile, limit).expect("root may");
    watching.logs("inotify works again");
    watching.stop(Signal::TERM);
}

#[kernel_test]
fn an_apply_that_waits_looks_once_a_second() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("later.bpf.o", "a"));
    let strace = format!(
        "-f -qq -o trace -e trace=inotify_init1 -e inject=inotify_init1:error=EMFILE \
         {ITERCTL} apply --wait 10min -f iters.toml"
    );
    let child = sandbox.command("strace", &strace).spawn().expect("strace is there");
    let begin = Instant::now();
    while !fs::read_to_string(sandbox.file("trace")).is_ok_and(|trace| trace.contains("INJECTED")) {
        assert!(begin.elapsed() < super::NEVER, "it does not wait");
        std::thread::yield_now();
    }
    sandbox.copy("tasks_v1.bpf.o", "later.bpf.o");
    let run = finish("apply --wait", child).exits(0).says("fs.inotify.max_user_instances");
    assert_eq!(run.stderr.matches("max_user_instances").count(), 1, "{run}");
    assert_eq!(sandbox.paths(), ["a"]);
}

#[kernel_test]
fn a_file_that_is_truncated_by_its_path_is_not_being_written() {
    let sandbox = Sandbox::new();
    let two = entry("tasks_v1.bpf.o", "a") + &entry("tasks_v1.bpf.o", "b");
    sandbox.manifest("iters.toml", &two);
    let (watching, _) = Watching::start(&sandbox, "");
    watching.has_nothing_to_do();
    let length = sandbox.with_bpffs(&entry("tasks_v1.bpf.o", "a")).len();
    let begin = Instant::now();
    // truncate(1) opens the file, so there is a close. This is truncate(2), which sends no more than one event.
    let mut truncate = sandbox.command("python3", "-c");
    truncate.arg(format!("import os; os.truncate('iters.toml', {length})"));
    assert!(truncate.status().expect("it is there").success());
    watching.changes(&["unpin b"]);
    // A file that a process has open for writing is waited for for 30 s.
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}

/// How often a line of the trace has all of these words.
fn calls(sandbox: &Sandbox, words: &[&str]) -> usize {
    let trace = fs::read_to_string(sandbox.file("trace")).unwrap_or_default();
    trace.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

#[kernel_test]
fn mounts_elsewhere_cost_no_look_at_the_pins() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "observe/looked-at"));
    let script = format!(
        "exec strace -f -qq -o trace -e trace=file,poll,ppoll {ITERCTL} -j watch -f iters.toml"
    );
    sandbox.write("run", &script);
    let watching = Watching::spawn_script(&sandbox, "run");
    watching.changes(&["pin observe/looked-at"]);
    let pid = strace::traced(&sandbox);
    watching.asks(pid);
    let looks =
        || calls(&sandbox, &["lstat", "looked-at"]) + calls(&sandbox, &["stat", "looked-at"]);
    watching.asks(pid);
    let (before, noticed) = (looks(), calls(&sandbox, &["poll(", "POLLPRI"]));
    fs::create_dir(sandbox.file("elsewhere")).expect("own folder");
    for _ in 0..20 {
        let noticed = calls(&sandbox, &["poll(", "POLLPRI"]);
        sandbox.run("mount", "-t tmpfs none elsewhere").exits(0);
        while calls(&sandbox, &["poll(", "POLLPRI"]) == noticed {
            std::thread::yield_now();
        }
    }
    assert!(calls(&sandbox, &["poll(", "POLLPRI"]) >= noticed + 20);
    watching.asks(pid);
    let with_mounts = looks() - before;
    let before = looks();
    watching.asks(pid);
    assert_eq!(with_mounts, looks() - before, "a round looks as often as without mounts");
    // One that hides the pins is noticed.
    sandbox.run("mount", "-t bpf none bpf").exits(0);
    watching.changes(&["pin observe/looked-at"]);
    watching.end(pid, Signal::TERM);
}
