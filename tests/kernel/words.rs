//! Messages that are easily misleading: they must name the real cause.

use rustix::mount::{UnmountFlags, unmount};

use super::bpf;
use super::needs::{needs, target};
use super::sandbox::{ITERCTL, Sandbox, entry, entry_with};
use super::walked::Cgroup;

#[kernel_test]
fn export_of_a_map_that_stands_for_the_walked_one() {
    let sandbox = Sandbox::new();
    // Its name differs from the name of the object's own map.
    let _map = bpf::pinned_hash_map(&sandbox.pin("given"), (5, 6));
    let keys = "map = { own = \"own_elems\" }\nmaps = { own_elems = { pinned = \"given\" } }";
    sandbox.manifest("iters.toml", &entry_with("own_map.bpf.o", "x", keys));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let exported = sandbox.iterctl("export --bpffs bpf").exits(0).stdout;
    sandbox.write("exported.toml", &exported);
    sandbox.iterctl("plan --detailed-exitcode -f exported.toml").exits(0);
}

#[kernel_test]
fn missing_cap_perfmon_is_not_blamed_on_memlock() {
    let sandbox = Sandbox::new();
    let words = format!("pin --bpffs {} tasks_v1.bpf.o x", sandbox.bpffs().display());
    let run =
        sandbox.run("setpriv", &format!("--bounding-set=-perfmon,-sys_admin {ITERCTL} {words}"));
    run.exits(77).says("not permitted to load BPF programs").says("it lacks CAP_PERFMON");
}

#[kernel_test]
fn a_map_id_that_may_not_be_opened_names_the_capability() {
    let sandbox = Sandbox::new();
    let map = bpf::hash_map("secret");
    let words = format!("read --bpffs bpf elem.bpf.o map id {}", bpf::id(&map));
    let run = sandbox.run("setpriv", &format!("--bounding-set=-sys_admin {ITERCTL} {words}"));
    run.exits(77).says("it lacks CAP_SYS_ADMIN");
}

#[kernel_test]
fn an_owner_that_may_not_be_set_names_the_capability() {
    let sandbox = Sandbox::new();
    let words = format!("pin --bpffs {} tasks_v1.bpf.o x --owner 12", sandbox.bpffs().display());
    let run = sandbox.run("setpriv", &format!("--bounding-set=-chown {ITERCTL} {words}"));
    let run = run.exits(77).says("CAP_CHOWN");
    assert!(!run.stderr.contains("every capability"), "{run}");
}

#[kernel_test]
fn a_relative_cgroup_is_relative_to_the_current_folder() {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let cgroup = Cgroup::new(&sandbox);
    let path = cgroup.path("");
    let path = path.strip_prefix(sandbox.path()).expect("it is below").display();
    let words = format!("--cgroup {path} --order self-only");
    let run = sandbox.iterctl(&format!("read --bpffs bpf target_cgroup.bpf.o {words}")).exits(0);
    assert_eq!(run.stdout, format!("cgroup\n{}\n", cgroup.id("")));
}

#[kernel_test]
fn a_relative_map_is_relative_to_the_current_folder_as_bpftools() {
    let sandbox = Sandbox::new();
    let _map = bpf::pinned_hash_map(&sandbox.pin("map"), (1, 2));
    let words = "elem.bpf.o bpf/theirs map pinned bpf/map";
    sandbox.run("bpftool", &format!("iter pin {words}")).exits(0);
    let read = format!("read --bpffs {} elem.bpf.o map pinned bpf/map", sandbox.bpffs().display());
    assert_eq!(sandbox.iterctl(&read).exits(0).stdout, "1 2\n");
}

#[kernel_test]
fn a_failed_run_is_reported_in_the_words_of_the_command() {
    let sandbox = Sandbox::new();
    let words = format!("read --bpffs {}", sandbox.bpffs().display());
    let run = sandbox.iterctl(&format!("{words} elem.bpf.o map id 4294967295")).exits(1);
    // There is no pin, so nothing could have been changed.
    assert!(!run.stderr.contains("`once`") && !run.stderr.contains("nothing was changed"), "{run}");
    let _map = bpf::pinned_hash_map(&sandbox.pin("map"), (1, 2));
    let run = sandbox.iterctl(&format!("{words} map")).exits(1);
    assert!(!run.stderr.contains("os error 5"), "a pinned map, not a broken disk: {run}");
    std::fs::create_dir(sandbox.pin("directory")).expect("nothing is there");
    let run = sandbox.iterctl(&format!("{words} directory")).exits(1);
    assert!(!run.stderr.contains("read the iterator to its end"), "it is a directory: {run}");
}

/// Unmounts every cgroup v2, in the mount namespace of this test only.
#[track_caller]
fn unmount_cgroups() {
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").expect("/proc is there");
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        if let (Some(point), Some("cgroup2")) = (fields.next(), fields.next()) {
            unmount(point, UnmountFlags::DETACH).expect("root may");
        }
    }
}

#[kernel_test]
fn hints_for_cgroups_name_the_mount_of_this_machine() {
    let sandbox = Sandbox::new();
    unmount_cgroups();
    let pin = format!("pin --bpffs {} target_cgroup.bpf.o x", sandbox.bpffs().display());
    let elsewhere = format!("{pin} --cgroup / --order self-only");
    sandbox.manifest("iters.toml", &entry("target_cgroup.bpf.o", "x"));
    let none = "no cgroup v2 is mounted here: `mount -t cgroup2 cgroup2 DIR` mounts it on DIR";
    sandbox.iterctl("check -f iters.toml").exits(65).says(&format!(
        "= help: {none}; then add `cgroup = {{ path = \"DIR\", order = \"descendants-pre\" }}`\n"
    ));
    sandbox
        .iterctl(&pin)
        .exits(65)
        .says(&format!("hint: {none}; then add `--cgroup DIR --order descendants-pre`\n"));
    let refused = "cgroup /: not a directory of cgroup v2\n  hint: ";
    sandbox.iterctl(&elsewhere).exits(1).says(&format!("{refused}{none}\n"));

    let cgroup = Cgroup::new(&sandbox);
    let mount = sandbox.file("cgroup").display().to_string();
    sandbox.iterctl("check -f iters.toml").exits(65).says(&format!(
        "= help: add `cgroup = {{ path = \"{mount}\", order = \"descendants-pre\" }}`\n"
    ));
    sandbox
        .iterctl(&pin)
        .exits(65)
        .says(&format!("hint: add `--cgroup {mount} --order descendants-pre`\n"));
    sandbox
        .iterctl(&elsewhere)
        .exits(1)
        .says(&format!("{refused}cgroup v2 is mounted on {mount}\n"));
    // The path below the mount is one that the user wrote.
    let missing = cgroup.path("missing").display().to_string();
    let run = sandbox.iterctl(&format!("{pin} --cgroup {missing} --order self-only")).exits(1);
    assert!(!run.stderr.contains("hint:"), "{run}");
}
