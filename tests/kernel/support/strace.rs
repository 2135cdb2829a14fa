//! System calls of the binary: watched, made to fail, and used as stopping points. strace(1) does it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::sandbox::{ITERCTL, Run, Sandbox, finish};

/// Every call that can change bpffs or the kernel's BPF objects. `?` marks calls that some architectures
/// lack.
const CHANGING: &str = "bpf,openat,openat2,?open,?creat,?rename,renameat,renameat2,?mkdir,mkdirat,\
    ?rmdir,?unlink,unlinkat,?link,linkat,?symlink,symlinkat,?mknod,mknodat,?chmod,fchmod,fchmodat,\
    ?fchmodat2,?chown,?lchown,fchown,fchownat,?utimensat,mount,umount2,setxattr";

/// The bpf(2) calls that only read.
const LOOKING: [&str; 10] = [
    "BPF_OBJ_GET,",
    "BPF_OBJ_GET_INFO_BY_FD,",
    "BPF_PROG_GET_FD_BY_ID,",
    "BPF_MAP_GET_FD_BY_ID,",
    "BPF_MAP_GET_NEXT_ID,",
    "BPF_PROG_GET_NEXT_ID,",
    "BPF_LINK_GET_NEXT_ID,",
    "BPF_MAP_LOOKUP_ELEM,",
    "BPF_BTF_GET_FD_BY_ID,",
    "BPF_LINK_GET_FD_BY_ID,",
];

/// Runs the binary, and returns every line that strace prints with these options.
#[track_caller]
pub(crate) fn trace(sandbox: &Sandbox, options: &str, arguments: &str) -> (Run, Vec<String>) {
    let strace =
        format!("{} strace -f -qq -o trace {options} {ITERCTL} {arguments}", on_one_core());
    let run = sandbox.run("taskset", &strace);
    let trace = fs::read_to_string(sandbox.file("trace")).expect("strace has written it");
    (run, trace.lines().map(str::to_owned).collect())
}

/// The CPU to which `taskset` binds a program: on one core, the binary loads one program after the other,
/// and every run makes the same calls in the same order.
fn on_one_core() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("--cpu-list {}", NEXT.fetch_add(1, Ordering::Relaxed) % cores())
}

/// Runs the binary, and returns its calls that change something.
#[track_caller]
pub(crate) fn changes(sandbox: &Sandbox, arguments: &str) -> (Run, Vec<String>) {
    let (run, mut lines) = trace(sandbox, &format!("-e trace={CHANGING}"), arguments);
    assert!(lines.iter().any(|line| line.contains(" bpf(")), "strace saw no bpf(2): {lines:?}");
    lines.retain(|line| is_change(line));
    (run, lines)
}

fn is_change(line: &str) -> bool {
    // Every line begins with a process id.
    let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
    if let Some(command) = call.strip_prefix("bpf(") {
        return !LOOKING.iter().any(|looking| command.starts_with(looking));
    }
    if call.starts_with("open") {
        return ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| call.contains(flag));
    }
    !call.starts_with("+++")
}

/// How often the binary makes a system call.
#[track_caller]
pub(crate) fn count(sandbox: &Sandbox, call: &str, arguments: &str) -> usize {
    let (run, lines) = trace(sandbox, &format!("-e trace={call}"), arguments);
    run.exits(0);
    lines.iter().filter(|line| line.contains(&format!(" {call}("))).count()
}

/// The names of all system calls that the binary makes from the first `first` on. Each has its number among
/// the calls of that name since the start of the process.
#[track_caller]
pub(crate) fn calls_from(sandbox: &Sandbox, first: &str, arguments: &str) -> Vec<(String, usize)> {
    let (run, lines) = trace(sandbox, "", arguments);
    run.exits(0);
    let mut numbers = BTreeMap::new();
    let mut calls = Vec::new();
    for line in lines {
        // Every line begins with a process id; other lines are about signals and exits.
        let Some((_, call)) = line.split_once(' ') else { continue };
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        let number = numbers.entry(name.to_owned()).or_insert(0);
        *number += 1;
        calls.push((name.to_owned(), *number));
    }
    let start = calls.iter().position(|(name, _)| name == first).expect("it makes that call");
    calls.split_off(start)
}

/// Runs the binary. Its calls `call` number `when` (such as `2`, or `2+` for all from the second on) fail
/// or cause a signal, as `what` says: `error=EIO`, `signal=KILL`. A process that is killed does not carry
/// out the call.
#[track_caller]
pub(crate) fn inject(
    sandbox: &Sandbox,
    call: &str,
    what: &str,
    when: &str,
    arguments: &str,
) -> Run {
    let (run, injected) = try_to_inject(sandbox, call, what, when, arguments);
    assert!(injected, "there is no {call} number {when}: {run}");
    run
}

/// The same, for a call that is not made each time. Returns whether it was made.
#[track_caller]
pub(crate) fn try_to_inject(
    sandbox: &Sandbox,
    call: &str,
    what: &str,
    when: &str,
    arguments: &str,
) -> (Run, bool) {
    // With a filter the process is stopped at these calls alone, which is much faster; but then no signal
    // is sent (strace 6.1).
    let filter = if what.starts_with("error=") { "--seccomp-bpf" } else { "" };
    let options = format!("{filter} -e trace={call} -e inject={call}:{what}:when={when}");
    let (run, lines) = trace(sandbox, &options, arguments);
    let injected = lines.iter().any(|line| line.contains("INJECTED") || line.contains("killed by"));
    (run, injected)
}

/// The calls that start a thread. `?` marks those that some architectures or libcs lack.
const STARTING: &str = "?clone,?clone3";

/// How many threads the binary starts if it may use all cores.
#[track_caller]
pub(crate) fn threads(sandbox: &Sandbox, arguments: &str) -> usize {
    let strace = format!("-f -qq -o trace -e trace={STARTING} {ITERCTL} {arguments}");
    sandbox.run("strace", &strace).exits(0);
    let trace = fs::read_to_string(sandbox.file("trace")).expect("strace has written it");
    // If a thread runs before the call returns, the call takes two lines.
    trace.lines().filter(|line| line.contains(" clone")).count()
}

/// Runs the binary on all cores. The threads number `when` cannot be started.
#[track_caller]
pub(crate) fn refuse_threads(sandbox: &Sandbox, when: &str, arguments: &str) -> Run {
    let inject = format!("-e trace={STARTING} -e inject={STARTING}:error=EAGAIN:when={when}");
    let strace = format!("-f -qq --seccomp-bpf -o trace {inject} {ITERCTL} {arguments}");
    let run = sandbox.run("strace", &strace);
    let trace = fs::read_to_string(sandbox.file("trace")).expect("strace has written it");
    assert!(trace.contains("INJECTED"), "no thread {when} was started: {run}");
    run
}

/// How many cores there are.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Runs the binary, stops it right after its call `call` number `when`, and calls `meanwhile`.
#[track_caller]
pub(crate) fn interrupt(
    sandbox: &Sandbox,
    call: &str,
    when: usize,
    arguments: &str,
    meanwhile: impl FnOnce(),
) -> Run {
    let options = format!("-e trace={call} -e inject={call}:signal=STOP:when={when}");
    let strace = format!(
        "taskset {} strace -f -qq -o /dev/fd/3 {options} {ITERCTL} {arguments}",
        on_one_core()
    );
    // The output of strace comes through the pipe, and that of the binary goes to a file.
    let mut command = sandbox.command("sh", "-c");
    let mut child = command.arg(format!("exec {strace} 3>&1 >answer")).spawn().expect("a shell");
    let events = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut meanwhile = Some(meanwhile);
    // strace writes each line at once, and each begins with the process id.
    for line in events.lines() {
        let line = line.expect("UTF-8");
        if line.contains("--- stopped by SIGSTOP ---")
            && let Some(meanwhile) = meanwhile.take()
        {
            meanwhile();
            let pid = line.split(' ').next().and_then(|pid| pid.parse().ok());
            let pid = pid.and_then(Pid::from_raw).expect("a process id");
            kill_process(pid, Signal::CONT).expect("it is stopped, so it is there");
        }
    }
    let mut run = finish(&strace, child);
    run.stdout = fs::read_to_string(sandbox.file("answer")).expect("the shell has made it");
    assert!(meanwhile.is_none(), "there is no {call} number {when}: {run}");
    run
}

/// The process that this strace, which writes to `trace`, runs.
#[track_caller]
pub(crate) fn traced(sandbox: &Sandbox) -> Pid {
    let trace = fs::read_to_string(sandbox.file("trace")).expect("strace has written it");
    let pid = trace.split_whitespace().next().and_then(|pid| pid.parse().ok());
    pid.and_then(Pid::from_raw).expect("each line begins with a process id")
}
