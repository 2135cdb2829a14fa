//! Its output may go to a full disk, to a pipe that no process reads, or to one without a reader: it continues, and a
//! signal still ends it.

use std::fs::{self, File, OpenOptions};
use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process};

use super::super::sandbox::{ITERCTL, Run, Sandbox, entry};
use super::{NEVER, Watching};

fn one(sandbox: &Sandbox) {
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
}

fn watch(sandbox: &Sandbox) -> Command {
    sandbox.command(ITERCTL, "-j watch -f iters.toml")
}

/// A pipe with no room left.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().expect("a pipe");
    let size = fcntl_setpipe_size(&writer, 4096).expect("pages may be given back");
    writer.write_all(&vec![b'\n'; size]).expect("it has room for that");
    (reader, writer)
}

/// Waits until the pin is there.
#[track_caller]
fn comes(pin: &Path) {
    let begin = Instant::now();
    while !pin.exists() {
        assert!(begin.elapsed() < NEVER, "{} does not come", pin.display());
        thread::yield_now();
    }
}

#[track_caller]
fn heals_and_ends(watching: Watching<'_>, sandbox: &Sandbox) {
    watching.changes(&["pin a"]);
    fs::remove_file(sandbox.pin("a")).expect("it is there");
    watching.changes(&["pin a"]);
    watching.stop(Signal::TERM);
}

#[kernel_test]
fn a_log_on_a_full_disk() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let mut command = watch(&sandbox);
    command.stderr(OpenOptions::new().write(true).open("/dev/full").expect("it is there"));
    heals_and_ends(Watching::run_with_log(&sandbox, command, sandbox.file("log")), &sandbox);
}

#[kernel_test]
fn a_log_at_the_limit_of_file_sizes() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    // As systemd's LimitFSIZE= sets it. Without a handler, the kernel ends a process that writes more.
    let script = format!("ulimit -f 0; exec {ITERCTL} -j watch -f iters.toml");
    let mut command = sandbox.command("sh", "-c");
    command.arg(script).stderr(File::create(sandbox.file("limited")).expect("own folder"));
    heals_and_ends(Watching::run_with_log(&sandbox, command, sandbox.file("log")), &sandbox);
}

#[kernel_test]
fn a_log_whose_reader_is_gone() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let mut command = watch(&sandbox);
    command.stderr(writer);
    heals_and_ends(Watching::run_with_log(&sandbox, command, sandbox.file("log")), &sandbox);
}

#[kernel_test]
fn a_log_that_is_not_read() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let (_reader, writer) = full_pipe();
    let mut command = watch(&sandbox);
    command.stderr(writer);
    heals_and_ends(Watching::run_with_log(&sandbox, command, sandbox.file("log")), &sandbox);
}

#[kernel_test]
fn messages_that_were_dropped_are_counted() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let (mut reader, writer) = full_pipe();
    let mut command = watch(&sandbox);
    command.stderr(writer);
    let watching = Watching::run_with_log(&sandbox, command, sandbox.file("log"));
    watching.changes(&["pin a"]);
    // Each message shows 100 faults, with a line of more than 3 KB for each, and the queue holds 4 MiB.
    let long = format!("{}/", "a".repeat(250)).repeat(12);
    for round in 0..20 {
        let faults: String = (0..100)
            .map(|number| entry("tasks_v1.bpf.o", &format!("{long}{round}.{number}")))
            .collect();
        sandbox.manifest("iters.toml", &faults);
        watching.fails("has a dot");
    }
    let pid = watching.pid();
    let read = thread::spawn(move || {
        let mut log = String::new();
        let mut buffer = [0; 65_536];
        while !log.contains("messages were dropped") {
            let length = reader.read(&mut buffer).expect("it is a pipe");
            assert!(length > 0, "it has ended");
            log.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        (log, reader)
    });
    let (log, _reader) = read.join().expect("it is told");
    let told =
        log.lines().find(|line| line.contains("messages were dropped")).expect("it is there");
    assert!(
        told.contains(" WARN ") && told.contains("because standard error was not read"),
        "{told}"
    );
    watching.end(pid, Signal::TERM);
}

#[kernel_test]
fn reports_that_are_not_read() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let (_reader, writer) = full_pipe();
    let log = File::create(sandbox.file("log")).expect("own folder");
    let mut child = watch(&sandbox).stdout(writer).stderr(log).spawn().expect("the binary");
    comes(&sandbox.pin("a"));
    for _ in 0..3 {
        fs::remove_file(sandbox.pin("a")).expect("it is there");
        comes(&sandbox.pin("a"));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if begin.elapsed() > NEVER {
            child.kill().expect("it runs");
            panic!("it does not end");
        }
        thread::yield_now();
    };
    assert_eq!(status.code(), Some(0));
}

#[kernel_test]
fn reports_on_a_full_disk() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let full = OpenOptions::new().write(true).open("/dev/full").expect("it is there");
    let log = File::create(sandbox.file("log")).expect("own folder");
    let mut child = watch(&sandbox).stdout(full).stderr(log).spawn().expect("the binary");
    comes(&sandbox.pin("a"));
    fs::remove_file(sandbox.pin("a")).expect("it is there");
    comes(&sandbox.pin("a"));
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("a child").code(), Some(0));
    let log = fs::read_to_string(sandbox.file("log")).expect("the test has made it");
    assert!(log.contains("failed to write to standard output: No space left"), "{log}");
}

#[kernel_test]
fn errors_that_cannot_be_printed_keep_their_exit_status() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("never.bpf.o", "a"));
    for (arguments, status) in
        [("apply -f iters.toml", 65), ("apply --wait 200ms -f iters.toml", 65), ("apply -f no", 65)]
    {
        let mut command = sandbox.command("sh", "-c");
        command.arg(format!("exec {ITERCTL} {arguments} 2>/dev/full"));
        Run::of(&mut command).exits(status);
    }
}

#[kernel_test]
fn a_fifo_among_the_manifests() {
    let sandbox = Sandbox::new();
    let object = sandbox.file("tasks_v1.bpf.o");
    sandbox.manifest("iters.d/a.toml", &entry(object.to_str().expect("UTF-8"), "a"));
    let watching = Watching::spawn(&sandbox, ITERCTL, "-f iters.d", &[]);
    watching.changes(&["pin a"]);
    sandbox.run("mkfifo", "iters.d/z.toml").exits(0);
    watching.fails("z.toml is not a regular file");
    fs::remove_file(sandbox.pin("a")).expect("it is there");
    watching.changes(&["pin a"]);
    watching.stop(Signal::TERM);
}
