//! A missing bpffs, `--mount`, and names that bpffs reserves.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{FlockOperation, flock, statfs};

use super::sandbox::{Sandbox, entry, entry_with, finish, tree_of};
use super::strace;

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

/// How many file systems are mounted on the folder.
fn mounted_on(sandbox: &Sandbox, folder: &str) -> usize {
    let path = sandbox.file(folder).display().to_string();
    let mounts = fs::read_to_string("/proc/thread-self/mounts").expect("procfs is mounted");
    mounts.lines().filter(|line| line.split(' ').nth(1) == Some(&path)).count()
}

/// Three applies mount a bpffs on the same folder at the same time. Returns how many of them report that they
/// did.
#[track_caller]
fn three_at_once(sandbox: &Sandbox, folder: &str) -> usize {
    fs::create_dir(sandbox.file(folder)).expect("own folder");
    let bpffs = sandbox.file(folder).display().to_string();
    let applies = ["x", "y", "z"].map(|set| {
        let text = format!("bpffs = \"{bpffs}\"\n{}", entry("tasks_v1.bpf.o", set));
        sandbox.write(&format!("{set}.toml"), &text);
        sandbox.start(&format!("apply --mount -f {set}.toml"))
    });
    let runs = applies.map(|child| finish("apply --mount", child).exits(0));
    assert_eq!(mounted_on(sandbox, folder), 1);
    let tree = tree_of(&sandbox.file(folder));
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["x", "y", "z"]);
    runs.iter().filter(|run| run.stderr.contains("note: mounted a bpffs on")).count()
}

#[kernel_test]
fn several_at_once_mount_one() {
    let sandbox = Sandbox::new();
    for round in 0..60 {
        assert_eq!(three_at_once(&sandbox, &format!("new{round}")), 1, "round {round}");
    }
}

#[kernel_test]
fn another_user_cannot_prevent_it() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.file("new")).expect("own folder");
    manifest_for(&sandbox, "new");
    // Any user can do this.
    let folder = fs::File::open(sandbox.file("new")).expect("it is there");
    flock(&folder, FlockOperation::LockExclusive).expect("no other process has it");
    sandbox.iterctl("apply --mount -f iters.toml").exits(0).plans(&["+ a/b  task"]);
    assert_eq!(mounted_on(&sandbox, "new"), 1);
}

#[kernel_test]
fn one_that_comes_to_lie_on_another_is_removed() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.file("new")).expect("own folder");
    manifest_for(&sandbox, "new");
    // Without this lock, another process may mount one at any moment; here, after the last look.
    let apply = "apply --mount -f iters.toml";
    let run = strace::interrupt(&sandbox, "fsmount", 1, apply, || sandbox.mount_bpffs("new"));
    assert!(!run.stderr.contains("mounted a bpffs"), "{run}");
    run.exits(0).plans(&["+ a/b  task"]);
    assert_eq!(mounted_on(&sandbox, "new"), 1);
    assert_eq!(tree_of(&sandbox.file("new")).keys().collect::<Vec<_>>(), ["a", "a/b"]);
}

#[kernel_test]
fn a_bpffs_that_was_mounted_for_nothing_is_unmounted() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.file("new")).expect("own folder");
    let bpffs = sandbox.file("new").display().to_string();
    let write = |entry: &str| sandbox.write("iters.toml", &format!("bpffs = \"{bpffs}\"\n{entry}"));
    write(&entry("rejected.bpf.o", "a"));
    let run = sandbox.iterctl("apply --mount -f iters.toml").exits(1).says("nothing was changed");
    assert!(!run.stderr.contains("mounted"), "{run}");
    assert_eq!(mounted_on(&sandbox, "new"), 0);
    let pin = format!("pin --mount --bpffs {bpffs} rejected.bpf.o a");
    sandbox.iterctl(&pin).exits(1).says("nothing was changed");
    assert_eq!(mounted_on(&sandbox, "new"), 0);
    // A signal before anything is pinned.
    write(&entry("tasks_v1.bpf.o", "a"));
    let apply = "apply --mount -f iters.toml";
    strace::try_to_inject(&sandbox, "mkdirat", "signal=TERM", "2", apply).0.exits(143);
    assert_eq!(mounted_on(&sandbox, "new"), 0);
    // While it waits, others may use the bpffs: it stays.
    write(&entry_with("elem.bpf.o", "a", "map = { pinned = \"never\" }"));
    let run = sandbox.iterctl("apply --mount --wait 200ms -f iters.toml").exits(1);
    run.says("never");
    assert_eq!(mounted_on(&sandbox, "new"), 1);
}

#[kernel_test]
fn a_bpffs_that_others_use_by_now_stays_mounted() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.file("new")).expect("own folder");
    let bpffs = sandbox.file("new").display().to_string();
    let text = format!("bpffs = \"{bpffs}\"\n{}", entry("rejected.bpf.o", "a"));
    sandbox.write("iters.toml", &text);
    let apply = "apply --mount -f iters.toml";
    // After the staging directory is made.
    let run = strace::interrupt(&sandbox, "mkdirat", 2, apply, || {
        fs::create_dir(sandbox.file("new/used")).expect("nothing is there");
    });
    run.exits(1).says(&format!("note: the bpffs that was mounted on {bpffs} stays there"));
    assert_eq!(mounted_on(&sandbox, "new"), 1);
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
