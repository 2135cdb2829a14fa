//! SIGINT, SIGTERM and SIGHUP never leave half of a change: before the first change, nothing is done; after it,
//! everything is done or undone. Then the exit status is the signal's.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT};
use signal_hook::flag::register_conditional_default;

use iterctl_core::feature::Feature;

use super::attempts::{APPLY, Reached, small};
use super::needs::needs;
use super::sandbox::{ITERCTL, LOCK, Run, Sandbox, entry, finish};
use super::strace;

const SIGNALS: [(&str, i32); 3] = [("HUP", 129), ("INT", 130), ("TERM", 143)];

/// Children inherit ignored signals, and not handlers: a test that runs under nohup(1) or in the background of
/// a shell would ignore SIGHUP or SIGINT. The handler does what happens without one.
#[track_caller]
fn heed_signals() {
    for signal in [SIGHUP, SIGINT] {
        let always = Arc::new(AtomicBool::new(true));
        register_conditional_default(signal, always).expect("it can be caught");
    }
}

/// Sends a signal at a call of that name. Returns how far the apply came, and that is all or nothing.
#[track_caller]
fn is_all_or_nothing(call: &str, number: usize, (signal, status): (&str, i32)) -> Reached {
    let attempts = small();
    let (tree, before) = (attempts.sandbox.tree(), attempts.now());
    let what = format!("signal={signal}");
    let sandbox = &attempts.sandbox;
    let (run, _) = strace::try_to_inject(sandbox, call, &what, &number.to_string(), APPLY);
    let run = run.exits(status);
    let reached = attempts.every_path_is_old_or_new(&before, &what);
    match reached {
        Reached::All => assert!(run.stdout.contains("1 replaced"), "{run}"),
        Reached::Nothing => {
            assert_eq!(attempts.sandbox.tree(), tree, "{run}");
            assert!(run.stderr.contains(&format!("error: stopped by SIG{signal}")), "{run}");
        }
        Reached::Staging | Reached::Some => panic!("{call} number {number}: {reached:?}: {run}"),
    }
    assert_eq!(attempts.staging(), [] as [&str; 0], "{run}");
    let pins = attempts.now();
    attempts.leaks_nothing(&pins, &what);
    reached
}

#[kernel_test]
fn a_signal_at_a_rename_lets_the_changes_be_finished() {
    heed_signals();
    for number in 1..=small().count("renameat2") {
        for signal in SIGNALS {
            let reached = is_all_or_nothing("renameat2", number, signal);
            assert_eq!(reached, Reached::All, "rename {number}, {signal:?}");
        }
    }
}

#[kernel_test]
fn a_signal_before_the_changes_leaves_nothing() {
    // The staging directory is made, and the first pin is made in it.
    for (call, number) in [("flock", 1), ("mkdirat", 1), ("fchownat", 1)] {
        let reached = is_all_or_nothing(call, number, ("TERM", 143));
        assert_eq!(reached, Reached::Nothing, "{call} {number}");
    }
}

#[kernel_test]
fn a_signal_at_any_call_is_all_or_nothing() {
    heed_signals();
    let attempts = small();
    let calls = strace::calls_from(&attempts.sandbox, "flock", APPLY);
    attempts.go_back();
    let step = if std::env::var("ITERCTL_SIGNALS").is_ok() { 1 } else { (calls.len() / 12).max(1) };
    let mut tally = std::collections::BTreeMap::new();
    for ((call, number), signal) in calls.iter().step_by(step).zip(SIGNALS.into_iter().cycle()) {
        let (tree, before) = (attempts.sandbox.tree(), attempts.now());
        let what = format!("signal={}", signal.0);
        let number = number.to_string();
        let sandbox = &attempts.sandbox;
        let (run, _) = strace::try_to_inject(sandbox, call, &what, &number, APPLY);
        let what = format!("{what} at {call} number {number}");
        let reached = attempts.every_path_is_old_or_new(&before, &what);
        // The process may be gone before a signal at one of its last calls arrives, or it is killed when it has
        // no changes to make any more.
        let is_told = run.status() == Some(signal.1) || matches!(run.status(), None | Some(0));
        assert!(is_told, "{what}: {run}");
        match reached {
            Reached::All => attempts.converges(&what),
            Reached::Nothing => assert_eq!(attempts.sandbox.tree(), tree, "{what}: {run}"),
            Reached::Staging | Reached::Some => panic!("{what}: {reached:?}: {run}"),
        }
        assert_eq!(attempts.staging(), [] as [&str; 0], "{what}: {run}");
        attempts.go_back();
        *tally.entry(reached).or_insert(0) += 1;
    }
    println!("signals at {} calls, every {step}th: {tally:?}", calls.len());
    assert!(tally.len() == 2, "{tally:?}");
}

#[kernel_test]
fn a_signal_does_not_stop_an_undo() {
    // Without exchange, a pin that is put back is another file.
    needs(Feature::Exchange);
    heed_signals();
    let attempts = small();
    let before = attempts.sandbox.tree();
    // The directory that becomes empty is removed before the last rename.
    let options = "-e trace=renameat2,unlinkat -e inject=unlinkat:signal=INT:when=1 -e \
                   inject=renameat2:error=EIO:when=5";
    let (run, _) = strace::trace(&attempts.sandbox, options, APPLY);
    run.exits(130).says("failed to pin `new/deep/pin`").says("note: nothing was changed");
    assert_eq!(attempts.sandbox.tree(), before);
}

#[kernel_test]
fn pin_and_unpin_finish_their_changes() {
    heed_signals();
    let sandbox = Sandbox::new();
    let pin = "pin --bpffs bpf tasks_v1.bpf.o a/b";
    let with = |signal: &str, command: &str| {
        strace::try_to_inject(&sandbox, "renameat2", &format!("signal={signal}"), "1", command).0
    };
    with("TERM", pin).exits(143);
    assert_eq!(sandbox.paths(), ["a", "a/b"]);
    with("HUP", "unpin --bpffs bpf a/b").exits(129);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn the_wait_for_the_lock_is_stopped_at_once() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let _lock = sandbox.lock();
    for options in ["", "--wait 10min", "--keep-going"] {
        let apply = format!("apply {options} --lock-timeout 600 -f iters.toml");
        let child = sandbox.start(&apply);
        let descriptors = format!("/proc/{}/fd", child.id());
        let has_open = || {
            let open = std::fs::read_dir(&descriptors).into_iter().flatten().flatten();
            let mut files = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
            files.any(|file| file == sandbox.pin(LOCK))
        };
        while !has_open() {
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
        finish(&apply, child).exits(143).says("error: stopped by SIGTERM");
        assert_eq!(sandbox.paths(), [] as [&str; 0]);
    }
}

#[kernel_test]
fn a_hangup_that_is_ignored_stops_nothing() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let script = format!(
        "trap '' HUP; exec strace -f -qq -o trace -e trace=flock -e inject=flock:signal=HUP:when=1 \
         {ITERCTL} apply -f iters.toml"
    );
    Run::of(sandbox.command("sh", "-c").arg(script)).exits(0).plans(&["+ a  task"]);
}
