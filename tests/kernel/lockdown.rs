//! A kernel that is locked down. This is decided at boot: the expected results depend on it, and the tests
//! are run both ways (`make test-kernels`).

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, mount};

use super::sandbox::{Sandbox, entry};

/// `none`, `integrity` or `confidentiality`.
#[track_caller]
fn mode() -> String {
    let file = Path::new("/sys/kernel/security/lockdown");
    if !file.exists() {
        // Mounted in the namespace of this test.
        mount("none", "/sys/kernel/security", "securityfs", MountFlags::empty(), None)
            .expect("root may");
    }
    // If the file does not exist even now, the kernel does not support lockdown.
    let modes = fs::read_to_string(file).unwrap_or_else(|_| "[none]".to_owned());
    let mode = modes.split(['[', ']']).nth(1).expect("one mode is in brackets");
    mode.to_owned()
}

#[kernel_test]
fn iterators_that_read_through_btf_can_be_pinned() {
    let sandbox = Sandbox::new();
    let mode = mode();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let read = sandbox.iterctl("read --bpffs bpf a").exits(0);
    assert!(read.stdout.starts_with("v1\n"), "{mode}: {read}");
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

#[kernel_test]
fn a_helper_that_lockdown_forbids_is_reported() {
    let sandbox = Sandbox::new();
    let mode = mode();
    sandbox.manifest("iters.toml", &entry("probe_read.bpf.o", "a"));
    let run = sandbox.iterctl("apply -f iters.toml");
    if mode == "confidentiality" {
        run.exits(1)
            .says("the verifier rejected it")
            .says("hint: the kernel is locked down (`confidentiality` in /sys/kernel/security/lockdown)")
            .says("nothing was changed");
        assert_eq!(sandbox.paths(), [""; 0]);
    } else {
        run.exits(0);
        assert!(sandbox.iterctl("read --bpffs bpf a").exits(0).stdout.starts_with("pid\n"));
    }
}
