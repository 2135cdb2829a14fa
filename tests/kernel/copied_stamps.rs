//! Another user, who may load BPF programs but is not root, copies root's stamp into programs of its own. Their pins
//! stay foreign: root neither takes them over nor waits for them.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use libbpf_rs::{Link, MapCore as _, MapFlags, MapHandle, MapType, ObjectBuilder};
use rustix::fs::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use super::bpf;
use super::sandbox::{Sandbox, entry};

const NOBODY: u32 = 65534;

/// The name of the stamp's map.
const STAMP: &str = "iterctl.rodata";

/// Makes this thread one of the user nobody, with the two privileges that loading an iterator takes.
fn become_a_loader() {
    set_thread_groups(&[]).expect("root may");
    set_keep_capabilities(true).expect("root may");
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_res_gid(gid, gid, gid).expect("root may");
    set_thread_res_uid(uid, uid, uid).expect("root may");
    let few = CapabilitySet::BPF | CapabilitySet::PERFMON;
    let sets =
        CapabilitySets { effective: few, permitted: few, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).expect("they were kept");
}

/// Does this as that user, in another thread of this mount namespace.
#[track_caller]
fn as_a_loader<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let run = || {
        become_a_loader();
        work()
    };
    thread::scope(|scope| scope.spawn(run).join()).expect("the other user does not panic")
}

/// The stamp of the iterator that is pinned there.
#[track_caller]
fn stamp_of(sandbox: &Sandbox, path: &str) -> Vec<u8> {
    let program = sandbox.number(path, "prog_id");
    let show = format!("-j prog show id {program}");
    let shown = sandbox.run("bpftool", &show).exits(0).json();
    let ids = shown["map_ids"].as_array().expect("a stamp is bound to it");
    let last = ids.last().and_then(serde_json::Value::as_u64).expect("ids are numbers");
    let map = MapHandle::from_map_id(last.try_into().expect("ids are small")).expect("it is there");
    map.lookup(&[0; 4], MapFlags::ANY).expect("root may").expect("it has one element")
}

/// Loads an iterator, and binds a map with this value to its program, in the form of a stamp.
fn link_with(object: &PathBuf, stamp: &[u8]) -> Link {
    let mut builder = ObjectBuilder::default();
    let open = builder.open_file(object).expect("the object is good");
    let object = open.load().expect("the verifier accepts it");
    let program = object.progs_mut().next().expect("it has one program");
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let size = stamp.len().try_into().expect("stamps are short");
    let map = MapHandle::create(MapType::Array, Some(STAMP), 4, size, 1, &opts).expect("it may");
    map.update(&[0; 4], stamp, MapFlags::ANY).expect("it has one element");
    bind(program.as_fd().as_raw_fd(), map.as_fd().as_raw_fd());
    program.attach().expect("it is an iterator without parameters")
}

#[expect(unsafe_code, reason = "libbpf-rs lacks the call")]
fn bind(program: i32, map: i32) {
    // SAFETY: both descriptors are open, and no options are given.
    let result = unsafe { libbpf_sys::bpf_prog_bind_map(program, map, std::ptr::null()) };
    assert_eq!(result, 0, "who loads programs may bind maps");
}

/// Pins `a` and `b` of the set `iters` as root, and unpins `b` again. Returns the stamp of both.
#[track_caller]
fn with_a_free_path(sandbox: &Sandbox) -> Vec<u8> {
    let both = ["a", "b"].map(|path| entry("tasks_v1.bpf.o", path)).concat();
    sandbox.manifest("iters.toml", &both);
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let stamp = stamp_of(sandbox, "b");
    sandbox.iterctl("unpin --bpffs bpf b").exits(0);
    stamp
}

#[kernel_test]
fn a_copied_stamp_does_not_make_a_pin_ours() {
    let sandbox = Sandbox::new();
    let stamp = with_a_free_path(&sandbox);
    let (object, pin) = (sandbox.file("tasks_v1.bpf.o"), sandbox.pin("b"));
    as_a_loader(|| link_with(&object, &stamp).pin(&pin).expect("all users may pin there"));
    let before = sandbox.tree();
    assert_eq!(fs::metadata(&pin).expect("it is pinned").uid(), NOBODY);

    let report = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
    let sets = ["a", "b"].map(|path| {
        let pins = report["pins"].as_array().expect("a list");
        let pin = pins.iter().find(|pin| pin["path"].as_str().is_some_and(|it| it.ends_with(path)));
        pin.expect("both are listed")["set"].clone()
    });
    assert_eq!(sets, [serde_json::json!("iters"), serde_json::Value::Null], "{report}");
    let reason = "`b`: pinned by another tool, for the user 65534";
    let lines = ["! b  pinned by another tool, for the user 65534"];
    sandbox.iterctl("plan -f iters.toml").exits(73).plans(&lines);
    sandbox.iterctl("apply -f iters.toml").exits(73).says(reason);
    sandbox.iterctl("unpin --bpffs bpf b").exits(73).says(reason);
    assert_eq!(sandbox.tree(), before);

    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans::<&str>(&[]);
    sandbox.iterctl("unpin -f iters.toml").exits(0).plans(&["- a  asked for"]);
    assert_eq!(sandbox.paths(), ["b"]);

    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "b"));
    sandbox.iterctl("apply --adopt -f iters.toml").exits(0);
    assert_eq!(fs::metadata(&pin).expect("it is pinned").uid(), 0);
}

#[kernel_test]
fn a_copied_stamp_of_another_source_does_not_block_the_set() {
    let sandbox = Sandbox::new();
    let stamp = with_a_free_path(&sandbox);
    let text = String::from_utf8(stamp).expect("JSON");
    let stamp = text.replace("iters.toml", "other.toml").into_bytes();
    let (object, pin) = (sandbox.file("tasks_v1.bpf.o"), sandbox.pin("theirs"));
    as_a_loader(|| link_with(&object, &stamp).pin(&pin).expect("all users may pin there"));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ b  task"]);
}

#[kernel_test]
fn pins_with_a_copied_stamp_that_come_and_go_disturb_nothing() {
    let sandbox = Sandbox::new();
    let stamp = with_a_free_path(&sandbox);
    let object = sandbox.file("tasks_v1.bpf.o");
    let pins: Vec<PathBuf> = (0..8).map(|number| sandbox.pin(&format!("z{number}"))).collect();
    let (stop, made) = (AtomicBool::new(false), Arc::new(AtomicUsize::new(0)));
    thread::scope(|scope| {
        let comes_and_goes = || {
            become_a_loader();
            let link = link_with(&object, &stamp);
            while !stop.load(Ordering::Relaxed) {
                for pin in &pins {
                    bpf::pin_again(&link, pin);
                    made.fetch_add(1, Ordering::Relaxed);
                }
                for pin in &pins {
                    fs::remove_file(pin).expect("it is its own");
                }
            }
        };
        let other = scope.spawn(comes_and_goes);
        while made.load(Ordering::Relaxed) == 0 && !other.is_finished() {
            thread::yield_now();
        }
        for round in 0..20 {
            let object = format!("tasks_v{}.bpf.o", 1 + round % 2);
            sandbox.manifest("iters.toml", &(entry(&object, "a") + &entry(&object, "b")));
            let run = sandbox.iterctl("apply -f iters.toml");
            if !run.succeeded() {
                stop.store(true, Ordering::Relaxed);
            }
            run.exits(0);
        }
        stop.store(true, Ordering::Relaxed);
        other.join().expect("the other user does not panic");
    });
    assert_eq!(sandbox.paths(), ["a", "b"]);
}

/// The pins of another tool that runs as this user are its own: it can be iterctl.
#[kernel_test]
fn pins_of_the_same_user_are_followed() {
    let sandbox = Sandbox::new();
    with_a_free_path(&sandbox);
    let first = sandbox.link("a");
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ b  task"]);
    let both = ["a", "b"].map(|path| entry("tasks_v2.bpf.o", path)).concat();
    sandbox.manifest("iters.toml", &both);
    let changed = ["~ a  object changed", "~ b  object changed"];
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&changed);
    assert_ne!(sandbox.link("a"), first);
}
