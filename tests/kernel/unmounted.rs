//! The bpffs is unmounted, or another one is mounted over it, while an apply is running: it does not report
//! success, and nothing is created on another file system.

use iterctl_core::feature::Feature;
use rustix::fs::{FlockOperation, flock};
use rustix::mount::{UnmountFlags, unmount};

use super::needs::needs;
use super::sandbox::{Run, Sandbox, entry};
use super::strace;

const APPLY: &str = "apply -f iters.toml";

/// The next apply of iters.toml will unpin `goes`, replace `have` and pin `new/pin`.
#[track_caller]
fn about_to_change() -> Sandbox {
    let sandbox = Sandbox::new();
    let paths = ["goes", "have"].map(|path| entry("tasks_v1.bpf.o", path));
    sandbox.manifest("iters.toml", &paths.concat());
    sandbox.iterctl(APPLY).exits(0);
    let paths = ["have", "new/pin"].map(|path| entry("tasks_v2.bpf.o", path));
    sandbox.manifest("iters.toml", &paths.concat());
    sandbox
}

fn unmount_lazily(sandbox: &Sandbox) {
    unmount(sandbox.bpffs(), UnmountFlags::DETACH).expect("root may");
}

#[track_caller]
fn is_gone(run: Run) -> Run {
    assert_eq!(run.stdout, "", "{run}");
    let run = run.exits(69).says("has been unmounted, or something has been mounted over it");
    run.says("hint: `findmnt ")
}

/// Right after each of these calls: the staging directory, a parent, and the three changes.
const MOMENTS: [(&str, usize); 5] =
    [("mkdirat", 1), ("mkdirat", 2), ("renameat2", 1), ("renameat2", 2), ("renameat2", 3)];

#[kernel_test]
fn a_bpffs_that_is_unmounted_meanwhile_is_reported() {
    for (call, when) in MOMENTS {
        let sandbox = about_to_change();
        let run = strace::interrupt(&sandbox, call, when, APPLY, || unmount_lazily(&sandbox));
        is_gone(run).says("note: nothing was changed");
        assert_eq!(std::fs::read_dir(sandbox.bpffs()).expect("a folder").count(), 0);
    }
}

#[kernel_test]
fn changes_to_a_hidden_bpffs_are_undone() {
    // A pin that is put back keeps its inode.
    needs(Feature::Exchange);
    for (call, when) in MOMENTS {
        let sandbox = about_to_change();
        let before = sandbox.tree();
        let run = strace::interrupt(&sandbox, call, when, APPLY, || sandbox.mount_bpffs("bpf"));
        is_gone(run).says("note: nothing was changed");
        assert_eq!(sandbox.paths(), [] as [&str; 0], "nobody asked for it on this one");
        unmount_lazily(&sandbox);
        assert_eq!(sandbox.tree(), before);
        sandbox.iterctl(APPLY).exits(0).plans(&[
            "- goes  no longer listed",
            "~ have  object changed",
            "+ new/pin  task",
        ]);
    }
}

#[kernel_test]
fn unpin_is_not_done_on_a_hidden_bpffs() {
    let sandbox = about_to_change();
    let before = sandbox.tree();
    let unpin = "unpin --bpffs bpf --set iters";
    let run = strace::interrupt(&sandbox, "renameat2", 1, unpin, || sandbox.mount_bpffs("bpf"));
    is_gone(run).says("note: nothing was changed");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    unmount_lazily(&sandbox);
    assert_eq!(sandbox.tree(), before);
}

#[kernel_test]
fn a_bpffs_that_is_unmounted_while_its_lock_is_waited_for_is_reported() {
    let sandbox = about_to_change();
    let root = sandbox.lock();
    let run = strace::interrupt(&sandbox, "flock", 1, APPLY, || {
        sandbox.mount_bpffs("bpf");
        flock(&root, FlockOperation::Unlock).expect("it is held");
    });
    is_gone(run);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}
