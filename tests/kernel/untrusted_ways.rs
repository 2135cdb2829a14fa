//! Root follows a path hop by hop: no other user can decide, by a link, a list of rights or a name in time, which file
//! root uses.
//!
//! `ITERCTL_ROUNDS` is how many times root plans while another user flips a link; 300 if it is not set.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use super::sandbox::{ITERCTL, Run, Sandbox, entry};

const OTHER: u32 = 7;

/// A directory of root's for the manifest and its object, and one that every user can write to, with its sticky bit.
fn with_directories() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.file("own")).expect("nothing is there");
    fs::copy(sandbox.file("tasks_v1.bpf.o"), sandbox.file("own/tasks_v1.bpf.o"))
        .expect("it is there");
    sandbox.manifest("own/iters.toml", &entry("tasks_v1.bpf.o", "x"));
    fs::create_dir(sandbox.file("tmp")).expect("nothing is there");
    set_mode(&sandbox, "tmp", 0o1777);
    sandbox
}

fn set_mode(sandbox: &Sandbox, file: &str, mode: u32) {
    fs::set_permissions(sandbox.file(file), Permissions::from_mode(mode)).expect("own file");
}

/// A symbolic link of the other user's.
fn link_of_other(sandbox: &Sandbox, target: &str, link: &str) {
    symlink(sandbox.file(target), sandbox.file(link)).expect("nothing is there");
    lchown(sandbox.file(link), Some(OTHER), Some(OTHER)).expect("root can");
}

#[track_caller]
fn is_refused(run: Run, who: &str, at: &std::path::Path) {
    run.exits(77).says(&format!("{who} {}", at.display())).says("`--insecure`");
}

#[kernel_test]
fn a_link_of_another_user_on_the_way_is_refused() {
    let sandbox = with_directories();
    link_of_other(&sandbox, "own", "tmp/way");
    // Root's own link leads through it, to root's own file.
    symlink(sandbox.file("tmp/way/iters.toml"), sandbox.file("own/link.toml"))
        .expect("nothing is there");
    let link = sandbox.file("tmp/way");
    for arguments in ["plan -f own/link.toml", "plan -f tmp/way/iters.toml", "apply -f tmp/way"] {
        is_refused(sandbox.iterctl(arguments), "the user 7 owns", &link);
    }
    is_refused(
        sandbox.iterctl("pin --bpffs bpf tmp/way/tasks_v1.bpf.o x"),
        "the user 7 owns",
        &link,
    );
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    sandbox.iterctl("apply --insecure -f own/link.toml").exits(0);
}

#[kernel_test]
fn a_link_that_is_flipped_never_leads_root_to_another_file() {
    let sandbox = with_directories();
    // What another user would have root use: it says another set.
    sandbox.write("tmp/theirs.toml", "set = \"theirs\"\n");
    chown(sandbox.file("tmp/theirs.toml"), Some(OTHER), None).expect("root can");
    link_of_other(&sandbox, "own/iters.toml", "tmp/way");
    symlink(sandbox.file("tmp/way"), sandbox.file("own/link.toml")).expect("nothing is there");
    let stop = AtomicBool::new(false);
    let rounds =
        std::env::var("ITERCTL_ROUNDS").map_or(300, |rounds| rounds.parse().expect("a number"));
    thread::scope(|scope| {
        scope.spawn(|| {
            for target in ["own/iters.toml", "tmp/theirs.toml"].iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let beside = sandbox.file("tmp/beside");
                symlink(sandbox.file(target), &beside).expect("the other user can");
                lchown(&beside, Some(OTHER), Some(OTHER)).expect("root can");
                fs::rename(&beside, sandbox.file("tmp/way")).expect("the other user can");
            }
        });
        for _ in 0..rounds {
            let run = sandbox.iterctl("plan -f own/link.toml");
            assert_eq!(run.status(), Some(77), "{run}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[kernel_test]
fn a_link_of_root_is_followed() {
    let sandbox = with_directories();
    symlink("../own", sandbox.file("tmp/way")).expect("nothing is there");
    symlink("../tmp/./way/../own/iters.toml", sandbox.file("own/link.toml"))
        .expect("nothing is there");
    sandbox.iterctl("plan -f own/link.toml --set iters").exits(0);
    sandbox.iterctl("plan -f tmp/way/iters.toml").exits(0);
    // A slash at the end asks for a directory.
    sandbox.iterctl("plan -f own/iters.toml/").exits(65).says("Not a directory");
    // As many as the kernel follows, and one more.
    symlink("iters.toml", sandbox.file("own/l0")).expect("nothing is there");
    for number in 1..=40 {
        symlink(format!("l{}", number - 1), sandbox.file(&format!("own/l{number}")))
            .expect("nothing is there");
    }
    sandbox.iterctl("plan -f own/l39 --set iters").exits(0);
    assert!(fs::metadata(sandbox.file("own/l39")).is_ok());
    sandbox
        .iterctl("plan -f own/l40 --set iters")
        .exits(65)
        .says("Too many levels of symbolic links");
    assert!(fs::metadata(sandbox.file("own/l40")).is_err());
}

#[kernel_test]
fn a_link_of_procfs_is_followed_and_what_is_above_is_checked() {
    let sandbox = with_directories();
    let run = |arguments: &str| sandbox.run(ITERCTL, arguments);
    run("plan -f /proc/self/cwd/own/iters.toml").exits(0);
    run("plan -f /proc/self/root/proc/self/cwd/own/iters.toml").exits(0);
    fs::create_dir(sandbox.file("tmp/theirs")).expect("nothing is there");
    fs::create_dir(sandbox.file("tmp/theirs/own")).expect("nothing is there");
    fs::copy(sandbox.file("own/iters.toml"), sandbox.file("tmp/theirs/own/iters.toml"))
        .expect("it is there");
    chown(sandbox.file("tmp/theirs"), Some(OTHER), None).expect("root can");
    let within = sandbox.file("tmp/theirs/own");
    let run = Run::of(Command::new(ITERCTL).current_dir(&within).args([
        "plan",
        "-f",
        "/proc/self/cwd/iters.toml",
    ]));
    run.exits(77).says("the user 7 owns");
}

#[kernel_test]
fn a_hard_link_that_another_user_could_have_made_is_refused() {
    let sandbox = with_directories();
    fs::hard_link(sandbox.file("own/iters.toml"), sandbox.file("tmp/iters.toml"))
        .expect("nothing is there");
    let named = sandbox.file("tmp/iters.toml");
    let said =
        format!("any user could have made {} a link to another file of root's", named.display());
    sandbox.iterctl("plan -f tmp/iters.toml").exits(77).says(&said);
    // In root's directory, nobody else could have.
    sandbox.iterctl("plan -f own/iters.toml").exits(0);
}

/// What `setfacl -m u:UID:rw` writes, for a mode of 0664: include/uapi/linux/posix_acl_xattr.h.
fn set_list(sandbox: &Sandbox, file: &str, tag: u16, id: u32, rights: u16) {
    let nobody = u32::MAX;
    let entries =
        [(1, 6, nobody), (tag, rights, id), (4, 4, nobody), (16, 6, nobody), (32, 4, nobody)];
    let mut entries: Vec<(u16, u16, u32)> = entries.to_vec();
    entries.sort_by_key(|entry| entry.0);
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
        bytes.extend(id.to_le_bytes());
    }
    let path = sandbox.file(file);
    setxattr(path, "system.posix_acl_access", &bytes, XattrFlags::empty())
        .expect("the file system has lists");
}

#[kernel_test]
fn an_access_control_list_counts() {
    for (file, keeps_list) in
        [("own/iters.toml", 0o664), ("own/tasks_v1.bpf.o", 0o664), ("own", 0o775)]
    {
        let sandbox = with_directories();
        set_mode(&sandbox, file, keeps_list);
        sandbox.iterctl("plan -f own/iters.toml").exits(0);
        let at = sandbox.file(file);
        set_list(&sandbox, file, 2, OTHER, 4);
        sandbox.iterctl("plan -f own/iters.toml").exits(0);
        set_list(&sandbox, file, 2, OTHER, 6);
        is_refused(sandbox.iterctl("plan -f own/iters.toml"), "the user 7 can write to", &at);
        set_list(&sandbox, file, 8, 9, 6);
        is_refused(sandbox.iterctl("plan -f own/iters.toml"), "the group 9 can write to", &at);
        set_list(&sandbox, file, 2, 0, 6);
        sandbox.iterctl("plan -f own/iters.toml").exits(0);
    }
}

#[kernel_test]
fn a_sticky_directory_of_a_group_is_refused() {
    let sandbox = with_directories();
    chown(sandbox.file("own"), None, Some(9)).expect("root can");
    set_mode(&sandbox, "own", 0o1775);
    is_refused(
        sandbox.iterctl("plan -f own/iters.toml"),
        "the group 9 can write to",
        &sandbox.file("own"),
    );
}

#[kernel_test]
fn the_group_of_the_user_who_invoked_sudo_has_other_members() {
    let sandbox = with_directories();
    chown(sandbox.file("own/iters.toml"), Some(OTHER), Some(9)).expect("root can");
    let sudo = format!("SUDO_UID=7 SUDO_GID=9 {ITERCTL} plan -f own/iters.toml");
    sandbox.run("env", &sudo).exits(0);
    set_mode(&sandbox, "own/iters.toml", 0o664);
    is_refused(
        sandbox.run("env", &sudo),
        "the group 9 can write to",
        &sandbox.file("own/iters.toml"),
    );
}

#[kernel_test]
fn unpin_asks_too() {
    let sandbox = with_directories();
    sandbox.iterctl("apply -f own/iters.toml").exits(0);
    set_mode(&sandbox, "own/iters.toml", 0o666);
    is_refused(
        sandbox.iterctl("unpin -f own/iters.toml"),
        "every user can write to",
        &sandbox.file("own/iters.toml"),
    );
    assert_eq!(sandbox.paths(), ["x"]);
    sandbox.iterctl("unpin --insecure -f own/iters.toml").exits(0);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn a_user_with_capabilities_is_asked_too() {
    let sandbox = with_directories();
    let plan = format!("{ITERCTL} plan -f own/iters.toml");
    let strong = format!(
        "--reuid=7 --clear-groups --inh-caps=+bpf,+perfmon,+sys_admin --ambient-caps=+bpf,+perfmon,+sys_admin {plan}"
    );
    let weak = format!("--reuid=7 --clear-groups --bounding-set=-all {plan}");
    sandbox.run("setpriv", &strong).exits(0);
    chown(sandbox.file("own/iters.toml"), Some(OTHER), None).expect("root can");
    sandbox.run("setpriv", &strong).exits(0);
    chown(sandbox.file("own/iters.toml"), Some(8), None).expect("root can");
    is_refused(sandbox.run("setpriv", &strong), "the user 8 owns", &sandbox.file("own/iters.toml"));
    // A user without them can do no more for others than they could.
    sandbox.run("setpriv", &weak).exits(0).plans(&["+ x  task"]);
}

#[kernel_test]
fn only_regular_files_are_read_and_nothing_is_waited_for() {
    let sandbox = with_directories();
    let begun = Instant::now();
    let fifo = sandbox.file("own/z.toml");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("nothing is there");
    let said = "own/z.toml is not a regular file";
    for arguments in [
        "check -f own/z.toml",
        "plan -f own/z.toml",
        "apply -f own",
        "check -f own",
        "unpin -f own/z.toml",
    ] {
        sandbox.iterctl(arguments).exits(65).says(said).says("`-f -`");
    }
    sandbox.iterctl("check -f /dev/zero").exits(65).says("/dev/zero is not a regular file");
    fs::remove_file(&fifo).expect("it is there");
    fs::create_dir(&fifo).expect("nothing is there");
    sandbox.iterctl("plan -f own").exits(65).says(said);
    // So long, nothing waits for a writer that never comes.
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[kernel_test]
fn descriptors_that_the_caller_passes_on_are_read() {
    let sandbox = with_directories();
    let script =
        format!("{ITERCTL} plan --set iters -f <(sed 's/tasks/own\\/tasks/' own/iters.toml)");
    let plan = |script: &str| {
        Run::of(Command::new("bash").current_dir(sandbox.path()).args(["-c", script]))
    };
    plan(&script).exits(0).plans(&["+ x  task"]);
    plan(&format!("{ITERCTL} check --set iters -f /proc/self/fd/0 < own/iters.toml")).exits(0);
    // An empty manifest, as configuration management writes it.
    plan(&format!("{ITERCTL} check --set iters -f /dev/null")).exits(0);
}
