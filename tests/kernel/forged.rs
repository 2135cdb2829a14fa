//! Forged stamps: any user who may load programs can bind any map to them.

use std::fs::{self, Permissions};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::PermissionsExt as _;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType, ObjectBuilder};
use sha2::{Digest as _, Sha256};

use super::bpf;
use super::sandbox::{Sandbox, entry, entry_with};

/// The name of the stamp's map.
const STAMP: &str = "iterctl.rodata";

/// Pins an iterator with this map bound to its program.
#[track_caller]
fn pin(sandbox: &Sandbox, object: &str, path: &str, map: &MapHandle) {
    let mut builder = ObjectBuilder::default();
    let open = builder.open_file(sandbox.file(object)).expect("the object is good");
    let object = open.load().expect("the verifier accepts it");
    let program = object.progs_mut().next().expect("it has one program");
    bind(program.as_fd().as_raw_fd(), map.as_fd().as_raw_fd());
    let mut link = program.attach().expect("it is an iterator without parameters");
    link.pin(sandbox.pin(path)).expect("nothing is there");
}

#[track_caller]
#[expect(unsafe_code, reason = "libbpf-rs lacks the call")]
fn bind(program: i32, map: i32) {
    // SAFETY: both descriptors are open, and no options are given.
    let result = unsafe { libbpf_sys::bpf_prog_bind_map(program, map, std::ptr::null()) };
    assert_eq!(result, 0, "root may bind maps");
}

#[track_caller]
fn map(kind: MapType, entries: u32, size: usize) -> MapHandle {
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let size = size.try_into().expect("values are small");
    MapHandle::create(kind, Some(STAMP), 4, size, entries, &opts).expect("root may make maps")
}

/// A map in the form of a stamp, with these contents.
#[track_caller]
fn holding(value: &[u8]) -> MapHandle {
    let map = map(MapType::Array, 1, value.len());
    map.update(&[0; 4], value, MapFlags::ANY).expect("it has one element");
    map
}

/// A stamp of the set `iters` for tasks_v1.bpf.o, with these values.
fn stamp(object: &str, program: &str, source: &str) -> String {
    let sha256 = "0".repeat(64);
    format!(
        r#"{{"format":1,"set":"iters","source":["{source}"],"object":"{object}",
            "sha256":"{sha256}","program":"{program}","maps":{{"{program}":1}},"version":"9"}}"#
    )
}

/// An iterator with this map is foreign: it is listed as such, stays where it is, and is an obstacle.
#[track_caller]
fn is_foreign(map: &MapHandle, reason: &str) {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "ours"));
    pin(&sandbox, "tasks_v2.bpf.o", "theirs", map);
    let before = sandbox.tree();
    let report = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
    assert!(report["pins"][0]["set"].is_null(), "{report}");
    assert_eq!(report["pins"].as_array().map(Vec::len), Some(1));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ ours  task"]);
    sandbox.iterctl("unpin --bpffs bpf --set iters").exits(0);
    assert_eq!(sandbox.tree(), before);
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "theirs"));
    sandbox.iterctl("apply -f iters.toml").exits(73).says(&format!("`theirs`: {reason}"));
    assert_eq!(sandbox.tree(), before);
    sandbox.iterctl("apply --adopt -f iters.toml").exits(0);
    assert_eq!(sandbox.first_line("theirs"), "v1\n");
}

#[kernel_test]
fn an_invalid_stamp_makes_a_pin_foreign() {
    let unreadable = "pinned by another tool (unreadable stamp: ";
    is_foreign(&holding(b"{\"format\":1,\"set\":\"iters\""), unreadable);
    is_foreign(&holding(b"[1,2,3]"), unreadable);
    is_foreign(&holding(b"{\"format\":1,\"set\":\"iters\"}"), unreadable);
    is_foreign(&holding(b"\xff\xfe\xfd"), unreadable);
    is_foreign(&holding(&[0]), unreadable);
    let evil = stamp("/a.o", "dump", "/iters.toml").replace("\"iters\"", "\"../evil\\u001b[31m\"");
    is_foreign(&holding(evil.as_bytes()), unreadable);
}

#[kernel_test]
fn a_stamp_of_a_later_version_makes_a_pin_foreign() {
    let reason = "pinned by another tool (stamp of format 2)";
    is_foreign(&holding(b"{\"format\":2,\"sets\":[\"iters\"]}\0\0\0"), reason);
    let ours = stamp("/a.o", "dump", "/iters.toml");
    is_foreign(&holding(ours.replace(":1,\"set", ":2,\"set").as_bytes()), reason);
}

#[kernel_test]
fn a_map_with_the_stamps_name_but_another_form_is_no_stamp() {
    let reason = "pinned by another tool";
    let good = stamp("/a.o", "dump", "/iters.toml");
    let hash = map(MapType::Hash, 1, good.len());
    hash.update(&[0; 4], good.as_bytes(), MapFlags::ANY).expect("there is room");
    is_foreign(&hash, reason);
    let two = map(MapType::Array, 2, good.len());
    two.update(&[0; 4], good.as_bytes(), MapFlags::ANY).expect("it has two elements");
    is_foreign(&two, reason);
    let long = good + &" ".repeat(64 * 1024);
    is_foreign(&holding(long.as_bytes()), reason);
}

/// The stamp is valid except for the map that it says the program was given.
#[kernel_test]
fn a_given_map_that_the_program_does_not_hold_is_reported() {
    let sandbox = Sandbox::new();
    let mut seen = bpf::map(MapType::Array, "seen", 8);
    seen.update(&[0; 4], &41_u64.to_ne_bytes(), MapFlags::ANY).expect("it has one element");
    seen.pin(sandbox.pin("seen")).expect("nothing is there");
    let id = bpf::id(&seen);
    let object = sandbox.file("reuse.bpf.o");
    let digest = Sha256::digest(fs::read(&object).expect("it is there"));
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let source = sandbox.file("iters.toml");
    let stamp = serde_json::json!({
        "format": 1, "set": "iters", "source": [source], "object": object, "sha256": digest,
        "program": "dump", "maps": { "seen": id }, "version": "9",
    });
    pin(&sandbox, "reuse.bpf.o", "x", &holding(stamp.to_string().as_bytes()));
    assert_eq!(sandbox.read("x"), "seen 1\n", "it counts in a map of its own");
    fs::set_permissions(sandbox.pin("x"), Permissions::from_mode(0o400)).expect("it is there");

    let keys = "maps.seen.pinned = \"seen\"\nmode = \"0400\"";
    sandbox.manifest("iters.toml", &entry_with("reuse.bpf.o", "x", keys));
    let lines = [format!("~ x  the program does not use map {id} as `seen`")];
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(2).plans(&lines);
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&lines);
    assert_eq!(sandbox.read("x"), "seen 42\n");
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
    assert_eq!(sandbox.paths(), ["seen", "x"]);
}

#[kernel_test]
fn a_stamp_is_escaped_for_the_terminal() {
    let sandbox = Sandbox::new();
    let evil = r"a\u001b[31m\nb";
    let evil = stamp(evil, evil, evil);
    pin(&sandbox, "tasks_v1.bpf.o", "a", &holding(evil.as_bytes()));
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let list = sandbox.iterctl("list --bpffs bpf --set iters").exits(0).stdout;
    assert_eq!(list.lines().count(), 2, "a header and a line: {list}");
    // It comes from another source than this manifest, whose set's name is taken from the file.
    let refused = sandbox.iterctl("plan -f iters.toml").exits(73);
    let named = sandbox.iterctl("plan -f iters.toml --set iters").exits(0);
    let exported = sandbox.iterctl("export --bpffs bpf").exits(0);
    for text in [&list, &refused.stderr, &named.stdout, &exported.stdout] {
        assert!(text.contains("a\\u{1b}[31m\\nb") || text.contains("\\u001B"), "{text}");
        assert!(!text.contains('\x1b') && !text.contains("m\nb"), "{text}");
    }
}
