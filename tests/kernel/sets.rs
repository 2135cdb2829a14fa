//! Two sets on one bpffs, and one set name for two manifests.

use super::sandbox::{Sandbox, entry};

/// A sandbox with one applied manifest for each of the sets `a` and `b`; both have a pin in `shared`.
#[track_caller]
fn two_sets() -> Sandbox {
    let sandbox = Sandbox::new();
    for set in ["a", "b"] {
        let entries = ["shared/pin_of_", "own_"].map(|path| format!("{path}{set}"));
        let entries = entries.map(|path| entry("tasks_v1.bpf.o", &path)).concat();
        sandbox.manifest(&format!("{set}.toml"), &entries);
        sandbox.iterctl(&format!("apply -f {set}.toml")).exits(0);
    }
    assert_eq!(sandbox.paths(), ["own_a", "own_b", "shared", "shared/pin_of_a", "shared/pin_of_b"]);
    sandbox
}

/// Whatever `arguments` do, the pins of the other set stay the same.
#[track_caller]
fn leaves_the_other_alone(sandbox: &Sandbox, arguments: &str, left: &[&str]) {
    let before = sandbox.tree();
    sandbox.iterctl(arguments).exits(0);
    let after = sandbox.tree();
    for path in ["own_b", "shared", "shared/pin_of_b"] {
        assert_eq!(after.get(path), before.get(path), "{path}");
    }
    assert_eq!(after.into_keys().collect::<Vec<_>>(), left);
    sandbox.iterctl("plan --detailed-exitcode -f b.toml").exits(0);
}

#[kernel_test]
fn a_set_that_shrinks_leaves_the_other_alone() {
    let sandbox = two_sets();
    sandbox.manifest("a.toml", &entry("tasks_v2.bpf.o", "own_a"));
    let left = ["own_a", "own_b", "shared", "shared/pin_of_b"];
    leaves_the_other_alone(&sandbox, "apply -f a.toml", &left);
}

#[kernel_test]
fn a_set_that_is_unpinned_leaves_the_other_alone() {
    let left = ["own_b", "shared", "shared/pin_of_b"];
    leaves_the_other_alone(&two_sets(), "unpin --bpffs bpf --set a", &left);
    leaves_the_other_alone(&two_sets(), "unpin -f a.toml", &left);
    let sandbox = two_sets();
    sandbox.manifest("a.toml", "");
    leaves_the_other_alone(&sandbox, "apply --allow-empty -f a.toml", &left);
}

#[kernel_test]
fn two_sets_can_have_pins_of_one_object() {
    let sandbox = two_sets();
    let programs = ["own_a", "own_b"].map(|path| sandbox.number(path, "prog_id"));
    assert_ne!(programs[0], programs[1], "a program has the stamp of one set");
}

/// `one/iters.toml` has been applied; `two/iters.toml` has another pin, and starts with this text.
#[track_caller]
fn same_file_name(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.manifest("one/iters.toml", &entry("../tasks_v1.bpf.o", "one"));
    sandbox.manifest("two/iters.toml", &(text.to_owned() + &entry("../tasks_v1.bpf.o", "two")));
    sandbox.iterctl("apply -f one/iters.toml").exits(0);
    sandbox
}

#[kernel_test]
fn two_manifests_with_the_same_file_name_are_distinguished() {
    let sandbox = same_file_name("");
    let before = sandbox.tree();
    let sources = ["one", "two"].map(|folder| sandbox.file(folder).join("iters.toml"));
    let [one, two] = sources.map(|path| path.display().to_string());
    for command in ["apply", "plan", "unpin"] {
        sandbox
            .iterctl(&format!("{command} -f two/iters.toml"))
            .exits(73)
            .says(&format!("pins of the set `iters` come from {one}, and this is {two}"))
            .says("`set = \"iters\"`")
            .says("`--set iters`");
        assert_eq!(sandbox.tree(), before);
    }
    // `--adopt` is for foreign pins, but these have an owner, which is unknown.
    sandbox.iterctl("apply --adopt -f two/iters.toml").exits(73);
    assert_eq!(sandbox.tree(), before);
    sandbox.iterctl("apply -f one/iters.toml").exits(0).plans::<&str>(&[]);
}

#[kernel_test]
fn another_name_for_the_set_keeps_both_manifests_pins() {
    let sandbox = same_file_name("");
    sandbox.iterctl("apply --set two -f two/iters.toml").exits(0).plans(&["+ two  task"]);
    assert_eq!(sandbox.paths(), ["one", "two"]);
    let sandbox = same_file_name("set = \"two\"\n");
    sandbox.iterctl("apply -f two/iters.toml").exits(0).plans(&["+ two  task"]);
    assert_eq!(sandbox.paths(), ["one", "two"]);
    sandbox.iterctl("apply -f one/iters.toml").exits(0).plans::<&str>(&[]);
}

#[kernel_test]
fn the_same_name_written_explicitly_is_the_same_set() {
    let lines = ["- one  no longer listed", "+ two  task"];
    let sandbox = same_file_name("");
    sandbox.iterctl("apply --set iters -f two/iters.toml").exits(0).plans(&lines);
    assert_eq!(sandbox.paths(), ["two"]);
    let sandbox = same_file_name("set = \"iters\"\n");
    sandbox.iterctl("apply -f two/iters.toml").exits(0).plans(&lines);
    assert_eq!(sandbox.paths(), ["two"]);
}
