//! `list`: every iterator on a bpffs, of this set and of others.

use super::bpf;
use super::sandbox::{Sandbox, entry_with};

/// The set `observe` with a task iterator and an iterator over a map, next to a foreign iterator, a map and
/// a program.
#[track_caller]
fn various() -> Sandbox {
    let sandbox = Sandbox::new();
    let _map = bpf::pinned_hash_map(&sandbox.pin("conns"), (1, 1));
    let text = "set = \"observe\"\n".to_owned()
        + &entry_with("many.bpf.o", "deep/er/files", "program = \"dump_file\"\nmode = \"0444\"")
        + &entry_with("elem.bpf.o", "elements", "map = { pinned = \"conns\" }");
    sandbox.manifest("iters.toml", &text);
    sandbox.iterctl("apply -f iters.toml").exits(0);
    bpf::pin_foreign(&sandbox, "tasks_v2.bpf.o", "foreign");
    bpf::pin_program(&sandbox, "prog");
    sandbox
}

#[kernel_test]
fn everything_that_is_pinned_is_in_the_table() {
    let sandbox = various();
    let run = sandbox.iterctl("list --bpffs bpf").exits(0);
    let id = |path: &str| sandbox.number(path, "prog_id").to_string();
    let map = sandbox.number("conns", "map_id").to_string();
    let object = |name: &str| sandbox.file(name).display().to_string();
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = run.stdout.lines().map(cells).collect();
    let expected: [&[&str]; 4] = [
        &["PATH", "TARGET", "PARAMETER", "PROGRAM", "ID", "SET", "OBJECT"],
        &[
            "deep/er/files",
            "task_file",
            "-",
            "dump_file",
            &id("deep/er/files"),
            "observe",
            &object("many.bpf.o"),
        ],
        &[
            "elements",
            "bpf_map_elem",
            "map",
            &map,
            "dump_elem",
            &id("elements"),
            "observe",
            &object("elem.bpf.o"),
        ],
        &["foreign", "task", "-", "dump", &id("foreign"), "-", "-"],
    ];
    assert_eq!(lines, expected, "{run}");
}

#[kernel_test]
fn the_json_has_all_known_values() {
    let sandbox = various();
    let report = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
    let pins = report["pins"].as_array().expect("a list");
    assert_eq!(pins.len(), 3);
    let path = |path: &str| sandbox.pin(path).display().to_string();

    let files = &pins[0];
    assert_eq!(files["path"], path("deep/er/files"));
    assert_eq!(files["target"], "task_file");
    assert!(files["parameter"].is_null());
    assert_eq!(files["program"], "dump_file");
    assert_eq!(files["program_id"], sandbox.number("deep/er/files", "prog_id"));
    assert_eq!(files["link_id"], sandbox.link("deep/er/files"));
    assert_eq!(files["set"], "observe");
    assert_eq!(files["object"], sandbox.file("many.bpf.o").display().to_string());
    assert_eq!(files["mode"], "0444");
    assert_eq!((&files["uid"], &files["gid"]), (&0.into(), &0.into()));

    let map = sandbox.number("conns", "map_id");
    assert_eq!(pins[1]["path"], path("elements"));
    assert_eq!(pins[1]["parameter"], format!("map {map}"));

    assert_eq!(pins[2]["path"], path("foreign"));
    assert_eq!(pins[2]["link_id"], sandbox.link("foreign"));
    assert!(pins[2]["set"].is_null() && pins[2]["object"].is_null(), "nobody's stamp is on it");
}

#[kernel_test]
fn one_set_can_be_listed() {
    let sandbox = various();
    let paths = |arguments: &str| -> Vec<String> {
        let run = sandbox.iterctl(arguments).exits(0);
        let path = |line: &str| line.split_whitespace().next().map(str::to_owned);
        run.stdout.lines().skip(1).filter_map(path).collect()
    };
    assert_eq!(paths("list --bpffs bpf --set observe"), ["deep/er/files", "elements"]);
    assert_eq!(paths("list --bpffs bpf --set other"), [] as [&str; 0]);
}

#[kernel_test]
fn an_empty_bpffs_lists_nothing() {
    let sandbox = Sandbox::new();
    let run = sandbox.iterctl("list --bpffs bpf").exits(0);
    assert_eq!(run.stdout, format!("no iterator is pinned on {}\n", sandbox.bpffs().display()));
    let report = sandbox.iterctl("-j list --bpffs bpf").exits(0).json();
    assert_eq!(report["pins"].as_array().map(Vec::len), Some(0));
}
