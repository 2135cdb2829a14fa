//! The events that wake it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::super::bpf;
use super::super::sandbox::{Sandbox, entry, entry_with};
use super::Watching;

/// Two iterators of one object.
fn two(sandbox: &Sandbox) {
    sandbox.copy("tasks_v1.bpf.o", "tasks.bpf.o");
    let entries = entry("tasks.bpf.o", "observe/a") + &entry("tasks.bpf.o", "observe/b");
    sandbox.manifest("iters.toml", &entries);
}

#[kernel_test]
fn a_manifest_that_changes_is_applied() {
    let sandbox = Sandbox::new();
    two(&sandbox);
    let (watching, first) = Watching::start(&sandbox, "");
    assert_eq!(super::changes(&first, &sandbox), ["pin observe/a", "pin observe/b"]);
    sandbox.manifest("iters.toml", &entry("tasks.bpf.o", "observe/a"));
    watching.changes(&["unpin observe/b"]);
    // The file is replaced by a rename, as editors save.
    sandbox.manifest("iters.toml.new", &entry("tasks.bpf.o", "observe/c"));
    fs::rename(sandbox.file("iters.toml.new"), sandbox.file("iters.toml")).expect("it is there");
    watching.changes(&["unpin observe/a", "pin observe/c"]);
    let last = watching.stop(Signal::TERM);
    assert_eq!(last["comment"], "stopped; the pins stay");
    assert_eq!(sandbox.first_line("observe/c"), "v1\n");
}

#[kernel_test]
fn files_of_a_directory_come_and_go() {
    let sandbox = Sandbox::new();
    let object = sandbox.file("tasks_v1.bpf.o");
    let object = object.to_str().expect("UTF-8");
    sandbox.manifest("iters.d/a.toml", &entry(object, "a"));
    let watching = Watching::spawn(&sandbox, super::ITERCTL, "-f iters.d", &[]);
    watching.changes(&["pin a"]);
    sandbox.manifest("iters.d/b.toml", &entry(object, "b"));
    watching.changes(&["pin b"]);
    sandbox.write("iters.d/notes.txt", "not a manifest");
    fs::rename(sandbox.file("iters.d/b.toml"), sandbox.file("iters.d/b.off")).expect("it is there");
    watching.changes(&["unpin b"]);
    fs::remove_file(sandbox.file("iters.d/a.toml")).expect("it is there");
    watching.fails("no *.toml in");
    assert_eq!(sandbox.paths(), ["a"], "an empty directory could be a mistake");
}

#[kernel_test]
fn an_object_that_changes_replaces_its_iterators() {
    let sandbox = Sandbox::new();
    two(&sandbox);
    let (watching, _) = Watching::start(&sandbox, "");
    sandbox.copy("tasks_v2.bpf.o", "tasks.bpf.o");
    watching.changes(&["replace observe/a", "replace observe/b"]);
    assert_eq!(sandbox.first_line("observe/a"), "v2\n");
    fs::rename(sandbox.file("tasks_v1.bpf.o"), sandbox.file("tasks.bpf.o")).expect("it is there");
    watching.changes(&["replace observe/a", "replace observe/b"]);
    assert_eq!(sandbox.first_line("observe/b"), "v1\n");
    // Writing the same bytes again is no change.
    fs::copy(sandbox.file("tasks.bpf.o"), sandbox.file("same")).expect("own folder");
    fs::rename(sandbox.file("same"), sandbox.file("tasks.bpf.o")).expect("it is there");
    watching.has_nothing_to_do();
}

#[kernel_test]
fn a_map_that_its_owner_recreates_is_walked() {
    let sandbox = Sandbox::new();
    let path = sandbox.pin("maps/conns");
    fs::create_dir(sandbox.pin("maps")).expect("nothing is there");
    let old = bpf::pinned_hash_map(&path, (1, 10));
    let keys = "map = { pinned = \"maps/conns\" }";
    sandbox.manifest("iters.toml", &entry_with("elem.bpf.o", "observe/conns", keys));
    let (watching, _) = Watching::start(&sandbox, "");
    assert_eq!(sandbox.read("observe/conns"), "1 10\n");
    fs::remove_file(&path).expect("it is there");
    watching.fails("conns");
    assert_eq!(sandbox.read("observe/conns"), "1 10\n", "what is there stays");
    drop(old);
    let _new = bpf::pinned_hash_map(&path, (2, 20));
    watching.changes(&["replace observe/conns"]);
    assert_eq!(sandbox.read("observe/conns"), "2 20\n");
}

#[kernel_test]
fn a_map_of_the_same_name_is_found_after_a_while() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("anew");
    let old = bpf::hash_map(&name);
    bpf::insert(&old, (1, 10));
    let keys = format!("map = {{ name = \"{name}\" }}");
    sandbox.manifest("iters.toml", &entry_with("elem.bpf.o", "conns", &keys));
    let (watching, _) = Watching::start(&sandbox, "--interval 200ms");
    // The iterator keeps the old map, so the name alone does not say which map is meant.
    drop(old);
    let new = bpf::hash_map(&name);
    bpf::insert(&new, (2, 20));
    watching.changes(&["replace conns"]);
    assert_eq!(sandbox.read("conns"), "2 20\n");
}

#[kernel_test]
fn pins_that_others_change_are_repaired() {
    let sandbox = Sandbox::new();
    two(&sandbox);
    let (watching, _) = Watching::start(&sandbox, "");
    fs::remove_file(sandbox.pin("observe/a")).expect("it is there");
    watching.changes(&["pin observe/a"]);
    fs::set_permissions(sandbox.pin("observe/b"), Permissions::from_mode(0o666)).expect("root can");
    watching.changes(&["update observe/b"]);
    fs::rename(sandbox.pin("observe/a"), sandbox.pin("elsewhere")).expect("it is there");
    watching.changes(&["unpin elsewhere", "pin observe/a"]);
    fs::remove_dir_all(sandbox.pin("observe")).expect("root can");
    watching.changes(&["pin observe/a", "pin observe/b"]);
    // The pin is replaced in one step: a missing pin would be repaired before slow machines load another
    // one.
    bpf::pin_foreign(&sandbox, "tasks_v2.bpf.o", "theirs");
    fs::rename(sandbox.pin("theirs"), sandbox.pin("observe/a")).expect("both are there");
    watching.fails("observe/a");
    assert_eq!(sandbox.first_line("observe/a"), "v2\n", "foreign pins are not touched");
    fs::remove_file(sandbox.pin("observe/a")).expect("it is there");
    watching.changes(&["pin observe/a"]);
    assert_eq!(sandbox.first_line("observe/a"), "v1\n");
}

#[kernel_test]
fn directories_that_others_change_are_repaired() {
    let sandbox = Sandbox::new();
    // The group may not enter, which is noted.
    let keys = "mode = '0440'\ngroup = '8'\ndir-mode = '0700'";
    sandbox.manifest("iters.toml", &entry_with("tasks_v1.bpf.o", "a/b/c", keys));
    let (watching, _) = Watching::start(&sandbox, "");
    for directory in ["a/b", "a", "a/b", "a"] {
        let mode = Permissions::from_mode(0o755);
        fs::set_permissions(sandbox.pin(directory), mode).expect("root can");
        watching.changes(&[&format!("update {directory}")]);
    }
    let log = watching.log();
    assert_eq!(log.matches("may not enter the directory `a/b`").count(), 1, "{log}");
}

#[kernel_test]
fn without_healing_it_only_reports_changes() {
    let sandbox = Sandbox::new();
    two(&sandbox);
    let map = bpf::pinned_hash_map(&sandbox.pin("walked"), (1, 10));
    let keys = "map = { pinned = \"walked\" }";
    let entries = entry("tasks.bpf.o", "a") + &entry_with("elem.bpf.o", "conns", keys);
    sandbox.manifest("iters.toml", &entries);
    let (watching, _) = Watching::start(&sandbox, "--no-heal");
    fs::remove_file(sandbox.pin("a")).expect("it is there");
    let round = watching.round();
    assert_eq!(super::changes(&round, &sandbox), ["pin a"]);
    assert_eq!(round["changed"], false);
    assert!(watching.log().contains(" WARN + a  task"), "{}", watching.log());
    // Changes by the map's owner are followed, and nothing else.
    fs::remove_file(sandbox.pin("walked")).expect("it is there");
    watching.fails("walked");
    drop(map);
    let _new = bpf::pinned_hash_map(&sandbox.pin("walked"), (2, 20));
    watching.changes(&["replace conns"]);
    assert!(!sandbox.pin("a").exists());
    // The manifest is followed too, as a whole.
    sandbox.manifest("iters.toml", &(entries + &entry("tasks.bpf.o", "b")));
    watching.changes(&["pin a", "pin b"]);
}

#[kernel_test]
fn a_signal_asks_for_a_round() {
    let sandbox = Sandbox::new();
    two(&sandbox);
    let (watching, _) = Watching::start(&sandbox, "");
    watching.has_nothing_to_do();
    watching.has_nothing_to_do();
}
