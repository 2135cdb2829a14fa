//! It keeps what is good, reports once what is not, and continues.

use std::fs;

use rustix::process::Signal;

use super::super::sandbox::{ITERCTL, Sandbox, entry};
use super::Watching;

/// A manifest with one iterator, applied.
fn one(sandbox: &Sandbox) {
    sandbox.copy("tasks_v1.bpf.o", "tasks.bpf.o");
    sandbox.manifest("iters.toml", &entry("tasks.bpf.o", "a"));
}

/// `spoil` breaks something: this is reported once, existing pins stay and are repaired, and once it is
/// fixed, it is applied.
#[track_caller]
fn is_kept(spoil: impl Fn(&Sandbox), said: &str) {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let (watching, _) = Watching::start(&sandbox, "");
    let link = sandbox.link("a");
    spoil(&sandbox);
    watching.fails(said);
    assert_eq!(sandbox.link("a"), link, "what is pinned stays");
    fs::remove_file(sandbox.pin("a")).expect("it is there");
    watching.changes(&["pin a"]);
    assert_eq!(sandbox.first_line("a"), "v1\n", "of the last good manifest");
    assert_eq!(watching.log().matches(said).count(), 1, "{}", watching.log());
    // Two writes, which may cause one round or two.
    sandbox.copy("tasks_v1.bpf.o", "tasks.bpf.o");
    sandbox.manifest("iters.toml", &(entry("tasks.bpf.o", "a") + &entry("tasks.bpf.o", "b")));
    watching.changes(&["pin b"]);
    watching.has_nothing_to_do();
}

#[kernel_test]
fn a_manifest_with_faults_does_not_end_it() {
    is_kept(|sandbox| sandbox.write("iters.toml", "[[iter]\n"), "not TOML");
    is_kept(|sandbox| sandbox.manifest("iters.toml", &entry("tasks.bpf.o", "a.b")), "has a dot");
}

#[kernel_test]
fn an_empty_manifest_is_a_mistake() {
    is_kept(|sandbox| sandbox.manifest("iters.toml", ""), "lists nothing");
}

#[kernel_test]
fn a_missing_manifest_is_waited_for() {
    let remove = |sandbox: &Sandbox| {
        fs::remove_file(sandbox.file("iters.toml")).expect("it is there");
    };
    is_kept(remove, "failed to read the manifest");
    let sandbox = Sandbox::new();
    let watching = Watching::spawn(&sandbox, ITERCTL, "-f sub/folder/iters.toml", &[]);
    watching.fails("failed to read the manifest");
    let object = sandbox.file("tasks_v1.bpf.o");
    sandbox.manifest("sub/folder/iters.toml", &entry(object.to_str().expect("UTF-8"), "a"));
    watching.changes(&["pin a"]);
}

#[kernel_test]
fn an_object_that_does_not_load_does_not_end_it() {
    is_kept(|sandbox| sandbox.copy("rejected.bpf.o", "tasks.bpf.o"), "the verifier rejected");
    is_kept(|sandbox| sandbox.write("tasks.bpf.o", "no object"), "not an ELF file");
    let remove = |sandbox: &Sandbox| {
        fs::remove_file(sandbox.file("tasks.bpf.o")).expect("it is there");
    };
    is_kept(remove, "no object at");
}

#[kernel_test]
fn the_log_shows_the_place_of_a_load_error() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("future.bpf.o", "a"));
    let (watching, first) = Watching::start(&sandbox, "");
    assert_eq!(first["diagnostics"][0]["place"]["line"], 3, "{first:#}");
    let log = watching.log();
    let lines = ["iters.toml:3:7", "3 | obj = \"future.bpf.o\"", "  |       ^^^^^^^^^^^^^^"];
    assert!(lines.iter().all(|line| log.contains(line)), "{log}");
    assert!(log.contains("  caused by: this kernel has no target `no_such_target`"), "{log}");
}

#[kernel_test]
fn obstacles_are_waited_for() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    fs::create_dir(sandbox.pin("a")).expect("nothing is there");
    let (watching, first) = Watching::start(&sandbox, "");
    assert_eq!(first["changed"], false);
    assert!(first["diagnostics"].to_string().contains("directory"), "{first:#}");
    fs::remove_dir(sandbox.pin("a")).expect("it is there");
    watching.changes(&["pin a"]);
}

#[kernel_test]
fn another_apply_is_waited_for() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let (watching, _) = Watching::start(&sandbox, "");
    let lock = sandbox.lock();
    sandbox.copy("tasks_v2.bpf.o", "tasks.bpf.o");
    watching.fails("holds the lock");
    drop(lock);
    // No event tells when the lock is free: it tries again by itself.
    watching.changes(&["replace a"]);
    assert_eq!(sandbox.first_line("a"), "v2\n");
}

#[kernel_test]
fn streams_are_not_accepted_as_manifests() {
    let sandbox = Sandbox::new();
    sandbox.iterctl("watch -f -").exits(64).says("cannot be read again");
    sandbox.run("mkfifo", "pipe").exits(0);
    sandbox.iterctl("watch -f pipe").exits(64).says("pipe cannot be read again");
}

#[kernel_test]
fn stopping_keeps_or_unpins_the_pins() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    for signal in [Signal::TERM, Signal::INT] {
        let (watching, _) = Watching::start(&sandbox, "");
        watching.stop(signal);
        assert_eq!(sandbox.paths(), ["a"]);
    }
    let (watching, _) = Watching::start(&sandbox, "--unpin-on-exit");
    let last = watching.stop(Signal::TERM);
    assert_eq!(super::changes(&last, &sandbox), ["unpin a"]);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}
