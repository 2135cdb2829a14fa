//! Something foreign is at the path of a wanted pin: it is not touched.

use std::fs;
use std::os::unix::fs::symlink;

use super::bpf;
use super::sandbox::{Sandbox, entry};

#[track_caller]
fn pin_foreign(sandbox: &Sandbox, path: &str) {
    bpf::pin_foreign(sandbox, "tasks_v2.bpf.o", path);
}

/// Pins an iterator of the set `theirs`.
#[track_caller]
fn pin_of_another_set(sandbox: &Sandbox, path: &str) {
    sandbox.manifest("theirs.toml", &entry("tasks_v2.bpf.o", path));
    sandbox.iterctl("apply -f theirs.toml").exits(0);
}

#[track_caller]
fn pin_map(sandbox: &Sandbox, path: &str) {
    drop(bpf::pinned_hash_map(&sandbox.pin(path), (1, 1)));
}

#[track_caller]
fn make_directory(sandbox: &Sandbox, path: &str) {
    fs::create_dir(sandbox.pin(path)).expect("nothing is there");
}

#[track_caller]
fn link_to(sandbox: &Sandbox, target: &str, path: &str) {
    symlink(target, sandbox.pin(path)).expect("nothing is there");
}

/// `place` puts something at `x`, where one of two entries is to be pinned. Nothing at all is done, and the
/// plan says why, with each of `options`.
#[track_caller]
fn is_refused(options: &[&str], place: impl FnOnce(&Sandbox, &str), reason: &str) {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &(entry("tasks_v1.bpf.o", "x") + &entry("rodata.bpf.o", "y")));
    place(&sandbox, "x");
    let before = sandbox.tree();
    for options in options {
        let plan = sandbox.iterctl(&format!("plan --detailed-exitcode -f iters.toml {options}"));
        let lines = [format!("! x  {reason}"), "+ y  task".to_owned()];
        plan.exits(73).plans(&lines);
        let apply = sandbox.iterctl(&format!("apply -f iters.toml {options}")).exits(73);
        let apply = apply.says(&format!("error: `x`: {reason}")).says("nothing was changed");
        assert_eq!(apply.stdout, "", "it has done nothing");
        assert_eq!(sandbox.tree(), before);
    }
}

#[kernel_test]
fn iterators_of_others_are_refused_unless_adopted() {
    is_refused(&[""], pin_foreign, "pinned by another tool");
    is_refused(&[""], pin_of_another_set, "pinned by the set theirs");
}

#[kernel_test]
fn other_objects_are_refused_even_with_adopt() {
    let always = ["", "--adopt"];
    is_refused(&always, pin_map, "not an iterator but a pinned map");
    is_refused(&always, bpf::pin_program, "not an iterator but a pinned program");
    is_refused(&always, bpf::pin_other_link, "not an iterator but a pinned raw_tracepoint link");
    is_refused(&always, make_directory, "not an iterator but a directory");
}

#[kernel_test]
fn symbolic_links_are_refused_wherever_they_lead() {
    let always = ["", "--adopt"];
    let reason = "not an iterator but a symbolic link";
    is_refused(&always, |sandbox, path| link_to(sandbox, "nowhere", path), reason);
    is_refused(&always, |sandbox, path| link_to(sandbox, "/etc/passwd", path), reason);
    let to_an_iterator = |sandbox: &Sandbox, path: &str| {
        pin_foreign(sandbox, "real");
        link_to(sandbox, "real", path);
    };
    is_refused(&always, to_an_iterator, reason);
}

/// `place` has put a foreign iterator at `x`: `--adopt` takes it over.
#[track_caller]
fn is_adopted(place: impl FnOnce(&Sandbox, &str), reason: &str) {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "x"));
    place(&sandbox, "x");
    pin_foreign(&sandbox, "bystander");
    let (before, bystander) = (sandbox.link("x"), sandbox.tree()["bystander"].clone());
    sandbox.iterctl("plan --adopt -f iters.toml").exits(0).plans(&[format!("~ x  {reason}")]);
    sandbox.iterctl("apply --adopt -f iters.toml").exits(0).plans(&[format!("~ x  {reason}")]);
    assert_ne!(sandbox.link("x"), before);
    assert_eq!(sandbox.first_line("x"), "v1\n");
    assert_eq!(sandbox.tree()["bystander"], bystander, "it is not listed");
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

#[kernel_test]
fn adopt_takes_over_iterators() {
    is_adopted(pin_foreign, "taken over from another tool");
    is_adopted(pin_of_another_set, "taken over from the set theirs");
}

#[kernel_test]
fn an_adopted_iterator_is_always_replaced() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v2.bpf.o", "x"));
    pin_foreign(&sandbox, "x");
    let before = sandbox.link("x");
    sandbox.iterctl("apply --adopt -f iters.toml").exits(0);
    assert_ne!(sandbox.link("x"), before, "the same object, but nobody's stamp is on it");
}

/// `place` puts something at `x`, below which an entry is to be pinned.
#[track_caller]
fn is_no_parent(place: impl FnOnce(&Sandbox, &str)) {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "x/deep/er"));
    place(&sandbox, "x");
    let before = sandbox.tree();
    let expected = ["! x/deep/er  its parent `x` is not a directory"];
    for options in ["", "--adopt"] {
        sandbox.iterctl(&format!("plan -f iters.toml {options}")).exits(73).plans(&expected);
        sandbox.iterctl(&format!("apply -f iters.toml {options}")).exits(73);
        assert_eq!(sandbox.tree(), before);
    }
}

#[kernel_test]
fn a_parent_that_is_no_directory_is_refused() {
    is_no_parent(pin_foreign);
    is_no_parent(pin_of_another_set);
    is_no_parent(pin_map);
    is_no_parent(|sandbox, path| link_to(sandbox, "nowhere", path));
}

#[kernel_test]
fn everything_in_the_way_is_named() {
    let sandbox = Sandbox::new();
    let entries = ["a", "b", "c", "d/e"].map(|path| entry("tasks_v1.bpf.o", path));
    sandbox.manifest("iters.toml", &entries.concat());
    pin_foreign(&sandbox, "a");
    pin_map(&sandbox, "b");
    bpf::pin_program(&sandbox, "d");
    let apply = sandbox.iterctl("apply -f iters.toml").exits(73);
    apply
        .says("`a`: pinned by another tool")
        .says("`b`: not an iterator but a pinned map")
        .says("`d/e`: its parent `d` is not a directory");
    assert_eq!(sandbox.paths(), ["a", "b", "d"]);
}

/// Tools show the comment of a report and often nothing else, so it has the reason too.
#[kernel_test]
fn the_comment_says_what_it_is() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &(entry("tasks_v1.bpf.o", "x") + &entry("rodata.bpf.o", "y")));
    let comment = |command: &str| {
        let report = sandbox.iterctl(&format!("-j {command} -f iters.toml")).exits(73).json();
        report["comment"].as_str().expect("a text").to_owned()
    };

    pin_foreign(&sandbox, "x");
    assert_eq!(comment("plan"), "apply would change nothing: `x`: pinned by another tool");
    assert_eq!(
        comment("apply"),
        "nothing was changed: 1 thing is in the way: `x`: pinned by another tool"
    );

    pin_of_another_set(&sandbox, "y");
    let both = "2 things are in the way; the first: `x`: pinned by another tool";
    assert_eq!(comment("plan"), format!("apply would change nothing: {both}"));
    assert_eq!(comment("apply"), format!("nothing was changed: {both}"));
}

#[kernel_test]
fn the_report_and_the_plan_have_the_same_rows() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &(entry("tasks_v1.bpf.o", "x") + &entry("rodata.bpf.o", "y")));
    pin_foreign(&sandbox, "x");
    let report =
        |command: &str| sandbox.iterctl(&format!("-j {command} -f iters.toml")).exits(73).json();
    let (plan, apply) = (report("plan"), report("apply"));
    assert_eq!(apply["changes"].as_array().expect("a list").len(), 1);
    assert_eq!(apply["changes"][0], plan["changes"][0]);
    assert_eq!(apply["changes"][0]["action"], "blocked");
    assert_eq!((&apply["summary"]["blocked"], &apply["summary"]["pin"]), (&1.into(), &0.into()));
}
