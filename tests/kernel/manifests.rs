//! Arguments of `-f`: directories, standard input, several files.

use std::fs;

use super::sandbox::{Sandbox, entry};

/// A directory with two drop-ins, which form one set.
#[track_caller]
fn drop_ins() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.manifest("etc/observe.d/10-one.toml", &entry("../../tasks_v1.bpf.o", "one"));
    sandbox.manifest("etc/observe.d/20-two.toml", &entry("../../tasks_v1.bpf.o", "two"));
    sandbox.write("etc/observe.d/README", "no manifest");
    sandbox.iterctl("apply -f etc/observe.d").exits(0).plans(&["+ one  task", "+ two  task"]);
    sandbox
}

#[kernel_test]
fn a_directory_is_one_set() {
    let sandbox = drop_ins();
    let report = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
    let pins = report["pins"].as_array().expect("a list");
    assert!(pins.iter().all(|pin| pin["set"] == "observe"), "{report}");
    let programs = ["one", "two"].map(|path| sandbox.number(path, "prog_id"));
    assert_eq!(programs[0], programs[1], "the same program in both files is loaded once");
    sandbox.iterctl("apply -f etc/observe.d/").exits(0).plans::<&str>(&[]);
}

#[kernel_test]
fn deleting_a_drop_in_unpins_its_pins() {
    let sandbox = drop_ins();
    fs::remove_file(sandbox.file("etc/observe.d/10-one.toml")).expect("own folder");
    sandbox.iterctl("apply -f etc/observe.d").exits(0).plans(&["- one  no longer listed"]);
    assert_eq!(sandbox.paths(), ["two"]);
    fs::remove_file(sandbox.file("etc/observe.d/20-two.toml")).expect("own folder");
    sandbox.iterctl("apply -f etc/observe.d").exits(65).says("no *.toml in");
    assert_eq!(sandbox.paths(), ["two"], "an empty directory could be a mistake");
}

#[kernel_test]
fn the_files_of_a_directory_are_read_in_byte_order() {
    let sandbox = drop_ins();
    // In byte order, capitals come first, and 100 comes before 20.
    for name in ["A", "a", "100"] {
        let path = format!("etc/observe.d/{name}.toml");
        sandbox.manifest(&path, &entry("../../tasks_v1.bpf.o", "two"));
    }
    let run = sandbox.iterctl("plan -f etc/observe.d").exits(65);
    // The first entry with the path is accepted, and every later one is reported.
    let places: Vec<usize> = ["20-two.toml", "A.toml", "a.toml"]
        .iter()
        .map(|name| run.stderr.find(&format!("/{name}:")).unwrap_or_else(|| panic!("{run}")))
        .collect();
    assert!(places.is_sorted(), "{run}");
    let first = run.stderr.find("/100.toml:").unwrap_or_else(|| panic!("{run}"));
    assert!(first > places[0], "it is where the path was first used: {run}");
}

#[kernel_test]
fn standard_input_is_a_manifest() {
    let sandbox = Sandbox::new();
    let text = sandbox.with_bpffs(&entry("tasks_v1.bpf.o", "a"));
    let run = sandbox.iterctl_reading("apply -f -", &text).exits(65);
    run.says("no name for the set").says("--set");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    let named = format!("set = \"piped\"\n{text}");
    sandbox.iterctl_reading("apply -f -", &named).exits(0).plans(&["+ a  task"]);
    sandbox.iterctl_reading("apply --set piped -f -", &text).exits(0).plans::<&str>(&[]);
    sandbox.iterctl("unpin --bpffs bpf --set piped").exits(0).plans(&["- a  asked for"]);
}

#[kernel_test]
fn several_files_are_one_manifest() {
    let sandbox = Sandbox::new();
    sandbox.manifest("one.toml", &("set = \"both\"\n".to_owned() + &entry("rodata.bpf.o", "one")));
    sandbox.manifest("two.toml", &entry("rodata.bpf.o", "two"));
    sandbox
        .manifest("else.toml", &("set = \"else\"\n".to_owned() + &entry("rodata.bpf.o", "else")));
    let both = ["+ one  task", "+ two  task"];
    sandbox.iterctl("apply -f one.toml -f two.toml").exits(0).plans(&both);
    sandbox.iterctl("apply -f two.toml -f one.toml").exits(0).plans::<&str>(&[]);
    let before = sandbox.tree();
    let run = sandbox.iterctl("apply -f one.toml -f else.toml").exits(65);
    run.says("two sets in one call: `both` and `else`");
    assert_eq!(sandbox.tree(), before);
    sandbox.iterctl("apply -f one.toml").exits(0).plans(&["- two  no longer listed"]);
}
