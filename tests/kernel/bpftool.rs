//! bpftool and iterctl side by side, on the same objects: what both do in the same way, and what bpftool
//! gets wrong. docs/bpftool.md describes it.

use std::fs;
use std::process::id as own_pid;

use iterctl_core::feature::Feature;
use rustix::io::Errno;
use serde_json::Value;

use super::bpf;
use super::needs::{needs, target};
use super::sandbox::{Run, Sandbox, entry_with};
use super::walked::{Cgroup, Process};

/// `bpftool iter pin` with these arguments, separated by spaces.
#[track_caller]
fn bpftool_pin(sandbox: &Sandbox, words: &str) -> Run {
    sandbox.run("bpftool", &format!("iter pin {words}"))
}

/// `iterctl pin` with the same arguments.
#[track_caller]
fn iterctl_pin(sandbox: &Sandbox, words: &str) -> Run {
    sandbox.iterctl(&format!("pin --bpffs {} {words}", sandbox.bpffs().display()))
}

/// bpftool's information on the link pinned there, without the ids that no two links share.
#[track_caller]
fn link_info(sandbox: &Sandbox, path: &str) -> Value {
    let run = sandbox.run("bpftool", &format!("-j link show pinned bpf/{path}")).exits(0);
    let mut info = run.json();
    let keys = info.as_object_mut().expect("one link");
    for id in ["id", "prog_id"] {
        assert!(keys.remove(id).is_some(), "no {id}: {run}");
    }
    // The processes that have it open, if this bpftool lists them.
    keys.remove("pids");
    info
}

/// The link's fdinfo, without those ids.
#[track_caller]
fn fdinfo(sandbox: &Sandbox, path: &str) -> Vec<(String, String)> {
    let info = bpf::fdinfo(&sandbox.pin(path));
    assert!(info.contains_key("target_name"), "an iterator's link: {info:?}");
    // The inode and the mount belong to the descriptor, not to the link. The tag is computed from the
    // instructions as they were given to the kernel, in which a generated loader names maps in another way.
    let own = ["link_id", "prog_id", "prog_tag", "ino", "mnt_id", "pos", "flags"];
    info.into_iter().filter(|(key, _)| !own.contains(&key.as_str())).collect()
}

/// Both pin the object with the same arguments: same bytes, same link, same program.
#[track_caller]
fn pin_the_same(sandbox: &Sandbox, object: &str, map: &str, output: &str) {
    let (theirs, ours) = (sandbox.bpffs().join("theirs"), sandbox.bpffs().join("ours"));
    bpftool_pin(sandbox, &format!("{object} {} {map}", theirs.display())).exits(0);
    iterctl_pin(sandbox, &format!("{object} {} {map}", ours.display())).exits(0);
    assert_eq!(sandbox.read("theirs"), output);
    assert_eq!(sandbox.read("ours"), output);
    assert_eq!(link_info(sandbox, "theirs"), link_info(sandbox, "ours"));
    assert_eq!(fdinfo(sandbox, "theirs"), fdinfo(sandbox, "ours"));
    for path in [theirs, ours] {
        fs::remove_file(path).expect("it was pinned");
    }
}

#[kernel_test]
fn an_iterator_without_a_parameter_is_the_same() {
    let sandbox = Sandbox::new();
    pin_the_same(&sandbox, "rodata.bpf.o", "", "marker 1\n");
    pin_the_same(&sandbox, "no_core.bpf.o", "", "object 0\n");
    pin_the_same(&sandbox, "globals.bpf.o", "", &sandbox.iterctl("read globals.bpf.o").stdout);
}

#[kernel_test]
fn an_iterator_over_a_map_is_the_same_however_it_is_named() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("both");
    let mut map = bpf::hash_map(&name);
    bpf::insert(&map, (1, 10));
    map.pin(sandbox.pin("walked")).expect("nothing is there");
    let pin = sandbox.pin("walked").display().to_string();
    for map in [format!("id {}", bpf::id(&map)), format!("pinned {pin}"), format!("name {name}")] {
        let map = format!("map {map}");
        pin_the_same(&sandbox, "elem.bpf.o", &map, "1 10\n");
        pin_the_same(&sandbox, "target_bpf_map_elem.bpf.o", &map, "bpf_map_elem\n1 10\n");
    }
}

#[kernel_test]
fn an_iterator_over_a_sockmap_is_the_same() {
    let sandbox = Sandbox::new();
    let map = bpf::map(libbpf_rs::MapType::Sockmap, "sockets", 4);
    let output: String = (0..16).map(|key| format!("{key} empty\n")).collect();
    pin_the_same(&sandbox, "sockmap.bpf.o", &format!("map id {}", bpf::id(&map)), &output);
}

#[kernel_test]
fn common_tools_work_on_both_pins() {
    let sandbox = Sandbox::new();
    bpftool_pin(&sandbox, "rodata.bpf.o bpf/theirs").exits(0);
    iterctl_pin(&sandbox, "rodata.bpf.o ours").exits(0);
    for path in ["bpf/theirs", "bpf/ours"] {
        let cat = sandbox.run("cat", path).exits(0).stdout;
        assert_eq!(cat, "marker 1\n");
        assert_eq!(sandbox.iterctl(&format!("read {path}")).exits(0).stdout, cat);
    }
    // Each unpins what the other has pinned; iterctl only if the path is given.
    let unpin = format!("unpin --bpffs {}", sandbox.bpffs().display());
    sandbox.iterctl(&format!("{unpin} theirs")).exits(73);
    sandbox.iterctl(&format!("{unpin} theirs --adopt")).exits(0);
    sandbox.run("rm", "bpf/ours").exits(0);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    iterctl_pin(&sandbox, "rodata.bpf.o ours").exits(0).plans(&["+ ours  task"]);
}

#[kernel_test]
fn flags_and_help_are_the_same() {
    let sandbox = Sandbox::new();
    let theirs = sandbox.run("bpftool", "-j -V").exits(0).json();
    let ours = sandbox.iterctl("-j -V").exits(0).json();
    for key in ["version", "libbpf_version"] {
        let same_kind = ours[key].is_string() && theirs[key].is_string();
        assert!(same_kind, "{key}: {ours} {theirs}");
    }
    let grammar = "iter pin OBJ PATH [map MAP]";
    let help = sandbox.run("bpftool", "iter help").exits(0);
    assert!((help.stdout + &help.stderr).contains(grammar));
    let help = sandbox.iterctl("help pin").exits(0).stdout;
    assert!(["<OBJ>", "<PATH>", "[map MAP]"].iter().all(|word| help.contains(word)), "{help}");

    let said = "libbpf: loading ";
    let theirs = sandbox.run("bpftool", "-d iter pin rodata.bpf.o bpf/theirs").exits(0).says(said);
    let bpffs = sandbox.bpffs().display().to_string();
    let ours = sandbox.iterctl(&format!("-d -j pin --bpffs {bpffs} rodata.bpf.o ours")).exits(0);
    let ours = ours.says(said);
    assert_eq!(theirs.stdout, "");
    // It is still one document.
    assert_eq!(ours.json()["changed"], true);
}

#[kernel_test]
fn a_map_for_a_task_iterator_becomes_a_thread_id() {
    needs(Feature::TaskParameters);
    let sandbox = Sandbox::new();
    let _map = bpf::pinned_hash_map(&sandbox.pin("map"), (1, 1));
    let map = format!("map pinned {}", sandbox.pin("map").display());
    // Its status is 0, and it walks whichever thread has the number of the map's descriptor.
    bpftool_pin(&sandbox, &format!("tasks_v1.bpf.o bpf/theirs {map}")).exits(0);
    let info = link_info(&sandbox, "theirs");
    assert!(info["tid"].as_u64().is_some_and(|tid| tid < 10), "a small number: {info}");
    let own = own_pid().to_string();
    assert!(!sandbox.read("theirs").lines().any(|line| line == own), "it does not walk all tasks");

    let before = sandbox.tree();
    let run = iterctl_pin(&sandbox, &format!("tasks_v1.bpf.o ours {map}")).exits(65);
    run.says(&format!("error: `{map}`: target `task` takes no map"));
    assert_eq!(sandbox.tree(), before);
}

#[kernel_test]
fn a_map_for_a_cgroup_iterator_becomes_an_order() {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let _map = bpf::pinned_hash_map(&sandbox.pin("map"), (1, 1));
    let map = format!("map pinned {}", sandbox.pin("map").display());
    bpftool_pin(&sandbox, "target_cgroup.bpf.o bpf/theirs").says("Invalid argument");
    bpftool_pin(&sandbox, &format!("target_cgroup.bpf.o bpf/theirs {map}")).exits(0);
    let info = link_info(&sandbox, "theirs");
    assert!(info["order"].is_string(), "nobody has said one: {info}");

    let run = iterctl_pin(&sandbox, &format!("target_cgroup.bpf.o ours {map}")).exits(65);
    run.says(&format!("error: `{map}`: target `cgroup` takes no map"));
    let run = iterctl_pin(&sandbox, "target_cgroup.bpf.o ours").exits(65);
    run.says("error: target `cgroup` needs a cgroup");
}

#[kernel_test]
fn the_first_of_several_iterators_is_pinned_silently() {
    let sandbox = Sandbox::new();
    let run = bpftool_pin(&sandbox, "many.bpf.o bpf/theirs").exits(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    assert_eq!(link_info(&sandbox, "theirs")["target_name"], "task");

    let run = iterctl_pin(&sandbox, "many.bpf.o ours").exits(65);
    run.says("`dump_task` (task), `dump_file` (task_file), `dump_map` (bpf_map)");
    iterctl_pin(&sandbox, "many.bpf.o ours --program dump_map").exits(0);
    assert_eq!(link_info(&sandbox, "ours")["target_name"], "bpf_map");
}

#[kernel_test]
fn a_sibling_that_does_not_load_fails_the_whole_object() {
    let sandbox = Sandbox::new();
    let run = bpftool_pin(&sandbox, "sibling.bpf.o bpf/theirs");
    assert!(!run.succeeded(), "{run}");
    run.says("can't load objfile sibling.bpf.o");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);

    iterctl_pin(&sandbox, "sibling.bpf.o ours").exits(0).plans(&["+ ours  task"]);
    assert!(sandbox.read("ours").lines().any(|pid| pid == own_pid().to_string()));
}

#[kernel_test]
fn a_path_that_is_in_use_is_an_error() {
    let sandbox = Sandbox::new();
    bpftool_pin(&sandbox, "tasks_v1.bpf.o bpf/x").exits(0);
    let before = sandbox.tree();
    // bpftool's exit status is the negated errno.
    bpftool_pin(&sandbox, "tasks_v1.bpf.o bpf/x").exits(256 - EEXIST).says("pin_iter failed");
    bpftool_pin(&sandbox, "tasks_v2.bpf.o bpf/x").exits(256 - EEXIST).says("pin_iter failed");
    assert_eq!(sandbox.tree(), before);

    iterctl_pin(&sandbox, "tasks_v1.bpf.o x").exits(73).says("pinned by another tool");
    assert_eq!(sandbox.tree(), before);
    iterctl_pin(&sandbox, "tasks_v1.bpf.o x --adopt").exits(0);
    iterctl_pin(&sandbox, "tasks_v1.bpf.o x").exits(0).plans::<&str>(&[]);
    iterctl_pin(&sandbox, "tasks_v2.bpf.o x").exits(0).plans(&["~ x  object changed"]);
    assert_eq!(sandbox.first_line("x"), "v2\n");
}

const EEXIST: i32 = Errno::EXIST.raw_os_error();

#[kernel_test]
fn a_path_outside_bpffs_hides_the_files_there() {
    let sandbox = Sandbox::new();
    let files = ["plain/file", "other/file"];
    files.iter().for_each(|file| sandbox.write(file, "precious"));

    bpftool_pin(&sandbox, "tasks_v1.bpf.o plain/theirs").exits(0);
    assert!(!sandbox.file("plain/file").exists(), "a bpffs is mounted over it");
    let bpffs = sandbox.run("stat", "-f -c %T plain").exits(0).stdout;
    assert_eq!(bpffs, "bpf_fs\n");

    let other = sandbox.file("other").display().to_string();
    let run = iterctl_pin(&sandbox, &format!("tasks_v1.bpf.o {other}/ours")).exits(65);
    run.says("pin path is not below the bpffs");
    let pin =
        |more: &str| sandbox.iterctl(&format!("pin --bpffs {other} tasks_v1.bpf.o ours {more}"));
    pin("").exits(69).says("is not a bpffs");
    let run = pin("--mount");
    assert!(!run.succeeded(), "there is something to hide: {run}");
    let kept = fs::read_to_string(sandbox.file("other/file")).expect("nothing hides it");
    assert_eq!(kept, "precious");
}

#[kernel_test]
fn parent_directories_are_not_made() {
    let sandbox = Sandbox::new();
    let run = bpftool_pin(&sandbox, "tasks_v1.bpf.o bpf/new/theirs");
    assert!(!run.succeeded(), "{run}");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    iterctl_pin(&sandbox, "tasks_v1.bpf.o new/ours").exits(0);
    assert_eq!(sandbox.paths(), ["new", "new/ours"]);
}

#[kernel_test]
fn flags_that_bpftool_does_not_have() {
    needs(Feature::TaskParameters);
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let (process, cgroup) = (Process::start(), Cgroup::new(&sandbox));
    let grammar = sandbox.run("bpftool", "iter help").exits(0);
    let grammar = grammar.stdout + &grammar.stderr;
    assert!(grammar.contains("iter pin OBJ PATH [map MAP]"), "{grammar}");
    for word in ["pid", "tid", "cgroup", "order", "global", "reuse", "mode", "owner", "program"] {
        assert!(!grammar.contains(word), "bpftool has {word} now: {grammar}");
    }
    // bpftool ignores them and walks all tasks.
    let pid = process.pid();
    bpftool_pin(&sandbox, &format!("target_task.bpf.o bpf/theirs pid {pid}")).exits(0);
    let own = own_pid().to_string();
    assert!(sandbox.read("theirs").lines().any(|line| line == own));
    iterctl_pin(&sandbox, "target_task.bpf.o ours pid 1")
        .exits(64)
        .says("`pid 1` is not `map id N`");

    iterctl_pin(&sandbox, &format!("target_task.bpf.o task --pid {pid}")).exits(0);
    assert_eq!(sandbox.read("task"), format!("task\n{pid}\n"));
    let path = cgroup.path("").display().to_string();
    let words = format!("target_cgroup.bpf.o cgroup --cgroup {path} --order self-only");
    iterctl_pin(&sandbox, &words).exits(0);
    assert_eq!(sandbox.read("cgroup"), format!("cgroup\n{}\n", cgroup.id("")));
}

#[kernel_test]
fn bpftool_does_not_name_the_set_of_a_pin_but_shows_the_stamp() {
    let sandbox = Sandbox::new();
    bpftool_pin(&sandbox, "rodata.bpf.o bpf/theirs").exits(0);
    sandbox.manifest("iters.toml", &entry_with("rodata.bpf.o", "ours", ""));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let list = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
    let pins = list["pins"].as_array().expect("a list");
    let set = |name: &str| {
        let path = sandbox.pin(name).display().to_string();
        let pin = pins.iter().find(|pin| pin["path"] == path.as_str()).expect("it is listed");
        pin["set"].clone()
    };
    assert_eq!(set("theirs"), Value::Null);
    assert_eq!(set("ours"), "iters");
    assert!(!maps(&sandbox, "theirs").contains("iterctl.rodata"));
    assert!(maps(&sandbox, "ours").contains("iterctl.rodata"));
}

/// bpftool's dump of the maps of the program that is pinned there.
#[track_caller]
fn maps(sandbox: &Sandbox, path: &str) -> String {
    let id = sandbox.number(path, "prog_id");
    let program = sandbox.run("bpftool", &format!("-j prog show id {id}")).exits(0).json();
    let ids = program["map_ids"].as_array().expect("every fixture has constants");
    let show = |id: &Value| sandbox.run("bpftool", &format!("map show id {id}")).exits(0).stdout;
    ids.iter().map(show).collect()
}
