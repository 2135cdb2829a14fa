//! Every target that Linux has: pinned through a manifest with the parameter that it takes, and read.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixListener;

use iterctl_core::feature::Feature;
use iterctl_core::target::KNOWN;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::bpf;
use super::needs::{has, needs, target};
use super::sandbox::{Sandbox, entry, entry_with};
use super::strace;
use super::walked::{Cgroup, Process};

/// Things to walk.
struct World {
    // This field comes before the sandbox, because dropping the sandbox removes the mount through which the
    // cgroup is removed.
    cgroup: Cgroup,
    sandbox: Sandbox,
    process: Process,
    tcp: TcpListener,
    udp: UdpSocket,
    _unix: UnixListener,
    map: MapHandle,
    sockmap: MapHandle,
}

const SOCKET: &str = "socket";

/// At least one of everything that a target walks, made by this test alone.
#[track_caller]
fn world() -> World {
    let sandbox = Sandbox::new();
    // Only the sockets of this thread and its children are visible.
    unshare_network().expect("root may leave a network namespace");
    let tcp = TcpListener::bind("0.0.0.0:0").expect("any port will do");
    let map = bpf::hash_map("elements");
    bpf::insert(&map, (7, 42));
    let sockmap = bpf::map(MapType::Sockmap, "sockets", 4);
    let socket = tcp.as_raw_fd().to_ne_bytes();
    sockmap.update(&[0; 4], &socket, MapFlags::ANY).expect("a socket that listens may be in it");
    World {
        cgroup: Cgroup::new(&sandbox),
        process: Process::start(),
        udp: UdpSocket::bind("0.0.0.0:0").expect("any port will do"),
        _unix: UnixListener::bind(sandbox.file(SOCKET)).expect("nothing is there"),
        tcp,
        map,
        sockmap,
        sandbox,
    }
}

#[expect(unsafe_code, reason = "rustix's safe unshare() is deprecated")]
fn unshare_network() -> rustix::io::Result<()> {
    // SAFETY: unsafe is only `FILES`, which takes descriptors from other threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// The keys that an entry with this target needs.
fn keys(world: &World, target: &str) -> String {
    match target {
        "bpf_map_elem" => format!("map = {{ id = {} }}", bpf::id(&world.map)),
        "sockmap" => format!("map = {{ id = {} }}", bpf::id(&world.sockmap)),
        "bpf_sk_storage_map" => "map = { own = \"storage\" }".to_owned(),
        "task" | "task_file" | "task_vma" if has(Feature::TaskParameters) => {
            format!("task = {{ pid = {} }}", world.process.pid())
        }
        "cgroup" => {
            let path = world.cgroup.path("");
            format!("cgroup = {{ path = \"{}\", order = \"self-only\" }}", path.display())
        }
        _ => String::new(),
    }
}

/// The lines that must be in the output of the iterator pinned at the target's name.
#[track_caller]
fn expected(world: &World, target: &str) -> Vec<String> {
    let sandbox = &world.sandbox;
    let port =
        |address: std::io::Result<std::net::SocketAddr>| address.expect("it is bound").port();
    let pid = world.process.pid();
    let element = match target {
        "bpf_link" => sandbox.link(target).to_string(),
        "bpf_map" => bpf::id(&world.map).to_string(),
        "bpf_map_elem" => "7 42".to_owned(),
        "bpf_prog" => format!("{} dump", sandbox.number(target, "prog_id")),
        "bpf_sk_storage_map" => "4711".to_owned(),
        "cgroup" => world.cgroup.id("").to_string(),
        // Most machines have no dmabuf.
        "dmabuf" => return vec![],
        // Every network namespace has one route, for addresses without a route.
        "ipv6_route" => "0000:0000:0000:0000:0000:0000:0000:0000/0".to_owned(),
        // The cache of the caches, which is never merged with another one.
        "kmem_cache" => format!("kmem_cache {}", cache_size("kmem_cache")),
        "ksym" => first_symbol(),
        // Sockets of the kernel itself.
        "netlink" => "0".to_owned(),
        "sockmap" => format!("0 {}", port(world.tcp.local_addr())),
        "task" => pid.to_string(),
        "task_file" => format!("{pid} 0"),
        "task_vma" => format!("{pid} {}", first_mapping(pid)),
        "tcp" => format!("{} {TCP_LISTEN}", port(world.tcp.local_addr())),
        "udp" => format!("{} {TCP_CLOSE}", port(world.udp.local_addr())),
        "unix" => sandbox.file(SOCKET).display().to_string(),
        unknown => panic!("a target without a test: {unknown}"),
    };
    vec![target.to_owned(), element]
}

/// States of a socket: include/net/tcp_states.h. An unconnected UDP socket is closed.
const TCP_CLOSE: u8 = 7;
const TCP_LISTEN: u8 = 10;

fn first_symbol() -> String {
    let symbols = fs::read_to_string("/proc/kallsyms").expect("the kernel shows its symbols");
    let first = symbols.lines().next().and_then(|line| line.split_whitespace().nth(2));
    first.expect("an address, a type, a name").to_owned()
}

fn cache_size(name: &str) -> String {
    let size = fs::read_to_string(format!("/sys/kernel/slab/{name}/object_size"));
    size.expect("sysfs is mounted").trim().to_owned()
}

fn first_mapping(pid: u32) -> String {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it is running");
    let range = maps.split_whitespace().next().expect("it has mappings");
    range.replace('-', " ")
}

/// Stores something in the map that came with the iterator.
#[track_caller]
fn store(sandbox: &Sandbox, socket: RawFd) {
    let id = sandbox.number("bpf_sk_storage_map", "map_id");
    let map = MapHandle::from_map_id(id).expect("the iterator keeps it");
    let value = 4711_u64.to_ne_bytes();
    map.update(&socket.to_ne_bytes(), &value, MapFlags::ANY).expect("it is a socket");
}

/// The target is pinned, and its output can be read, from the pin and with `read`.
#[track_caller]
fn is_pinned_and_read(name: &str) {
    needs(target(name));
    let world = world();
    let sandbox = &world.sandbox;
    let object = format!("target_{name}.bpf.o");
    sandbox.manifest("iters.toml", &entry_with(&object, name, &keys(&world, name)));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
    if name == "bpf_sk_storage_map" {
        store(sandbox, world.tcp.as_raw_fd());
    }
    let (bpffs, pin) = (sandbox.bpffs(), sandbox.read(name));
    let read = sandbox.iterctl(&format!("read --bpffs {} {name}", bpffs.display())).exits(0);
    for line in expected(&world, name) {
        assert!(pin.lines().any(|found| found == line), "{name}: no {line:?} in:\n{pin}");
        assert!(read.stdout.lines().any(|found| found == line), "no {line:?}: {read}");
    }
}

/// One test for each target, so that missing targets can be told from the others.
macro_rules! pinned_and_read {
    ($($name:ident)*) => {
        mod is_pinned_and_read {
            $(
                #[kernel_test]
                fn $name() {
                    super::is_pinned_and_read(stringify!($name));
                }
            )*
        }

        #[test]
        fn every_target_has_a_test() {
            assert_eq!(KNOWN.iter().map(|known| known.name).collect::<Vec<_>>(), [$(stringify!($name)),*]);
        }
    };
}

pinned_and_read! {
    bpf_map ipv6_route netlink task task_file bpf_map_elem bpf_prog bpf_sk_storage_map tcp udp sockmap task_vma
    unix bpf_link ksym cgroup kmem_cache dmabuf
}

#[kernel_test]
fn every_target_in_one_manifest() {
    let world = world();
    let sandbox = &world.sandbox;
    let names = || KNOWN.iter().map(|known| known.name).filter(|name| has(target(name)));
    let entries = names().map(|name| {
        entry_with(&format!("target_{name}.bpf.o"), &format!("all/{name}"), &keys(&world, name))
    });
    sandbox.manifest("iters.toml", &entries.collect::<String>());
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
    let list = sandbox.iterctl("list --bpffs bpf").exits(0).stdout;
    let rows: Vec<(&str, &str)> = list
        .lines()
        .skip(1)
        .filter_map(|row| {
            let mut cells = row.split_whitespace();
            Some((cells.next()?, cells.next()?))
        })
        .collect();
    let mut expected: Vec<(String, &str)> =
        names().map(|name| (format!("all/{name}"), name)).collect();
    expected.sort_unstable();
    let expected: Vec<(&str, &str)> =
        expected.iter().map(|(path, t)| (path.as_str(), *t)).collect();
    assert_eq!(rows, expected);
}

/// The object's iterator walks tasks, and none of these other programs in the object is loaded.
#[track_caller]
fn only_the_iterator_is_loaded(object: &str, others: &[&str]) {
    needs(Feature::TaskParameters);
    let sandbox = Sandbox::new();
    let process = Process::start();
    let keys = format!("task = {{ pid = {} }}", process.pid());
    sandbox.manifest("iters.toml", &entry_with(object, "x", &keys));
    let (run, calls) = strace::trace(&sandbox, "-e trace=bpf", "apply -f iters.toml");
    run.exits(0).plans(&[format!("+ x  task pid {}", process.pid())]);
    assert_eq!(sandbox.read("x"), format!("{}\n", process.pid()));
    let loads = |name: &str| {
        let name = format!("prog_name=\"{name}\"");
        let is_load = |call: &&String| call.contains("BPF_PROG_LOAD") && call.contains(&name);
        // Older kernels do not support loaders, and refuse them.
        calls.iter().filter(is_load).filter(|call| !call.contains(" = -1 ")).count()
    };
    // A generated loader of libbpf loads it, if the kernel supports such loaders.
    assert_eq!(loads("dump") + loads("__loader.prog"), 1, "{calls:?}");
    for other in others {
        assert_eq!(loads(other), 0, "{other}");
    }
}

#[kernel_test]
fn programs_of_other_kinds_are_not_loaded() {
    let others = ["on_entry", "on_exit", "on_kprobe", "on_packet"];
    only_the_iterator_is_loaded("mixed.bpf.o", &others);
}

#[kernel_test]
fn a_program_that_no_kernel_loads_is_not_loaded() {
    only_the_iterator_is_loaded("sibling.bpf.o", &["unloadable"]);
}

#[kernel_test]
fn a_sleepable_iterator_is_loaded() {
    needs(Feature::Sleepable);
    only_the_iterator_is_loaded("sleepable.bpf.o", &[]);
}

/// An object without a part that most objects have.
#[track_caller]
fn is_read_without(object: &str) {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry(object, "x"));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ x  task"]);
    assert_eq!(sandbox.read("x"), "object 0\n");
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

#[kernel_test]
fn an_object_without_core_is_read() {
    is_read_without("no_core.bpf.o");
}

#[kernel_test]
fn an_object_without_btf_is_read() {
    is_read_without("no_btf.bpf.o");
}
