//! The task, or the cgroup and the order, that an iterator is given: what it walks then, what is refused,
//! and what counts as drift.

use std::path::Path;

use iterctl_core::feature::Feature;

use super::needs::{has, needs, target};
use super::sandbox::{Sandbox, entry_with};
use super::walked::{Cgroup, Process, Thread};

const TASK: &str = "target_task.bpf.o";
const CGROUP: &str = "target_cgroup.bpf.o";

/// More than `PID_MAX_LIMIT` of include/linux/threads.h: no task has this number.
const NO_TASK: u32 = 4_194_305;

/// Writes a manifest with one entry at `x`.
#[track_caller]
fn write(sandbox: &Sandbox, object: &str, keys: &str) {
    sandbox.manifest("iters.toml", &entry_with(object, "x", keys));
}

/// Applies the manifest: the plan has this line, and then it is in sync.
#[track_caller]
fn applies(sandbox: &Sandbox, object: &str, keys: &str, line: &str) {
    write(sandbox, object, keys);
    sandbox.iterctl("plan -f iters.toml").exits(0).plans(&[line]);
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&[line]);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0).plans::<&str>(&[]);
}

/// The manifest is refused with this text, and nothing is changed.
#[track_caller]
fn is_refused(sandbox: &Sandbox, object: &str, keys: &str, text: &str) {
    write(sandbox, object, keys);
    let before = sandbox.tree();
    let run = sandbox.iterctl("apply -f iters.toml").exits(1);
    run.says(text).says("nothing was changed");
    assert_eq!(sandbox.tree(), before);
}

/// The output of a task iterator that walks only these.
fn tasks(ids: &[u32]) -> String {
    let lines = ids.iter().map(|id| format!("{id}\n"));
    std::iter::once("task\n".to_owned()).chain(lines).collect()
}

fn cgroup_keys(path: &Path, order: &str) -> String {
    format!("cgroup = {{ path = \"{}\", order = \"{order}\" }}", path.display())
}

#[kernel_test]
fn one_process_is_walked() {
    needs(Feature::TaskParameters);
    let (sandbox, process) = (Sandbox::new(), Process::start());
    let pid = process.pid();
    applies(&sandbox, TASK, &format!("task.pid = {pid}"), &format!("+ x  task pid {pid}"));
    assert_eq!(sandbox.read("x"), tasks(&[pid]));
    assert_eq!(sandbox.number("x", "pid"), pid);
}

#[kernel_test]
fn every_thread_of_a_process_is_walked() {
    needs(Feature::TaskParameters);
    let (sandbox, thread) = (Sandbox::new(), Thread::start());
    let pid = std::process::id();
    applies(&sandbox, TASK, &format!("task.pid = {pid}"), &format!("+ x  task pid {pid}"));
    let output = sandbox.read("x");
    for id in [pid, thread.tid()] {
        assert!(output.lines().any(|line| line == id.to_string()), "no {id} in {output}");
    }
}

#[kernel_test]
fn one_thread_is_walked() {
    needs(Feature::TaskParameters);
    let (sandbox, thread) = (Sandbox::new(), Thread::start());
    let tid = thread.tid();
    assert_ne!(tid, std::process::id());
    applies(&sandbox, TASK, &format!("task.tid = {tid}"), &format!("+ x  task tid {tid}"));
    assert_eq!(sandbox.read("x"), tasks(&[tid]));
    assert_eq!(sandbox.number("x", "tid"), tid);
}

#[kernel_test]
fn a_thread_is_not_accepted_as_a_process() {
    let (sandbox, thread) = (Sandbox::new(), Thread::start());
    let tid = thread.tid();
    let text = format!("there is no process {tid}");
    is_refused(&sandbox, TASK, &format!("task.pid = {tid}"), &text);
}

#[kernel_test]
fn a_task_that_is_not_there_is_refused() {
    needs(Feature::TaskParameters);
    let (sandbox, process) = (Sandbox::new(), Process::start());
    let pid = process.pid();
    applies(&sandbox, TASK, &format!("task.pid = {pid}"), &format!("+ x  task pid {pid}"));
    let text = format!("caused by: there is no process {NO_TASK}");
    is_refused(&sandbox, TASK, &format!("task.pid = {NO_TASK}"), &text);
    let text = format!("caused by: there is no thread {NO_TASK}");
    is_refused(&sandbox, TASK, &format!("task.tid = {NO_TASK}"), &text);
    assert_eq!(sandbox.read("x"), tasks(&[pid]));
}

#[kernel_test]
fn a_task_that_has_ended_stays_in_sync_and_prints_nothing() {
    needs(Feature::TaskParameters);
    let (sandbox, process) = (Sandbox::new(), Process::start());
    let pid = process.pid();
    applies(&sandbox, TASK, &format!("task.pid = {pid}"), &format!("+ x  task pid {pid}"));
    drop(process);
    assert_eq!(sandbox.read("x"), "");
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

#[kernel_test]
fn another_task_is_drift() {
    needs(Feature::TaskParameters);
    let (sandbox, process, other) = (Sandbox::new(), Process::start(), Process::start());
    let (pid, other) = (process.pid(), other.pid());
    let changes = |from: String, to: String| format!("~ x  parameter changed: {from} -> {to}");
    applies(&sandbox, TASK, "", "+ x  task");
    let (process, thread) = (format!("pid {pid}"), format!("tid {pid}"));
    applies(&sandbox, TASK, &format!("task.pid = {pid}"), &changes("none".into(), process.clone()));
    applies(&sandbox, TASK, &format!("task.tid = {pid}"), &changes(process, thread.clone()));
    let line = changes(thread, format!("tid {other}"));
    applies(&sandbox, TASK, &format!("task.tid = {other}"), &line);
    assert_eq!(sandbox.read("x"), tasks(&[other]));
    applies(&sandbox, TASK, "", &changes(format!("tid {other}"), "none".into()));
}

/// A cgroup with one child, which has one child of its own.
#[track_caller]
fn family(sandbox: &Sandbox) -> Cgroup {
    let cgroup = Cgroup::new(sandbox);
    cgroup.make("child");
    cgroup.make("child/grandchild");
    cgroup
}

/// An iterator that walks from `child` in this order prints these.
#[track_caller]
fn walks(order: &str, expected: &[&str]) {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let cgroup = family(&sandbox);
    let line = format!("+ x  cgroup cgroup {} {order}", cgroup.id("child"));
    let by_path = cgroup_keys(&cgroup.path("child"), order);
    applies(&sandbox, CGROUP, &by_path, &line);
    let lines = expected.iter().map(|path| format!("{}\n", cgroup.id(path)));
    let expected: String = std::iter::once("cgroup\n".to_owned()).chain(lines).collect();
    assert_eq!(sandbox.read("x"), expected);
    // The entry names the same cgroup by its id: nothing has to be done.
    let by_id = format!("cgroup = {{ id = {}, order = \"{order}\" }}", cgroup.id("child"));
    write(&sandbox, CGROUP, &by_id);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
    sandbox.iterctl("unpin -f iters.toml").exits(0);
    applies(&sandbox, CGROUP, &by_id, &line);
    assert_eq!(sandbox.read("x"), expected);
}

#[kernel_test]
fn a_cgroup_itself_is_walked() {
    walks("self-only", &["child"]);
}

#[kernel_test]
fn descendants_are_walked_after_their_parents() {
    walks("descendants-pre", &["child", "child/grandchild"]);
}

#[kernel_test]
fn descendants_are_walked_before_their_parents() {
    walks("descendants-post", &["child/grandchild", "child"]);
}

#[kernel_test]
fn ancestors_are_walked_up_to_the_root() {
    walks("ancestors-up", &["child", "", ".."]);
}

#[kernel_test]
fn children_are_walked_or_the_kernel_says_that_it_does_not_have_them() {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let cgroup = family(&sandbox);
    cgroup.make("other");
    write(&sandbox, CGROUP, &cgroup_keys(&cgroup.path(""), "children"));
    let run = sandbox.iterctl("apply -f iters.toml");
    if has(Feature::CgroupChildren) {
        run.exits(0);
        let output = sandbox.read("x");
        let mut found: Vec<&str> = output.lines().skip(1).collect();
        found.sort_unstable();
        let mut expected = [cgroup.id("child").to_string(), cgroup.id("other").to_string()];
        expected.sort_unstable();
        assert_eq!(found, expected);
    } else {
        run.exits(69)
            .says("caused by: this kernel has no order `children` of cgroups")
            .says("hint: it is there since Linux 7.0; before, the other orders can be used");
        assert_eq!(sandbox.paths(), [] as [&str; 0]);
    }
}

#[kernel_test]
fn another_order_is_drift() {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let cgroup = family(&sandbox);
    let (path, id) = (cgroup.path(""), cgroup.id(""));
    let line = format!("+ x  cgroup cgroup {id} self-only");
    applies(&sandbox, CGROUP, &cgroup_keys(&path, "self-only"), &line);
    let line = format!("~ x  parameter changed: cgroup {id} self-only -> cgroup {id} ancestors-up");
    applies(&sandbox, CGROUP, &cgroup_keys(&path, "ancestors-up"), &line);
}

#[kernel_test]
fn a_cgroup_that_was_made_again_is_drift() {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let cgroup = Cgroup::new(&sandbox);
    cgroup.make("service");
    let keys = cgroup_keys(&cgroup.path("service"), "self-only");
    let before = cgroup.id("service");
    applies(&sandbox, CGROUP, &keys, &format!("+ x  cgroup cgroup {before} self-only"));
    cgroup.remove("service");
    cgroup.make("service");
    let after = cgroup.id("service");
    assert_ne!(before, after, "otherwise this tests nothing");
    let change = format!("cgroup {before} self-only -> cgroup {after} self-only");
    applies(&sandbox, CGROUP, &keys, &format!("~ x  parameter changed: {change}"));
    assert_eq!(sandbox.read("x"), format!("cgroup\n{after}\n"));
}

#[kernel_test]
fn a_cgroup_that_is_not_there_is_refused() {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let cgroup = family(&sandbox);
    let keys = cgroup_keys(&cgroup.path(""), "self-only");
    applies(&sandbox, CGROUP, &keys, &format!("+ x  cgroup cgroup {} self-only", cgroup.id("")));
    let path = cgroup.path("missing");
    let text = format!("error: `x`: cgroup {}: No such file or directory", path.display());
    is_refused(&sandbox, CGROUP, &cgroup_keys(&path, "self-only"), &text);
    let text =
        format!("error: `x`: cgroup {}: not a directory of cgroup v2", sandbox.path().display());
    is_refused(&sandbox, CGROUP, &cgroup_keys(sandbox.path(), "self-only"), &text);
    // The id belongs to a removed cgroup, so no other cgroup can have it: the kernel does not reuse ids.
    let id = cgroup.id("child/grandchild");
    cgroup.remove("child/grandchild");
    let keys = format!("cgroup = {{ id = {id}, order = \"self-only\" }}");
    let text = format!("caused by: no cgroup with the id {id} can be seen from here");
    is_refused(&sandbox, CGROUP, &keys, &text);
}
