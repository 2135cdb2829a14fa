//! Programs that call each other through a map. The kernel empties such a map when it is neither open nor
//! pinned.

use std::fs;
use std::os::unix::fs::lchown;

use super::sandbox::{Sandbox, entry_with};

const APPLY: &str = "apply -f iters.toml";

fn entry(path: &str) -> String {
    entry_with("tail_call.bpf.o", path, "program = \"dump\"")
}

/// The numbers of processes that the iterator pinned there prints: this process is among them.
#[track_caller]
fn prints(sandbox: &Sandbox, path: &str) {
    let output = sandbox.read(path);
    let own = std::process::id().to_string();
    assert!(output.lines().any(|line| line == own), "{path}: {output}");
}

/// The maps that are kept on the bpffs.
fn kept(sandbox: &Sandbox) -> Vec<String> {
    let paths = sandbox.paths().into_iter();
    paths.filter(|path| path.starts_with("iterctl-kept-") && path.contains('/')).collect()
}

#[kernel_test]
fn called_programs_are_loaded_and_stay() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &(entry("a") + &entry("b")));
    sandbox.iterctl(APPLY).exits(0).plans(&["+ a  task", "+ b  task"]);
    prints(&sandbox, "a");
    prints(&sandbox, "b");
    // Both pins share one program.
    assert_eq!(kept(&sandbox).len(), 1);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);

    let listed = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
    assert_eq!(listed["pins"].as_array().map(Vec::len), Some(2), "{listed}");

    sandbox.manifest("iters.toml", &entry("b"));
    sandbox.iterctl(APPLY).exits(0).plans(&["- a  no longer listed"]);
    prints(&sandbox, "b");
    sandbox.iterctl("unpin -f iters.toml").exits(0);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn a_new_object_has_a_map_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("x"));
    sandbox.iterctl(APPLY).exits(0);
    let before = kept(&sandbox);
    let mut bytes = fs::read(sandbox.file("tail_call.bpf.o")).expect("it is there");
    bytes.push(0);
    fs::write(sandbox.file("tail_call.bpf.o"), bytes).expect("own folder");
    sandbox.iterctl(APPLY).exits(0).plans(&["~ x  object changed"]);
    prints(&sandbox, "x");
    let after = kept(&sandbox);
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
}

#[kernel_test]
fn tail_calls_work_in_an_object_that_is_run_once() {
    let sandbox = Sandbox::new();
    let run = sandbox.iterctl("read --bpffs bpf tail_call.bpf.o --program dump").exits(0);
    let own = std::process::id().to_string();
    assert!(run.stdout.lines().any(|line| line == own), "{run}");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn no_map_is_kept_if_nothing_is_pinned() {
    let sandbox = Sandbox::new();
    let broken = entry_with("rejected.bpf.o", "y", "");
    sandbox.manifest("iters.toml", &(entry("x") + &broken));
    sandbox.iterctl(APPLY).exits(1).says("nothing was changed");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    sandbox.iterctl("apply --keep-going -f iters.toml").exits(1);
    prints(&sandbox, "x");
}

#[kernel_test]
fn maps_kept_by_a_killed_apply_are_removed_by_the_next() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("x"));
    sandbox.iterctl(APPLY).exits(0);
    let map = kept(&sandbox).remove(0);
    // As after an apply that was killed before its pins were in place.
    let directory = sandbox.pin(&map).parent().expect("it is in a directory").to_owned();
    sandbox
        .run(
            "bpftool",
            &format!(
                "map create {}/1 type array key 4 value 4 entries 1 name lost",
                directory.display()
            ),
        )
        .exits(0);
    assert_eq!(kept(&sandbox).len(), 2);
    sandbox.manifest("iters.toml", &(entry("x") + &entry("y")));
    sandbox.iterctl(APPLY).exits(0).plans(&["+ y  task"]);
    assert_eq!(kept(&sandbox), [map]);
    prints(&sandbox, "x");
    prints(&sandbox, "y");
}

#[kernel_test]
fn directories_of_another_user_are_left_alone() {
    const NOBODY: u32 = 65534;
    let sandbox = Sandbox::new();
    let planted = sandbox.pin("iterctl-kept-0123456789abcdef");
    fs::create_dir(&planted).expect("nothing is there");
    lchown(&planted, Some(NOBODY), Some(NOBODY)).expect("root may");
    sandbox.manifest("iters.toml", &entry("x"));
    sandbox.iterctl(APPLY).exits(0);
    prints(&sandbox, "x");
    let maps = kept(&sandbox);
    assert!(maps.len() == 1 && !sandbox.pin(&maps[0]).starts_with(&planted), "{maps:?}");
    sandbox.iterctl("unpin -f iters.toml").exits(0);
    assert_eq!(sandbox.paths(), ["iterctl-kept-0123456789abcdef"]);
}

/// bpftool's dump of a map.
fn slots(sandbox: &Sandbox, map: &str) -> String {
    sandbox.run("bpftool", &format!("-j map dump id {map}")).exits(0).stdout
}

#[kernel_test]
fn the_slots_of_an_existing_map_are_its_owners() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("owner"));
    sandbox.iterctl(APPLY).exits(0);
    let path = kept(&sandbox).pop().expect("the map of `owner`");
    let map = path.rsplit('/').next().expect("a name").to_owned();
    let before = slots(&sandbox, &map);

    let user = format!("{}maps.steps.id = {map}\n", entry("user"));
    sandbox.manifest("user.toml", &format!("set = \"user\"\n{user}"));
    sandbox.iterctl("apply -f user.toml").exits(0).plans(&["+ user  task"]);
    prints(&sandbox, "user");
    let read = format!("read --bpffs bpf tail_call.bpf.o --program dump --reuse steps=id:{map}");
    sandbox.iterctl(&read).exits(0);
    assert_eq!(slots(&sandbox, &map), before);
    assert_eq!(kept(&sandbox), [path.as_str()]);

    sandbox.iterctl("unpin -f user.toml").exits(0);
    assert_eq!(slots(&sandbox, &map), before);
    prints(&sandbox, "owner");
}
