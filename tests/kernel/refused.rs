//! Objects that the kernel refuses, together with good ones: nothing is changed, and every failure is
//! reported.

use super::bpf;
use super::sandbox::{Run, Sandbox, entry, entry_with};

/// A set in which one pin is in sync, one has drifted, one is to be removed and one is missing, so that any
/// change would show. `more` are the entries that fail.
#[track_caller]
fn busy(sandbox: &Sandbox, more: &str) {
    let paths = ["same", "changes", "old/goes"];
    sandbox.manifest("iters.toml", &paths.map(|path| entry("tasks_v1.bpf.o", path)).concat());
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let entries = entry("tasks_v1.bpf.o", "same")
        + &entry("tasks_v2.bpf.o", "changes")
        + &entry("rodata.bpf.o", "new/pin")
        + more;
    sandbox.manifest("iters.toml", &entries);
}

/// The command fails with this status, changes nothing and leaves nothing behind.
#[track_caller]
fn fails_whole(sandbox: &Sandbox, status: i32) -> Run {
    let before = sandbox.tree();
    let run = sandbox.iterctl("apply -f iters.toml").exits(status);
    assert_eq!(sandbox.tree(), before);
    assert_eq!(run.stdout, "", "it has done nothing");
    run.says("nothing was changed")
}

#[kernel_test]
fn a_program_that_the_verifier_rejects_changes_nothing() {
    let sandbox = Sandbox::new();
    busy(&sandbox, &entry("rejected.bpf.o", "bad"));
    let object = sandbox.file("rejected.bpf.o");
    fails_whole(&sandbox, 1)
        .says(&format!("failed to load `dump` of {} for `bad`", object.display()))
        .says("the verifier rejected it")
        .says("ptr_or_null_")
        .says("hint: a pointer in the context may be NULL");
}

#[kernel_test]
fn debug_shows_the_whole_log_of_the_verifier() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("rejected.bpf.o", "bad"));
    let (few, all) = ("apply -f iters.toml", "-d apply -f iters.toml");
    let few = sandbox.iterctl(few).exits(1);
    let all = sandbox.iterctl(all).exits(1);
    let last = "processed ";
    assert!(!few.stderr.contains(last) && all.stderr.contains(last), "{few}\n{all}");
}

#[kernel_test]
fn every_failure_is_reported() {
    let sandbox = Sandbox::new();
    sandbox.copy("rejected.bpf.o", "other.bpf.o");
    let map = bpf::pinned_hash_map(&sandbox.pin("conns"), (1, 1));
    let more = entry("rejected.bpf.o", "bad/one")
        + &entry("other.bpf.o", "bad/two")
        + &entry_with("elem_wide.bpf.o", "bad/three", "map = { pinned = \"conns\" }");
    busy(&sandbox, &more);
    let small = format!("map {} has smaller keys or values", bpf::id(&map));
    fails_whole(&sandbox, 1)
        .says("rejected.bpf.o for `bad/one`")
        .says("other.bpf.o for `bad/two`")
        .says("failed to attach `bad/three`")
        .says(&small);
}

#[kernel_test]
fn the_failures_are_in_the_json_too() {
    let sandbox = Sandbox::new();
    busy(&sandbox, &entry("rejected.bpf.o", "bad"));
    let report = sandbox.iterctl("-j apply -f iters.toml").exits(1).json();
    assert_eq!(report["changed"], false);
    let diagnostics = report["diagnostics"].as_array().expect("a list");
    let error = diagnostics.iter().find(|one| one["severity"] == "error").expect("an error");
    assert!(error["causes"].to_string().contains("ptr_or_null_"), "{error}");
}

#[kernel_test]
fn a_target_that_the_kernel_does_not_have_is_unavailable() {
    let sandbox = Sandbox::new();
    busy(&sandbox, &entry("future.bpf.o", "future"));
    fails_whole(&sandbox, 69).says("this kernel has no target `no_such_target`");
}

#[kernel_test]
fn other_failures_override_the_status_of_a_missing_feature() {
    let sandbox = Sandbox::new();
    busy(&sandbox, &(entry("future.bpf.o", "future") + &entry("rejected.bpf.o", "bad")));
    fails_whole(&sandbox, 1).says("no_such_target").says("the verifier rejected it");
}

#[kernel_test]
fn a_sibling_that_cannot_be_loaded_does_not_matter() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("sibling.bpf.o", "tasks"));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ tasks  task"]);
    assert!(sandbox.read("tasks").lines().any(|pid| pid == std::process::id().to_string()));
}

#[kernel_test]
fn an_object_without_an_iterator_is_invalid() {
    let sandbox = Sandbox::new();
    busy(&sandbox, &entry("none.bpf.o", "none"));
    let before = sandbox.tree();
    sandbox.iterctl("apply -f iters.toml").exits(65).says("the object holds no iterator");
    assert_eq!(sandbox.tree(), before);
}
