//! Another process gives a pinned iterator another program (`BPF_LINK_UPDATE`) right after iterctl has asked for the
//! program that it had: the look succeeds, although that program is gone.

use std::os::fd::{AsFd as _, AsRawFd as _};

use libbpf_rs::{Link, ObjectBuilder};

use super::bpf;
use super::sandbox::{Sandbox, entry};
use super::strace;

#[kernel_test]
fn a_link_whose_program_is_replaced_meanwhile_is_looked_at_again() {
    let sandbox = Sandbox::new();
    bpf::pin_foreign(&sandbox, "tasks_v1.bpf.o", "theirs");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "ours"));
    let link = Link::open(sandbox.pin("theirs")).expect("it is pinned");
    let (list, plan, apply) = ("list --bpffs bpf", "plan -f iters.toml", "apply -f iters.toml");
    for (rehearsed, arguments) in [(list, list), (plan, plan), (plan, apply)] {
        // The first program that is opened by its id is that of the only pin.
        let (run, calls) = strace::trace(&sandbox, "-e trace=bpf", rehearsed);
        run.exits(0);
        let opens = |call: &String| call.contains("BPF_PROG_GET_FD_BY_ID");
        let before = calls.iter().position(opens).expect("a program is opened by its id");
        let update = || update(&sandbox, &link);
        strace::interrupt(&sandbox, "bpf", before, arguments, update).exits(0);
    }
}

/// Gives the link a program that has just been loaded. The one that it had goes away.
#[track_caller]
#[expect(unsafe_code, reason = "libbpf-rs takes a link that is not borrowed")]
fn update(sandbox: &Sandbox, link: &Link) {
    let mut builder = ObjectBuilder::default();
    let open = builder.open_file(sandbox.file("tasks_v1.bpf.o")).expect("the object is good");
    let object = open.load().expect("the verifier accepts it");
    let program = object.progs_mut().next().expect("it has one program");
    let (link, program) = (link.as_fd().as_raw_fd(), program.as_fd().as_raw_fd());
    // SAFETY: both descriptors are open, and no options are given.
    let result = unsafe { libbpf_sys::bpf_link_update(link, program, std::ptr::null()) };
    assert_eq!(result, 0, "the program has the same target");
}
