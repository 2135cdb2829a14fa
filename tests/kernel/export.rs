//! `export`: its manifest describes what is pinned, and `plan` finds it in sync.

use iterctl_core::feature::Feature;
use libbpf_rs::MapType;

use super::bpf;
use super::needs::{needs, target};
use super::sandbox::{Sandbox, entry, entry_with};
use super::walked::{Cgroup, Process};

/// Applies these entries and exports them: the plan of the exported manifest has nothing to do, also after
/// everything was unpinned and pinned from that manifest.
#[track_caller]
fn round_trip(sandbox: &Sandbox, entries: &str) -> String {
    sandbox.manifest("iters.toml", entries);
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let exported = export(sandbox, "");
    sandbox.write("exported.toml", &exported);
    let plan = |file: &str| sandbox.iterctl(&format!("plan --detailed-exitcode -f {file}"));
    plan("exported.toml").exits(0).plans::<&str>(&[]);

    sandbox.iterctl("unpin --bpffs bpf --set iters").exits(0);
    sandbox.iterctl("apply -f exported.toml").exits(0);
    plan("iters.toml --set iters").exits(0).plans::<&str>(&[]);
    assert_eq!(export(sandbox, ""), exported);
    exported
}

/// The output of `export`.
#[track_caller]
fn export(sandbox: &Sandbox, words: &str) -> String {
    let run = sandbox.iterctl(&format!("export --bpffs bpf {words}")).exits(0);
    assert_eq!(run.stderr, "", "{run}");
    run.stdout
}

#[kernel_test]
fn pins_without_a_parameter() {
    let sandbox = Sandbox::new();
    let many = entry_with("many.bpf.o", "a/files", "program = \"dump_file\"");
    let exported = round_trip(&sandbox, &(entry("tasks_v1.bpf.o", "a/b/c") + &many));
    assert!(exported.starts_with("set = \"iters\"\nbpffs = "), "{exported}");
}

#[kernel_test]
fn maps_that_are_walked() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("walked");
    let mut map = bpf::hash_map(&name);
    map.pin(sandbox.pin("map")).expect("nothing is there");
    let id = bpf::id(&map);
    let entries = entry_with("elem.bpf.o", "id", &format!("map = {{ id = {id} }}"))
        + &entry_with("elem.bpf.o", "pinned", "map = { pinned = \"map\" }")
        + &entry_with("elem.bpf.o", "name", &format!("map = {{ name = \"{name}\" }}"));
    let exported = round_trip(&sandbox, &entries);
    assert_eq!(exported.matches(&format!("map = {{ id = {id} }}")).count(), 3, "{exported}");
}

#[kernel_test]
fn maps_of_the_objects_own() {
    let sandbox = Sandbox::new();
    let (unused, used) = ("map.own = \"own_elems\"", "map.own = \"a_map_with_a_long_name\"");
    let entries =
        entry_with("own_map.bpf.o", "a", unused) + &entry_with("own_map_used.bpf.o", "b", used);
    let exported = round_trip(&sandbox, &entries);
    assert!(exported.contains("map = { own = \"own_elems\" }"), "{exported}");
    assert!(exported.contains("map = { own = \"a_map_with_a_long_name\" }"), "{exported}");
}

#[kernel_test]
fn tasks_and_cgroups() {
    needs(Feature::TaskParameters);
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let (process, cgroup) = (Process::start(), Cgroup::new(&sandbox));
    let pid = process.pid();
    let path = cgroup.path("").display().to_string();
    let mut entries = entry_with("target_task.bpf.o", "pid", &format!("task.pid = {pid}"))
        + &entry_with("target_task.bpf.o", "tid", &format!("task.tid = {pid}"));
    for order in ["self-only", "descendants-pre", "descendants-post", "ancestors-up"] {
        let keys = format!("cgroup = {{ path = \"{path}\", order = \"{order}\" }}");
        entries += &entry_with("target_cgroup.bpf.o", order, &keys);
    }
    let exported = round_trip(&sandbox, &entries);
    assert!(exported.contains(&format!("task = {{ pid = {pid} }}")), "{exported}");
    assert!(exported.contains(&format!("task = {{ tid = {pid} }}")), "{exported}");
}

#[kernel_test]
fn globals_and_given_maps() {
    let sandbox = Sandbox::new();
    let mut map = bpf::map(MapType::Array, "seen", 8);
    map.pin(sandbox.pin("seen")).expect("nothing is there");
    let globals = "globals = { u8 = 0xff, s8 = -1, flag = true, name = \"a \\\"b\\\" \\\\ \\t\", \
         level = \"LEVEL_HIGH\", array = [1, 2], grid = [[1], [2, 3]], nested.a.b = 1, \
         nested.s = \"x\", data = 3, bss = 4 }";
    let entries = entry_with("globals.bpf.o", "globals", globals)
        + &entry("globals.bpf.o", "none")
        + &entry_with("reuse.bpf.o", "reused", "maps.seen.pinned = \"seen\"")
        + &entry("reuse.bpf.o", "own");
    round_trip(&sandbox, &entries);
}

#[kernel_test]
fn sizes_of_maps() {
    let sandbox = Sandbox::new();
    let keys = "max-entries = { filled = 5, counted = 3 }";
    let exported = round_trip(&sandbox, &entry_with("open_size.bpf.o", "x", keys));
    assert!(exported.contains("max-entries = { counted = 3, filled = 5 }"), "{exported}");
}

#[kernel_test]
fn modes_and_owners() {
    let sandbox = Sandbox::new();
    let keys = "mode = \"0444\"\nowner = \"12\"\ngroup = \"34\"\ndir-mode = \"0755\"";
    let exported = round_trip(&sandbox, &entry_with("rodata.bpf.o", "a", keys));
    assert!(exported.contains("mode = \"0444\"\nowner = \"12\"\ngroup = \"34\""), "{exported}");
}

#[kernel_test]
fn several_sets_need_a_name() {
    let sandbox = Sandbox::new();
    let pin = |path: &str, set: &str| {
        let words = format!("pin --bpffs {} rodata.bpf.o", sandbox.bpffs().display());
        sandbox.iterctl(&format!("{words} {path} --set {set}")).exits(0)
    };
    pin("a", "one");
    pin("b", "two");
    let run = sandbox.iterctl("export --bpffs bpf").exits(64);
    assert_eq!(run.stdout, "");
    run.says("several sets have pins: choose one with `--set`: `one`, `two`");
    let one = export(&sandbox, "--set one");
    assert!(one.contains("path = \"a\"") && !one.contains("path = \"b\""), "{one}");
    sandbox.iterctl("export --bpffs bpf --set three").exits(64).says("no set `three` has pins");
}

#[kernel_test]
fn foreign_pins_are_left_out_and_noted() {
    let sandbox = Sandbox::new();
    bpf::pin_foreign(&sandbox, "rodata.bpf.o", "theirs");
    sandbox.manifest("iters.toml", &entry("rodata.bpf.o", "ours"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let run = sandbox.iterctl("export --bpffs bpf").exits(0);
    assert!(run.stdout.contains("path = \"ours\"") && !run.stdout.contains("theirs"), "{run}");
    run.says("note: left out").says("theirs");
    let report = sandbox.iterctl("-j export --bpffs bpf").exits(0).json();
    let manifest = report["manifest"].as_str().expect("a manifest");
    let plan = sandbox.iterctl_reading("plan --detailed-exitcode -f -", manifest);
    plan.exits(0).plans::<&str>(&[]);
}

#[kernel_test]
fn nothing_pinned_is_an_empty_manifest() {
    let sandbox = Sandbox::new();
    let bpffs = sandbox.bpffs().display().to_string();
    let exported = sandbox.iterctl(&format!("export --bpffs {bpffs}")).exits(0).stdout;
    assert_eq!(exported, format!("bpffs = \"{bpffs}\"\n"));
}
