//! Others change the bpffs while an apply is running: it is stopped after it has looked and before it
//! changes anything, and then the others make their changes. Nothing of theirs is ever lost.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use iterctl_core::feature::Feature;

use super::bpf;
use super::needs::needs;
use super::sandbox::{Run, Sandbox, Tree, entry};
use super::strace;

/// The next apply of iters.toml will unpin `old/goes`, replace `have` and pin `new/pin`.
#[track_caller]
fn about_to_change() -> Sandbox {
    let sandbox = Sandbox::new();
    let paths = ["have", "old/goes"].map(|path| entry("tasks_v1.bpf.o", path));
    sandbox.manifest("iters.toml", &paths.concat());
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let entries = entry("tasks_v2.bpf.o", "have") + &entry("rodata.bpf.o", "new/pin");
    sandbox.manifest("iters.toml", &entries);
    sandbox
}

#[track_caller]
fn without_staging(sandbox: &Sandbox) -> Tree {
    let mut tree = sandbox.tree();
    tree.retain(|path, _| !path.starts_with("iterctl-staging-"));
    tree
}

/// Applies, and calls `meanwhile` after the staging directory was made. Returns what was on the bpffs right
/// after that.
#[track_caller]
fn apply_while(sandbox: &Sandbox, meanwhile: impl FnOnce()) -> (Run, Tree) {
    let mut tree = Tree::new();
    let run = strace::interrupt(sandbox, "mkdirat", 1, "apply -f iters.toml", || {
        meanwhile();
        tree = without_staging(sandbox);
    });
    (run, tree)
}

/// Nothing is changed: everything is as the others have left it.
#[track_caller]
fn gives_way(meanwhile: impl FnOnce(&Sandbox), reason: &str) {
    let sandbox = about_to_change();
    let (run, theirs) = apply_while(&sandbox, || meanwhile(&sandbox));
    let run = run.exits(1).says(reason).says("nothing was changed");
    assert_eq!(sandbox.tree(), theirs, "{run}");
}

#[track_caller]
fn remove(sandbox: &Sandbox, path: &str) {
    fs::remove_file(sandbox.pin(path)).expect("it is pinned");
}

#[track_caller]
fn pin_foreign(sandbox: &Sandbox, path: &str) {
    let pin = sandbox.pin(path);
    fs::create_dir_all(pin.parent().expect("a pin has a parent")).expect("root may");
    bpf::pin_foreign(sandbox, "many.bpf.o", path);
}

#[kernel_test]
fn a_new_file_at_a_free_path_is_not_overwritten() {
    // A pin that is put back keeps its inode.
    needs(Feature::Exchange);
    let reason = "something has come to `new/pin` since it was looked at";
    gives_way(|sandbox| pin_foreign(sandbox, "new/pin"), reason);
    gives_way(|sandbox| fs::create_dir_all(sandbox.pin("new/pin/deep")).expect("root may"), reason);
    gives_way(
        |sandbox| {
            fs::create_dir(sandbox.pin("new")).expect("root may");
            symlink("nowhere", sandbox.pin("new/pin")).expect("root may");
        },
        reason,
    );
}

#[kernel_test]
fn a_pin_that_others_have_replaced_is_put_back() {
    let place = |sandbox: &Sandbox| {
        remove(sandbox, "have");
        pin_foreign(sandbox, "have");
    };
    gives_way(place, "another process has replaced it meanwhile");
    let place = |sandbox: &Sandbox| {
        remove(sandbox, "have");
        drop(bpf::pinned_hash_map(&sandbox.pin("have"), (1, 1)));
    };
    gives_way(place, "a pinned map has come there since it was looked at");
}

#[kernel_test]
fn a_file_that_replaced_a_pin_is_put_back() {
    let reason = "has come there since it was looked at";
    let directory = |sandbox: &Sandbox| {
        remove(sandbox, "have");
        pin_foreign(sandbox, "have/deep/er");
    };
    gives_way(directory, reason);
    let link = |sandbox: &Sandbox| {
        pin_foreign(sandbox, "real");
        remove(sandbox, "have");
        symlink(sandbox.pin("real"), sandbox.pin("have")).expect("root may");
    };
    gives_way(link, reason);
}

#[kernel_test]
fn a_pin_that_is_gone_is_reported() {
    let reason = "`have` has gone since it was looked at";
    gives_way(|sandbox| remove(sandbox, "have"), reason);
}

/// The pin that is to be unpinned is removed by others. What they put there instead stays, and the apply succeeds.
#[track_caller]
fn is_done(replace: impl FnOnce(&Sandbox)) {
    let sandbox = about_to_change();
    let (run, theirs) = apply_while(&sandbox, || {
        remove(&sandbox, "old/goes");
        replace(&sandbox);
    });
    let run = run.exits(0);
    let is_theirs = |path: &String| path.starts_with("old/") || path.starts_with("real");
    let only_theirs = |mut tree: Tree| {
        tree.retain(|path, _| is_theirs(path));
        tree
    };
    assert_eq!(only_theirs(sandbox.tree()), only_theirs(theirs), "{run}");
    assert_eq!(sandbox.first_line("have"), "v2\n");
    assert_eq!(sandbox.first_line("new/pin"), "marker 1\n");
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

#[kernel_test]
fn a_pin_to_unpin_that_others_have_removed_or_replaced_is_done() {
    is_done(|_| {});
    is_done(|sandbox| pin_foreign(sandbox, "old/goes"));
    is_done(|sandbox| drop(bpf::pinned_hash_map(&sandbox.pin("old/goes"), (1, 1))));
    is_done(|sandbox| pin_foreign(sandbox, "old/goes/deep/er"));
    is_done(|sandbox| {
        pin_foreign(sandbox, "real");
        symlink(sandbox.pin("real"), sandbox.pin("old/goes")).expect("root may");
    });
}

#[kernel_test]
fn a_pin_of_the_set_that_replaces_one_to_unpin_is_reported() {
    // Without exchange, a pin that is put back is another file.
    needs(Feature::Exchange);
    let sandbox = about_to_change();
    let (run, theirs) = apply_while(&sandbox, || {
        remove(&sandbox, "old/goes");
        fs::hard_link(sandbox.pin("have"), sandbox.pin("old/goes")).expect("root may");
    });
    let run = run.exits(1).says("another process is changing the same pins: `old/goes`");
    assert_eq!(sandbox.tree(), theirs, "{run}");
}

#[kernel_test]
fn new_files_in_a_directory_to_remove_stay() {
    let sandbox = about_to_change();
    let (run, theirs) = apply_while(&sandbox, || pin_foreign(&sandbox, "old/theirs"));
    run.exits(0);
    let tree = sandbox.tree();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["have", "new", "new/pin", "old", "old/theirs"]);
    for path in ["old", "old/theirs"] {
        assert_eq!(tree.get(path), theirs.get(path));
    }
}

#[kernel_test]
fn a_parent_that_others_have_made_is_used_and_stays_theirs() {
    let sandbox = about_to_change();
    let make = || fs::create_dir(sandbox.pin("new")).expect("nothing is there");
    let (run, theirs) = apply_while(&sandbox, make);
    run.exits(0);
    assert_eq!(sandbox.tree().get("new"), theirs.get("new"));
    assert_eq!(sandbox.first_line("new/pin"), "marker 1\n");
}

/// A parent becomes a symbolic link to `outside`, where nothing may be made and nothing may be lost.
#[track_caller]
fn is_not_followed(outside: impl Fn(&Sandbox) -> PathBuf) {
    for link in ["new", "old"] {
        let sandbox = about_to_change();
        let outside = outside(&sandbox);
        let before = names(&sandbox.bpffs().join(&outside));
        let (run, theirs) = apply_while(&sandbox, || {
            if link == "old" {
                fs::rename(sandbox.pin("old"), sandbox.pin("moved")).expect("root may");
            }
            symlink(&outside, sandbox.pin(link)).expect("nothing is there");
        });
        let run = run.exits(1).says("nothing was changed");
        assert_eq!(sandbox.tree(), theirs, "{run}");
        assert_eq!(names(&sandbox.bpffs().join(&outside)), before, "{run}");
    }
}

#[track_caller]
fn names(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).expect("it is there");
    entries.map(|entry| entry.expect("it can be read").file_name()).collect()
}

#[kernel_test]
fn a_parent_that_becomes_a_symbolic_link_is_not_followed() {
    // A pin that is put back keeps its inode.
    needs(Feature::Exchange);
    is_not_followed(|sandbox| {
        sandbox.write("outside/goes", "a file of the same name");
        sandbox.file("outside")
    });
    is_not_followed(|sandbox| {
        sandbox.mount_bpffs("outside");
        sandbox.file("outside")
    });
    // Within one bpffs a rename would succeed.
    is_not_followed(|sandbox| {
        pin_foreign(sandbox, "elsewhere/goes");
        sandbox.pin("elsewhere")
    });
    is_not_followed(|sandbox| {
        pin_foreign(sandbox, "elsewhere/goes");
        PathBuf::from("elsewhere")
    });
}

#[kernel_test]
fn changes_of_others_before_the_last_look_are_reported() {
    // Without exchange there is one more rename.
    needs(Feature::Exchange);
    let sandbox = about_to_change();
    // The third rename is the last: one unpin, one replacement, one new pin.
    let run = strace::interrupt(&sandbox, "renameat2", 3, "apply -f iters.toml", || {
        remove(&sandbox, "have");
    });
    run.exits(1)
        .says("another process is changing the same pins: `have`")
        .says("nothing was changed");
    assert_eq!(sandbox.paths(), ["have", "old", "old/goes"], "all is undone, as far as it is ours");
}

#[kernel_test]
fn a_pin_that_joins_a_set_during_unpin_is_reported() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "have"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let before = sandbox.tree();
    let run = strace::interrupt(&sandbox, "mkdirat", 1, "unpin -f iters.toml", || {
        fs::hard_link(sandbox.pin("have"), sandbox.pin("other")).expect("root may");
    });
    run.exits(1)
        .says("another process is changing the same pins: `other`")
        .says("nothing was changed");
    fs::remove_file(sandbox.pin("other")).expect("it is pinned");
    assert_eq!(sandbox.tree(), before, "all is undone");
}

#[kernel_test]
fn the_object_that_was_hashed_is_the_one_that_is_loaded() {
    let sandbox = about_to_change();
    let (run, _) = apply_while(&sandbox, || sandbox.copy("tasks_v1.bpf.o", "tasks_v2.bpf.o"));
    run.exits(0);
    assert_eq!(sandbox.first_line("have"), "v2\n");
    sandbox.iterctl("plan -f iters.toml").exits(0).plans(&["~ have  object changed"]);
}

#[kernel_test]
fn the_bytes_that_were_hashed_are_loaded() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks.bpf.o", "a"));
    let in_place = |sandbox: &Sandbox| sandbox.copy("tasks_v2.bpf.o", "tasks.bpf.o");
    let by_rename = |sandbox: &Sandbox| {
        sandbox.copy("tasks_v2.bpf.o", "new.o");
        fs::rename(sandbox.file("new.o"), sandbox.file("tasks.bpf.o")).expect("it is there");
    };
    for swap in [in_place as fn(&Sandbox), by_rename] {
        sandbox.copy("tasks_v1.bpf.o", "tasks.bpf.o");
        let hashed = sandbox.run("sha256sum", "tasks.bpf.o").exits(0).stdout;
        // Objects are read before the lock is taken, and loaded after it.
        let apply = "apply -f iters.toml";
        strace::interrupt(&sandbox, "flock", 1, apply, || swap(&sandbox)).exits(0);
        assert_eq!(sandbox.first_line("a"), "v1\n");
        let list = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
        let stamped = list["pins"][0]["sha256"].as_str().expect("the stamp has it");
        assert!(hashed.starts_with(stamped), "{stamped} is not {hashed}");
        sandbox.iterctl(apply).exits(0).plans(&["~ a  object changed"]);
        assert_eq!(sandbox.first_line("a"), "v2\n");
        sandbox.iterctl("unpin -f iters.toml").exits(0);
    }
}
