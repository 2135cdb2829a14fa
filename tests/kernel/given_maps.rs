//! Maps of the object's own that are walked, and existing maps that replace them.

use std::fs;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};

use super::bpf;
use super::sandbox::{Sandbox, entry, entry_with};

/// Applies a manifest with one entry at `x`: the plan has these lines, and then it is in sync.
#[track_caller]
fn applies(sandbox: &Sandbox, object: &str, keys: &str, lines: &[String]) {
    sandbox.manifest("iters.toml", &entry_with(object, "x", keys));
    sandbox.iterctl("plan -f iters.toml").exits(0).plans(lines);
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(lines);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

/// Pins a map like the one in which reuse.bpf.o counts, with this count.
#[track_caller]
fn counter(sandbox: &Sandbox, path: &str, count: u64) -> MapHandle {
    let mut map = bpf::map(MapType::Array, "seen", 8);
    map.update(&[0; 4], &count.to_ne_bytes(), MapFlags::ANY).expect("it has one element");
    map.pin(sandbox.pin(path)).expect("nothing is there");
    map
}

#[kernel_test]
fn existing_maps_replace_the_objects_own() {
    let sandbox = Sandbox::new();
    applies(&sandbox, "reuse.bpf.o", "", &["+ x  task".to_owned()]);
    assert_eq!(sandbox.read("x"), "seen 1\n");

    let first = bpf::id(&counter(&sandbox, "seen", 41));
    let keys = "maps = { seen = { pinned = \"seen\" } }";
    applies(&sandbox, "reuse.bpf.o", keys, &[format!("~ x  map `seen` changed: own -> {first}")]);
    assert_eq!(sandbox.read("x"), "seen 42\n");

    fs::remove_file(sandbox.pin("seen")).expect("it is there");
    let second = bpf::id(&counter(&sandbox, "seen", 99));
    let line = format!("~ x  map `seen` changed: {first} -> {second}");
    applies(&sandbox, "reuse.bpf.o", keys, &[line]);
    assert_eq!(sandbox.read("x"), "seen 100\n");

    let keys = format!("maps = {{ seen = {{ id = {second} }} }}");
    applies(&sandbox, "reuse.bpf.o", &keys, &[]);
    applies(&sandbox, "reuse.bpf.o", "", &[format!("~ x  map `seen` changed: {second} -> own")]);
    assert_eq!(sandbox.read("x"), "seen 1\n");
}

#[kernel_test]
fn a_map_is_given_by_its_name() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("given");
    let map = bpf::map(MapType::Array, &name, 8);
    let keys = format!("maps.seen.name = \"{name}\"");
    applies(&sandbox, "reuse.bpf.o", &keys, &["+ x  task".to_owned()]);
    assert_eq!(sandbox.read("x"), "seen 1\n");
    let count = map.lookup(&[0; 4], MapFlags::ANY).expect("it is a map").expect("an element");
    assert_eq!(count, 1_u64.to_ne_bytes());
}

#[kernel_test]
fn entries_with_other_maps_have_programs_of_their_own() {
    let sandbox = Sandbox::new();
    let (_one, _two) = (counter(&sandbox, "one", 10), counter(&sandbox, "two", 20));
    let given = |path: &str, map: &str| {
        entry_with("reuse.bpf.o", path, &format!("maps.seen.pinned = \"{map}\""))
    };
    let entries = given("a", "one") + &given("b", "one") + &given("c", "two");
    sandbox.manifest("iters.toml", &(entries + &entry("reuse.bpf.o", "d")));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|path| sandbox.number(path, "prog_id"));
    assert_eq!(a, b);
    assert!(a != c && a != d && c != d);
    let counts = ["a", "b", "c", "d"].map(|path| sandbox.read(path));
    assert_eq!(counts, ["seen 11\n", "seen 12\n", "seen 21\n", "seen 1\n"]);
}

/// The map cannot replace the object's own, and nothing is changed.
#[track_caller]
fn does_not_fit(object: &str, map: &MapHandle, why: &str) {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "x"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let before = sandbox.tree();
    let id = bpf::id(map);
    let keys = format!("maps = {{ seen = {{ id = {id} }} }}");
    sandbox.manifest("iters.toml", &entry_with(object, "x", &keys));
    let run = sandbox.iterctl("apply -f iters.toml").exits(1);
    run.says(&format!("map {id} cannot be used as the object's map `seen`: {why}"))
        .says("nothing was changed");
    assert_eq!(sandbox.tree(), before);
}

#[kernel_test]
fn a_map_of_another_type_does_not_fit() {
    does_not_fit("reuse.bpf.o", &bpf::hash_map("seen"), "its type is hash, not array");
}

#[kernel_test]
fn a_map_with_values_of_another_size_does_not_fit() {
    let map = bpf::map(MapType::Array, "seen", 16);
    does_not_fit("reuse.bpf.o", &map, "its value size is 16 bytes, not 8 bytes");
}

#[kernel_test]
fn a_map_with_keys_of_another_size_does_not_fit() {
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let map = MapHandle::create(MapType::Hash, Some("keys"), 8, 8, 16, &opts).expect("root may");
    does_not_fit("reuse_hash.bpf.o", &map, "its key size is 8 bytes, not 4 bytes");
}

#[kernel_test]
fn a_map_of_the_objects_own_is_walked() {
    let sandbox = Sandbox::new();
    let keys = "map = { own = \"own_elems\" }";
    let line = "+ x  bpf_map_elem own map own_elems".to_owned();
    applies(&sandbox, "own_map.bpf.o", keys, &[line]);
    assert_eq!(sandbox.read("x"), "");
    // No program uses the map: only the pin keeps it alive.
    let map = MapHandle::from_map_id(sandbox.number("x", "map_id")).expect("it is alive");
    bpf::insert(&map, (1, 2));
    assert_eq!(sandbox.read("x"), "1 2\n");
    let map = bpf::pinned_hash_map(&sandbox.pin("given"), (3, 4));
    let line = format!("~ x  map changed: {} -> {}", sandbox.number("x", "map_id"), bpf::id(&map));
    applies(&sandbox, "own_map.bpf.o", "map = { pinned = \"given\" }", &[line]);
    assert_eq!(sandbox.read("x"), "3 4\n");
}

#[kernel_test]
fn a_map_that_is_walked_and_used_is_the_same() {
    let sandbox = Sandbox::new();
    let name = "a_map_with_a_long_name";
    let line = format!("+ x  bpf_map_elem own map {name}");
    applies(&sandbox, "own_map_used.bpf.o", &format!("map.own = \"{name}\""), &[line]);
    assert_eq!(sandbox.read("x"), "0 1\n1 1\n2 1\n");
    assert_eq!(sandbox.read("x"), "0 2\n1 2\n2 2\n");
}

#[kernel_test]
fn a_map_that_replaces_the_walked_one_is_walked() {
    let sandbox = Sandbox::new();
    let map = bpf::pinned_hash_map(&sandbox.pin("given"), (5, 6));
    let keys = "map = { own = \"own_elems\" }\nmaps = { own_elems = { pinned = \"given\" } }";
    let line = format!("+ x  bpf_map_elem map {}", bpf::id(&map));
    applies(&sandbox, "own_map.bpf.o", keys, &[line]);
    assert_eq!(sandbox.read("x"), "5 6\n");
}
