//! Several maps have one name: an iterator keeps the map that it walks, even after the map's owner has made
//! another.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType, ObjectBuilder};

use super::bpf;
use super::sandbox::{ITERCTL, Sandbox, entry_with};

/// The iterator `x` of a manifest walks, or is given, a map by its name.
struct Named {
    sandbox: Sandbox,
    name: String,
}

impl Named {
    /// Creates it, with a map that has the element 1 = 10.
    #[track_caller]
    fn walking(stem: &str) -> (Self, MapHandle) {
        let named = Self { sandbox: Sandbox::new(), name: bpf::unique_name(stem) };
        let old = named.map((1, 10));
        named.sandbox.manifest("iters.toml", &named.entry("x"));
        named.sandbox.iterctl("apply -f iters.toml").exits(0);
        (named, old)
    }

    fn entry(&self, path: &str) -> String {
        entry_with("elem.bpf.o", path, &format!("map = {{ name = \"{}\" }}", self.name))
    }

    /// Another map of that name.
    #[track_caller]
    fn map(&self, element: (u32, u64)) -> MapHandle {
        let map = bpf::hash_map(&self.name);
        bpf::insert(&map, element);
        map
    }

    /// The iterator is replaced, and then it is in sync.
    #[track_caller]
    fn follows(&self, why: &str) {
        let lines = [format!("~ x  {why}")];
        self.sandbox.iterctl("plan -f iters.toml").exits(0).plans(&lines);
        self.sandbox.iterctl("apply -f iters.toml").exits(0).plans(&lines);
        self.is_in_sync();
    }

    #[track_caller]
    fn is_in_sync(&self) {
        self.sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
    }

    /// The iterator stays as it is, and the plan says which maps count.
    #[track_caller]
    fn is_ambiguous(&self, maps: [u32; 2]) {
        let mut maps = maps;
        maps.sort_unstable();
        let [first, second] = maps;
        let name = &self.name;
        let why = format!("map name {name}: several maps have that name: ids {first}, {second}");
        let before = self.sandbox.tree();
        self.sandbox.iterctl("plan -f iters.toml").exits(1).plans(&[format!("! x  {why}")]);
        let apply = self.sandbox.iterctl("apply -f iters.toml").exits(1);
        apply.says(&why).says("hint: stop the owner of the map that is not meant, or name the map by `id` or `pinned`; `bpftool map` shows which process has which map open");
        assert_eq!(self.sandbox.tree(), before);
    }
}

#[kernel_test]
fn the_map_of_an_owner_that_starts_again_is_walked() {
    let (named, old) = Named::walking("again");
    let first = bpf::id(&old);
    drop(old);
    // This is the only map of that name, whatever holds it.
    named.is_in_sync();
    let new = named.map((2, 20));
    named.follows(&format!("map changed: {first} -> {}", bpf::id(&new)));
    assert_eq!(named.sandbox.read("x"), "2 20\n");
}

#[kernel_test]
fn the_map_of_an_owner_that_starts_again_is_given() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("regiven");
    let counter = |count: u64| {
        let map = bpf::map(MapType::Array, &name, 8);
        map.update(&[0; 4], &count.to_ne_bytes(), MapFlags::ANY).expect("it has one element");
        map
    };
    let old = counter(41);
    let first = bpf::id(&old);
    let keys = format!("maps.seen.name = \"{name}\"");
    sandbox.manifest("iters.toml", &entry_with("reuse.bpf.o", "x", &keys));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(sandbox.read("x"), "seen 42\n");
    drop(old);
    let new = counter(99);
    let named = Named { sandbox, name };
    named.follows(&format!("map `seen` changed: {first} -> {}", bpf::id(&new)));
    assert_eq!(named.sandbox.read("x"), "seen 100\n");
}

#[kernel_test]
fn a_map_that_its_living_owner_keeps_counts() {
    let (named, old) = Named::walking("alive");
    let new = named.map((2, 20));
    named.is_ambiguous([bpf::id(&old), bpf::id(&new)]);
    // Another owner that has already gone does not matter.
    drop(new);
    named.is_in_sync();
    assert_eq!(named.sandbox.read("x"), "1 10\n");
}

#[kernel_test]
fn a_map_that_its_owner_has_pinned_counts() {
    // The same holds on another bpffs than the manifest's.
    for pin in ["bpf/owners/conns", "its own/conns"] {
        let (named, mut old) = Named::walking("pinned");
        named.sandbox.mount_bpffs("its own");
        let pin = named.sandbox.file(pin);
        fs::create_dir_all(pin.parent().expect("a pin has a folder")).expect("root can");
        old.pin(&pin).expect("nothing is there");
        let first = bpf::id(&old);
        drop(old);
        let new = named.map((2, 20));
        named.is_ambiguous([first, bpf::id(&new)]);
        fs::remove_file(&pin).expect("it is there");
        named.follows(&format!("map changed: {first} -> {}", bpf::id(&new)));
    }
}

#[kernel_test]
fn a_map_that_a_program_of_its_owner_uses_counts() {
    let sandbox = Sandbox::new();
    let named = Named { sandbox, name: bpf::unique_name("used") };
    let old = bpf::map(MapType::Array, &named.name, 8);
    named.sandbox.manifest("iters.toml", &named.entry("x"));
    named.sandbox.iterctl("apply -f iters.toml").exits(0);
    let first = bpf::id(&old);

    let mut builder = ObjectBuilder::default();
    let mut object = builder.open_file(named.sandbox.file("reuse.bpf.o")).expect("it is good");
    let mut seen = object.maps_mut().find(|map| map.name() == "seen").expect("it has that map");
    seen.reuse_fd(old.as_fd()).expect("it fits");
    let object = object.load().expect("the verifier accepts it");
    object
        .progs_mut()
        .next()
        .expect("it has one")
        .pin(named.sandbox.pin("prog"))
        .expect("root can");
    drop(object);
    drop(old);

    let new = bpf::map(MapType::Array, &named.name, 8);
    named.is_ambiguous([first, bpf::id(&new)]);
    fs::remove_file(named.sandbox.pin("prog")).expect("it is there");
    named.follows(&format!("map changed: {first} -> {}", bpf::id(&new)));
}

#[kernel_test]
fn a_map_that_a_foreign_iterator_walks_counts() {
    let (named, old) = Named::walking("walked");
    let first = bpf::id(&old);
    let theirs = named.sandbox.pin("theirs").display().to_string();
    let pin = format!("iter pin elem.bpf.o {theirs} map id {first}");
    named.sandbox.run("bpftool", &pin).exits(0);
    drop(old);
    let new = named.map((2, 20));
    named.is_ambiguous([first, bpf::id(&new)]);
    fs::remove_file(theirs).expect("it is there");
    named.follows(&format!("map changed: {first} -> {}", bpf::id(&new)));
}

#[kernel_test]
fn a_map_that_is_an_element_of_another_map_counts() {
    let (named, old) = Named::walking("inner");
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        inner_map_fd: old.as_fd().as_raw_fd().unsigned_abs(),
        ..Default::default()
    };
    let outer = MapHandle::create(MapType::HashOfMaps, Some("outer"), 4, 4, 4, &opts);
    let outer = outer.expect("root may make maps");
    let fd = old.as_fd().as_raw_fd();
    outer.update(&[0; 4], &fd.to_ne_bytes(), MapFlags::ANY).expect("there is room");
    let first = bpf::id(&old);
    drop(old);
    let new = named.map((2, 20));
    named.is_ambiguous([first, bpf::id(&new)]);
    outer.delete(&[0; 4]).expect("it is there");
    named.follows(&format!("map changed: {first} -> {}", bpf::id(&new)));
}

#[kernel_test]
fn two_sets_that_walk_one_map_both_follow() {
    let (named, old) = Named::walking("shared");
    named.sandbox.manifest("other.toml", &named.entry("y"));
    named.sandbox.iterctl("apply -f other.toml").exits(0);
    let first = bpf::id(&old);
    drop(old);
    let new = named.map((2, 20));
    // An object that is run once resolves the name in the same way.
    let once = format!("read elem.bpf.o map name {}", named.name);
    assert_eq!(named.sandbox.iterctl(&once).exits(0).stdout, "2 20\n");
    let lines = [format!("~ y  map changed: {first} -> {}", bpf::id(&new))];
    named.sandbox.iterctl("apply -f other.toml").exits(0).plans(&lines);
    named.follows(&format!("map changed: {first} -> {}", bpf::id(&new)));
}

#[kernel_test]
fn the_rule_also_holds_in_a_container() {
    let (named, old) = Named::walking("inside");
    let first = bpf::id(&old);
    let new = named.map((2, 20));
    let plan = |status: i32, line: String| {
        let plan = format!("--pid --fork --mount-proc {ITERCTL} plan -f iters.toml");
        named.sandbox.run("unshare", &plan).exits(status).plans(&[line]);
    };
    let (name, second) = (&named.name, bpf::id(&new));
    plan(1, format!("! x  map name {name}: several maps have that name: ids {first}, {second}"));
    drop(old);
    plan(0, format!("~ x  map changed: {first} -> {second}"));
}

#[kernel_test]
fn unknown_holders_are_not_guessed() {
    let (named, old) = Named::walking("unseen");
    drop(old);
    let _new = named.map((2, 20));
    // To see the numbers of users, iterctl needs the kernel's BTF to know where they are kept.
    let script = format!("mount -t tmpfs none /sys/kernel/btf && {ITERCTL} plan -f iters.toml");
    named.sandbox.write("without-btf.sh", &script);
    let run = named.sandbox.run("unshare", "--mount sh without-btf.sh").exits(1);
    assert!(run.stdout.contains("iterctl could not find out which of them are in use: "), "{run}");
    run.says("stop the owner of the map that is not meant, or name the map by `id` or `pinned`; `bpftool map` shows which process has which map open");
}
