//! A bpffs that every user may write to, and what may be planted there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};

use super::bpf;
use super::sandbox::{Run, Sandbox, entry, tree_of};
use super::strace;

const NOBODY: u32 = 65534;

/// Plants a symbolic link on the bpffs, as the user nobody.
#[track_caller]
fn plant(sandbox: &Sandbox, target: &Path, path: &str) {
    let link = sandbox.pin(path);
    symlink(target, &link).expect("nothing is there");
    lchown(link, Some(NOBODY), Some(NOBODY)).expect("root may");
}

/// A symbolic link is at the path of a wanted pin's parent: nothing is made where it leads.
#[track_caller]
fn is_not_followed(target: impl FnOnce(&Sandbox) -> PathBuf, outside: &str) {
    let sandbox = Sandbox::new();
    let target = target(&sandbox);
    plant(&sandbox, &target, "observe");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "observe/deep/tasks"));
    let before = (sandbox.tree(), listing(&sandbox.file(outside)));
    let reason = "its parent `observe` is not a directory";
    for arguments in ["plan", "plan --adopt", "apply", "apply --adopt"] {
        let run = sandbox.iterctl(&format!("{arguments} -f iters.toml")).exits(73);
        let told = run.stdout.contains(reason) || run.stderr.contains(reason);
        assert!(told, "{run}");
        assert_eq!((sandbox.tree(), listing(&sandbox.file(outside))), before);
    }
    // The link cannot be used to unpin something outside either.
    sandbox
        .iterctl("unpin --bpffs bpf observe/deep/tasks")
        .exits(1)
        .says("nothing is pinned there");
    assert_eq!((sandbox.tree(), listing(&sandbox.file(outside))), before);
}

/// Every name in a folder.
#[track_caller]
fn listing(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(folder).expect("it is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("it can be read").file_name()).collect();
    names.sort();
    names
}

#[kernel_test]
fn a_planted_link_to_another_folder_is_not_followed() {
    let folder = |sandbox: &Sandbox| {
        fs::create_dir_all(sandbox.file("outside/deep")).expect("own folder");
        sandbox.file("outside")
    };
    is_not_followed(folder, "outside/deep");
}

#[kernel_test]
fn a_planted_link_to_another_bpffs_is_not_followed() {
    let bpffs = |sandbox: &Sandbox| {
        sandbox.mount_bpffs("other");
        fs::create_dir(sandbox.file("other/deep")).expect("nothing is there");
        // The link leads to a pin of the same set.
        let text = format!("bpffs = \"{}\"\n", sandbox.file("other").display())
            + &entry("tasks_v2.bpf.o", "deep/tasks");
        sandbox.write("iters.toml", &text);
        sandbox.iterctl("apply -f iters.toml").exits(0);
        sandbox.file("other")
    };
    is_not_followed(bpffs, "other/deep");
}

#[kernel_test]
fn a_planted_link_within_the_bpffs_is_not_followed() {
    let directory = |sandbox: &Sandbox| {
        fs::create_dir_all(sandbox.pin("real/deep")).expect("nothing is there");
        PathBuf::from("real")
    };
    is_not_followed(directory, "bpf/real/deep");
}

#[kernel_test]
fn a_planted_link_is_not_followed_by_unpin_or_list() {
    let sandbox = Sandbox::new();
    sandbox.mount_bpffs("other");
    let text = format!("bpffs = \"{}\"\n", sandbox.file("other").display());
    sandbox.write("iters.toml", &(text + &entry("tasks_v1.bpf.o", "tasks")));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    plant(&sandbox, &sandbox.file("other"), "dir");
    plant(&sandbox, &sandbox.file("other/tasks"), "pin");
    let before = (sandbox.tree(), tree_of(&sandbox.file("other")));
    let report = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
    assert_eq!(report["pins"].as_array().map(Vec::len), Some(0), "{report}");
    sandbox.iterctl("unpin --bpffs bpf --set iters").exits(0).plans::<&str>(&[]);
    sandbox.iterctl("unpin --bpffs bpf --adopt pin").exits(73).says("a symbolic link");
    assert_eq!((sandbox.tree(), tree_of(&sandbox.file("other"))), before);
}

#[kernel_test]
fn a_planted_staging_directory_is_not_used() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.file("outside")).expect("own folder");
    sandbox.write("outside/1", "precious");
    plant(&sandbox, &sandbox.file("outside"), "iterctl-staging-0000000000000000");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ a  task"]);
    assert_eq!(listing(&sandbox.file("outside")), ["1"]);
    assert_eq!(sandbox.paths(), ["a", "iterctl-staging-0000000000000000"]);
}

#[kernel_test]
fn a_planted_staging_directory_may_vanish() {
    let sandbox = Sandbox::new();
    let planted = ["0", "1"].map(|name| sandbox.pin(&format!("iterctl-staging-{name}")));
    for directory in &planted {
        fs::create_dir(directory).expect("nothing is there");
        lchown(directory, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    // One of the two is looked at first.
    let run = strace::interrupt(&sandbox, "openat2", 1, "apply -f iters.toml", || {
        for directory in &planted {
            fs::remove_dir(directory).expect("it is empty");
        }
    });
    run.exits(0).plans(&["+ a  task"]);
}

#[kernel_test]
fn foreign_files_in_a_staging_directory_do_no_harm() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    // After a failed undo, this directory holds a pin that others had put in the place of the set's own.
    let kept = sandbox.pin("iterctl-staging-0000000000000000");
    fs::create_dir_all(kept.join("1/theirs")).expect("nothing is there");
    fs::create_dir(kept.join("2")).expect("nothing is there");
    bpf::pin_foreign(&sandbox, "many.bpf.o", "iterctl-staging-0000000000000000/3");
    let warning = format!("warning: failed to remove the old staging directory {}", kept.display());
    let run = sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ a  task"]);
    run.says(&warning).says("Directory not empty");
    assert_eq!(listing(&kept), ["1"], "all that can go is gone");
    sandbox.iterctl("unpin -f iters.toml").exits(0).plans(&["- a  asked for"]).says(&warning);
    fs::remove_dir(kept.join("1/theirs")).expect("it is empty");
    sandbox.iterctl("apply -f iters.toml").exits(0).says("removed what an apply");
    assert_eq!(sandbox.paths(), ["a"]);
}

/// The owner of a directory may move the pins in it, even those of root.
#[kernel_test]
fn a_pin_cannot_be_hidden_under_the_name_of_a_staging_directory() {
    for hidden in ["iterctl-staging-0", "iterctl-staging-0/deep/pin"] {
        let sandbox = Sandbox::new();
        sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
        sandbox.iterctl("apply -f iters.toml").exits(0);
        let place = sandbox.pin(hidden);
        if let Some(parent) = hidden.strip_suffix("/deep/pin") {
            fs::create_dir_all(sandbox.pin(parent).join("deep")).expect("nothing is there");
            lchown(sandbox.pin(parent), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        fs::rename(sandbox.pin("a"), place).expect("nothing is there");
        let report = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
        assert_eq!(report["pins"][0]["set"], "iters", "{report}");
        let gone = format!("- {hidden}  no longer listed");
        sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ a  task", &gone]);
        assert!(!sandbox.paths().iter().any(|path| path == hidden));
    }
}

#[kernel_test]
fn a_directory_may_become_something_else() {
    let becomes: [&dyn Fn(&Sandbox); 3] = [
        &|sandbox| plant(sandbox, Path::new("nowhere"), "dir"),
        &|sandbox| bpf::pin_foreign(sandbox, "tasks_v1.bpf.o", "dir"),
        &|_| {},
    ];
    for become_other in becomes {
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.pin("dir")).expect("nothing is there");
        // The calls are: open the root, look at the entry of that name, open the directory to read its
        // names.
        let run = strace::interrupt(&sandbox, "openat2", 2, "list --bpffs bpf", || {
            fs::remove_dir(sandbox.pin("dir")).expect("it is empty");
            become_other(&sandbox);
        });
        run.exits(0);
        let parent = sandbox.pin("dir");
        let _ = fs::remove_file(&parent);
        fs::create_dir_all(parent.join("below")).expect("nothing is there");
        // At this point, its names have been read, and `below` is opened next.
        let run = strace::interrupt(&sandbox, "openat2", 3, "list --bpffs bpf", || {
            fs::rename(&parent, sandbox.pin("moved")).expect("nothing is there");
            become_other(&sandbox);
        });
        run.exits(0);
    }
}

#[kernel_test]
fn directories_too_deep_for_a_path_do_no_harm() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    // Twenty times 255 bytes are more than a path may have.
    let script = "cd bpf; n=$(printf %255s | tr ' ' n); \
                  for i in $(seq 20); do mkdir $n && cd -P $n || exit; done";
    Run::of(sandbox.command("sh", "-c").arg(script)).exits(0);
    sandbox.iterctl("list --bpffs bpf").exits(0);
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ a  task"]);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

#[kernel_test]
fn names_on_bpffs_are_escaped_for_the_terminal() {
    let sandbox = Sandbox::new();
    let names: [&[u8]; 3] = [b"esc\x1b[31mred", b"line\nSET", b"no\xffutf8"];
    for name in names {
        bpf::pin_foreign(&sandbox, "tasks_v1.bpf.o", OsStr::from_bytes(name));
    }
    let run = sandbox.iterctl("list --bpffs bpf").exits(0);
    assert_eq!(run.stdout.lines().count(), 4, "a header and a line each: {run}");
    assert!(!run.stdout.contains('\x1b'), "{run}");
    let report = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
    assert_eq!(report["pins"].as_array().map(Vec::len), Some(3));
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ a  task"]);
}
