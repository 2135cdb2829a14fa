//! `pin`: pins one iterator, with bpftool's arguments and with flags for all other keys of an entry.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use iterctl_core::feature::Feature;
use libbpf_rs::MapType;

use super::bpf;
use super::needs::{needs, target};
use super::sandbox::{Run, Sandbox, entry};
use super::walked::{Cgroup, Process, Thread};

/// `pin` with these arguments, separated by spaces.
#[track_caller]
fn pin(sandbox: &Sandbox, words: &str) -> Run {
    sandbox.iterctl(&format!("pin --bpffs {} {words}", sandbox.bpffs().display()))
}

/// Pins with this line. The manifest that `pin` prints says the same, in text and in JSON, and pinning
/// again has nothing to do.
#[track_caller]
fn pins(sandbox: &Sandbox, words: &str, line: &str) -> String {
    let run = pin(sandbox, &format!("{words} -v")).exits(0).plans(&[line]);
    let (_, manifest) = run.stdout.split_once("\n\n").expect("an empty line, then the manifest");
    let manifest = manifest.to_owned();
    // The manifest has one entry: other pins of the set are not listed in it.
    let plan = sandbox.iterctl_reading("-j plan -f -", &manifest).exits(0).json();
    assert_eq!(plan["summary"]["unchanged"], 1, "{plan}");
    let changes = plan["changes"].as_array().expect("a list");
    assert!(changes.iter().all(|change| change["action"] == "unpin"), "{plan}");
    let before = sandbox.tree();
    let again = sandbox.iterctl(&format!("-j pin --bpffs {} {words}", sandbox.bpffs().display()));
    let report = again.exits(0).json();
    assert_eq!(report["changed"], false, "{report}");
    assert_eq!(report["manifest"], manifest, "{report}");
    assert_eq!(sandbox.tree(), before);
    manifest
}

/// The command line or the entry is wrong, and nothing is pinned.
#[track_caller]
fn is_wrong(words: &str, status: i32, text: &str) {
    let sandbox = Sandbox::new();
    pin(&sandbox, words).exits(status).says(text);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn the_map_is_given_as_for_bpftool() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("walked");
    let mut map = bpf::hash_map(&name);
    bpf::insert(&map, (1, 2));
    map.pin(sandbox.pin("map")).expect("nothing is there");
    let (id, path) = (bpf::id(&map), sandbox.pin("map").display().to_string());
    let line = |path: &str| format!("+ {path}  bpf_map_elem map {id}");
    pins(&sandbox, &format!("elem.bpf.o by/id map id {id}"), &line("by/id"));
    pins(&sandbox, &format!("elem.bpf.o by/pin map pinned {path}"), &line("by/pin"));
    pins(&sandbox, &format!("elem.bpf.o by/name map name {name}"), &line("by/name"));
    for path in ["by/id", "by/pin", "by/name"] {
        assert_eq!(sandbox.read(path), "1 2\n");
    }
}

#[kernel_test]
fn a_map_of_the_objects_own_is_walked() {
    let sandbox = Sandbox::new();
    let words = "own_map_used.bpf.o x map own a_map_with_a_long_name";
    pins(&sandbox, words, "+ x  bpf_map_elem own map a_map_with_a_long_name");
    assert_eq!(sandbox.read("x"), "0 1\n1 1\n2 1\n");
}

#[kernel_test]
fn unknown_arguments_are_a_usage_error() {
    let kinds = "is not `map id N`, `map pinned FILE`, `map name NAME` or `map own NAME`";
    for words in ["map", "map id", "map id x", "map id 4294967296", "map at x", "maps id 1"] {
        is_wrong(&format!("elem.bpf.o x {words}"), 64, &format!("error: `{words}` {kinds}"));
    }
    is_wrong("elem.bpf.o x map id 1 2", 64, &format!("error: `map id 1 2` {kinds}"));
    is_wrong("elem.bpf.o", 64, "<PATH>");
    is_wrong("target_task.bpf.o x --pid 1 --tid 1", 64, "cannot be used with");
    is_wrong("target_cgroup.bpf.o x --order self-only", 64, "--cgroup");
    is_wrong("target_cgroup.bpf.o x --cgroup 1", 64, "--order");
    is_wrong("globals.bpf.o x --global u8", 64, "`--global u8` is not `--global NAME=VALUE`");
    is_wrong("reuse.bpf.o x --reuse seen", 64, "`--reuse seen` is not `--reuse NAME=id:N`");
    let is_not = "`--max-entries seen=0` is not `--max-entries NAME=N`";
    is_wrong("reuse.bpf.o x --max-entries seen=0", 64, is_not);
}

#[kernel_test]
fn faults_of_the_entry_are_reported_as_arguments() {
    is_wrong("target_cgroup.bpf.o x --cgroup 1 --order up", 65, "unknown order `up`");
    is_wrong("globals.bpf.o x --global u8=256", 65, "error: `--global u8=256`: too small");
    is_wrong("reuse.bpf.o x --reuse other=id:1", 65, "the object declares no map `other`");
    is_wrong("reuse.bpf.o x --max-entries other=1", 65, "the object declares no map `other`");
    is_wrong("reuse.bpf.o x --max-entries seen=1 --max-entries seen=2", 65, "seen");
    let both = "reuse.bpf.o x --max-entries seen=1 --reuse seen=id:1";
    is_wrong(both, 65, "`--reuse` uses an existing map for `seen`, which has a size");
    is_wrong("rodata.bpf.o x --sha256 00", 65, "not a SHA-256 in hex");
    is_wrong("no_such.bpf.o x", 65, "no object at ");
    is_wrong("tasks_v1.bpf.o x --mode 999", 65, "error: `--mode 999`: `999` is not a mode");
    is_wrong("tasks_v1.bpf.o x --set a/b", 65, "error: `a/b` is not a set name");
}

#[kernel_test]
fn several_iterators_are_listed() {
    let all = "`dump_task` (task), `dump_file` (task_file), `dump_map` (bpf_map)";
    is_wrong("many.bpf.o x", 65, all);
    let sandbox = Sandbox::new();
    pins(&sandbox, "many.bpf.o x --program dump_file", "+ x  task_file");
}

#[kernel_test]
fn a_task_or_a_thread_is_walked() {
    needs(Feature::TaskParameters);
    let (sandbox, process, thread) = (Sandbox::new(), Process::start(), Thread::start());
    let (pid, tid) = (process.pid(), thread.tid());
    let line = format!("+ pid  task pid {pid}");
    pins(&sandbox, &format!("target_task.bpf.o pid --pid {pid}"), &line);
    assert_eq!(sandbox.read("pid"), format!("task\n{pid}\n"));
    let line = format!("+ tid  task tid {tid}");
    pins(&sandbox, &format!("target_task.bpf.o tid --tid {tid}"), &line);
    assert_eq!(sandbox.read("tid"), format!("task\n{tid}\n"));
}

#[kernel_test]
fn a_cgroup_is_walked() {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let cgroup = Cgroup::new(&sandbox);
    cgroup.make("child");
    let (path, id) = (cgroup.path("").display().to_string(), cgroup.id(""));
    let words = format!("--cgroup {path} --order descendants-post");
    let line = format!("+ path  cgroup cgroup {id} descendants-post");
    let manifest = pins(&sandbox, &format!("target_cgroup.bpf.o path {words}"), &line);
    assert!(manifest.contains(&format!("path = \"{path}\", order = ")), "{manifest}");
    assert_eq!(sandbox.read("path"), format!("cgroup\n{}\n{id}\n", cgroup.id("child")));
    let words = format!("--cgroup {id} --order descendants-pre");
    let line = format!("+ id  cgroup cgroup {id} descendants-pre");
    let manifest = pins(&sandbox, &format!("target_cgroup.bpf.o id {words}"), &line);
    assert!(manifest.contains(&format!("id = {id}, order = ")), "{manifest}");
    assert_eq!(sandbox.read("id"), format!("cgroup\n{id}\n{}\n", cgroup.id("child")));
}

#[kernel_test]
fn globals_are_toml_or_else_text() {
    let sandbox = Sandbox::new();
    let globals =
        ["u8=9", "flag=true", "name=nginx", "array=[4,3]", "nested.a.b=7", "level=LEVEL_HIGH"];
    let words: Vec<String> = globals.iter().map(|one| format!("--global {one}")).collect();
    pins(&sandbox, &format!("globals.bpf.o x {}", words.join(" ")), "+ x  task");
    let output = sandbox.read("x");
    let lines = ["u8 9", "flag 1", "name nginx", "array 4 3 0 0", "nested 7 one", "level 7"];
    for line in lines {
        assert!(output.lines().any(|found| found == line), "no {line:?} in {output}");
    }
    pin(&sandbox, "globals.bpf.o x").exits(0).plans(&["~ x  globals changed"]);
}

#[kernel_test]
fn text_cannot_escape_from_its_value() {
    let sandbox = Sandbox::new();
    for (path, text) in [("a", "x\"},mode=\"0444"), ("b", "'}#"), ("c", "\\\"\\"), ("d", "a=b=c")] {
        let words = format!("globals.bpf.o {path} --global name={text}");
        pins(&sandbox, &format!("{words} --set {path}"), &format!("+ {path}  task"));
        let line = format!("\nname {text}\n");
        assert!(sandbox.read(path).contains(&line), "no {line:?} in {}", sandbox.read(path));
    }
}

#[kernel_test]
fn existing_maps_are_reused() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("reused");
    let mut map = bpf::map(MapType::Array, &name, 8);
    map.pin(sandbox.pin("seen")).expect("nothing is there");
    let path = sandbox.pin("seen").display().to_string();
    let all = [format!("id:{}", bpf::id(&map)), format!("pinned:{path}"), format!("name:{name}")];
    for (number, map) in all.iter().enumerate() {
        let path = format!("x{number}");
        pins(
            &sandbox,
            &format!("reuse.bpf.o {path} --reuse seen={map}"),
            &format!("+ {path}  task"),
        );
        assert_eq!(sandbox.read(&path), format!("seen {}\n", number + 1));
    }
}

#[kernel_test]
fn maps_are_given_sizes() {
    let sandbox = Sandbox::new();
    let words = "open_size.bpf.o x --max-entries filled=5 --max-entries counted=3";
    let manifest = pins(&sandbox, words, "+ x  task");
    assert!(manifest.contains("max-entries = { \"filled\" = 5, \"counted\" = 3 }"), "{manifest}");
    assert_eq!(sandbox.read("x"), "filled 5\ncounted 3\n");
    let lines = ["~ x  max-entries of `counted` changed: 3 -> own"];
    pin(&sandbox, "open_size.bpf.o x --max-entries filled=5").exits(0).plans(&lines);
    assert_eq!(sandbox.read("x"), "filled 5\ncounted 2\n");
}

#[kernel_test]
fn mode_owner_group_and_the_mode_of_directories() {
    let sandbox = Sandbox::new();
    let flags = "--mode 0440 --owner 12 --group 34 --dir-mode 0750";
    pins(&sandbox, &format!("rodata.bpf.o a/b/c {flags}"), "+ a/b/c  task");
    let stat = |path: &str| fs::metadata(sandbox.pin(path)).expect("it is there");
    let pinned = stat("a/b/c");
    assert_eq!((pinned.mode() & 0o7777, pinned.uid(), pinned.gid()), (0o440, 12, 34));
    assert_eq!([stat("a").mode() & 0o7777, stat("a/b").mode() & 0o7777], [0o750; 2]);
    // Defaults are the same as in a manifest.
    let run = pin(&sandbox, "rodata.bpf.o a/b/c").exits(0);
    run.plans(&[
        "~ a/b/c  mode changed: 0440 -> 0600, owner changed: 12 -> 0, group changed: 34 -> 0",
    ]);
}

#[kernel_test]
fn the_path_is_absolute_or_relative_to_the_bpffs() {
    let sandbox = Sandbox::new();
    pins(&sandbox, "rodata.bpf.o a/b", "+ a/b  task");
    let absolute = sandbox.pin("a/b").display().to_string();
    pin(&sandbox, &format!("rodata.bpf.o {absolute}")).exits(0).plans::<&str>(&[]);
    let absolute = sandbox.pin("c").display().to_string();
    pins(&sandbox, &format!("rodata.bpf.o {absolute}"), "+ c  task");
    let object = sandbox.file("rodata.bpf.o").display().to_string();
    pin(&sandbox, &format!("{object} a/b")).exits(0).plans::<&str>(&[]);
}

#[kernel_test]
fn another_object_replaces_its_own_pin() {
    let sandbox = Sandbox::new();
    pins(&sandbox, "tasks_v1.bpf.o x", "+ x  task");
    pins(&sandbox, "tasks_v2.bpf.o x", "~ x  object changed");
    assert_eq!(sandbox.first_line("x"), "v2\n");
}

#[kernel_test]
fn other_pins_of_the_set_stay() {
    let sandbox = Sandbox::new();
    pins(&sandbox, "rodata.bpf.o a/one", "+ a/one  task");
    let one = sandbox.tree()["a/one"].clone();
    pins(&sandbox, "rodata.bpf.o a/two", "+ a/two  task");
    assert_eq!(sandbox.tree()["a/one"], one);
    sandbox
        .iterctl("unpin --bpffs bpf --set adhoc")
        .exits(0)
        .plans(&["- a/one  asked for", "- a/two  asked for"].map(str::to_owned));
}

#[kernel_test]
fn foreign_pins_are_refused_unless_adopted() {
    let sandbox = Sandbox::new();
    bpf::pin_foreign(&sandbox, "tasks_v1.bpf.o", "theirs");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "sets"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let before = sandbox.tree();
    for (path, reason) in [("theirs", "another tool"), ("sets", "the set iters")] {
        let run = pin(&sandbox, &format!("tasks_v2.bpf.o {path}")).exits(73);
        run.says(&format!("`{path}`: pinned by {reason}")).says("`--adopt` takes it over");
        assert_eq!(sandbox.tree(), before);
    }
    for (path, reason) in [("theirs", "another tool"), ("sets", "the set iters")] {
        let run = pin(&sandbox, &format!("tasks_v2.bpf.o {path} --adopt")).exits(0);
        run.plans(&[format!("~ {path}  taken over from {reason}")]);
        assert_eq!(sandbox.first_line(path), "v2\n");
    }
}

#[kernel_test]
fn a_set_can_be_named() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("rodata.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let manifest = pins(&sandbox, "rodata.bpf.o b --set other", "+ b  task");
    assert!(manifest.contains("set = \"other\"\n"), "{manifest}");
    pin(&sandbox, "rodata.bpf.o b").exits(73).says("pinned by the set other");
    let list = sandbox.iterctl("list --bpffs bpf --set other").exits(0).stdout;
    assert!(list.contains("\nb ") && !list.contains("\na "), "{list}");
    assert_eq!(sandbox.paths(), ["a", "b"]);
}
