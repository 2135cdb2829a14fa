//! The directories above pins have the mode, owner and group that entries state, and an apply that fails gives back
//! what they had.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use super::bpf;
use super::sandbox::{Sandbox, entry_with};

/// A manifest with one pin, whose directories are as these keys state.
fn manifest(sandbox: &Sandbox, path: &str, keys: &str) {
    sandbox.manifest("iters.toml", &entry_with("tasks_v1.bpf.o", path, keys));
}

/// Mode, owner and group.
#[track_caller]
fn access(sandbox: &Sandbox, path: &str) -> (u32, u32, u32) {
    let stat = fs::symlink_metadata(sandbox.pin(path)).expect("it is there");
    (stat.mode() & 0o7777, stat.uid(), stat.gid())
}

fn set(sandbox: &Sandbox, path: &str, mode: u32) {
    fs::set_permissions(sandbox.pin(path), Permissions::from_mode(mode)).expect("root may");
}

#[kernel_test]
fn new_directories_get_what_is_stated_or_what_the_pin_has() {
    let sandbox = Sandbox::new();
    manifest(&sandbox, "a/b/x", "owner = '7'\ngroup = '8'");
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(access(&sandbox, "a"), (0o700, 7, 8));
    assert_eq!(access(&sandbox, "a/b"), (0o700, 7, 8));
    manifest(&sandbox, "c/x", "owner = '7'\ndir-owner = '0'\ndir-group = '9'\ndir-mode = '3750'");
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(access(&sandbox, "c"), (0o3750, 0, 9));
    assert_eq!(sandbox.paths(), ["c", "c/x"]);
}

#[kernel_test]
fn changed_directory_is_drift_and_is_set_in_place() {
    let sandbox = Sandbox::new();
    manifest(&sandbox, "a/b/x", "dir-mode = '0750'\ndir-group = '8'");
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let link = sandbox.link("a/b/x");
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
    set(&sandbox, "a", 0o700);
    chown(sandbox.pin("a/b"), Some(5), Some(6)).expect("root may");
    let rows = ["~ a  dir-mode changed: 0700 -> 0750", "~ a/b  dir-group changed: 6 -> 8"];
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(2).plans(&rows);
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&rows);
    assert_eq!(access(&sandbox, "a"), (0o750, 0, 8));
    // The owner is not stated.
    assert_eq!(access(&sandbox, "a/b"), (0o750, 5, 8));
    assert_eq!(sandbox.link("a/b/x"), link);
    manifest(&sandbox, "a/b/x", "dir-mode = '0711'");
    let json = sandbox.iterctl("apply -j -f iters.toml").exits(0).json();
    assert_eq!(json["changes"][0]["action"], "update");
    assert_eq!(json["changes"][0]["reasons"][0]["kind"], "dir-mode-changed");
    assert_eq!(access(&sandbox, "a"), (0o711, 0, 8));
}

#[kernel_test]
fn directory_that_others_use_is_left_alone() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.pin("a")).expect("nothing is there");
    set(&sandbox, "a", 0o755);
    bpf::pinned_hash_map(&sandbox.pin("a/theirs"), (1, 1));
    manifest(&sandbox, "a/x", "dir-mode = '0700'");
    let note = "the directory `a` is left as it is (dir-mode changed: 0755 -> 0700), because `a/theirs` in it does not belong to the set";
    sandbox.iterctl("apply -f iters.toml").exits(0).says(note);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0).says(note);
    assert_eq!(access(&sandbox, "a"), (0o755, 0, 0));
}

#[kernel_test]
fn directory_with_a_directory_of_others_is_left_alone() {
    let sandbox = Sandbox::new();
    manifest(&sandbox, "a/b/x", "dir-mode = '0700'");
    sandbox.iterctl("apply -f iters.toml").exits(0);
    set(&sandbox, "a", 0o1777);
    fs::create_dir(sandbox.pin("a/theirs")).expect("nothing is there");
    chown(sandbox.pin("a/theirs"), Some(7), Some(7)).expect("root may");
    set(&sandbox, "a/b", 0o755);
    let run = sandbox.iterctl("apply -f iters.toml").exits(0);
    run.says("because `a/theirs` in it does not belong")
        .plans(&["~ a/b  dir-mode changed: 0755 -> 0700"]);
    assert_eq!(access(&sandbox, "a"), (0o1777, 0, 0));
    let exported = sandbox.iterctl("export --bpffs bpf").exits(0).stdout;
    sandbox.write("exported.toml", &exported);
    sandbox.iterctl("plan --detailed-exitcode -f exported.toml").exits(0);
}

#[kernel_test]
fn pin_that_blocks_an_entry_belongs_to_others() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.pin("a")).expect("nothing is there");
    set(&sandbox, "a", 0o755);
    bpf::pin_foreign(&sandbox, "tasks_v2.bpf.o", "a/x");
    let entries =
        ["a/x", "a/y"].map(|path| entry_with("tasks_v1.bpf.o", path, "dir-mode = '0711'"));
    sandbox.manifest("iters.toml", &entries.concat());
    sandbox.iterctl("apply --keep-going -f iters.toml").exits(1);
    let plan = sandbox.iterctl("plan --keep-going -f iters.toml").exits(1);
    assert!(!plan.stdout.contains("dir-mode"), "{plan}");
    assert_eq!(access(&sandbox, "a"), (0o755, 0, 0));
}

#[kernel_test]
fn undo_gives_a_directory_all_its_bits_back() {
    let sandbox = Sandbox::new();
    manifest(&sandbox, "a/x", "dir-mode = '3777'");
    sandbox.iterctl("apply -f iters.toml").exits(0);
    // The last step fails: the directory that was removed is made again, and the one that was changed is changed back.
    sandbox.manifest(
        "next.toml",
        &format!("set = 'iters'\n{}", entry_with("tasks_v1.bpf.o", "b/x", "")),
    );
    let inject = "-f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:error=EIO:when=3";
    let run =
        sandbox.run("strace", &format!("{inject} {} apply -f next.toml", super::sandbox::ITERCTL));
    run.exits(1);
    assert_eq!(access(&sandbox, "a"), (0o3777, 0, 0));
}

#[kernel_test]
fn readers_whom_a_directory_keeps_out_are_told() {
    let sandbox = Sandbox::new();
    manifest(&sandbox, "a/x", "mode = '0440'\ngroup = '8'");
    let note = "the group 8 may read `a/x`, but may not enter the directory `a` (mode 0700, owner 0, group 8)";
    sandbox.iterctl("plan -f iters.toml").exits(0).says(note).says("`dir-mode = \"0710\"`");
    sandbox.iterctl("apply -f iters.toml").exits(0).says(note);
    manifest(&sandbox, "a/x", "mode = '0440'\ngroup = '8'\ndir-mode = '0750'\ndir-group = '8'");
    let run = sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(run.stderr, "");
    // A member of the group reads it.
    let read = sandbox.run("setpriv", "--reuid=7 --regid=8 --clear-groups cat bpf/a/x");
    assert!(read.exits(0).stdout.lines().count() > 1);
    set(&sandbox, "", 0o700);
    let note = format!(
        "the group 8 may read `a/x`, but may not enter the bpffs {}",
        sandbox.bpffs().display()
    );
    sandbox.iterctl("plan -f iters.toml").exits(0).says(&note).says("`chmod 0701 ");
}

#[kernel_test]
fn exported_directories_are_in_sync() {
    let sandbox = Sandbox::new();
    let entries = [
        entry_with("tasks_v1.bpf.o", "a/x", "dir-mode = '0711'"),
        entry_with("tasks_v1.bpf.o", "a/b/y", "dir-mode = '2750'\ndir-group = '8'"),
        entry_with("tasks_v1.bpf.o", "c/d/z", ""),
    ];
    sandbox.manifest("iters.toml", &entries.concat());
    sandbox.iterctl("apply -f iters.toml").exits(0);
    // No entry of a pin deeper down can state both.
    set(&sandbox, "c", 0o711);
    let before = ["a", "a/b", "c"].map(|directory| access(&sandbox, directory));
    assert_eq!(before, [(0o711, 0, 8), (0o2750, 0, 8), (0o711, 0, 0)]);
    let exported = sandbox.iterctl("export --bpffs bpf --set iters").exits(0).stdout;
    assert!(
        exported.contains("dir-mode = \"2750\"\ndir-owner = \"0\"\ndir-group = \"8\""),
        "{exported}"
    );
    sandbox.write("exported.toml", &exported);
    sandbox.iterctl("plan --detailed-exitcode -f exported.toml").exits(0);
    for (directory, mode) in [("a", 0o700), ("a/b", 0o700)] {
        set(&sandbox, directory, mode);
    }
    sandbox.iterctl("apply -f exported.toml").exits(0);
    assert_eq!(["a", "a/b", "c"].map(|directory| access(&sandbox, directory)), before);
}
