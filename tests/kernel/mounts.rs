//! A missing bpffs, `--mount`, and names that bpffs reserves.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::statfs;

use super::sandbox::{Sandbox, entry, tree_of};

/// A manifest whose bpffs is another folder of the sandbox.
#[track_caller]
fn manifest_for(sandbox: &Sandbox, folder: &str) {
    let bpffs = sandbox.file(folder).display().to_string();
    let text = format!("bpffs = \"{bpffs}\"\n{}", entry("tasks_v1.bpf.o", "a/b"));
    sandbox.write("iters.toml", &text);
}

/// Every command says what is missing, and what to do.
#[track_caller]
fn is_unavailable(folder: &str, reason: &str) {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.file("plain")).expect("own folder");
    manifest_for(&sandbox, folder);
    let path = sandbox.file(folder).display().to_string();
    let commands = ["apply -f iters.toml", "plan -f iters.toml", "unpin -f iters.toml"];
    let listing = format!("list --bpffs {folder}");
    for command in commands.into_iter().chain([listing.as_str()]) {
        let run = sandbox.iterctl(command).exits(69);
        run.says(&reason.replace("PATH", &path))
            .says(&format!("mount -t bpf bpf {path}"))
            .says("apply --mount");
    }
    let left = fs::read_dir(sandbox.file("plain")).expect("own folder");
    assert_eq!(left.count(), 0, "nothing is made where no bpffs is");
    sandbox.iterctl("check -f iters.toml").exits(0);
}

#[kernel_test]
fn no_bpffs_is_unavailable() {
    is_unavailable("plain", "PATH is not a bpffs");
    is_unavailable("missing", "there is no PATH");
    is_unavailable("iters.toml", "PATH is not a bpffs");
}

#[kernel_test]
fn mount_mounts_a_private_bpffs_if_there_is_none() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.file("new")).expect("own folder");
    manifest_for(&sandbox, "new");
    let path = sandbox.file("new");
    let run = sandbox.iterctl("apply --mount -f iters.toml").exits(0).plans(&["+ a/b  task"]);
    run.says(&format!("mounted a bpffs on {}", path.display()));
    assert_eq!(statfs(&path).expect("it is there").f_type as u64, 0xcafe_4a11);
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o700);
    let before = tree_of(&path);
    assert_eq!(before.keys().collect::<Vec<_>>(), ["a", "a/b"]);
    // The second time a bpffs exists: it is used, and no other is mounted over it.
    let run = sandbox.iterctl("apply --mount -f iters.toml").exits(0).plans::<&str>(&[]);
    assert!(!run.stderr.contains("mounted"), "{run}");
    assert_eq!(tree_of(&path), before);
}

#[kernel_test]
fn mount_never_hides_files() {
    let sandbox = Sandbox::new();
    sandbox.write("full/precious", "kept\n");
    manifest_for(&sandbox, "full");
    let run = sandbox.iterctl("apply --mount -f iters.toml").exits(69);
    run.says(&format!("{} holds files", sandbox.file("full").display()));
    assert_eq!(fs::read_to_string(sandbox.file("full/precious")).expect("it is there"), "kept\n");
}

#[kernel_test]
fn mount_makes_no_folder() {
    let sandbox = Sandbox::new();
    manifest_for(&sandbox, "missing");
    sandbox.iterctl("apply --mount -f iters.toml").exits(69).says("missing");
    assert!(!sandbox.file("missing").exists());
}

#[kernel_test]
fn another_file_system_below_the_bpffs_is_not_entered() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.pin("x")).expect("nothing is there");
    sandbox.mount_bpffs("bpf/x");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "x/pin"));
    let before = sandbox.tree();
    let run = sandbox.iterctl("apply -f iters.toml").exits(73);
    run.says("another bpffs is mounted on its parent `x`");
    assert_eq!(sandbox.tree(), before);
}

#[kernel_test]
fn a_dot_in_the_name_is_invalid_before_the_kernel_is_asked() {
    let sandbox = Sandbox::new();
    for path in ["observe/tcp.v4", "obs.erve/tcp", "..", "a/../b"] {
        sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", path));
        for command in ["check", "plan", "apply"] {
            let run = sandbox.iterctl(&format!("{command} -f iters.toml")).exits(65);
            run.says("iters.toml:4:8").says("^^");
        }
    }
    let run = sandbox.iterctl("unpin --bpffs bpf observe/tcp.v4");
    run.exits(64).says("observe/tcp.v4");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}
