//! Run by the user nobody: commands that need a privilege say so, and all others work.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use super::sandbox::{ITERCTL, Run, Sandbox, entry, entry_with};

const NOBODY: u32 = 65534;

/// A pin of root at `a/b`, and a copy of the binary that the user nobody can run: the original may be in
/// root's home.
#[track_caller]
fn with_a_pin() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a/b"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    // Copies in another process: a child that another test has just forked would keep the copy open for
    // writing, and a file that is open for writing cannot be run.
    sandbox.run("cp", &format!("{ITERCTL} iterctl")).exits(0);
    sandbox
}

#[track_caller]
fn chmod(sandbox: &Sandbox, path: &str, mode: u32) {
    fs::set_permissions(sandbox.pin(path), fs::Permissions::from_mode(mode)).expect("root may");
}

#[track_caller]
fn as_nobody(sandbox: &Sandbox, arguments: &str) -> Run {
    let program = sandbox.file("iterctl").display().to_string();
    // Without root's supplementary groups, which std drops when it sets the uid.
    Run::of(sandbox.command(&program, arguments).uid(NOBODY).gid(NOBODY))
}

const EVERYTHING: [&str; 4] =
    ["apply -f iters.toml", "plan -f iters.toml", "unpin -f iters.toml", "unpin --bpffs bpf a/b"];

/// Every command that plans is refused to nobody, and changes nothing.
#[track_caller]
fn is_not_permitted(sandbox: &Sandbox) {
    let before = sandbox.tree();
    for arguments in EVERYTHING {
        as_nobody(sandbox, arguments).exits(77).says("hint: run it as root");
        assert_eq!(sandbox.tree(), before);
    }
}

#[kernel_test]
fn a_bpffs_that_may_not_be_opened_is_not_permitted() {
    let sandbox = with_a_pin();
    chmod(&sandbox, "", 0o700);
    is_not_permitted(&sandbox);
}

#[kernel_test]
fn a_directory_that_may_not_be_opened_is_not_permitted() {
    is_not_permitted(&with_a_pin());
}

#[kernel_test]
fn a_pin_that_may_not_be_opened_is_not_permitted() {
    let sandbox = with_a_pin();
    chmod(&sandbox, "a", 0o755);
    is_not_permitted(&sandbox);
}

#[kernel_test]
fn a_stamp_that_may_not_be_read_is_not_guessed() {
    let sandbox = with_a_pin();
    chmod(&sandbox, "a", 0o755);
    chmod(&sandbox, "a/b", 0o666);
    is_not_permitted(&sandbox);
}

#[kernel_test]
fn loading_is_not_permitted_and_leaves_nothing() {
    let sandbox = with_a_pin();
    sandbox.iterctl("unpin -f iters.toml").exits(0);
    chmod(&sandbox, "", 0o777);
    let run = as_nobody(&sandbox, "apply -f iters.toml").exits(77);
    run.says("not permitted to load BPF programs").says("hint: run it as root");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn a_stamp_that_could_not_be_read_again_is_not_left_behind() {
    let sandbox = with_a_pin();
    let without = |arguments: &str| {
        sandbox.run("setpriv", &format!("--bounding-set=-sys_admin {ITERCTL} {arguments}"))
    };
    without("plan -f iters.toml").exits(77);
    sandbox.iterctl("unpin -f iters.toml").exits(0);
    // This root may load and pin, but may not inspect programs by their ids.
    without("apply -f iters.toml").exits(77).says("CAP_SYS_ADMIN").says("nothing was changed");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn mounting_is_not_permitted() {
    let sandbox = with_a_pin();
    fs::create_dir(sandbox.file("plain")).expect("own folder");
    let bpffs = sandbox.file("plain").display().to_string();
    let text = format!("bpffs = \"{bpffs}\"\n{}", entry("tasks_v1.bpf.o", "a"));
    sandbox.write("plain.toml", &text);
    as_nobody(&sandbox, "apply --mount -f plain.toml").exits(77).says("failed to mount a bpffs");
}

#[kernel_test]
fn checking_needs_no_privilege() {
    let run = as_nobody(&with_a_pin(), "check -f iters.toml").exits(0);
    assert_eq!(run.stdout, "set iters: 1 iterator, no faults\n");
}

/// `read` and `list` by nobody name this file or directory, and no capability.
#[track_caller]
fn is_closed(sandbox: &Sandbox, arguments: &str, closed: &str, hint: &str) {
    let run = as_nobody(sandbox, arguments).exits(77);
    assert!(!run.stderr.contains("CAP_") && !run.stderr.contains("run it as root"), "{run}");
    let caused =
        format!("  caused by: this user may not {closed}, owner 0, group 0)\n  hint: {hint}");
    run.says(&caused);
}

#[kernel_test]
fn an_error_of_reading_names_what_is_closed() {
    let sandbox = with_a_pin();
    let path = |path: &str| sandbox.pin(path).display().to_string();
    let read = format!("read {}", path("a/b"));
    let open = |bits: &str, path: &str| format!("its owner can open it with `chmod {bits} {path}`");
    let (bpffs, a, b) = (sandbox.bpffs().display().to_string(), path("a"), path("a/b"));

    chmod(&sandbox, "", 0o700);
    is_closed(
        &sandbox,
        &read,
        &format!("search the directory {bpffs} (mode 0700"),
        &open("a+x", &bpffs),
    );
    let list = format!("list the directory {bpffs} (mode 0700");
    is_closed(&sandbox, "list --bpffs bpf", &list, &open("a+rx", &bpffs));
    chmod(&sandbox, "", 0o711);
    is_closed(&sandbox, &read, &format!("search the directory {a} (mode 0700"), &open("a+x", &a));
    chmod(&sandbox, "a", 0o711);
    let way_out = format!("its owner can let others read it with `chmod a+r {b}`");
    is_closed(&sandbox, &read, &format!("read {b} (mode 0600"), &way_out);
    chmod(&sandbox, "a/b", 0o644);
    assert!(as_nobody(&sandbox, &read).exits(0).stdout.starts_with("v1\n"));
}

#[kernel_test]
fn a_list_goes_on_after_what_is_closed() {
    let sandbox = Sandbox::new();
    let closed = entry_with("tasks_v1.bpf.o", "closed/a", "mode = '0666'");
    let open = entry_with("tasks_v1.bpf.o", "open/b", "mode = '0640'\ndir-mode = '0755'");
    sandbox.manifest("iters.toml", &(closed + &open));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox.run("cp", &format!("{ITERCTL} iterctl")).exits(0);
    let run = as_nobody(&sandbox, "list --bpffs bpf").exits(77);
    let cells =
        |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = run.stdout.lines().skip(1).map(cells).collect();
    let unknown = "? ? ? ? ? closed: mode";
    let expected = [
        format!("open/b {unknown} 0640, owner 0, group 0"),
        format!("closed/ {unknown} 0700, owner 0, group 0"),
    ];
    assert_eq!(lines, expected, "{run}");
    assert!(!run.stderr.contains("CAP_"), "{run}");
    run.says(
        "error: this user may not look at 1 pin and 1 directory\n  hint: root sees what they are",
    );

    let report = as_nobody(&sandbox, "-j list --bpffs bpf").exits(77).json();
    assert_eq!(report["pins"].as_array().map(Vec::len), Some(0), "{report}");
    let path = |path: &str| sandbox.pin(path).display().to_string();
    let pin = &report["closed"][0];
    assert_eq!((&pin["path"], &pin["directory"]), (&path("open/b").into(), &false.into()));
    assert_eq!((&pin["mode"], &pin["uid"], &pin["gid"]), (&"0640".into(), &0.into(), &0.into()));
    let directory = &report["closed"][1];
    assert_eq!(
        (&directory["path"], &directory["directory"]),
        (&path("closed").into(), &true.into())
    );
    assert_eq!(report["closed"].as_array().map(Vec::len), Some(2), "{report}");

    // Root sees all of it.
    assert_eq!(sandbox.iterctl("list --bpffs bpf").exits(0).stdout.lines().count(), 3);
}

#[kernel_test]
fn permitted_users_can_read_the_pin() {
    let sandbox = with_a_pin();
    chmod(&sandbox, "a", 0o755);
    let cat = || Run::of(sandbox.command("cat", "bpf/a/b").uid(NOBODY).gid(NOBODY));
    cat().exits(1).says("Permission denied");
    chmod(&sandbox, "a/b", 0o444);
    assert!(cat().exits(0).stdout.starts_with("v1\n"));
}

/// As root, but without CAP_DAC_OVERRIDE: it may give a pin a mode with which it cannot open the pin.
#[track_caller]
fn without_override(sandbox: &Sandbox) -> Run {
    let bounded = "--bounding-set=-dac_override,-dac_read_search";
    sandbox.run("setpriv", &format!("{bounded} {ITERCTL} apply -f iters.toml"))
}

#[kernel_test]
fn a_pin_that_could_not_be_opened_again_is_not_made() {
    let sandbox = Sandbox::new();
    let closed = entry_with("tasks_v1.bpf.o", "closed", "mode = '0440'");
    sandbox.manifest("iters.toml", &(entry("tasks_v1.bpf.o", "a/open") + &closed));
    without_override(&sandbox).exits(77).says("a pin of mode 0440 cannot be opened again");
    assert_eq!(sandbox.paths(), [""; 0]);
    sandbox.iterctl("apply -f iters.toml").exits(0);
}

#[kernel_test]
fn a_mode_that_would_prevent_opening_the_pin_is_undone() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let before = sandbox.tree();
    let closed = entry_with("tasks_v1.bpf.o", "a", "mode = '0440'");
    sandbox.manifest("iters.toml", &(closed + &entry("tasks_v2.bpf.o", "b")));
    let run = without_override(&sandbox).exits(77).says("nothing was changed");
    run.says("failed to set the mode and owner of `a`").says("mode 0440 cannot be opened again");
    assert_eq!(sandbox.tree(), before);
}
