//! Large numbers, long and odd names, and forbidden actions.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use rustix::mount::{MountFlags, mount_remount};

use super::bpf;
use super::sandbox::{ITERCTL, Sandbox, entry};

#[kernel_test]
fn names_can_be_as_long_as_the_kernel_takes() {
    let sandbox = Sandbox::new();
    let longest = "n".repeat(255);
    let path = format!("{longest}/{longest}");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", &path));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(sandbox.first_line(&path), "v1\n");
    sandbox.manifest("iters.toml", &entry("tasks_v2.bpf.o", &path));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(sandbox.first_line(&path), "v2\n");
    sandbox.iterctl("unpin -f iters.toml").exits(0);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", &format!("{longest}n")));
    sandbox.iterctl("apply -f iters.toml").exits(65).says("a component of 256 bytes");
}

#[kernel_test]
fn names_that_are_not_utf_8_do_no_harm() {
    let sandbox = Sandbox::new();
    let odd = sandbox.bpffs().join(OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&odd).expect("bpffs takes any name without a dot");
    bpf::pin_foreign(&sandbox, "tasks_v1.bpf.o", odd.join(OsStr::from_bytes(b"pin\xfe")));
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "plain"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox.iterctl("apply -f iters.toml").exits(0).plans::<&str>(&[]);
    let list = sandbox.iterctl("list --bpffs bpf").exits(0).stdout;
    assert!(list.contains("odd\u{fffd}/pin\u{fffd}") && list.contains("plain"), "{list}");
    sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
    sandbox.iterctl("unpin -f iters.toml").exits(0);
    assert!(odd.join(OsStr::from_bytes(b"pin\xfe")).exists(), "it is not ours");
}

#[kernel_test]
fn few_descriptors_are_enough_for_many_pins() {
    let sandbox = Sandbox::new();
    let entries = |object: &str| -> String {
        (0..500).map(|number| entry(object, &format!("d{}/p{number}", number % 10))).collect()
    };
    for limit in [32, 64, 256] {
        let few = |arguments: &str| {
            sandbox.run("prlimit", &format!("--nofile={limit}:{limit} {ITERCTL} {arguments}"))
        };
        sandbox.manifest("iters.toml", &entries("tasks_v1.bpf.o"));
        few("apply -f iters.toml").exits(0);
        few("plan -f iters.toml --detailed-exitcode").exits(0);
        sandbox.manifest("iters.toml", &entries("tasks_v2.bpf.o"));
        few("apply -f iters.toml").exits(0);
        few("unpin -f iters.toml").exits(0);
        assert_eq!(sandbox.paths(), [] as [&str; 0]);
    }
}

#[kernel_test]
fn many_objects_need_no_more_descriptors() {
    let sandbox = Sandbox::new();
    let entries: String = (0..100)
        .map(|number| {
            let object = format!("copy{number}.bpf.o");
            sandbox.copy("tasks_v1.bpf.o", &object);
            entry(&object, &format!("p{number}"))
        })
        .collect();
    sandbox.manifest("iters.toml", &entries);
    sandbox.run("prlimit", &format!("--nofile=32:32 {ITERCTL} apply -f iters.toml")).exits(0);
    assert_eq!(sandbox.paths().len(), 100);
}

#[kernel_test]
fn a_read_only_bpffs_is_reported_and_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox.manifest("iters.toml", &entry("tasks_v2.bpf.o", "a"));
    let before = sandbox.tree();
    mount_remount(sandbox.bpffs(), MountFlags::RDONLY, "").expect("root can");
    // Opening a link needs the right to write: bpf_obj_do_get() in kernel/bpf/inode.c.
    let list = "list --bpffs bpf";
    for call in ["plan -f iters.toml", "apply -f iters.toml", "unpin -f iters.toml", list] {
        let run = sandbox.iterctl(call).exits(69).says("`a`").says("Read-only file system");
        run.says("hint: mount it writable: in a container, its volume may be `readOnly`");
    }
    mount_remount(sandbox.bpffs(), MountFlags::empty(), "").expect("root can");
    assert_eq!(sandbox.tree(), before);
}

#[kernel_test]
fn a_read_only_bpffs_is_in_the_way_of_a_plan() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    mount_remount(sandbox.bpffs(), MountFlags::RDONLY, "").expect("root can");
    let obstacle = format!("the bpffs {} is mounted read-only", sandbox.bpffs().display());
    for call in ["plan -f iters.toml", "apply -f iters.toml"] {
        let run = sandbox.iterctl(call).exits(69).says(&format!("error: {obstacle}\n"));
        run.says("hint: mount it writable").exits(69);
    }
    let report = sandbox.iterctl("-j plan -f iters.toml").exits(69).json();
    assert!(
        report["comment"].as_str().is_some_and(|comment| comment.contains(&obstacle)),
        "{report}"
    );
}
