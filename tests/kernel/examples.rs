//! The examples: names that others choose cannot forge what they print.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use iterctl_core::feature::Feature;
use rustix::thread::{gettid, set_name};

use super::needs::{needs, target};
use super::sandbox::Sandbox;
use super::walked::Cgroup;

/// An example that has been compiled.
#[track_caller]
fn example(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    assert!(path.is_file(), "{} is missing: run `make objects`", path.display());
    path.display().to_string()
}

/// What `read` prints of an example, with nothing in it that a terminal would obey.
#[track_caller]
fn read(sandbox: &Sandbox, words: &str) -> String {
    let bpffs = sandbox.bpffs().display().to_string();
    let run = sandbox.iterctl(&format!("read --bpffs {bpffs} --insecure {words}")).exits(0);
    let bad = run.stdout.chars().find(|one| !matches!(one, ' '..='~' | '\n'));
    assert_eq!(bad, None, "{run}");
    run.stdout
}

#[kernel_test]
fn a_name_of_a_process_cannot_forge_a_row() {
    let sandbox = Sandbox::new();
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let named = thread::spawn(move || {
        set_name(c"a\n1 1 \x1b[31mroot").expect("a thread may name itself");
        tell.send(gettid().as_raw_nonzero()).expect("the test waits");
        // An error says that the test has ended.
        let _ = ended.recv();
    });
    let tid = told.recv().expect("the thread tells it").to_string();
    for object in ["tasks/tasks.bpf.o", "globals/globals.bpf.o"] {
        let output = read(&sandbox, &example(object));
        let is_its = |line: &&str| line.split_whitespace().next() == Some(&tid);
        let rows: Vec<&str> = output.lines().filter(is_its).collect();
        let pid = std::process::id();
        assert_eq!(rows, [format!("{tid:>8} {pid:>8} a?1 1 ?[31mroot")], "{object}");
        assert!(!output.lines().any(|line| line.starts_with("1 1 ")), "{object}: {output}");
    }
    drop(end);
    named.join().expect("it has ended");
}

#[kernel_test]
fn a_name_of_a_cgroup_cannot_control_the_terminal() {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let cgroup = Cgroup::new(&sandbox);
    // The kernel itself refuses a newline: cgroup_mkdir() in kernel/cgroup/cgroup.c.
    cgroup.make("a\x1b[31mü");
    let words = format!("--cgroup {} --order descendants-pre", cgroup.id(""));
    let output = read(&sandbox, &format!("{} {words}", example("cgroup/cgroup.bpf.o")));
    assert!(output.lines().any(|line| line.ends_with(" a?[31m??")), "{output}");
}

#[kernel_test]
fn a_name_of_a_file_cannot_forge_a_row() {
    needs(Feature::TaskParameters);
    let sandbox = Sandbox::new();
    // `cat` from a file of that name, which is then mapped.
    let mut command = sandbox.command("sh", "-c");
    command.args(["cp /bin/cat \"$0\" && exec \"$0\"", "./a\n1 1 \x1b[31mcat"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("there is a shell");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(b"it runs\n").expect("it reads");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("it echoes");
    let words = format!("{} --pid {}", example("task-vma/task_vma.bpf.o"), child.id());
    let output = read(&sandbox, &words);
    drop(stdin);
    child.wait().expect("it ends with its input");
    let name = format!("{}/a?1 1 ?[31mcat", sandbox.path().display());
    assert!(output.lines().any(|line| line.ends_with(&name)), "{output}");
    assert!(!output.lines().any(|line| line.starts_with("1 1 ")), "{output}");
}
