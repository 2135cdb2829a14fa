//! Root does not use files that other users can write, unless `--insecure` is given.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use super::sandbox::{Sandbox, entry};

/// A manifest in a folder of its own, with its object.
fn with_a_folder() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.file("own")).expect("nothing is there");
    fs::copy(sandbox.file("tasks_v1.bpf.o"), sandbox.file("own/tasks_v1.bpf.o"))
        .expect("it is there");
    sandbox.manifest("own/iters.toml", &entry("tasks_v1.bpf.o", "x"));
    sandbox
}

fn set_mode(sandbox: &Sandbox, file: &str, mode: u32) {
    fs::set_permissions(sandbox.file(file), Permissions::from_mode(mode)).expect("own file");
}

fn give(sandbox: &Sandbox, file: &str, uid: Option<u32>, gid: Option<u32>) {
    chown(sandbox.file(file), uid, gid).expect("root can");
}

/// The users who could write the file that `change` changes are named, and nothing is done; with
/// `--insecure` it is done.
#[track_caller]
fn is_refused(change: impl Fn(&Sandbox), who: &str, at: &str) {
    let sandbox = with_a_folder();
    sandbox.iterctl("plan -f own/iters.toml").exits(0);
    change(&sandbox);
    let said = format!("{who} {}\n", sandbox.file(at).display());
    sandbox.iterctl("plan -f own/iters.toml").exits(77).says(&said);
    sandbox.iterctl("apply -f own/iters.toml").exits(77).says(&said).says("`--insecure`");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    sandbox.iterctl("check -f own/iters.toml").exits(0);
    sandbox.iterctl("apply --insecure -f own/iters.toml").exits(0);
    assert_eq!(sandbox.paths(), ["x"]);
}

#[kernel_test]
fn manifests_that_others_can_write_are_refused() {
    let file = "own/iters.toml";
    is_refused(|sandbox| set_mode(sandbox, file, 0o646), "every user can write to", file);
    is_refused(|sandbox| give(sandbox, file, Some(7), None), "the user 7 owns", file);
    let group = |sandbox: &Sandbox| {
        give(sandbox, file, None, Some(9));
        set_mode(sandbox, file, 0o660);
    };
    is_refused(group, "the group 9 can write to", file);
}

#[kernel_test]
fn objects_that_others_can_write_are_refused() {
    let file = "own/tasks_v1.bpf.o";
    is_refused(|sandbox| set_mode(sandbox, file, 0o646), "every user can write to", file);
    is_refused(|sandbox| give(sandbox, file, Some(7), None), "the user 7 owns", file);
}

#[kernel_test]
fn no_command_reads_what_others_can_write() {
    let sandbox = with_a_folder();
    sandbox.write("own/tasks_v1.bpf.o", "no object at all");
    sandbox.iterctl("plan -f own/iters.toml").exits(65);
    set_mode(&sandbox, "own/tasks_v1.bpf.o", 0o666);
    sandbox.iterctl("plan -f own/iters.toml").exits(77).says("every user can write to");
}

#[kernel_test]
fn folders_that_others_can_write_are_refused() {
    is_refused(|sandbox| set_mode(sandbox, "own", 0o777), "every user can write to", "own");
    is_refused(|sandbox| give(sandbox, "own", Some(7), None), "the user 7 owns", "own");
    let sandbox = with_a_folder();
    set_mode(&sandbox, "own", 0o1777);
    sandbox.iterctl("apply -f own/iters.toml").exits(0);
    sandbox.iterctl("plan -f own --set iters").exits(0);
}

#[kernel_test]
fn links_are_followed_both_ways() {
    let link_in_their_folder = |sandbox: &Sandbox| {
        fs::create_dir(sandbox.file("theirs")).expect("nothing is there");
        fs::rename(sandbox.file("own/iters.toml"), sandbox.file("theirs/iters.toml"))
            .expect("it is");
        let object = sandbox.file("own/tasks_v1.bpf.o");
        symlink(object, sandbox.file("theirs/tasks_v1.bpf.o")).expect("nothing is there");
        symlink("../theirs/iters.toml", sandbox.file("own/iters.toml")).expect("nothing is there");
        give(sandbox, "theirs", Some(7), None);
    };
    is_refused(link_in_their_folder, "the user 7 owns", "theirs");
}

#[kernel_test]
fn the_user_who_invoked_sudo_is_trusted() {
    let sandbox = with_a_folder();
    for file in ["own", "own/iters.toml", "own/tasks_v1.bpf.o"] {
        give(&sandbox, file, Some(7), Some(9));
        set_mode(&sandbox, file, if file == "own" { 0o755 } else { 0o644 });
    }
    sandbox.iterctl("apply -f own/iters.toml").exits(77);
    sandbox
        .run(
            "env",
            &format!("SUDO_UID=7 SUDO_GID=9 {} apply -f own/iters.toml", super::sandbox::ITERCTL),
        )
        .exits(0);
}

#[kernel_test]
fn pin_and_read_check_it_too() {
    let sandbox = with_a_folder();
    set_mode(&sandbox, "own/tasks_v1.bpf.o", 0o666);
    let who = "every user can write to";
    sandbox.iterctl("read own/tasks_v1.bpf.o").exits(77).says(who);
    sandbox.iterctl("pin --bpffs bpf own/tasks_v1.bpf.o x").exits(77).says(who);
    sandbox.iterctl("read --insecure own/tasks_v1.bpf.o").exits(0);
    sandbox.iterctl("pin --insecure --bpffs bpf own/tasks_v1.bpf.o x").exits(0);
}
