//! Every reason why a pin is not what the manifest asks for: `plan` reports it, and `apply` repairs it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use super::bpf;
use super::sandbox::{Sandbox, entry, entry_with};

/// A sandbox to which iters.toml has been applied.
#[track_caller]
fn applied(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", text);
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox
}

/// Something has drifted: the plan has these lines, `apply` carries them out, and then nothing is left to
/// do.
#[track_caller]
fn heals<L: AsRef<str>>(sandbox: &Sandbox, lines: &[L]) {
    let before = sandbox.tree();
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(2).plans(lines);
    assert_eq!(sandbox.tree(), before, "a plan changes nothing");
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(lines);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0).plans::<&str>(&[]);
}

#[kernel_test]
fn changed_object_is_replaced() {
    let sandbox = applied(
        &(entry("tasks_v1.bpf.o", "a")
            + &entry("many.bpf.o", "b").replace("path", "program = \"dump_task\"\npath")),
    );
    let (before, untouched) = (sandbox.link("a"), sandbox.tree()["b"].clone());
    assert_eq!(sandbox.first_line("a"), "v1\n");
    sandbox.copy("tasks_v2.bpf.o", "tasks_v1.bpf.o");
    heals(&sandbox, &["~ a  object changed"]);
    assert_eq!(sandbox.first_line("a"), "v2\n");
    assert_ne!(sandbox.link("a"), before);
    assert_eq!(sandbox.tree()["b"], untouched);
}

#[kernel_test]
fn changed_constant_is_replaced_though_the_program_tag_is_the_same() {
    let sandbox = applied(&entry("rodata.bpf.o", "a"));
    let tag = || bpf::fdinfo(&sandbox.pin("a"))["prog_tag"].clone();
    let before = tag();
    assert_eq!(sandbox.first_line("a"), "marker 1\n");
    sandbox.copy("rodata2.bpf.o", "rodata.bpf.o");
    heals(&sandbox, &["~ a  object changed"]);
    assert_eq!(sandbox.first_line("a"), "marker 2\n");
    assert_eq!(tag(), before, "otherwise this tests nothing that the test before does not");
}

#[kernel_test]
fn data_of_an_object_named_like_the_stamp_is_not_mistaken_for_it() {
    let sandbox = Sandbox::new();
    // libbpf names the map of its constants after the file: `iterctl.rodata`.
    sandbox.copy("rodata.bpf.o", "iterctl.bpf.o");
    sandbox.manifest("iters.toml", &entry("iterctl.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox.iterctl("apply -f iters.toml").exits(0).plans::<&str>(&[]);
    sandbox.copy("rodata2.bpf.o", "iterctl.bpf.o");
    heals(&sandbox, &["~ a  object changed"]);
    bpf::pin_foreign(&sandbox, "iterctl.bpf.o", "b");
    let entries = ["a", "b"].map(|path| entry("iterctl.bpf.o", path));
    sandbox.manifest("iters.toml", &entries.concat());
    let run = sandbox.iterctl("plan -f iters.toml").exits(73);
    assert!(run.stdout.starts_with("! b  pinned by another tool (unreadable stamp: "), "{run}");
}

#[kernel_test]
fn changed_program_is_replaced() {
    let sandbox = applied(&entry_with("many.bpf.o", "a", "program = \"dump_task\""));
    assert!(sandbox.first_line("a").starts_with("task "));
    sandbox.manifest("iters.toml", &entry_with("many.bpf.o", "a", "program = \"dump_file\""));
    let reasons = "program changed: dump_task -> dump_file, target changed: task -> task_file";
    heals(&sandbox, &[format!("~ a  {reasons}")]);
    assert!(sandbox.first_line("a").starts_with("file "));
}

#[kernel_test]
fn changed_map_id_is_replaced() {
    let sandbox = Sandbox::new();
    let maps = [bpf::hash_map("one"), bpf::hash_map("two")];
    bpf::insert(&maps[0], (1, 1));
    bpf::insert(&maps[1], (2, 4));
    let [one, two] = [bpf::id(&maps[0]), bpf::id(&maps[1])];
    let walking = |id: u32| entry_with("elem.bpf.o", "a", &format!("map = {{ id = {id} }}"));
    sandbox.manifest("iters.toml", &walking(one));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(sandbox.read("a"), "1 1\n");
    sandbox.manifest("iters.toml", &walking(two));
    heals(&sandbox, &[format!("~ a  map changed: {one} -> {two}")]);
    assert_eq!(sandbox.read("a"), "2 4\n");
    assert_eq!(sandbox.number("a", "map_id"), two);
}

#[kernel_test]
fn another_map_pinned_at_the_same_path_is_walked() {
    let sandbox = Sandbox::new();
    let path = sandbox.pin("conns");
    let old = bpf::pinned_hash_map(&path, (1, 1));
    let text = entry_with("elem.bpf.o", "a", "map = { pinned = \"conns\" }");
    sandbox.manifest("iters.toml", &text);
    sandbox.iterctl("apply -f iters.toml").exits(0);
    fs::remove_file(&path).expect("the map is pinned");
    let new = bpf::pinned_hash_map(&path, (2, 4));
    assert_eq!(sandbox.read("a"), "1 1\n", "an iterator keeps the map that it was given");
    let ids = (bpf::id(&old), bpf::id(&new));
    heals(&sandbox, &[format!("~ a  map changed: {} -> {}", ids.0, ids.1)]);
    assert_eq!(sandbox.read("a"), "2 4\n");
}

/// Only the access changes: the link stays the same, and so does the file.
#[track_caller]
fn heals_access(from: &str, to: &str, reason: &str, expected: &str) {
    let sandbox = applied(&entry_with("tasks_v1.bpf.o", "a", from));
    let link = sandbox.link("a");
    let inode = |sandbox: &Sandbox| sandbox.tree()["a"].rsplit(' ').next().map(str::to_owned);
    let before = inode(&sandbox);
    sandbox.manifest("iters.toml", &entry_with("tasks_v1.bpf.o", "a", to));
    heals(&sandbox, &[format!("~ a  {reason}")]);
    assert_eq!(sandbox.link("a"), link);
    assert_eq!(inode(&sandbox), before);
    let after = sandbox.tree()["a"].clone();
    assert!(after.contains(expected), "no {expected} in {after}");
}

#[kernel_test]
fn changed_access_is_set_on_the_same_link() {
    heals_access("mode = \"0440\"", "", "mode changed: 0440 -> 0600", "0600 (0, 0,");
    heals_access("", "mode = \"0444\"", "mode changed: 0600 -> 0444", "0444 (0, 0,");
    heals_access("", "owner = \"nobody\"", "owner changed: 0 -> 65534", "0600 (65534, 0,");
    heals_access(
        "group = \"4242\"",
        "group = \"4243\"",
        "group changed: 4242 -> 4243",
        "(0, 4243,",
    );
    heals_access(
        "",
        "mode = \"0400\"\nowner = \"7\"\ngroup = \"8\"",
        "mode changed: 0600 -> 0400, owner changed: 0 -> 7, group changed: 0 -> 8",
        "0400 (7, 8,",
    );
}

#[kernel_test]
fn access_that_others_have_changed_is_set_again() {
    let sandbox = applied(&entry_with("tasks_v1.bpf.o", "a", "mode = \"0440\""));
    let before = sandbox.tree();
    fs::set_permissions(sandbox.pin("a"), fs::Permissions::from_mode(0o666)).expect("root may");
    chown(sandbox.pin("a"), Some(65534), Some(65534)).expect("root may");
    heals(
        &sandbox,
        &["~ a  mode changed: 0666 -> 0440, owner changed: 65534 -> 0, group changed: 65534 -> 0"],
    );
    assert_eq!(sandbox.tree(), before);
}

#[kernel_test]
fn a_replacement_has_its_access_from_the_start() {
    let sandbox = applied(&entry("tasks_v1.bpf.o", "a"));
    sandbox.manifest("iters.toml", &entry_with("tasks_v2.bpf.o", "a", "mode = \"0444\""));
    heals(&sandbox, &["~ a  object changed, mode changed: 0600 -> 0444"]);
    assert!(sandbox.tree()["a"].contains(" 0444 "));
}

#[kernel_test]
fn removed_pin_is_made_again() {
    let sandbox = applied(&(entry("tasks_v1.bpf.o", "a/b") + &entry("tasks_v1.bpf.o", "c")));
    fs::remove_file(sandbox.pin("a/b")).expect("it is pinned");
    fs::remove_dir(sandbox.pin("a")).expect("it is empty");
    heals(&sandbox, &["+ a/b  task"]);
    assert_eq!(sandbox.paths(), ["a", "a/b", "c"]);
    assert_eq!(sandbox.first_line("a/b"), "v1\n");
}

#[kernel_test]
fn moved_pin_leaves_nothing_behind() {
    let sandbox = applied(&entry("tasks_v1.bpf.o", "old/place"));
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "new/place"));
    heals(&sandbox, &["+ new/place  task", "- old/place  no longer listed"]);
    assert_eq!(sandbox.paths(), ["new", "new/place"]);
}

#[kernel_test]
fn dropped_pin_is_removed_with_the_directories_that_it_empties() {
    let sandbox = Sandbox::new();
    for directory in ["empty", "half", "half/empty", "nest", "nest/empty"] {
        fs::create_dir(sandbox.pin(directory)).expect("nothing is there");
    }
    let _map = bpf::pinned_hash_map(&sandbox.pin("half/map"), (1, 1));
    let before = sandbox.tree();
    let keep = entry("tasks_v1.bpf.o", "shared/keep");
    let drop =
        ["gone/deep/er", "gone/two", "half/drop", "nest/drop", "shared/drop", "shared/deep/drop"];
    let drop = drop.map(|path| entry("tasks_v1.bpf.o", path)).concat();
    sandbox.manifest("iters.toml", &(keep.clone() + &drop));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox.manifest("iters.toml", &keep);
    heals(
        &sandbox,
        &[
            "- gone/deep/er  no longer listed",
            "- gone/two  no longer listed",
            "- half/drop  no longer listed",
            "- nest/drop  no longer listed",
            "- shared/deep/drop  no longer listed",
            "- shared/drop  no longer listed",
        ],
    );
    let mut after = sandbox.tree();
    assert!(after.remove("shared").is_some() && after.remove("shared/keep").is_some());
    assert_eq!(after, before);
}

#[kernel_test]
fn a_file_can_become_a_directory_and_a_directory_a_file() {
    let sandbox = applied(&entry("tasks_v1.bpf.o", "a"));
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a/b/c"));
    heals(&sandbox, &["- a  no longer listed", "+ a/b/c  task"]);
    assert_eq!(sandbox.paths(), ["a", "a/b", "a/b/c"]);
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a/b"));
    heals(&sandbox, &["+ a/b  task", "- a/b/c  no longer listed"]);
    assert_eq!(sandbox.paths(), ["a", "a/b"]);
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    heals(&sandbox, &["+ a  task", "- a/b  no longer listed"]);
    assert_eq!(sandbox.paths(), ["a"]);
    assert_eq!(sandbox.first_line("a"), "v1\n");
}

#[kernel_test]
fn all_drift_is_repaired_at_once() {
    let sandbox = applied(
        &[
            entry("rodata.bpf.o", "object"),
            entry_with("many.bpf.o", "program", "program = \"dump_task\""),
            entry_with("tasks_v1.bpf.o", "mode", "mode = \"0440\""),
            entry("tasks_v1.bpf.o", "gone"),
            entry("tasks_v1.bpf.o", "dropped"),
            entry("tasks_v1.bpf.o", "same"),
        ]
        .concat(),
    );
    let same = sandbox.tree()["same"].clone();
    sandbox.copy("rodata2.bpf.o", "rodata.bpf.o");
    fs::remove_file(sandbox.pin("gone")).expect("it is pinned");
    sandbox.manifest(
        "iters.toml",
        &[
            entry("rodata.bpf.o", "object"),
            entry_with("many.bpf.o", "program", "program = \"dump_map\""),
            entry("tasks_v1.bpf.o", "mode"),
            entry("tasks_v1.bpf.o", "gone"),
            entry("tasks_v1.bpf.o", "same"),
        ]
        .concat(),
    );
    heals(
        &sandbox,
        &[
            "- dropped  no longer listed",
            "+ gone  task",
            "~ mode  mode changed: 0440 -> 0600",
            "~ object  object changed",
            "~ program  program changed: dump_task -> dump_map, target changed: task -> bpf_map",
        ],
    );
    assert_eq!(sandbox.tree()["same"], same);
}
