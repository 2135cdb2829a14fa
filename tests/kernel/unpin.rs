//! `unpin`: removes a set, or single pins, and nothing else.

use std::fs;

use super::bpf;
use super::sandbox::{Sandbox, entry};

/// The set `iters` with pins at `a`, `b/c` and `b/d`, and a foreign iterator at `foreign`.
#[track_caller]
fn three_pins() -> Sandbox {
    let sandbox = Sandbox::new();
    let paths = ["a", "b/c", "b/d"];
    sandbox.manifest("iters.toml", &paths.map(|path| entry("tasks_v1.bpf.o", path)).concat());
    sandbox.iterctl("apply -f iters.toml").exits(0);
    bpf::pin_foreign(&sandbox, "tasks_v2.bpf.o", "foreign");
    sandbox
}

/// These arguments unpin these paths, and leave the paths in `left`.
#[track_caller]
fn unpins(sandbox: &Sandbox, arguments: &str, gone: &[&str], left: &[&str]) {
    let before = sandbox.tree();
    let lines: Vec<String> = gone.iter().map(|path| format!("- {path}  asked for")).collect();
    sandbox.iterctl(&format!("unpin {arguments}")).exits(0).plans(&lines);
    let after = sandbox.tree();
    assert_eq!(after.keys().collect::<Vec<_>>(), left);
    assert!(after.iter().all(|(path, what)| before.get(path) == Some(what)), "{after:?}");
}

#[kernel_test]
fn a_whole_set_is_unpinned_and_nothing_else() {
    let all = ["a", "b/c", "b/d"];
    unpins(&three_pins(), "-f iters.toml", &all, &["foreign"]);
    unpins(&three_pins(), "--set iters --bpffs bpf", &all, &["foreign"]);
    let sandbox = three_pins();
    unpins(&sandbox, "--set other --bpffs bpf", &[], &["a", "b", "b/c", "b/d", "foreign"]);
    unpins(&sandbox, "--set iters --bpffs bpf", &all, &["foreign"]);
    unpins(&sandbox, "--set iters --bpffs bpf", &[], &["foreign"]);
}

#[kernel_test]
fn the_objects_need_not_be_there() {
    let sandbox = three_pins();
    fs::remove_file(sandbox.file("tasks_v1.bpf.o")).expect("own folder");
    unpins(&sandbox, "-f iters.toml", &["a", "b/c", "b/d"], &["foreign"]);
}

#[kernel_test]
fn unlisted_pins_are_unpinned_with_their_set() {
    let sandbox = three_pins();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    unpins(&sandbox, "-f iters.toml", &["a", "b/c", "b/d"], &["foreign"]);
}

#[kernel_test]
fn single_pins_are_unpinned() {
    let sandbox = three_pins();
    unpins(&sandbox, "--bpffs bpf b/c", &["b/c"], &["a", "b", "b/d", "foreign"]);
    let absolute = sandbox.pin("b/d").display().to_string();
    let arguments = format!("--bpffs {} {absolute} a", sandbox.bpffs().display());
    unpins(&sandbox, &arguments, &["a", "b/d"], &["foreign"]);
}

/// Nothing is unpinned, and this is printed.
#[track_caller]
fn is_refused(sandbox: &Sandbox, arguments: &str, status: i32, reason: &str) {
    let before = sandbox.tree();
    sandbox.iterctl(&format!("unpin --bpffs bpf {arguments}")).exits(status).says(reason);
    assert_eq!(sandbox.tree(), before);
}

#[kernel_test]
fn all_paths_are_unpinned_or_none() {
    let sandbox = three_pins();
    let _map = bpf::pinned_hash_map(&sandbox.pin("map"), (1, 1));
    is_refused(&sandbox, "a nothing b/c", 1, "`nothing`: nothing is pinned there");
    is_refused(&sandbox, "a foreign", 73, "`foreign`: pinned by another tool");
    is_refused(&sandbox, "a map", 73, "`map`: not an iterator but a pinned map");
    is_refused(&sandbox, "--adopt a map", 73, "`map`: not an iterator but a pinned map");
    is_refused(&sandbox, "a b", 73, "`b`: not an iterator but a directory");
    is_refused(&sandbox, "a /etc/passwd", 64, "/etc/passwd is not below");
}

#[kernel_test]
fn foreign_iterators_are_unpinned_with_adopt() {
    let left = ["a", "b", "b/c", "b/d"];
    unpins(&three_pins(), "--adopt --bpffs bpf foreign", &["foreign"], &left);
}

#[kernel_test]
fn an_empty_manifest_is_refused_without_allow_empty() {
    let sandbox = three_pins();
    sandbox.manifest("iters.toml", "");
    let before = sandbox.tree();
    for command in ["plan", "apply"] {
        let run = sandbox.iterctl(&format!("{command} -f iters.toml")).exits(65);
        run.says("the manifest of the set `iters` lists nothing").says("`--allow-empty`");
        assert_eq!(sandbox.tree(), before);
    }
    let lines = ["a", "b/c", "b/d"].map(|path| format!("- {path}  no longer listed"));
    sandbox.iterctl("plan --allow-empty -f iters.toml").exits(0).plans(&lines);
    sandbox.iterctl("apply --allow-empty -f iters.toml").exits(0).plans(&lines);
    assert_eq!(sandbox.paths(), ["foreign"]);
}
