//! Lost watches are set up again.

use std::fs;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::super::sandbox::{ITERCTL, Sandbox, entry};
use super::Watching;

/// A manifest in a folder of its own, with its object.
fn write(sandbox: &Sandbox, folder: &str, object: &str, paths: &[&str]) {
    let entries: String = paths.iter().map(|path| entry("tasks.bpf.o", path)).collect();
    sandbox.manifest(&format!("{folder}/iters.toml"), &entries);
    sandbox.copy(object, &format!("{folder}/tasks.bpf.o"));
}

fn watch(sandbox: &Sandbox) -> Watching<'_> {
    let watching = Watching::spawn(sandbox, ITERCTL, "-f own/iters.toml", &[]);
    watching.changes(&["pin a"]);
    watching
}

#[kernel_test]
fn a_folder_that_is_deleted_and_made_again() {
    let sandbox = Sandbox::new();
    write(&sandbox, "own", "tasks_v1.bpf.o", &["a"]);
    let watching = watch(&sandbox);
    for number in 0..3 {
        fs::remove_dir_all(sandbox.file("own")).expect("it is there");
        watching.fails("failed to read the manifest");
        let path = format!("b{number}");
        write(&sandbox, "own", "tasks_v1.bpf.o", &["a", &path]);
        let round = watching.round();
        let expected = [format!("pin {path}")];
        let found = super::changes(&round, &sandbox);
        assert!(found.iter().any(|change| expected.contains(change)), "{round:#}");
    }
}

#[kernel_test]
fn a_folder_that_is_moved_and_replaced() {
    let sandbox = Sandbox::new();
    write(&sandbox, "own", "tasks_v1.bpf.o", &["a"]);
    write(&sandbox, "new", "tasks_v2.bpf.o", &["a"]);
    let watching = watch(&sandbox);
    fs::rename(sandbox.file("own"), sandbox.file("old")).expect("it is there");
    watching.fails("failed to read the manifest");
    // Changes in the old folder no longer matter.
    write(&sandbox, "old", "tasks_v1.bpf.o", &["x"]);
    fs::rename(sandbox.file("new"), sandbox.file("own")).expect("it is there");
    watching.changes(&["replace a"]);
    sandbox.manifest("own/iters.toml", &(entry("tasks.bpf.o", "a") + &entry("tasks.bpf.o", "b")));
    watching.changes(&["pin b"]);
}

#[kernel_test]
fn a_bpffs_that_is_unmounted_and_mounted_again() {
    let sandbox = Sandbox::new();
    write(&sandbox, "own", "tasks_v1.bpf.o", &["a"]);
    let watching = watch(&sandbox);
    for _ in 0..2 {
        unmount(sandbox.bpffs(), UnmountFlags::empty()).expect("nobody uses it");
        watching.fails("is not a bpffs");
        mount("bpf", sandbox.bpffs(), "bpf", MountFlags::empty(), None).expect("root can");
        watching.changes(&["pin a"]);
        assert_eq!(sandbox.first_line("a"), "v1\n");
    }
    // One is mounted over the other.
    mount("bpf", sandbox.bpffs(), "bpf", MountFlags::empty(), None).expect("root can");
    watching.changes(&["pin a"]);
    unmount(sandbox.bpffs(), UnmountFlags::empty()).expect("nobody uses it");
    watching.has_nothing_to_do();
}

#[kernel_test]
fn a_bpffs_that_is_unmounted_is_mounted_again_with_mount() {
    let sandbox = Sandbox::new();
    write(&sandbox, "own", "tasks_v1.bpf.o", &["a"]);
    let watching = Watching::spawn(&sandbox, ITERCTL, "--mount -f own/iters.toml", &[]);
    watching.changes(&["pin a"]);
    unmount(sandbox.bpffs(), UnmountFlags::empty()).expect("nobody uses it");
    watching.changes(&["pin a"]);
}

#[kernel_test]
fn a_file_system_that_is_mounted_over_the_manifest() {
    let sandbox = Sandbox::new();
    write(&sandbox, "own", "tasks_v1.bpf.o", &["a"]);
    let watching = watch(&sandbox);
    let own = sandbox.file("own");
    mount("none", &own, "tmpfs", MountFlags::empty(), None).expect("root can");
    watching.fails("failed to read the manifest");
    write(&sandbox, "own", "tasks_v2.bpf.o", &["a"]);
    watching.changes(&["replace a"]);
    unmount(&own, UnmountFlags::empty()).expect("nobody uses it");
    watching.changes(&["replace a"]);
    assert_eq!(sandbox.first_line("a"), "v1\n");
}
