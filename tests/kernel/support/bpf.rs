//! Maps, pins and the kernel's information on them, without the code under test.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use libbpf_rs::{Link, MapCore as _, MapFlags, MapHandle, MapType, ObjectBuilder};

use super::sandbox::{Run, Sandbox};

/// A hash map of the form that elem.bpf.o walks: 4-byte keys, 8-byte values.
#[track_caller]
pub(crate) fn hash_map(name: &str) -> MapHandle {
    map(MapType::Hash, name, 8)
}

/// A map with 4-byte keys.
#[track_caller]
pub(crate) fn map(kind: MapType, name: &str, value_size: u32) -> MapHandle {
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let entries = if kind == MapType::Array { 1 } else { 16 };
    MapHandle::create(kind, Some(name), 4, value_size, entries, &opts).expect("root may make maps")
}

/// A hash map of that form, pinned; it has one element.
#[track_caller]
pub(crate) fn pinned_hash_map(path: &Path, element: (u32, u64)) -> MapHandle {
    let mut map = hash_map("walked");
    insert(&map, element);
    map.pin(path).expect("nothing is there");
    map
}

/// Sets an element of the map.
#[track_caller]
pub(crate) fn insert(map: &MapHandle, (key, value): (u32, u64)) {
    map.update(&key.to_ne_bytes(), &value.to_ne_bytes(), MapFlags::ANY).expect("there is room");
}

/// The kernel's id of the map.
#[track_caller]
pub(crate) fn id(map: &MapHandle) -> u32 {
    map.info().expect("a map").info.id
}

/// A map's name that no other process of these tests uses. The kernel keeps 15 bytes.
pub(crate) fn unique_name(stem: &str) -> String {
    format!("{stem}_{}", std::process::id())
}

/// Pins a link that does not belong to an iterator.
#[track_caller]
pub(crate) fn pin_other_link(sandbox: &Sandbox, path: &str) {
    let mut builder = ObjectBuilder::default();
    let object = builder.open_file(sandbox.file("other_link.bpf.o")).expect("the object is good");
    let object = object.load().expect("the verifier accepts it");
    let program = object.progs_mut().next().expect("it has one program");
    let mut link = program.attach_raw_tracepoint("mark_victim").expect("the tracepoint is there");
    link.pin(sandbox.pin(path)).expect("nothing is there");
}

/// Pins an iterator as other tools do: without a stamp.
#[track_caller]
pub(crate) fn pin_foreign(sandbox: &Sandbox, object: &str, path: impl AsRef<Path>) {
    let mut command = sandbox.command("bpftool", &format!("iter pin {object}"));
    Run::of(command.arg(sandbox.bpffs().join(path))).exits(0);
}

/// Pins a link a second time, which libbpf does not do.
#[track_caller]
#[expect(unsafe_code, reason = "libbpf-rs lacks the call")]
pub(crate) fn pin_again(link: &Link, path: &Path) {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: the descriptor is open, and the path a NUL-terminated string.
    let result = unsafe { libbpf_sys::bpf_obj_pin(link.as_fd().as_raw_fd(), path.as_ptr()) };
    assert_eq!(result, 0, "nothing is there");
}

/// Pins a program.
#[track_caller]
pub(crate) fn pin_program(sandbox: &Sandbox, path: &str) {
    sandbox.run("bpftool", &format!("prog load none.bpf.o bpf/{path}")).exits(0);
}

/// The type of what is pinned there, in a word, and its id.
#[track_caller]
pub(crate) fn what(path: &Path) -> String {
    let info = fdinfo(path);
    let has = ["link_id", "map_id", "prog_id"].iter().find(|key| info.contains_key(**key));
    let key = has.unwrap_or_else(|| panic!("no id in the fdinfo of {path:?}: {info:?}"));
    format!("{key} {}", info[*key])
}

/// The kernel's information on a link, a map or a program that is pinned there.
#[track_caller]
pub(crate) fn fdinfo(path: &Path) -> BTreeMap<String, String> {
    // `Link::open` opens any pinned object.
    let pin = Link::open(path).expect("something is pinned there");
    let fd = pin.as_fd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("it is open");
    let pairs = info.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect()
}
