//! `apply --wait`: waits for things that others bring later, and not for errors that waiting cannot fix.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::Instant;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};

use super::bpf;
use super::sandbox::{ITERCTL, Run, Sandbox, entry, entry_with, finish};

/// Starts an apply, and returns when it is waiting.
#[track_caller]
fn start(sandbox: &Sandbox, arguments: &str) -> Child {
    let mut child = sandbox.start(arguments);
    // It has threads as soon as it waits for events: for inotify and for mounts.
    let tasks = format!("/proc/{}/task", child.id());
    while fs::read_dir(&tasks).is_ok_and(|tasks| tasks.count() < 3) {
        assert!(child.try_wait().expect("a child").is_none(), "it does not wait");
        std::thread::yield_now();
    }
    child
}

/// It continues when `come` brings what was missing, long before its time is up.
#[track_caller]
fn is_waited_for(sandbox: &Sandbox, come: impl FnOnce()) -> Run {
    let begin = Instant::now();
    let child = start(sandbox, "apply --wait 10min -f iters.toml");
    come();
    let run = finish("apply --wait", child).exits(0);
    assert!(begin.elapsed().as_secs() < 300, "{run}");
    run
}

#[kernel_test]
fn an_object_that_comes_later() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("later/tasks.bpf.o", "a"));
    is_waited_for(&sandbox, || {
        fs::create_dir(sandbox.file("later")).expect("own folder");
        sandbox.copy("tasks_v1.bpf.o", "later/tasks.bpf.o");
    });
    assert_eq!(sandbox.first_line("a"), "v1\n");
}

#[kernel_test]
fn a_bpffs_that_is_mounted_later() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    unmount(sandbox.bpffs(), UnmountFlags::empty()).expect("nobody uses it");
    is_waited_for(&sandbox, || {
        mount("bpf", sandbox.bpffs(), "bpf", MountFlags::empty(), None).expect("root can");
    });
    assert_eq!(sandbox.first_line("a"), "v1\n");
}

#[kernel_test]
fn maps_that_are_pinned_or_made_later() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("later");
    let keys = ["map = { pinned = \"maps/conns\" }", &format!("map = {{ name = \"{name}\" }}")];
    let entries = entry_with("elem.bpf.o", "a", keys[0]) + &entry_with("elem.bpf.o", "b", keys[1]);
    sandbox.manifest("iters.toml", &entries);
    let mut maps = Vec::new();
    is_waited_for(&sandbox, || {
        fs::create_dir(sandbox.pin("maps")).expect("nothing is there");
        maps.push(bpf::pinned_hash_map(&sandbox.pin("maps/conns"), (1, 10)));
        maps.push(bpf::hash_map(&name));
    });
    assert_eq!(sandbox.read("a"), "1 10\n");
}

#[kernel_test]
fn things_that_never_come_are_named() {
    let sandbox = Sandbox::new();
    let keys = "map = { pinned = \"never\" }";
    sandbox.manifest("iters.toml", &entry_with("elem.bpf.o", "a", keys));
    sandbox.iterctl("apply --wait 200ms -f iters.toml").exits(1).says("never");
    sandbox.manifest("iters.toml", &entry("never.bpf.o", "a"));
    sandbox.iterctl("apply --wait 200ms -f iters.toml").exits(65).says("never.bpf.o");
    unmount(sandbox.bpffs(), UnmountFlags::empty()).expect("nobody uses it");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.iterctl("apply --wait 200ms -f iters.toml").exits(69).says("is not a bpffs");
}

#[kernel_test]
fn errors_that_waiting_cannot_fix_are_reported_at_once() {
    let sandbox = Sandbox::new();
    let apply = "apply --wait 10min -f iters.toml";
    sandbox.manifest("iters.toml", &(entry("never.bpf.o", "a") + &entry("tasks_v1.bpf.o", "b.c")));
    sandbox.iterctl(apply).exits(65).says("has a dot").says("never.bpf.o");
    sandbox.manifest("iters.toml", &entry("rejected.bpf.o", "a"));
    sandbox.iterctl(apply).exits(1).says("the verifier rejected");
    bpf::pin_foreign(&sandbox, "tasks_v1.bpf.o", "a");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.iterctl(apply).exits(73);
    sandbox.iterctl("apply --wait 10min -f missing.toml").exits(65);
}

#[kernel_test]
fn the_reason_for_waiting_is_reported_again_only_if_it_changes() {
    let sandbox = Sandbox::new();
    let keys = "map = { pinned = \"never\" }";
    sandbox.manifest("iters.toml", &entry_with("later.bpf.o", "a", keys));
    let child = start(&sandbox, "apply --wait 1500ms -f iters.toml");
    sandbox.copy("elem.bpf.o", "later.bpf.o");
    let run = finish("apply --wait", child).exits(1);
    let notes: Vec<&str> = run.stderr.lines().filter(|line| line.contains("waiting")).collect();
    let pinned = sandbox.pin("never");
    let [object, map] = notes.as_slice() else { panic!("{run}") };
    assert!(object.starts_with("note: waiting for up to 1s 500ms: iters.toml:"), "{object}");
    assert!(object.contains("later.bpf.o"), "{object}");
    let map_is_missing = format!("`a`: no map is pinned at {}", pinned.display());
    assert_eq!(*map, format!("note: still waiting: {map_is_missing}"));
    let json = sandbox.iterctl("apply -j --wait 200ms -f iters.toml").exits(1);
    assert_eq!(json.stderr, "");
}

const SIGNALS: [Signal; 3] = [Signal::HUP, Signal::INT, Signal::TERM];

/// A process whose parent ignores SIGINT or SIGHUP, such as a job in the background, ignores it too.
fn kill(pid: Pid, signal: Signal) {
    kill_process(pid, signal).expect("it runs");
}

#[kernel_test]
fn a_waiting_apply_can_be_stopped() {
    for signal in SIGNALS {
        let sandbox = Sandbox::new();
        sandbox.manifest("iters.toml", &entry("never.bpf.o", "a"));
        let mut child = start(&sandbox, "apply --wait 10min -f iters.toml");
        kill(Pid::from_child(&child), signal);
        let status = child.wait().expect("a child");
        assert_eq!(status.signal(), Some(signal.as_raw()), "a shell shows 128 and the number");
    }
}

#[kernel_test]
fn the_first_process_of_a_container_can_be_stopped() {
    for signal in SIGNALS {
        let sandbox = Sandbox::new();
        sandbox.manifest("iters.toml", &entry("never.bpf.o", "a"));
        let unshare = format!("--pid --fork {ITERCTL} apply --wait 10min -f iters.toml");
        let mut child = sandbox.command("unshare", &unshare).spawn().expect("it is there");
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let threads =
            |pid: i32| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        let pid = loop {
            let pid = fs::read_to_string(&children).unwrap_or_default().trim().parse();
            if let Some(pid) = pid.ok().filter(|pid| threads(*pid) == 3) {
                break pid;
            }
            std::thread::yield_now();
        };
        kill(Pid::from_raw(pid).expect("a process"), signal);
        let status = child.wait().expect("a child");
        assert_eq!(status.code(), Some(128 + signal.as_raw()));
    }
}
