//! Maps to walk that are missing, ambiguous or unsuitable; and maps that an object wants to share.

use std::fs;

use libbpf_rs::{MapCore as _, MapFlags, MapType};

use super::bpf;
use super::sandbox::{Sandbox, entry, entry_with};
use super::strace::trace;

/// An entry with this map cannot be pinned: nothing at all is done, and the plan says why.
#[track_caller]
fn is_refused(sandbox: &Sandbox, map: &str, reason: &str) {
    let entries = entry_with("elem.bpf.o", "x", &format!("map = {{ {map} }}"));
    sandbox.manifest("iters.toml", &(entries + &entry("tasks_v1.bpf.o", "y")));
    let before = sandbox.tree();
    let lines = [format!("! x  {reason}"), "+ y  task".to_owned()];
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(1).plans(&lines);
    let apply = sandbox.iterctl("apply -f iters.toml").exits(1);
    apply.says(&format!("error: `x`: {reason}")).says("nothing was changed");
    assert_eq!(sandbox.tree(), before);
}

#[kernel_test]
fn a_map_that_is_not_there_is_refused() {
    let sandbox = Sandbox::new();
    // The kernel's ids end at INT_MAX.
    is_refused(&sandbox, "id = 4294967295", "map id 4294967295: there is no such map");
    is_refused(&sandbox, "name = \"no_such_map\"", "map name no_such_map: there is no such map");
    let path = sandbox.pin("conns");
    let reason = format!("no map is pinned at {}", path.display());
    is_refused(&sandbox, "pinned = \"conns\"", &reason);
    is_refused(&sandbox, &format!("pinned = \"{}\"", path.display()), &reason);
}

#[kernel_test]
fn a_name_of_several_maps_is_refused() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("twin");
    let twins = [bpf::hash_map(&name), bpf::hash_map(&name)];
    let mut ids = twins.each_ref().map(bpf::id);
    ids.sort_unstable();
    let [first, second] = ids;
    let reason = format!("map name {name}: several maps have that name: ids {first}, {second}");
    is_refused(&sandbox, &format!("name = \"{name}\""), &reason);
}

#[kernel_test]
fn one_pass_over_all_maps_finds_every_name() {
    let sandbox = Sandbox::new();
    let names = ["one", "two", "three"].map(bpf::unique_name);
    let maps = names.each_ref().map(|name| bpf::hash_map(name));
    let walking =
        |name: &String| entry_with("elem.bpf.o", name, &format!("map = {{ name = \"{name}\" }}"));
    sandbox.manifest("iters.toml", &names.each_ref().map(walking).concat());
    let (run, calls) = trace(&sandbox, "-e trace=bpf", "plan -f iters.toml");
    let row = |(name, map)| format!("+ {name}  bpf_map_elem map {}", bpf::id(map));
    let mut rows: Vec<String> = names.iter().zip(&maps).map(row).collect();
    rows.sort_unstable();
    run.exits(0).plans(&rows);
    let number = |what: &str| calls.iter().filter(|call| call.contains(what)).count();
    assert_eq!(number("BPF_MAP_GET_NEXT_ID, {start_id=0,"), 1, "{calls:#?}");
    for map in &maps {
        let opened = format!("BPF_MAP_GET_FD_BY_ID, {{map_id={},", bpf::id(map));
        assert_eq!(number(&opened), 1, "{opened}: {calls:#?}");
    }
}

#[kernel_test]
fn a_pinned_path_with_something_else_is_refused() {
    let sandbox = Sandbox::new();
    let pin = |path: &str| sandbox.pin(path).display().to_string();
    bpf::pin_program(&sandbox, "prog");
    let reason = format!("map pinned {}: a pinned program is there instead", pin("prog"));
    is_refused(&sandbox, "pinned = \"prog\"", &reason);
    bpf::pin_foreign(&sandbox, "tasks_v1.bpf.o", "iter");
    let reason = format!("map pinned {}: a pinned iter link is there instead", pin("iter"));
    is_refused(&sandbox, "pinned = \"iter\"", &reason);
}

#[kernel_test]
fn a_path_that_is_no_pin_is_refused_with_a_clear_reason() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.pin("directory")).expect("nothing is there");
    for path in [sandbox.pin("directory"), sandbox.file("iters.toml")] {
        let map = format!("map = {{ pinned = \"{}\" }}", path.display());
        sandbox.manifest("iters.toml", &entry_with("elem.bpf.o", "x", &map));
        let run = sandbox.iterctl("plan -f iters.toml").exits(1);
        assert!(run.stdout.starts_with(&format!("! x  map pinned {}: ", path.display())), "{run}");
        // The kernel reports this, even to root.
        assert!(!run.stdout.contains("Permission denied"), "{run}");
    }
}

/// The map is found, but the kernel does not attach the iterator to it.
#[track_caller]
fn does_not_attach(object: &str, map: &libbpf_rs::MapHandle, reason: &str) {
    let sandbox = Sandbox::new();
    let keys = format!("map = {{ id = {} }}", bpf::id(map));
    let entries = entry_with(object, "x", &keys) + &entry("tasks_v1.bpf.o", "y");
    sandbox.manifest("iters.toml", &entries);
    let run = sandbox.iterctl("apply -f iters.toml").exits(1);
    run.says("failed to attach `x`").says(reason).says("nothing was changed");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn values_smaller_than_the_program_reads_are_reported() {
    let map = bpf::hash_map("narrow");
    let reason = format!("map {} has smaller keys or values than the program reads", bpf::id(&map));
    does_not_attach("elem_wide.bpf.o", &map, &reason);
}

#[kernel_test]
fn a_map_of_the_wrong_type_is_reported() {
    let map = bpf::hash_map("no_sockets");
    let reason = format!(
        "target `sockmap` cannot walk map {}: it does not support this type of map",
        bpf::id(&map)
    );
    does_not_attach("sockmap.bpf.o", &map, &reason);
}

#[kernel_test]
fn a_sockmap_is_walked() {
    let sandbox = Sandbox::new();
    let map = bpf::map(MapType::Sockmap, "sockets", 4);
    let keys = format!("map = {{ id = {} }}", bpf::id(&map));
    sandbox.manifest("iters.toml", &entry_with("sockmap.bpf.o", "x", &keys));
    let lines = [format!("+ x  sockmap map {}", bpf::id(&map))];
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&lines);
    let output = sandbox.read("x");
    assert_eq!(output.lines().count(), 16, "a line for each place: {output}");
    assert!(output.lines().all(|line| line.ends_with(" empty")), "{output}");
}

#[kernel_test]
fn a_map_that_the_object_wants_pinned_is_never_made() {
    let sandbox = Sandbox::new();
    let entries = entry("pinned_map.bpf.o", "x") + &entry("tasks_v1.bpf.o", "y");
    sandbox.manifest("iters.toml", &entries);
    let path = sandbox.pin("readings");
    let reason =
        format!("no map is pinned at {}, which the object's map `readings` needs", path.display());
    sandbox.iterctl("apply -f iters.toml").exits(1).says(&reason).says("nothing was changed");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn a_map_that_the_object_wants_pinned_is_used() {
    let sandbox = Sandbox::new();
    let mut map = bpf::map(MapType::Array, "readings", 8);
    map.pin(sandbox.pin("readings")).expect("nothing is there");
    map.update(&[0; 4], &41_u64.to_ne_bytes(), MapFlags::ANY).expect("it has one element");
    sandbox.manifest("iters.toml", &entry("pinned_map.bpf.o", "x"));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ x  task"]);
    assert_eq!(sandbox.read("x"), "reading 42\n");
    let value = map.lookup(&[0; 4], MapFlags::ANY).expect("it is a map").expect("an element");
    assert_eq!(value, 42_u64.to_ne_bytes());
    assert_eq!(sandbox.paths(), ["readings", "x"]);
}
