//! All or nothing: system calls fail, or the process is killed, at every point of an apply.

use super::sandbox::{ITERCTL, Run, Sandbox, Tree, entry, entry_with};
use super::strace;

const BACK: &str = "apply --set all -f old.toml";
const APPLY: &str = "apply --set all -f new.toml";
const PLAN: &str = "plan --set all --detailed-exitcode -f new.toml";

/// A sandbox in which old.toml has been applied and new.toml is going to be, again and again.
struct Attempts {
    sandbox: Sandbox,
    before: Vec<String>,
    after: Vec<String>,
}

/// An attempt takes every kind of step.
#[track_caller]
fn every_kind_of_step() -> Attempts {
    let old = ["access", "changes", "old/goes", "same"];
    let old = old.map(|path| entry("tasks_v1.bpf.o", path)).concat();
    let access = "mode = \"0444\"\nowner = \"7\"\ngroup = \"8\"";
    let new = entry_with("tasks_v1.bpf.o", "access", access)
        + &entry_with("tasks_v2.bpf.o", "changes", access)
        + &entry_with("rodata.bpf.o", "new/deep/pin", access)
        + &entry("tasks_v1.bpf.o", "same");
    let attempts = Attempts::new(&old, &new);
    assert_eq!(attempts.before, ["access", "changes", "old", "old/goes", "same"]);
    let after = ["access", "changes", "new", "new/deep", "new/deep/pin", "same"];
    assert_eq!(attempts.after, after);
    attempts
}

impl Attempts {
    #[track_caller]
    fn new(old: &str, new: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.manifest("old.toml", old);
        sandbox.manifest("new.toml", new);
        sandbox.iterctl(BACK).exits(0);
        let before = sandbox.paths();
        sandbox.iterctl(APPLY).exits(0);
        let attempts = Self { after: sandbox.paths(), before, sandbox };
        attempts.go_back();
        attempts
    }

    #[track_caller]
    fn go_back(&self) {
        self.sandbox.iterctl(BACK).exits(0);
        assert_eq!(self.sandbox.paths(), self.before);
    }

    /// How often an attempt makes this system call.
    #[track_caller]
    fn count(&self, call: &str) -> usize {
        let number = strace::count(&self.sandbox, call, APPLY);
        self.go_back();
        number
    }

    /// Every call of this name fails once, each in another attempt: after it everything is done, or
    /// nothing is, and what is said is true. Gives how often nothing was done.
    #[track_caller]
    fn fail(&self, call: &str, error: &str) -> usize {
        let mut failures = 0;
        for when in 1..=self.count(call) {
            let before = self.sandbox.tree();
            let run = strace::inject(&self.sandbox, call, error, &when.to_string(), APPLY);
            if run.succeeded() {
                self.is_done(&run);
            } else if run.stderr.contains("everything was changed as planned") {
                self.is_done(&run);
                self.sandbox.iterctl(PLAN).exits(0);
            } else {
                assert_eq!(self.sandbox.tree(), before, "{call} number {when}: {run}");
                failures += 1;
                continue;
            }
            self.go_back();
        }
        failures
    }

    #[track_caller]
    fn is_done(&self, run: &Run) {
        let mut paths = self.sandbox.paths();
        // A staging directory that could not be removed is left to the next apply.
        paths.retain(|path| !path.starts_with("iterctl-staging-"));
        assert_eq!(paths, self.after, "{run}");
    }

    /// Killed at every call of this name, each in another attempt: the next apply finishes it.
    #[track_caller]
    fn kill(&self, call: &str) {
        for when in 1..=self.count(call) {
            let before = self.sandbox.tree();
            let run = strace::inject(&self.sandbox, call, "signal=KILL", &when.to_string(), APPLY);
            self.every_path_is_old_or_new(&before, &run);
            self.sandbox.iterctl(APPLY).exits(0);
            let mut paths = self.sandbox.paths();
            // Where it died between the unpin and this, nobody knows who has emptied the directory.
            paths.retain(|path| path != "old");
            assert_eq!(paths, self.after, "{call} number {when}");
            assert_eq!(self.sandbox.first_line("changes"), "v2\n");
            self.go_back();
        }
    }

    #[track_caller]
    fn every_path_is_old_or_new(&self, before: &Tree, run: &Run) {
        let tree = self.sandbox.tree();
        assert_eq!(tree.get("same"), before.get("same"), "{run}");
        for path in ["access", "changes"] {
            let line = self.sandbox.first_line(path);
            assert!(["v1\n", "v2\n"].contains(&line.as_str()), "{path} gives {line}: {run}");
        }
        for (path, what) in &tree {
            let is_old = before.get(path) == Some(what);
            let is_new = self.after.contains(path) || path.starts_with("iterctl-staging-");
            assert!(is_old || is_new, "{path}: {run}");
        }
    }
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_change_that_fails_takes_back_those_before_it() {
    let attempts = every_kind_of_step();
    // One unpin, one replacement, one new pin, and its two parents.
    assert_eq!(attempts.fail("renameat2", "error=EIO"), 5);
    // The staging directory, and two parents of the new pin in it.
    assert_eq!(attempts.fail("mkdirat", "error=ENOSPC"), 3);
    // The directory that is emptied.
    assert_eq!(attempts.fail("unlinkat", "error=EIO"), 1);
    // The owners of two new pins and of one that stays.
    assert_eq!(attempts.fail("fchownat", "error=EPERM"), 3);
    // Their modes. Those of two new directories are as mkdir(2) makes them.
    assert_eq!(attempts.fail("fchmodat", "error=EPERM"), 3);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_look_that_fails_changes_nothing() {
    assert!(every_kind_of_step().fail("openat2", "error=EIO") > 5);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn bpf_that_fails_changes_nothing() {
    // One program to load, for the sake of time.
    let old = ["changes", "goes"].map(|path| entry("tasks_v1.bpf.o", path)).concat();
    let new = ["changes", "new"].map(|path| entry("tasks_v2.bpf.o", path)).concat();
    let attempts = Attempts::new(&old, &new);
    assert!(attempts.fail("bpf", "error=EINVAL") > 20);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn an_apply_that_is_killed_is_finished_by_the_next() {
    let attempts = every_kind_of_step();
    for call in ["renameat2", "mkdirat", "unlinkat", "fchownat"] {
        attempts.kill(call);
    }
}

#[test]
#[ignore = "needs root: make test runs it"]
fn what_cannot_be_taken_back_is_told_and_kept() {
    let Attempts { sandbox, .. } = every_kind_of_step();
    let old = sandbox.link("changes");
    // The unpin and the replacement are done; the new pin fails, and so does every way back.
    let run = strace::inject(&sandbox, "renameat2", "error=EIO", "5+", APPLY).exits(1);
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

#[test]
#[ignore = "needs root: make test runs it"]
fn an_answer_that_cannot_be_printed_does_not_undo_the_work() {
    let Attempts { sandbox, after, .. } = every_kind_of_step();
    let script = format!("{ITERCTL} {APPLY} >/dev/full");
    Run::of(sandbox.command("sh", "-c").arg(script)).exits(1).says("failed to print the answer");
    assert_eq!(sandbox.paths(), after);
}

/// An attempt on a kernel that cannot exchange names: the fourth rename of the five.
const NO_EXCHANGE: &str =
    "-e trace=renameat,renameat2,openat2 -e inject=renameat2:error=EINVAL:when=4";

#[test]
#[ignore = "needs root: make test runs it"]
fn a_pin_is_replaced_where_names_cannot_be_exchanged() {
    let Attempts { sandbox, after, .. } = every_kind_of_step();
    let (run, trace) = strace::trace(&sandbox, NO_EXCHANGE, APPLY);
    run.exits(0);
    assert!(trace.iter().any(|line| line.contains(" renameat(")), "it is renamed over: {trace:?}");
    assert_eq!(sandbox.paths(), after);
    assert_eq!(sandbox.first_line("changes"), "v2\n");
    sandbox.iterctl(&format!("{APPLY} --lock-timeout 0")).exits(0).plans::<&str>(&[]);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_pin_is_put_back_where_names_cannot_be_exchanged() {
    let attempts = every_kind_of_step();
    let sandbox = &attempts.sandbox;
    let (run, trace) = strace::trace(sandbox, NO_EXCHANGE, APPLY);
    run.exits(0);
    attempts.go_back();
    let looks = trace.iter().filter(|line| line.contains(" openat2(")).count();
    let what = |path: &str| sandbox.link(path);
    let before = ["access", "changes", "old/goes", "same"].map(what);
    let mut undone = 0;
    // The last look is among these.
    for when in looks.saturating_sub(6)..looks {
        let options = format!("{NO_EXCHANGE} -e inject=openat2:error=EIO:when={when}");
        let (run, _) = strace::trace(sandbox, &options, APPLY);
        let run = run.exits(1).says("nothing was changed");
        assert_eq!(sandbox.paths(), attempts.before, "{run}");
        assert_eq!(["access", "changes", "old/goes", "same"].map(what), before, "{run}");
        assert_eq!(sandbox.first_line("changes"), "v1\n", "{run}");
        undone += 1;
    }
    assert!(undone > 1, "it was tried");
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_directory_has_its_mode_as_soon_as_it_is_there() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry_with("tasks_v1.bpf.o", "a/b", "dir-mode = \"0751\""));
    let apply = "apply -f iters.toml";
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
    // The mode of a directory, which is made in the staging directory; it and a pin are put in place.
    assert_eq!(calls, [2, 0, 1, 2]);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_staging_directory_that_is_left_is_told() {
    let attempts = every_kind_of_step();
    let before = attempts.sandbox.paths();
    // Of the directory that is emptied, then of what is staged.
    strace::inject(&attempts.sandbox, "unlinkat", "error=EIO", "1+", APPLY)
        .exits(1)
        .says("error: failed to remove the directory `old`")
        .says("warning: failed to remove the staging directory; the next apply will")
        .says("note: nothing was changed");
    let mut paths = attempts.sandbox.paths();
    paths.retain(|path| !path.starts_with("iterctl-staging-"));
    assert_eq!(paths, before);
    attempts.sandbox.iterctl(APPLY).exits(0).says("removed what an apply that was killed had left");
    assert_eq!(attempts.sandbox.paths(), attempts.after);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_directory_that_holds_what_cannot_be_taken_away_is_told() {
    let attempts = every_kind_of_step();
    // The very last one is to empty the staging directory.
    let last_look = attempts.count("openat2") - 1;
    let renames = attempts.count("renameat2");
    // What was done is looked at for the last time, and that fails; then so does every way back.
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
