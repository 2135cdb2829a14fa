//! If /proc is not mounted, commands that look at pins say so. They never take a pin that they cannot look at for one
//! that is gone.

use super::sandbox::{ITERCTL, Run, Sandbox, entry};

/// Runs the binary without a procfs on /proc.
#[track_caller]
fn without_proc(sandbox: &Sandbox, arguments: &str) -> Run {
    let script = format!("umount -l /proc && exec {ITERCTL} {arguments}");
    Run::of(sandbox.command("unshare", "--mount sh -c").arg(script))
}

#[kernel_test]
fn commands_that_look_at_pins_need_proc_and_say_so() {
    let sandbox = Sandbox::new();
    // Not only root may write to it: what is in such a directory is opened through /proc on every kernel.
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a/b"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let before = sandbox.tree();
    for arguments in [
        "list --bpffs bpf",
        "export --bpffs bpf",
        "plan -f iters.toml",
        "apply -f iters.toml",
        "unpin --bpffs bpf --set iters",
        "unpin --bpffs bpf a/b",
    ] {
        let run = without_proc(&sandbox, arguments).exits(69).says("/proc is not mounted");
        run.says("hint: `mount -t proc proc /proc` mounts it");
        assert_eq!(sandbox.tree(), before);
    }
}

#[kernel_test]
fn reading_a_pin_needs_no_proc() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let run = without_proc(&sandbox, "read bpf/a").exits(0);
    assert!(run.stdout.starts_with("v1\n"), "{run}");
}
