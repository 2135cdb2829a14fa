//! `apply` on an empty bpffs, and again.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use iterctl_core::feature::Feature;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};
use serde_json::Value;

use super::needs::needs;
use super::sandbox::{ITERCTL, Run, Sandbox, entry, entry_with};
use super::{bpf, strace};

#[kernel_test]
fn what_is_applied_can_be_read() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "observe/tasks"));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ observe/tasks  task"]);
    let output = sandbox.read("observe/tasks");
    let own = std::process::id().to_string();
    let (header, pids) = output.split_once('\n').expect("a line");
    assert_eq!(header, "v1");
    assert!(pids.lines().any(|pid| pid == own), "not this process among {pids}");
}

#[kernel_test]
fn sleepable_iterators_are_pinned_too() {
    needs(Feature::Sleepable);
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("sleepable.bpf.o", "tasks"));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ tasks  task"]);
    assert!(sandbox.read("tasks").lines().any(|pid| pid == std::process::id().to_string()));
}

#[kernel_test]
fn an_iterator_of_a_map_walks_that_map() {
    let sandbox = Sandbox::new();
    let map = bpf::pinned_hash_map(&sandbox.pin("conns"), (7, 49));
    let keys = format!("map = {{ id = {} }}", bpf::id(&map));
    let by_path = entry_with("elem.bpf.o", "b", "map = { pinned = \"conns\" }");
    sandbox.manifest("iters.toml", &(entry_with("elem.bpf.o", "a", &keys) + &by_path));
    let parameter = format!("bpf_map_elem map {}", bpf::id(&map));
    let lines = [format!("+ a  {parameter}"), format!("+ b  {parameter}")];
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&lines);
    assert_eq!((sandbox.read("a"), sandbox.read("b")), ("7 49\n".to_owned(), "7 49\n".to_owned()));
    bpf::insert(&map, (7, 50));
    assert_eq!(sandbox.read("a"), "7 50\n", "the map itself, not a copy");
}

#[kernel_test]
fn a_map_can_be_named() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("named");
    let map = bpf::hash_map(&name);
    bpf::insert(&map, (1, 2));
    let keys = format!("map = {{ name = \"{name}\" }}");
    sandbox.manifest("iters.toml", &entry_with("elem.bpf.o", "a", &keys));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(sandbox.read("a"), "1 2\n");
    assert_eq!(sandbox.number("a", "map_id"), bpf::id(&map));
}

/// Checks mode, owner and group.
#[track_caller]
fn access(sandbox: &Sandbox, path: &str) -> (u32, u32, u32) {
    let stat = fs::symlink_metadata(sandbox.pin(path)).expect("it is there");
    (stat.mode() & 0o7777, stat.uid(), stat.gid())
}

#[kernel_test]
fn pins_and_directories_have_the_access_that_is_asked_for() {
    let sandbox = Sandbox::new();
    let text = "[defaults]\nmode = \"0440\"\ngroup = \"4242\"\ndir-mode = \"0755\"\n".to_owned()
        + &entry("tasks_v1.bpf.o", "a/b/defaults")
        + &entry_with("tasks_v1.bpf.o", "c/own", "mode = \"644\"\ndir-mode = \"0711\"")
        + &entry_with("tasks_v1.bpf.o", "root", "owner = \"nobody\"\ngroup = \"root\"");
    sandbox.manifest("iters.toml", &text);
    // The umask must have no effect.
    let script = format!("umask 0777; exec {ITERCTL} apply -f iters.toml");
    Run::of(sandbox.command("sh", "-c").arg(script)).exits(0);
    let nobody = 65534;
    assert_eq!(access(&sandbox, "a"), (0o755, 0, 4242));
    assert_eq!(access(&sandbox, "a/b"), (0o755, 0, 4242));
    assert_eq!(access(&sandbox, "a/b/defaults"), (0o440, 0, 4242));
    assert_eq!(access(&sandbox, "c"), (0o711, 0, 4242));
    assert_eq!(access(&sandbox, "c/own"), (0o644, 0, 4242));
    assert_eq!(access(&sandbox, "root"), (0o440, nobody, 0));
}

#[kernel_test]
fn what_is_not_asked_for_is_private() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a/b"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(access(&sandbox, "a"), (0o700, 0, 0));
    assert_eq!(access(&sandbox, "a/b"), (0o600, 0, 0));
}

#[kernel_test]
fn directories_stay_as_they_are_if_nothing_is_stated() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.pin("a")).expect("nothing is there");
    let before = sandbox.tree();
    sandbox.manifest("iters.toml", &entry_with("tasks_v1.bpf.o", "a/b", "owner = \"7\""));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(sandbox.tree().get("a"), before.get("a"));
}

#[kernel_test]
fn applying_again_changes_nothing() {
    let sandbox = Sandbox::new();
    let _map = bpf::pinned_hash_map(&sandbox.pin("conns"), (7, 49));
    let text = entry_with("tasks_v1.bpf.o", "observe/tasks", "mode = \"0440\"\ngroup = \"4242\"")
        + &entry_with("many.bpf.o", "files", "program = \"dump_file\"")
        + &entry_with("elem.bpf.o", "observe/deep/conns", "map = { pinned = \"conns\" }");
    sandbox.manifest("iters.toml", &text);

    let (run, calls) = strace::changes(&sandbox, "apply -f iters.toml");
    run.exits(0);
    for call in ["BPF_PROG_LOAD", "BPF_MAP_CREATE", "BPF_LINK_CREATE", "BPF_OBJ_PIN"] {
        assert!(calls.iter().any(|line| line.contains(call)), "strace did not see {call}");
    }
    for call in ["renameat2(", "mkdirat(", "unlinkat(", "chmod", "chown"] {
        assert!(calls.iter().any(|line| line.contains(call)), "strace did not see {call}");
    }

    let before = sandbox.tree();
    let (run, calls) = strace::changes(&sandbox, "apply -f iters.toml");
    let run = run.exits(0).plans::<&str>(&[]);
    assert_eq!(run.stdout, "nothing to do: 3 iterators in sync\n");
    assert_eq!(calls, [] as [&str; 0]);
    assert_eq!(sandbox.tree(), before);

    let (run, calls) = strace::changes(&sandbox, "plan --detailed-exitcode -f iters.toml");
    run.exits(0).plans::<&str>(&[]);
    assert_eq!(calls, [] as [&str; 0], "plan only looks");
}

#[kernel_test]
fn a_plan_changes_nothing_and_says_so_by_its_status() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "observe/tasks"));
    let expected = ["+ observe/tasks  task"];
    sandbox.iterctl("plan -f iters.toml").exits(0).plans(&expected);
    let (run, calls) = strace::trace(
        &sandbox,
        "-e trace=renameat2,mkdirat",
        "plan --detailed-exitcode -f iters.toml",
    );
    run.exits(2).plans(&expected);
    assert_eq!(calls, [] as [&str; 0]);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn entries_with_the_same_program_share_it() {
    let sandbox = Sandbox::new();
    let names = ["a", "b", "c/d"];
    sandbox.manifest("iters.toml", &names.map(|name| entry("tasks_v1.bpf.o", name)).concat());
    let (run, calls) = strace::trace(&sandbox, "-e trace=bpf", "apply -f iters.toml");
    run.exits(0);
    // libbpf also loads programs of its own, to find out what the kernel supports.
    let is_load = |line: &&String| {
        let names = ["\"dump\"", "\"__loader.prog\""];
        let came_to_something = !line.contains(" = -1 ");
        let is_ours = names.iter().any(|name| line.contains(name));
        line.contains("BPF_PROG_LOAD") && is_ours && came_to_something
    };
    assert_eq!(calls.iter().filter(is_load).count(), 1, "{calls:#?}");
    let programs = names.map(|name| sandbox.number(name, "prog_id"));
    assert_eq!(programs, [programs[0]; 3]);
    let links = names.map(|name| sandbox.link(name));
    assert!(links[0] != links[1] && links[1] != links[2], "a link each: {links:?}");
}

#[kernel_test]
fn descriptors_do_not_grow_with_what_is_pinned() {
    let sandbox = Sandbox::new();
    let mut text = String::new();
    for number in 0..20 {
        let object = format!("copy{number}.bpf.o");
        sandbox.copy("tasks_v1.bpf.o", &object);
        let paths = [format!("flat/{number}"), format!("{}pin{number}", "d/".repeat(number))];
        text.extend(paths.map(|path| entry(&object, &path)));
    }
    sandbox.manifest("iters.toml", &text);
    // On one core only: each core keeps a program open.
    let script = format!("ulimit -n 20; exec taskset --cpu-list 0 {ITERCTL} apply -f iters.toml");
    let run = Run::of(sandbox.command("sh", "-c").arg(script)).exits(0);
    assert!(run.stdout.ends_with("40 pinned\n"), "{run}");
}

#[kernel_test]
fn the_report_has_the_ids_that_the_kernel_has() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "observe/tasks"));
    let report = sandbox.iterctl("-j apply -f iters.toml").exits(0).json();
    assert_eq!(report["changed"], true);
    let change = &report["changes"][0];
    assert_eq!(change["action"], "pin");
    assert_eq!(change["path"], sandbox.pin("observe/tasks").to_string_lossy().as_ref());
    assert_eq!(change["after"]["link_id"], sandbox.link("observe/tasks"));
    assert_eq!(change["after"]["program_id"], sandbox.number("observe/tasks", "prog_id"));
    let report = sandbox.iterctl("-j apply -f iters.toml").exits(0).json();
    assert_eq!(report["changed"], false);
}

/// The stamp of the pin: the id of its map, and its contents as bpftool shows them.
#[track_caller]
fn stamp(sandbox: &Sandbox, path: &str) -> (u32, Value) {
    let program = sandbox.number(path, "prog_id");
    let shown = sandbox.run("bpftool", &format!("-j prog show id {program}")).exits(0).json();
    let ids = shown["map_ids"].as_array().expect("it has maps").iter();
    let maps =
        ids.map(|id| sandbox.run("bpftool", &format!("-j map show id {id}")).exits(0).json());
    let map = maps.into_iter().find(|map| map["name"] == "iterctl.rodata").expect("the stamp");
    assert_eq!(map["frozen"], 1);
    let dump = sandbox.run("bpftool", &format!("-j map dump id {}", map["id"])).exits(0).json();
    let text = &dump[0]["formatted"]["value"][".rodata"][0]["bpf_metadata_iterctl"];
    let text = text.as_str().unwrap_or_else(|| panic!("no stamp in {dump}"));
    let id = map["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id");
    (id, serde_json::from_str(text).expect("JSON"))
}

#[kernel_test]
fn the_stamp_says_where_a_program_is_from_and_is_frozen() {
    let sandbox = Sandbox::new();
    let text = "set = \"observe\"\n".to_owned()
        + &entry_with("many.bpf.o", "files", "program = \"dump_file\"");
    sandbox.manifest("etc/iters.toml", &text.replace("many", "../many"));
    sandbox.iterctl("apply -f etc/iters.toml").exits(0);
    let (id, stamp) = stamp(&sandbox, "files");

    let sum = sandbox.run("sha256sum", "many.bpf.o").exits(0);
    let object = fs::canonicalize(stamp["object"].as_str().expect("a path")).expect("a file");
    assert_eq!(object, sandbox.file("many.bpf.o"));
    assert_eq!(stamp["set"], "observe");
    assert_eq!(stamp["source"][0], sandbox.file("etc/iters.toml").to_string_lossy().as_ref());
    assert_eq!(stamp["sha256"], sum.stdout[..64]);
    assert_eq!(stamp["program"], "dump_file");
    assert_eq!(stamp["version"], env!("CARGO_PKG_VERSION"));

    let map = MapHandle::from_map_id(id).expect("the map lives as long as the program");
    let value = vec![0; map.value_size() as usize];
    let error = map.update(&[0; 4], &value, MapFlags::ANY).expect_err("it is frozen");
    assert!(error.to_string().contains("Operation not permitted"), "{error:#}");
}

#[kernel_test]
fn a_program_that_is_loaded_already_is_used_for_new_pins() {
    let sandbox = Sandbox::new();
    let walks = |path: &str| entry_with("own_map.bpf.o", path, "map = { own = \"own_elems\" }");
    let ids = |path: &str| ["prog_id", "map_id"].map(|key| sandbox.number(path, key));
    sandbox.manifest("iters.toml", &walks("a"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let first = ids("a");

    sandbox.manifest("iters.toml", &(walks("a") + &walks("b")));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ b  bpf_map_elem own map own_elems"]);
    assert_eq!([ids("a"), ids("b")], [first, first]);

    // The stamp names the object's file, so an object in another file needs another program.
    fs::create_dir(sandbox.file("other")).expect("own folder");
    sandbox.copy("own_map.bpf.o", "other/own_map.bpf.o");
    let other = walks("c").replace("own_map.bpf.o", "other/own_map.bpf.o");
    sandbox.manifest("iters.toml", &(walks("a") + &walks("b") + &other));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!([ids("a"), ids("b")], [first, first]);
    assert!(ids("c") != first, "it has a program and a map of its own");
}
