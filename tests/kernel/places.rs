//! Errors of the kernel about a manifest's entry point at the key that caused them, as faults do.

use libbpf_rs::MapType;

use super::bpf;
use super::sandbox::{Sandbox, entry, entry_with};
use super::strace;

/// `iters.toml`: a valid entry in lines 2 to 5, followed by these.
fn manifest(sandbox: &Sandbox, entries: &str) {
    sandbox.manifest("iters.toml", &(entry("tasks_v1.bpf.o", "good") + entries));
}

/// The output, with `DIR` for the sandbox's folder and without the verifier's log.
fn told(sandbox: &Sandbox, said: &str) -> String {
    let said = said.replace(&sandbox.path().display().to_string(), "DIR");
    let lines = said.lines().filter(|line| !line.starts_with("    "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The apply fails with exactly this output; in JSON, the first error has that line and column.
#[track_caller]
fn check(sandbox: &Sandbox, status: i32, expected: &str, place: (u64, u64)) {
    let run = sandbox.iterctl("apply -f iters.toml").exits(status);
    assert_eq!(told(sandbox, &run.stderr), expected, "{run}");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    let report = sandbox.iterctl("-j apply -f iters.toml").exits(status).json();
    let found = &report["diagnostics"][0]["place"];
    let expected = serde_json::json!({ "file": "iters.toml", "line": place.0, "column": place.1 });
    assert_eq!(*found, expected, "{report}");
    let comment = report["comment"].as_str().expect("a text");
    assert!(
        comment.contains(&format!("iters.toml:{}:{}: failed to ", place.0, place.1)),
        "{comment}"
    );
}

#[kernel_test]
fn load_errors_point_at_the_object() {
    let sandbox = Sandbox::new();
    // Both entries share a program, which fails once.
    manifest(&sandbox, &(entry("future.bpf.o", "x") + &entry("future.bpf.o", "y")));
    let expected = "\
error: failed to load `dump` of DIR/future.bpf.o for `x` and 1 more
 --> iters.toml:7:7
  |
7 | obj = \"future.bpf.o\"
  |       ^^^^^^^^^^^^^^
  caused by: this kernel has no target `no_such_target`
  hint: check the program's SEC(\"iter/…\")
note: nothing was changed
";
    check(&sandbox, 69, expected, (7, 7));
}

#[kernel_test]
fn every_error_has_its_own_place() {
    let sandbox = Sandbox::new();
    let missing = entry_with("target_task.bpf.o", "y", "task = { pid = 4194305 }");
    manifest(&sandbox, &(entry("rejected.bpf.o", "x") + &missing));
    let expected = "\
error: failed to load `dump` of DIR/rejected.bpf.o for `x`
 --> iters.toml:7:7
  |
7 | obj = \"rejected.bpf.o\"
  |       ^^^^^^^^^^^^^^^^
  caused by: the verifier rejected it; the last lines of its log (all with --debug):
  hint: a pointer in the context may be NULL: copy it into a local variable, and check the variable before you use it
error: failed to attach `y`
  --> iters.toml:13:8
   |
13 | task = { pid = 4194305 }
   |        ^^^^^^^^^^^^^^^^^
  caused by: there is no process 4194305
note: nothing was changed
";
    check(&sandbox, 1, expected, (7, 7));
}

#[kernel_test]
fn an_unsuitable_map_is_shown_where_it_is_named() {
    let sandbox = Sandbox::new();
    let id = bpf::id(&bpf::pinned_hash_map(&sandbox.pin("seen"), (1, 1)));
    let check = |entry: &str, expected: &str, place| {
        sandbox.manifest("iters.toml", entry);
        let run = sandbox.iterctl("apply -f iters.toml").exits(1);
        assert_eq!(told(&sandbox, &run.stderr), expected.replace("MAP", &id.to_string()), "{run}");
        let report = sandbox.iterctl("-j apply -f iters.toml").exits(1).json();
        assert_eq!(report["diagnostics"][0]["place"]["line"], place, "{report}");
    };
    check(
        &entry_with("elem_wide.bpf.o", "x", "map = { pinned = \"seen\" }"),
        "\
error: failed to attach `x`
 --> iters.toml:5:7
  |
5 | map = { pinned = \"seen\" }
  |       ^^^^^^^^^^^^^^^^^^^
  caused by: map MAP has smaller keys or values than the program reads
  hint: walk a map whose keys and values are at least as large as those that the program reads
note: nothing was changed
",
        5,
    );
    check(
        &entry_with("reuse.bpf.o", "x", "[iter.maps]\nseen = { pinned = \"seen\" }"),
        "\
error: failed to load `dump` of DIR/reuse.bpf.o for `x`
 --> iters.toml:6:8
  |
6 | seen = { pinned = \"seen\" }
  |        ^^^^^^^^^^^^^^^^^^^
  caused by: map MAP cannot be used as the object's map `seen`: its type is hash, not array
  hint: use a map with the same type, key size and value size as the object declares
note: nothing was changed
",
        6,
    );
}

#[kernel_test]
fn pin_errors_point_at_the_path() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry_with("tasks_v1.bpf.o", "x", "owner = \"12\""));
    let head = "\
error: failed to pin `x`
 --> iters.toml:4:8
  |
4 | path = \"x\"
  |        ^^^
  caused by: ";
    // Once in the staging directory, and once when the pin is put in its place.
    for (call, when) in [("fchownat", "1"), ("renameat2", "1")] {
        let run = strace::inject(&sandbox, call, "error=EIO", when, "apply -f iters.toml").exits(1);
        assert!(run.stderr.starts_with(head), "{run}");
        assert_eq!(sandbox.paths(), [] as [&str; 0]);
    }
}

#[kernel_test]
fn errors_of_skipped_entries_have_places_too() {
    let sandbox = Sandbox::new();
    let small = bpf::map(MapType::Hash, "narrow", 4);
    let map = format!("map = {{ id = {} }}", bpf::id(&small));
    manifest(&sandbox, &(entry("rejected.bpf.o", "x") + &entry_with("elem.bpf.o", "y", &map)));
    let run = sandbox.iterctl("apply --keep-going -f iters.toml").exits(1);
    let said = told(&sandbox, &run.stderr);
    let load = "error: failed to load `dump` of DIR/rejected.bpf.o for `x`\n --> iters.toml:7:7\n";
    assert!(said.contains(load), "{run}");
    assert!(said.contains("error: failed to attach `y`\n  --> iters.toml:13:7\n"), "{run}");
    assert_eq!(sandbox.paths(), ["good"]);
    let report = sandbox.iterctl("-j apply --keep-going -f iters.toml").exits(1).json();
    let places = ["diagnostics", "changes"].map(|list| report[list].as_array().expect("a list"));
    let [places, rows] = places.map(|all| all.iter());
    let lines: Vec<_> = places.map(|one| one["place"]["line"].clone()).collect();
    assert_eq!(lines, [13, 7], "{report}");
    let lines: Vec<_> = rows.map(|row| row["source"]["line"].clone()).collect();
    assert_eq!(lines, [7, 13], "{report}");
}

#[kernel_test]
fn arguments_have_no_place_in_a_manifest() {
    let sandbox = Sandbox::new();
    let pin = |words: &str| format!("pin --bpffs {} {words}", sandbox.bpffs().display());
    let run = sandbox.iterctl(&pin("target_task.bpf.o x --pid 4194305")).exits(1);
    let expected = "\
error: failed to attach `x`
  caused by: there is no process 4194305
note: nothing was changed
";
    assert_eq!(run.stderr, expected);
    let report = sandbox.iterctl(&format!("-j {}", pin("future.bpf.o x"))).exits(69).json();
    assert!(report["diagnostics"][0]["place"].is_null(), "{report}");
    let report = sandbox.iterctl(&format!("-j {}", pin("tasks_v1.bpf.o x"))).exits(0).json();
    assert_eq!(report["changes"][0]["action"], "pin");
    assert!(report["changes"][0]["source"].is_null(), "{report}");
}
