//! Only one apply runs at a time, and the next one cleans up after a killed one.

use std::fs::{self, File};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown, lchown, symlink,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{FlockOperation, flock};
use rustix::mount::mount_bind;

use super::bpf;
use super::sandbox::{ITERCTL, LOCK, Run, Sandbox, entry, finish};
use super::strace;

/// A manifest, and the lock, held by this process.
#[track_caller]
fn locked() -> (Sandbox, File) {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let lock = sandbox.lock();
    (sandbox, lock)
}

/// Unlocks explicitly. Closing the file is not enough: a child that another test has just forked may have
/// it open, too.
#[track_caller]
fn give_back(root: &File) {
    flock(root, FlockOperation::Unlock).expect("this process has the lock");
}

#[kernel_test]
fn the_holder_of_the_lock_is_named() {
    let (sandbox, root) = locked();
    let holder = format!("process {} (", std::process::id());
    for command in ["apply -f iters.toml", "unpin -f iters.toml", "unpin --bpffs bpf a"] {
        let run = sandbox.iterctl(&format!("{command} --lock-timeout 0.2")).exits(75);
        run.says(&holder).says("holds the lock").says("0.2 s");
        assert_eq!(sandbox.paths(), [] as [&str; 0]);
    }
    give_back(&root);
    sandbox.iterctl("apply --lock-timeout 0 -f iters.toml").exits(0).plans(&["+ a  task"]);
}

#[kernel_test]
fn reading_commands_need_no_lock() {
    let (sandbox, _root) = locked();
    sandbox.iterctl("plan -f iters.toml").exits(0).plans(&["+ a  task"]);
    sandbox.iterctl("list --bpffs bpf").exits(0);
}

#[kernel_test]
fn apply_waits_until_the_lock_is_released() {
    let (sandbox, root) = locked();
    let mut child = sandbox.start("apply --lock-timeout 600 -f iters.toml");
    // It has the lock open while it tries to lock it.
    let descriptors = format!("/proc/{}/fd", child.id());
    while !has_open(Path::new(&descriptors), &sandbox.pin(LOCK)) {
        assert!(child.try_wait().expect("it is a child").is_none(), "it did not wait");
        thread::yield_now();
    }
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    assert!(child.try_wait().expect("it is a child").is_none(), "it did not wait");
    give_back(&root);
    finish("apply", child).exits(0).plans(&["+ a  task"]);
}

/// Whether a process has this file open.
fn has_open(descriptors: &Path, file: &Path) -> bool {
    let descriptors = fs::read_dir(descriptors).into_iter().flatten().flatten();
    descriptors.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|open| open == file)
}

#[kernel_test]
fn applies_beside_each_other_take_turns() {
    let sandbox = Sandbox::new();
    let sets = ["a", "b", "c", "d"];
    for set in sets {
        sandbox
            .manifest(&format!("{set}.toml"), &entry("tasks_v1.bpf.o", &format!("shared/{set}")));
    }
    let children = sets.map(|set| sandbox.start(&format!("apply -f {set}.toml")));
    for child in children {
        finish("apply", child).exits(0);
    }
    let paths = sets.map(|set| format!("shared/{set}"));
    assert_eq!(sandbox.paths()[1..], paths);
    assert_eq!(sandbox.paths()[0], "shared");
}

#[kernel_test]
fn leftovers_of_a_killed_apply_are_removed() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let stale = "iterctl-staging-0123456789abcdef";
    fs::create_dir(sandbox.pin(stale)).expect("nothing is there");
    bpf::pin_foreign(&sandbox, "tasks_v2.bpf.o", format!("{stale}/1"));

    let before = sandbox.tree();
    sandbox.iterctl("plan -f iters.toml").exits(0).plans(&["+ a  task"]);
    let list = sandbox.iterctl("list --bpffs bpf").exits(0);
    assert!(!list.stdout.contains(stale), "it is no place of a pin: {list}");
    assert_eq!(sandbox.tree(), before);

    let run = sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ a  task"]);
    run.says("note: removed what an apply that was killed had left");
    assert_eq!(sandbox.paths(), ["a"]);
}

#[kernel_test]
fn leftovers_at_the_root_are_removed_by_an_apply_further_down() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.pin("sub")).expect("nothing is there");
    let text = format!("bpffs = \"{}\"\n", sandbox.pin("sub").display());
    sandbox.write("iters.toml", &(text + &entry("tasks_v1.bpf.o", "a")));
    let apply = "apply -f iters.toml";
    strace::inject(&sandbox, "renameat2", "signal=KILL", "1", apply);
    assert!(sandbox.paths()[0].starts_with("iterctl-staging-"), "{:?}", sandbox.paths());
    sandbox.iterctl(apply).exits(0).says("note: removed what an apply that was killed had left");
    assert_eq!(sandbox.paths(), ["sub", "sub/a"]);
}

#[kernel_test]
fn a_staging_directory_of_another_user_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let theirs = "iterctl-staging-theirs";
    fs::create_dir(sandbox.pin(theirs)).expect("nothing is there");
    chown(sandbox.pin(theirs), Some(65534), Some(65534)).expect("root may");
    let before = sandbox.tree()[theirs].clone();
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ a  task"]);
    assert_eq!(sandbox.tree()[theirs], before);
}

const NOBODY: u32 = 65534;

/// Another user takes the name of the lock before root does, and locks what it can.
#[kernel_test]
fn what_another_user_puts_in_the_place_of_the_lock_is_replaced() {
    type Plant = fn(&Sandbox, &Path);
    let plants: [(&str, Plant); 6] = [
        ("directory", |_, lock| fs::create_dir(lock).expect("nothing is there")),
        ("full directory", |_, lock| {
            fs::create_dir_all(lock.join("deep/er")).expect("nothing is there");
        }),
        ("link", |sandbox, lock| {
            fs::create_dir_all(sandbox.file("outside")).expect("own folder");
            symlink(sandbox.file("outside"), lock).expect("nothing is there");
        }),
        ("link to nothing", |_, lock| symlink("nowhere", lock).expect("nothing is there")),
        ("pin", |sandbox, _| {
            bpf::pin_foreign(sandbox, "many.bpf.o", LOCK);
        }),
        ("room", |sandbox, lock| {
            fs::create_dir(lock).expect("nothing is there");
            fs::create_dir(sandbox.pin("iterctl-lock-new-0")).expect("nothing is there");
            lchown(sandbox.pin("iterctl-lock-new-0"), Some(NOBODY), Some(NOBODY))
                .expect("root may");
        }),
    ];
    for (what, plant) in plants {
        for options in ["", "-e inject=renameat2:error=EINVAL:when=1"] {
            let sandbox = Sandbox::new();
            sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
            let lock = sandbox.pin(LOCK);
            plant(&sandbox, &lock);
            lchown(&lock, Some(NOBODY), Some(NOBODY)).expect("root may");
            let held = File::open(&lock).ok().filter(|_| what.contains("directory"));
            if let Some(held) = &held {
                flock(held, FlockOperation::LockExclusive).expect("no other process has it");
            }
            let options = format!("-e trace=renameat2 {options}");
            let apply = "apply --lock-timeout 0 -f iters.toml";
            let (run, _) = strace::trace(&sandbox, &options, apply);
            run.exits(0).plans(&["+ a  task"]);
            let stat = fs::symlink_metadata(&lock).expect("it is there");
            assert!(stat.is_dir() && stat.uid() == 0 && stat.mode() & 0o7777 == 0o700, "{what}");
            let mut paths = sandbox.paths();
            paths.retain(|path| path != "iterctl-lock-new-0");
            if what == "full directory" {
                assert!(paths[1].starts_with("iterctl-lock-old-"), "{paths:?}");
                fs::remove_dir_all(sandbox.pin(&paths[1]).join("deep")).expect("it is there");
                sandbox.iterctl("unpin -f iters.toml").exits(0);
                assert_eq!(sandbox.paths(), [] as [&str; 0]);
            } else {
                assert_eq!(paths, ["a"], "{what}");
            }
            if what == "link" {
                let outside = fs::read_dir(sandbox.file("outside")).expect("it is there");
                assert_eq!(outside.count(), 0, "nothing is made where a link leads");
            }
        }
    }
}

#[kernel_test]
fn locking_the_root_of_the_bpffs_blocks_nothing() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let root = File::open(sandbox.bpffs()).expect("any user may");
    flock(&root, FlockOperation::LockExclusive).expect("no other process has it");
    sandbox.iterctl("apply --lock-timeout 0 -f iters.toml").exits(0).plans(&["+ a  task"]);
}

#[kernel_test]
fn a_lock_that_was_displaced_is_still_held() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    // Another apply had it when a third one replaced it and was killed.
    let held = sandbox.lock();
    let room = sandbox.pin("iterctl-lock-new-0");
    fs::DirBuilder::new().mode(0o700).create(&room).expect("nothing is there");
    fs::rename(sandbox.pin(LOCK), room.join("lock")).expect("nothing is there");
    let apply = "apply --lock-timeout 0 -f iters.toml";
    sandbox.iterctl(apply).exits(75).says("holds the lock");
    // If it cannot be seen whether it is held, it is not taken.
    let inject = "-f -qq -o /dev/null -P iterctl-lock-new-0 -e inject=openat:error=ENOMEM";
    sandbox.run("strace", &format!("{inject} {ITERCTL} {apply}")).exits(1).says("Cannot allocate");
    assert!(!sandbox.pin("a").exists());
    give_back(&held);
    sandbox.iterctl(apply).exits(0).plans(&["+ a  task"]);
    assert!(!room.exists());
}

#[kernel_test]
fn the_lock_is_of_the_whole_file_system() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.pin("sub/deep")).expect("nothing is there");
    for bpffs in ["bpf", "bpf/sub", "bpf/sub/deep"] {
        let text = format!("bpffs = \"{}\"\n", sandbox.file(bpffs).display());
        sandbox.write("iters.toml", &(text + &entry("tasks_v1.bpf.o", "x/pin")));
        let apply = "apply --lock-timeout 0 -f iters.toml";
        let lock = sandbox.lock();
        sandbox
            .iterctl(apply)
            .exits(75)
            .says(&format!("{} is locked", sandbox.file(bpffs).display()));
        give_back(&lock);
        // The staging directory is beside the lock.
        let mut is_there = false;
        strace::interrupt(&sandbox, "mkdirat", 1, apply, || {
            let names = fs::read_dir(sandbox.bpffs()).expect("root may look").flatten();
            let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
            is_there = names.any(|name| name.starts_with("iterctl-staging-"));
        })
        .exits(0)
        .plans(&["+ x/pin  task"]);
        assert!(is_there);
        sandbox.iterctl(apply).exits(0).plans::<&str>(&[]);
        sandbox.iterctl("unpin -f iters.toml").exits(0).plans(&["- x/pin  asked for"]);
        assert_eq!(sandbox.paths(), ["sub", "sub/deep"]);
    }
}

#[kernel_test]
fn the_highest_directory_that_can_be_reached_is_locked() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.pin("sub/deep")).expect("nothing is there");
    let apply = "apply --lock-timeout 0 -f iters.toml";
    for (from, on, locks) in [
        // Nothing above is reachable.
        ("bpf/sub", "elsewhere", "elsewhere/iterctl-lock"),
        // Nothing can be renamed from the root into another mount, but the lock is there.
        ("bpf/sub", "bpf/sub", "bpf/iterctl-lock"),
    ] {
        fs::create_dir_all(sandbox.file(on)).expect("own folder");
        mount_bind(sandbox.file(from), sandbox.file(on)).expect("root may");
        let text = format!("bpffs = \"{}/deep\"\n", sandbox.file(on).display());
        sandbox.write("iters.toml", &(text + &entry("tasks_v1.bpf.o", "pin")));
        sandbox.iterctl(apply).exits(0).plans(&["+ pin  task"]);
        let lock = File::open(sandbox.file(locks)).expect("it was locked");
        flock(&lock, FlockOperation::LockExclusive).expect("no other process has it");
        sandbox.iterctl(apply).exits(75).says("holds the lock");
        give_back(&lock);
        sandbox.iterctl("unpin -f iters.toml").exits(0).plans(&["- pin  asked for"]);
    }
}

/// Runs it as a user who may load programs.
#[track_caller]
fn as_nobody(sandbox: &Sandbox, arguments: &str) -> Run {
    let capabilities = "+sys_admin,+bpf,+perfmon";
    let user = format!(
        "--reuid {NOBODY} --regid {NOBODY} --clear-groups --inh-caps {capabilities} --ambient-caps \
         {capabilities}"
    );
    sandbox.run("setpriv", &format!("{user} {ITERCTL} {arguments}"))
}

#[kernel_test]
fn a_user_locks_the_highest_directory_that_it_may_write_to() {
    let sandbox = Sandbox::new();
    fs::set_permissions(sandbox.bpffs(), fs::Permissions::from_mode(0o755)).expect("root may");
    fs::create_dir_all(sandbox.pin("theirs/deep")).expect("nothing is there");
    for path in ["theirs", "theirs/deep"] {
        chown(sandbox.pin(path), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    let text = format!("bpffs = \"{}\"\n", sandbox.pin("theirs/deep").display());
    sandbox.write("iters.toml", &(text + &entry("tasks_v1.bpf.o", "pin")));
    let apply = "apply --lock-timeout 0 -f iters.toml";
    as_nobody(&sandbox, apply).exits(0).plans(&["+ pin  task"]);
    let expected = ["theirs", "theirs/deep", "theirs/deep/pin", "theirs/iterctl-lock"];
    assert_eq!(sandbox.paths(), expected);
    // Root's lock is another one, which this user cannot open.
    let root = sandbox.lock();
    as_nobody(&sandbox, apply).exits(0);
    give_back(&root);
    let lock = File::open(sandbox.pin("theirs/iterctl-lock")).expect("root may");
    flock(&lock, FlockOperation::LockExclusive).expect("no other process has it");
    as_nobody(&sandbox, apply).exits(75);
}

#[kernel_test]
fn root_and_the_owner_of_a_bpffs_share_a_lock() {
    let sandbox = Sandbox::new();
    fs::set_permissions(sandbox.bpffs(), fs::Permissions::from_mode(0o700)).expect("root may");
    chown(sandbox.bpffs(), Some(NOBODY), Some(NOBODY)).expect("root may");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let apply = "apply --lock-timeout 0 -f iters.toml";
    sandbox.iterctl(apply).exits(0);
    let lock = File::open(sandbox.pin(LOCK)).expect("root has made it");
    assert_eq!(lock.metadata().expect("it is open").uid(), NOBODY);
    flock(&lock, FlockOperation::LockExclusive).expect("no other process has it");
    as_nobody(&sandbox, apply).exits(75);
    sandbox.iterctl(apply).exits(75);
    give_back(&lock);
    as_nobody(&sandbox, "plan -f iters.toml").exits(77);
    assert_eq!(sandbox.paths(), ["a"], "there is no other lock");
}

#[kernel_test]
fn the_lock_is_no_place_for_a_pin() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "iterctl-lock/a"));
    sandbox
        .iterctl("check -f iters.toml")
        .exits(65)
        .says("`iterctl-lock`, which apply uses itself");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    for command in ["list --bpffs bpf", "export --bpffs bpf --set iters", "plan -f iters.toml"] {
        let run = sandbox.iterctl(command).exits(0);
        assert!(!run.stdout.contains(LOCK), "{run}");
    }
    sandbox.iterctl("unpin --bpffs bpf iterctl-lock").exits(64).says("cannot be a pin");
}

#[kernel_test]
fn moving_a_directory_above_the_manifest_leads_to_no_other_lock() {
    let sandbox = Sandbox::new();
    // The other user owns what is between the root and the directory in which the manifest starts.
    let deep = sandbox.pin("theirs/p1/p2/p3/q/x");
    fs::create_dir_all(&deep).expect("nothing is there");
    let manifest = entry("tasks_v1.bpf.o", "a");
    sandbox.write("iters.toml", &format!("bpffs = \"{}\"\n{manifest}", deep.display()));
    let held = sandbox.lock();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (low, high) = (sandbox.pin("theirs/p1/p2/p3/q"), sandbox.pin("theirs/q"));
            while !is_over.load(Ordering::Relaxed) {
                fs::rename(&low, &high).expect("the other user can");
                fs::rename(&high, &low).expect("the other user can");
            }
        });
        // While the directory is elsewhere, there is no bpffs at its path.
        for _ in 0..100 {
            let run = sandbox.iterctl("apply --lock-timeout 0 -f iters.toml");
            assert!(matches!(run.status(), Some(69 | 75)), "{run}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    give_back(&held);
    assert_eq!(sandbox.tree().keys().filter(|path| path.ends_with("/a")).count(), 0);
    for place in ["theirs", "theirs/p1", "theirs/p1/p2", "theirs/p1/p2/p3", "theirs/p1/p2/p3/q/x"] {
        assert!(!sandbox.pin(place).join(LOCK).exists(), "a lock in {place}");
    }
}
