//! Maps that an object declares with `LIBBPF_PIN_BY_NAME`: the iterator gets the map that is pinned at the
//! name, follows it when it changes, and leaves it to its owner.

use std::fs;
use std::path::Path;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};
use rustix::process::Signal;
use serde_json::Value;

use super::bpf;
use super::sandbox::{Sandbox, entry, entry_with};
use super::watch::Watching;

const APPLY: &str = "apply -f iters.toml";

/// Pins a counter map below the bpffs, with the type from pinned_map.bpf.o and this count. Returns its id.
#[track_caller]
fn counter(sandbox: &Sandbox, path: &str, count: u64) -> u32 {
    pin_counter(bpf::map(MapType::Array, "readings", 8), &sandbox.pin(path), count)
}

#[track_caller]
fn pin_counter(mut map: MapHandle, path: &Path, count: u64) -> u32 {
    map.update(&[0; 4], &count.to_ne_bytes(), MapFlags::ANY).expect("it has an element");
    map.pin(path).expect("nothing is there");
    bpf::id(&map)
}

/// The map's owner pins a new one there.
#[track_caller]
fn replaced(sandbox: &Sandbox, path: &str, count: u64) -> u32 {
    fs::remove_file(sandbox.pin(path)).expect("it is there");
    counter(sandbox, path, count)
}

/// The maps that were given to the iterator at `x`, according to its stamp.
#[track_caller]
fn stamped(sandbox: &Sandbox) -> Value {
    let program = sandbox.number("x", "prog_id");
    let program = sandbox.run("bpftool", &format!("-j prog show id {program}")).exits(0).json();
    let ids = program["map_ids"].as_array().expect("it holds maps").iter();
    let maps = ids.map(|id| {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).expect("a number");
        MapHandle::from_map_id(id).expect("the program holds it")
    });
    let is_stamp = |map: &MapHandle| map.name() == "iterctl.rodata";
    let stamp = maps.into_iter().find(is_stamp).expect("it has a stamp");
    let value = stamp.lookup(&[0; 4], MapFlags::ANY).expect("it is a map").expect("an element");
    let json = value.strip_suffix(&[0]).expect("it ends in NUL");
    let stamp: Value = serde_json::from_slice(json).expect("it is JSON");
    stamp["maps"].clone()
}

#[track_caller]
fn is_in_sync(sandbox: &Sandbox) {
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

#[kernel_test]
fn the_map_at_the_name_is_in_the_stamp_and_followed() {
    let sandbox = Sandbox::new();
    let first = counter(&sandbox, "readings", 41);
    sandbox.manifest("iters.toml", &entry("pinned_map.bpf.o", "x"));
    sandbox.iterctl(APPLY).exits(0).plans(&["+ x  task"]);
    assert_eq!(stamped(&sandbox), serde_json::json!({ "readings": first }));
    assert_eq!(sandbox.read("x"), "reading 42\n");
    is_in_sync(&sandbox);

    let second = replaced(&sandbox, "readings", 99);
    let link = sandbox.link("x");
    let line = [format!("~ x  map `readings` changed: {first} -> {second}")];
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(2).plans(&line);
    assert_eq!(sandbox.link("x"), link, "a plan changes nothing");
    sandbox.iterctl(APPLY).exits(0).plans(&line);
    assert_ne!(sandbox.link("x"), link);
    assert_eq!(stamped(&sandbox), serde_json::json!({ "readings": second }));
    assert_eq!(sandbox.read("x"), "reading 100\n");
    is_in_sync(&sandbox);
    assert_eq!(sandbox.paths(), ["readings", "x"]);

    sandbox.iterctl("unpin -f iters.toml").exits(0);
    assert_eq!(sandbox.paths(), ["readings"], "it is its owner's");
    assert_eq!(sandbox.number("readings", "map_id"), second);
}

#[kernel_test]
fn watch_wakes_when_the_owner_pins_a_new_one() {
    let sandbox = Sandbox::new();
    counter(&sandbox, "readings", 0);
    sandbox.manifest("iters.toml", &entry("pinned_map.bpf.o", "x"));
    let (watching, first) = Watching::start(&sandbox, "");
    assert_eq!(first["changed"], true, "{first:#}");
    assert_eq!(sandbox.read("x"), "reading 1\n");

    // In one step, the old map is renamed away and the new one takes its place: the program is replaced
    // once.
    let second = counter(&sandbox, "next", 10);
    fs::rename(sandbox.pin("next"), sandbox.pin("readings")).expect("both are on the bpffs");
    watching.changes(&["replace x"]);
    assert_eq!(stamped(&sandbox), serde_json::json!({ "readings": second }));
    assert_eq!(sandbox.read("x"), "reading 11\n");
    watching.has_nothing_to_do();
    watching.stop(Signal::TERM);
}

/// The iterator is given the map that the manifest names, whatever is pinned at the map's own name.
#[track_caller]
fn is_given(sandbox: &Sandbox, map: u32, count: u64) {
    assert_eq!(stamped(sandbox), serde_json::json!({ "readings": map }));
    assert_eq!(sandbox.read("x"), format!("reading {count}\n"));
}

#[kernel_test]
fn a_map_of_the_manifest_is_preferred_to_the_one_at_the_name() {
    let sandbox = Sandbox::new();
    let other = counter(&sandbox, "readings", 7);
    let first = counter(&sandbox, "mine", 20);
    let keys = "maps.readings = { pinned = \"mine\" }";
    sandbox.manifest("iters.toml", &entry_with("pinned_map.bpf.o", "x", keys));
    sandbox.iterctl(APPLY).exits(0).plans(&["+ x  task"]);
    is_given(&sandbox, first, 21);
    is_in_sync(&sandbox);

    let second = replaced(&sandbox, "mine", 30);
    let line = format!("~ x  map `readings` changed: {first} -> {second}");
    sandbox.iterctl(APPLY).exits(0).plans(&[line]);
    is_given(&sandbox, second, 31);
    is_in_sync(&sandbox);

    // Without the key, the iterator is given the map at the name again.
    sandbox.manifest("iters.toml", &entry("pinned_map.bpf.o", "x"));
    let line = format!("~ x  map `readings` changed: {second} -> {other}");
    sandbox.iterctl(APPLY).exits(0).plans(&[line]);
    is_given(&sandbox, other, 8);
    is_in_sync(&sandbox);
    assert_eq!(sandbox.paths(), ["mine", "readings", "x"]);
}

#[kernel_test]
fn a_map_of_the_manifest_is_never_pinned_at_the_name() {
    let sandbox = Sandbox::new();
    let map = counter(&sandbox, "mine", 1);
    let good = entry_with("pinned_map.bpf.o", "x", "maps.readings = { pinned = \"mine\" }");
    sandbox.manifest("iters.toml", &(good.clone() + &entry("rejected.bpf.o", "y")));
    sandbox.iterctl(APPLY).exits(1).says("nothing was changed");
    assert_eq!(sandbox.paths(), ["mine"]);

    sandbox.manifest("iters.toml", &good);
    sandbox.iterctl(APPLY).exits(0).plans(&["+ x  task"]);
    is_given(&sandbox, map, 2);
    is_in_sync(&sandbox);
    assert_eq!(sandbox.paths(), ["mine", "x"]);
    sandbox.iterctl("unpin -f iters.toml").exits(0);
    assert_eq!(sandbox.paths(), ["mine"]);

    let bpffs = sandbox.bpffs();
    let words = format!("--bpffs {} pinned_map.bpf.o", bpffs.display());
    let reuse = format!("--reuse readings=pinned:{}", sandbox.pin("mine").display());
    sandbox.iterctl(&format!("pin {words} x {reuse}")).exits(0);
    is_given(&sandbox, map, 3);
    let run = sandbox.iterctl(&format!("read {words} {reuse}")).exits(0);
    assert_eq!(run.stdout, "reading 4\n");
    assert_eq!(sandbox.paths(), ["mine", "x"]);
}

#[kernel_test]
fn a_map_of_the_manifest_may_have_another_size_and_other_flags() {
    let sandbox = Sandbox::new();
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        map_flags: libbpf_sys::BPF_F_MMAPABLE,
        ..Default::default()
    };
    let map = MapHandle::create(MapType::Array, Some("large"), 4, 8, 5, &opts).expect("root may");
    let map = pin_counter(map, &sandbox.pin("large"), 50);
    let keys = "maps.readings = { pinned = \"large\" }";
    sandbox.manifest("iters.toml", &entry_with("pinned_map.bpf.o", "x", keys));
    sandbox.iterctl(APPLY).exits(0).plans(&["+ x  task"]);
    is_given(&sandbox, map, 51);
    is_in_sync(&sandbox);
    assert_eq!(sandbox.paths(), ["large", "x"]);
}

#[kernel_test]
fn a_map_that_is_walked_is_the_one_at_the_name() {
    let sandbox = Sandbox::new();
    let first = bpf::id(&bpf::pinned_hash_map(&sandbox.pin("elements"), (1, 2)));
    let walk = entry_with("pinned_elems.bpf.o", "x", "map = { own = \"elements\" }");
    sandbox.manifest("iters.toml", &walk);
    sandbox.iterctl(APPLY).exits(0).plans(&[format!("+ x  bpf_map_elem map {first}")]);
    assert_eq!(sandbox.read("x"), "1 2\n");
    is_in_sync(&sandbox);

    fs::remove_file(sandbox.pin("elements")).expect("it is there");
    let second = bpf::id(&bpf::pinned_hash_map(&sandbox.pin("elements"), (3, 4)));
    let run = sandbox.iterctl(APPLY).exits(0);
    run.plans(&[format!("~ x  map changed: {first} -> {second}")]);
    assert_eq!(sandbox.read("x"), "3 4\n");
    is_in_sync(&sandbox);

    sandbox.iterctl("unpin -f iters.toml").exits(0);
    assert_eq!(sandbox.paths(), ["elements"], "it is its owner's");
    assert_eq!(sandbox.number("elements", "map_id"), second);
}

#[kernel_test]
fn a_map_that_only_a_sibling_uses_is_not_needed() {
    let sandbox = Sandbox::new();
    let alone = entry_with("beside_maps.bpf.o", "x", "program = \"dump\"");
    sandbox.manifest("iters.toml", &alone);
    sandbox.iterctl(APPLY).exits(0).plans(&["+ x  task"]);
    assert_eq!(stamped(&sandbox), Value::Null);
    // Later changes at the name do not matter, and neither does a map of another type there.
    counter(&sandbox, "settings", 0);
    is_in_sync(&sandbox);
    fs::remove_file(sandbox.pin("settings")).expect("it is there");
    is_in_sync(&sandbox);
    assert_eq!(sandbox.paths(), ["x"]);
}
