//! All or nothing: the report and the state after an apply whose undo fails, that cannot exchange names, or
//! that is stopped in between. See also `faults` and `kills`.

use std::os::unix::fs::PermissionsExt as _;

use iterctl_core::feature::Feature;

use super::attempts::{APPLY, small};
use super::needs::needs;
use super::sandbox::{ITERCTL, Run, Sandbox, entry_with, finish};
use super::strace;

#[kernel_test]
fn changes_that_cannot_be_undone_are_reported_and_kept() {
    // If names cannot be exchanged, a pin is put back by another call.
    needs(Feature::Exchange);
    let attempts = small();
    let sandbox = &attempts.sandbox;
    let old = sandbox.link("changes");
    // The unpin and the replacement are done; the new pin fails, and so does every attempt to undo.
    let run = strace::inject(sandbox, "renameat2", "error=EIO", "5+", APPLY).exits(1);
    let run = run
        .says("error: failed to pin `new/deep/pin`")
        .says("error: failed to put the old `changes` back")
        .says("error: failed to make the directory `old` again")
        .says("error: failed to put `old/goes` back")
        .says("3 changes could not be undone");
    assert!(!run.stderr.contains("nothing was changed"), "{run}");
    let tree = sandbox.tree();
    let is_kept = |(path, what): &(&String, &String)| {
        path.starts_with("iterctl-staging-") && what.starts_with(&format!("link_id {old} "))
    };
    let kept = tree.iter().find(is_kept);
    let (kept, _) = kept.unwrap_or_else(|| panic!("the old link {old} is not kept in {tree:#?}"));
    let directory = sandbox.pin(kept).parent().expect("it is in a directory").to_owned();
    run.says(&format!("kept in {}", directory.display()));
    assert_eq!(sandbox.first_line("changes"), "v2\n", "the pin is never missing");
}

#[kernel_test]
fn a_report_that_cannot_be_printed_does_not_undo_the_work() {
    let attempts = small();
    let (sandbox, [_, after]) = (&attempts.sandbox, attempts.paths());
    let script = format!("{ITERCTL} {APPLY} >/dev/full");
    let run = Run::of(sandbox.command("sh", "-c").arg(script)).exits(1);
    let run = run.says("error: the command did its work, but its report could not be written\n");
    run.says("caused by: No space left on device");
    assert_eq!(sandbox.paths(), after);
}

#[kernel_test]
fn a_report_without_a_reader_is_told_if_something_was_changed() {
    for form in ["", "-j "] {
        let attempts = small();
        let (sandbox, [_, after]) = (&attempts.sandbox, attempts.paths());
        let mut child = sandbox.start(&format!("{form}{APPLY}"));
        drop(child.stdout.take());
        let run = finish(APPLY, child).exits(1);
        let run = run.says("the command did its work, but its report could not be written\n");
        run.says("caused by: Broken pipe");
        assert_eq!(sandbox.paths(), after);
        // A report that is all that there is to do: its reader has had enough.
        let mut child = sandbox.start(&format!("{form}list --bpffs bpf"));
        drop(child.stdout.take());
        assert_eq!(finish("list", child).exits(0).stderr, "");
    }
}

/// A kernel that cannot exchange names: the fourth rename of the five.
const NO_EXCHANGE: &str =
    "-e trace=renameat,renameat2,openat2 -e inject=renameat2:error=EINVAL:when=4";

#[kernel_test]
fn a_pin_is_replaced_if_names_cannot_be_exchanged() {
    let attempts = small();
    let (sandbox, [_, after]) = (&attempts.sandbox, attempts.paths());
    let (run, trace) = strace::trace(sandbox, NO_EXCHANGE, APPLY);
    run.exits(0);
    assert!(trace.iter().any(|line| line.contains(" renameat(")), "it is renamed over: {trace:?}");
    assert_eq!(sandbox.paths(), after);
    assert_eq!(sandbox.first_line("changes"), "v2\n");
    sandbox.iterctl(&format!("{APPLY} --lock-timeout 0")).exits(0).plans::<&str>(&[]);
}

#[kernel_test]
fn a_pin_is_put_back_if_names_cannot_be_exchanged() {
    let attempts = small();
    let (sandbox, [before, _]) = (&attempts.sandbox, attempts.paths());
    let (run, trace) = strace::trace(sandbox, NO_EXCHANGE, APPLY);
    run.exits(0);
    attempts.go_back();
    let looks = trace.iter().filter(|line| line.contains(" openat2(")).count();
    let what = |path: &str| sandbox.link(path);
    let links = ["access", "changes", "old/goes", "same"].map(what);
    let mut undone = 0;
    // The last look at the bpffs is among these calls.
    for when in looks.saturating_sub(6)..looks {
        let options = format!("{NO_EXCHANGE} -e inject=openat2:error=EIO:when={when}");
        let (run, _) = strace::trace(sandbox, &options, APPLY);
        let run = run.exits(1).says("nothing was changed");
        assert_eq!(sandbox.paths(), before, "{run}");
        assert_eq!(["access", "changes", "old/goes", "same"].map(what), links, "{run}");
        assert_eq!(sandbox.first_line("changes"), "v1\n", "{run}");
        undone += 1;
    }
    assert!(undone > 1, "it was tried");
}

#[kernel_test]
fn a_directory_has_its_mode_as_soon_as_it_is_there() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry_with("tasks_v1.bpf.o", "a/b", "dir-mode = \"0751\""));
    let apply = "apply -f iters.toml";
    // So that the lock is there.
    sandbox.iterctl("unpin -f iters.toml").exits(0);
    let is_fine = |path: &str| {
        let tree = sandbox.tree();
        assert!(tree.get(path).is_none_or(|what| what.starts_with("directory 0751")), "{tree:?}");
    };
    let calls: Vec<usize> = ["mkdirat", "fchmod", "fchmodat", "renameat2"]
        .map(|call| {
            let calls = strace::count(&sandbox, call, apply);
            sandbox.iterctl("unpin -f iters.toml").exits(0);
            for when in 1..=calls {
                strace::inject(&sandbox, call, "signal=KILL", &when.to_string(), apply);
                is_fine("a");
                sandbox.iterctl(apply).exits(0);
                is_fine("a");
                sandbox.iterctl("unpin -f iters.toml").exits(0);
                assert_eq!(sandbox.paths(), [] as [&str; 0], "{call} number {when}");
            }
            calls
        })
        .into();
    // The mode of a directory, which is made in the staging directory; the directory and a pin are put in
    // place.
    assert_eq!(calls, [2, 0, 1, 2]);
}

#[kernel_test]
fn an_undo_restores_all_bits_of_a_mode() {
    // If names cannot be exchanged, a pin is put back by another call.
    needs(Feature::Exchange);
    let attempts = small();
    let sandbox = &attempts.sandbox;
    let set = |path: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(sandbox.pin(path), mode).expect("root may");
    };
    set("old", 0o3777);
    set("access", 0o6600);
    let before = sandbox.tree();
    assert!(before["old"].starts_with("directory 3777"), "{before:?}");
    // The last look at the result fails: everything is undone.
    let looks = attempts.count("openat2");
    set("old", 0o3777);
    set("access", 0o6600);
    let before_again = sandbox.tree();
    let when = format!("{}", looks - 1);
    let run = strace::inject(sandbox, "openat2", "error=EIO", &when, APPLY).exits(1);
    run.says("note: nothing was changed");
    let (before, after) = (before_again, sandbox.tree());
    assert_eq!(after, before);
}

#[kernel_test]
fn a_leftover_staging_directory_is_reported() {
    let attempts = small();
    let before = attempts.sandbox.paths();
    // First for the directory that is emptied, then for what is staged.
    strace::inject(&attempts.sandbox, "unlinkat", "error=EIO", "1+", APPLY)
        .exits(1)
        .says("error: failed to remove the directory `old`")
        .says("warning: failed to remove the staging directory; the next apply will")
        .says("note: nothing was changed");
    let mut paths = attempts.sandbox.paths();
    paths.retain(|path| !path.starts_with("iterctl-staging-"));
    assert_eq!(paths, before);
    attempts.sandbox.iterctl(APPLY).exits(0).says("removed what an apply that was killed had left");
    assert_eq!(attempts.sandbox.paths(), attempts.paths()[1]);
}

#[kernel_test]
fn a_directory_that_cannot_be_emptied_is_reported() {
    let attempts = small();
    // The very last call is to empty the staging directory.
    let last_look = attempts.count("openat2") - 1;
    let renames = attempts.count("renameat2");
    // The last look at the result fails, and so does every attempt to undo.
    let options = format!(
        "-e trace=openat2,renameat2 -e inject=openat2:error=EIO:when={last_look} -e \
         inject=renameat2:error=EIO:when={}+",
        renames + 1
    );
    let (run, _) = strace::trace(&attempts.sandbox, &options, APPLY);
    run.exits(1)
        .says("error: failed to take the new `new/deep/pin` away")
        .says("error: failed to remove the directory `new/deep`")
        .says("error: failed to remove the directory `new`\n");
}
