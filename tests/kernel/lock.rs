//! Only one apply runs at a time, and the next one cleans up after a killed one.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::Path;
use std::thread;

use rustix::fs::{FlockOperation, flock};

use super::bpf;
use super::sandbox::{Sandbox, entry, finish};

/// A manifest, and the lock, held by this process.
#[track_caller]
fn locked() -> (Sandbox, File) {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let root = File::open(sandbox.bpffs()).expect("it is mounted");
    flock(&root, FlockOperation::NonBlockingLockExclusive).expect("nobody else has it");
    (sandbox, root)
}

/// Unlocks explicitly. Closing the file is not enough: a child that another test has just forked may have
/// it open, too.
#[track_caller]
fn give_back(root: &File) {
    flock(root, FlockOperation::Unlock).expect("this process has the lock");
}

#[kernel_test]
fn the_holder_of_the_lock_is_named() {
    let (sandbox, root) = locked();
    let holder = format!("process {} (", std::process::id());
    for command in ["apply -f iters.toml", "unpin -f iters.toml", "unpin --bpffs bpf a"] {
        let run = sandbox.iterctl(&format!("{command} --lock-timeout 0.2")).exits(75);
        run.says(&holder).says("holds the lock").says("0.2 s");
        assert_eq!(sandbox.paths(), [] as [&str; 0]);
    }
    give_back(&root);
    sandbox.iterctl("apply --lock-timeout 0 -f iters.toml").exits(0).plans(&["+ a  task"]);
}

#[kernel_test]
fn reading_commands_need_no_lock() {
    let (sandbox, _root) = locked();
    sandbox.iterctl("plan -f iters.toml").exits(0).plans(&["+ a  task"]);
    sandbox.iterctl("list --bpffs bpf").exits(0);
}

#[kernel_test]
fn apply_waits_until_the_lock_is_released() {
    let (sandbox, root) = locked();
    let mut child = sandbox.start("apply --lock-timeout 600 -f iters.toml");
    // It locks the bpffs right after it has opened it.
    let descriptors = format!("/proc/{}/fd", child.id());
    while !has_open(Path::new(&descriptors), &sandbox.bpffs()) {
        assert!(child.try_wait().expect("it is a child").is_none(), "it did not wait");
        thread::yield_now();
    }
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    assert!(child.try_wait().expect("it is a child").is_none(), "it did not wait");
    give_back(&root);
    finish("apply", child).exits(0).plans(&["+ a  task"]);
}

/// Whether a process has this file open.
fn has_open(descriptors: &Path, file: &Path) -> bool {
    let descriptors = fs::read_dir(descriptors).into_iter().flatten().flatten();
    descriptors.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|open| open == file)
}

#[kernel_test]
fn applies_beside_each_other_take_turns() {
    let sandbox = Sandbox::new();
    let sets = ["a", "b", "c", "d"];
    for set in sets {
        sandbox
            .manifest(&format!("{set}.toml"), &entry("tasks_v1.bpf.o", &format!("shared/{set}")));
    }
    let children = sets.map(|set| sandbox.start(&format!("apply -f {set}.toml")));
    for child in children {
        finish("apply", child).exits(0);
    }
    let paths = sets.map(|set| format!("shared/{set}"));
    assert_eq!(sandbox.paths()[1..], paths);
    assert_eq!(sandbox.paths()[0], "shared");
}

#[kernel_test]
fn leftovers_of_a_killed_apply_are_removed() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let stale = "iterctl-staging-0123456789abcdef";
    fs::create_dir(sandbox.pin(stale)).expect("nothing is there");
    bpf::pin_foreign(&sandbox, "tasks_v2.bpf.o", format!("{stale}/1"));

    let before = sandbox.tree();
    sandbox.iterctl("plan -f iters.toml").exits(0).plans(&["+ a  task"]);
    let list = sandbox.iterctl("list --bpffs bpf").exits(0);
    assert!(!list.stdout.contains(stale), "it is no place of a pin: {list}");
    assert_eq!(sandbox.tree(), before);

    let run = sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ a  task"]);
    run.says("note: removed what an apply that was killed had left");
    assert_eq!(sandbox.paths(), ["a"]);
}

#[kernel_test]
fn a_staging_directory_of_another_user_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let theirs = "iterctl-staging-theirs";
    fs::create_dir(sandbox.pin(theirs)).expect("nothing is there");
    chown(sandbox.pin(theirs), Some(65534), Some(65534)).expect("root may");
    let before = sandbox.tree()[theirs].clone();
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ a  task"]);
    assert_eq!(sandbox.tree()[theirs], before);
}
