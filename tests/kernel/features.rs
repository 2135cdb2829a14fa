//! `check --kernel`: what the kernel has, what it lacks for a manifest, and what could not be asked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use iterctl_core::feature::{Feature, Group};
use libbpf_rs::MapType;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use serde_json::Value;

use super::bpf;
use super::needs::needs;
use super::sandbox::{ITERCTL, Run, Sandbox, entry, entry_with};
use super::strace;

const BTF: &str = "/sys/kernel/btf";

/// A mount in the test's own namespace, until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// Hides the kernel's BTF.
    #[track_caller]
    fn no_btf() -> Self {
        mount("none", BTF, "tmpfs", MountFlags::empty(), None).expect("root may");
        Self(PathBuf::from(BTF))
    }

    /// Replaces the kernel's BTF by a copy without these names, if it has them.
    #[track_caller]
    fn btf_without(sandbox: &Sandbox, names: &[&str]) -> Self {
        let vmlinux = PathBuf::from(BTF).join("vmlinux");
        let mut btf = fs::read(&vmlinux).expect("everybody may read it");
        for name in names {
            let whole = [b"\0", name.as_bytes(), b"\0"].concat();
            let at = btf.windows(whole.len()).position(|bytes| bytes == whole);
            if let Some(at) = at {
                btf[at + 1] = b'X';
            }
        }
        fs::write(sandbox.file("btf"), btf).expect("own folder");
        mount_bind(sandbox.file("btf"), &vmlinux).expect("root may");
        Self(vmlinux)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// The states of all features, by their names.
#[track_caller]
fn states(run: &Run) -> BTreeMap<String, String> {
    let report = run.json();
    let rows = report["kernel"]["features"].as_array().unwrap_or_else(|| panic!("no rows: {run}"));
    let text = |row: &Value, key: &str| row[key].as_str().expect("a text").to_owned();
    rows.iter().map(|row| (text(row, "name"), text(row, "state"))).collect()
}

/// The numbers of a release: 6.18 of `6.18.1-amd64`.
fn numbers(release: &str) -> (u32, u32) {
    let mut parts =
        release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    (parts.next().expect("a number"), parts.next().expect("another"))
}

#[kernel_test]
fn a_kernel_has_what_its_release_has() {
    let sandbox = Sandbox::new();
    let run = sandbox.iterctl("-j check --kernel").exits(0);
    let states = states(&run);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("proc is mounted");
    assert_eq!(run.json()["kernel"]["release"], release.trim());
    let btf = sandbox.run("bpftool", "btf dump file /sys/kernel/btf/vmlinux").exits(0).stdout;
    for feature in Feature::all() {
        let state = states.get(feature.name()).map(String::as_str);
        let is_there = match feature.group() {
            // The available targets depend on the configuration, too.
            Group::Targets => btf.contains(&format!("FUNC 'bpf_iter_{}'", feature.name())),
            Group::Base | Group::Parameters | Group::Loading | Group::Pins => {
                numbers(release.trim()) >= numbers(feature.since())
            }
        };
        let expected = if is_there { "present" } else { "absent" };
        assert_eq!(state, Some(expected), "{}: {run}", feature.name());
    }
    // Targets of a kernel that is newer than the table are listed as well.
    for other in states.keys().filter(|name| !Feature::all().any(|one| one.name() == **name)) {
        assert!(btf.contains(&format!("STRUCT 'bpf_iter__{other}'")), "{other}: {run}");
    }
}

#[kernel_test]
fn the_text_shows_the_same_in_groups() {
    let run = Sandbox::new().iterctl("check --kernel").exits(0);
    let lines: Vec<&str> = run.stdout.lines().collect();
    let groups = lines.iter().filter(|line| !line.starts_with("  ") && !line.is_empty());
    let groups: Vec<&str> = groups.copied().collect();
    assert_eq!(groups[..5], ["base", "targets", "parameters", "loading", "pins"], "{run}");
    assert!(groups[5].starts_with("Linux ") && groups[5].contains(" features present"), "{run}");
    assert!(lines.contains(&"  task                 present  takes a task, or none"), "{run}");
}

#[kernel_test]
fn files_in_the_current_folder_change_no_answer() {
    let sandbox = Sandbox::new();
    let elsewhere = states(&sandbox.iterctl("-j check --kernel").exits(0));
    sandbox.write("iterctl", "a file");
    assert_eq!(states(&sandbox.iterctl("-j check --kernel").exits(0)), elsewhere);
    assert!(!elsewhere.values().any(|state| state == "unknown"), "{elsewhere:?}");
}

#[kernel_test]
fn check_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let before = sandbox.tree();
    let mounts = || fs::read_to_string("/proc/thread-self/mounts").expect("proc is mounted");
    let mounted = mounts();
    let calls = "-e trace=bpf,move_mount,renameat2";
    let (run, calls) = strace::trace(&sandbox, calls, "check --kernel -f iters.toml");
    let run = run.exits(0);
    assert!(run.stdout.contains("set iters: 1 iterator, no faults; Linux "), "{run}");
    assert_eq!(sandbox.tree(), before);
    assert_eq!(mounts(), mounted);
    // Objects that are neither pinned nor attached are freed when the process ends.
    let calls = |name: &str| calls.iter().filter(|call| call.contains(name)).count();
    assert_eq!(["BPF_PROG_LOAD", "RENAME_EXCHANGE"].map(|name| calls(name) > 0), [true; 2]);
    assert_eq!(["BPF_OBJ_PIN", "BPF_LINK_CREATE", "move_mount"].map(calls), [0; 3]);
}

#[kernel_test]
fn features_that_may_not_be_asked_about_are_unknown() {
    let sandbox = Sandbox::new();
    sandbox.run("cp", &format!("{ITERCTL} iterctl")).exits(0);
    let program = sandbox.file("iterctl").display().to_string();
    let as_nobody =
        |arguments: &str| Run::of(sandbox.command(&program, arguments).uid(65534).gid(65534));
    let states = states(&as_nobody("-j check --kernel").exits(0));
    assert_eq!(states["exchange"], "unknown");
    // Features that BTF shows need no privilege.
    for name in ["btf", "task", "tcp"] {
        assert_eq!(states[name], "present", "{name}");
    }
    let run = as_nobody("check --kernel").exits(0);
    let row = "  exchange             unknown  exchange of two pins in one step: not permitted to ask \
               (since Linux 5.16)";
    assert!(run.stdout.lines().any(|line| line == row), "{run}");
    assert!(run.stdout.contains(" unknown\n"), "{run}");
}

const NO_BPF: &str = "error: this kernel has no bpf(2)\n  hint: use a kernel with CONFIG_BPF_SYSCALL=y; \
    on one that has it, a seccomp filter forbids the call\n";

const ENOSYS: &str = "-e trace=bpf -e inject=bpf:error=ENOSYS";

#[kernel_test]
fn a_kernel_without_bpf_is_reported() {
    let sandbox = Sandbox::new();
    let (run, _) = strace::trace(&sandbox, ENOSYS, "check --kernel");
    let run = run.exits(69);
    assert_eq!(run.stderr, NO_BPF);
    let (run, _) = strace::trace(&sandbox, ENOSYS, "-j check --kernel");
    let run = run.exits(69);
    let states = states(&run);
    assert_eq!((states["bpf"].as_str(), states["task"].as_str()), ("absent", "unknown"), "{run}");
    assert_eq!(run.json()["diagnostics"][0]["message"], "this kernel has no bpf(2)");
}

#[kernel_test]
fn nothing_is_applied_without_bpf() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let (run, _) = strace::trace(&sandbox, ENOSYS, "apply -f iters.toml");
    run.exits(69)
        .says(
            "caused by: this kernel has no bpf(2)\n  hint: use a kernel with CONFIG_BPF_SYSCALL=y",
        )
        .says("nothing was changed");
    sandbox.iterctl("apply -f iters.toml").exits(0);
    // A pin cannot be inspected either.
    for command in ["apply -f iters.toml", "list --bpffs bpf"] {
        let (run, _) = strace::trace(&sandbox, ENOSYS, command);
        run.exits(69).says("`a`").says("hint: use a kernel with CONFIG_BPF_SYSCALL=y");
    }
}

#[kernel_test]
fn types_that_may_not_be_asked_for_are_unknown() {
    let sandbox = Sandbox::new();
    let _mounted = Mounted::no_btf();
    let words = format!("--bounding-set=-sys_admin {ITERCTL} -j check --kernel");
    let states = states(&sandbox.run("setpriv", &words).exits(0));
    let [btf, task, stamps] = ["btf", "task", "stamps"].map(|name| states[name].as_str());
    assert_eq!([btf, task, stamps], ["unknown", "unknown", "present"]);
}

/// A generated loader finds types in the kernel itself, which still has them. A program that is given a map
/// is loaded without a generated loader.
#[kernel_test]
fn nothing_is_applied_if_libbpf_finds_no_btf() {
    // Before Linux 5.11, the kernel does not show its types in any other way.
    needs(Feature::Loader);
    let sandbox = Sandbox::new();
    let map = bpf::map(MapType::Array, "seen", 8);
    let keys = format!("maps = {{ seen = {{ id = {} }} }}", bpf::id(&map));
    sandbox.manifest("iters.toml", &entry_with("reuse.bpf.o", "a", &keys));
    let _mounted = Mounted::no_btf();
    let run = sandbox.iterctl("apply -f iters.toml").exits(69);
    let hidden = "caused by: this kernel's types (BTF) are not shown here\n  hint: libbpf needs them for this object: \
        let this process read /sys/kernel/btf/vmlinux";
    run.says(hidden).says("nothing was changed");
    assert_eq!(sandbox.paths(), [""; 0]);
}

#[kernel_test]
fn lacking_features_are_listed_for_each_entry() {
    let sandbox = Sandbox::new();
    let text = entry("target_unix.bpf.o", "x/sockets")
        + &entry("sleepable.bpf.o", "x/sleeps")
        + &entry_with("future.bpf.o", "x/future", "")
        + &entry("tasks_v1.bpf.o", "x/tasks");
    sandbox.manifest("iters.toml", &text);
    let without = ["bpf_iter_unix", "BPF_FUNC_copy_from_user_task"];
    let _mounted = Mounted::btf_without(&sandbox, &without);
    let run = sandbox.iterctl("check --kernel -f iters.toml").exits(69);
    assert_eq!(
        run.stderr,
        "\
error: `x/future`: this kernel has no target `no_such_target`
  hint: check the program's SEC(\"iter/…\")
error: `x/sleeps`: this kernel has no sleepable iterators (`iter.s/…`)
  hint: it is there since Linux 5.18; before, programs in `iter/…` can be loaded
error: `x/sockets`: this kernel has no target `unix`
  hint: `unix` is there since Linux 5.15
"
    );
    let report = sandbox.iterctl("-j check --kernel -f iters.toml").exits(69).json();
    assert_eq!(report["diagnostics"].as_array().map(Vec::len), Some(3), "{report}");
    // Without the manifest, no entry needs them.
    let states = states(&sandbox.iterctl("-j check --kernel").exits(0));
    assert_eq!((&*states["unix"], &*states["sleepable-iterators"]), ("absent", "absent"));
}

/// Before Linux 5.18 the kernel would load it, and bpftool pins it there (seen on 5.10).
#[kernel_test]
fn a_program_that_could_not_sleep_is_not_loaded() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("sleepable.bpf.o", "a"));
    let _mounted = Mounted::btf_without(&sandbox, &["BPF_FUNC_copy_from_user_task"]);
    sandbox
        .iterctl("apply -f iters.toml")
        .exits(69)
        .says("caused by: this kernel has no sleepable iterators (`iter.s/…`)")
        .says("hint: it is there since Linux 5.18")
        .says("nothing was changed");
    assert_eq!(sandbox.paths(), [""; 0]);
}

#[kernel_test]
fn symbols_that_programs_use_are_looked_up() {
    let sandbox = Sandbox::new();
    let entries = entry("unmet_config.bpf.o", "config")
        + &entry("unmet_function.bpf.o", "function")
        + &entry("unmet_symbol.bpf.o", "symbol")
        // In these objects, only other programs use externs, or the externs are weak.
        + &entry("beside_externs.bpf.o", "beside")
        + &entry("tasks_v1.bpf.o", "tasks");
    sandbox.manifest("iters.toml", &entries);
    let run = sandbox.iterctl("check --kernel -f iters.toml").exits(69);
    let errors: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors[0].starts_with("error: `config`: this kernel's configuration "), "{run}");
    assert_eq!(
        errors[1..],
        [
            "error: `function`: this kernel has no kernel function `iterctl_has_no_such_function`",
            "error: `symbol`: this kernel lists no symbol `iterctl_has_no_such_symbol`",
        ]
    );
    // `apply` reports the same as `check`.
    for path in ["function", "symbol"] {
        let object = format!("unmet_{path}.bpf.o");
        let run = sandbox.iterctl(&format!("pin --bpffs bpf {object} x")).exits(69);
        let reason =
            errors.iter().find(|line| line.contains(&format!("`{path}`"))).expect("it is told");
        run.says(reason.split(": ").nth(2).expect("a reason"));
    }
}
