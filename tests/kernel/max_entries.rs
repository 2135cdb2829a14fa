//! Maps of the object's own, created with the size in the manifest.

use iterctl_core::feature::Feature;

use super::needs::needs;
use super::sandbox::{Sandbox, entry, entry_with};
use super::strace;

const APPLY: &str = "apply -f iters.toml";

/// One entry of open_size.bpf.o at `x`.
fn sizes(sandbox: &Sandbox, sizes: &str) {
    let keys = format!("max-entries = {{ {sizes} }}");
    sandbox.manifest("iters.toml", &entry_with("open_size.bpf.o", "x", &keys));
}

/// Applies a manifest with these sizes: the plan has these lines, and then it is in sync.
#[track_caller]
fn applies(sandbox: &Sandbox, of_maps: &str, lines: &[&str]) {
    sizes(sandbox, of_maps);
    sandbox.iterctl("plan -f iters.toml").exits(0).plans(lines);
    sandbox.iterctl(APPLY).exits(0).plans(lines);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

/// The iterator's output, which fills and counts the maps, and the sizes that bpftool shows.
#[track_caller]
fn has(sandbox: &Sandbox, path: &str, filled: u32, counted: u32) {
    assert_eq!(sandbox.read(path), format!("filled {filled}\ncounted {counted}\n"));
    let id = sandbox.number(path, "prog_id");
    let program = sandbox.run("bpftool", &format!("-j prog show id {id}")).exits(0).json();
    let maps = program["map_ids"].as_array().expect("it uses maps");
    let of = |name: &str| {
        let maps = maps
            .iter()
            .map(|id| sandbox.run("bpftool", &format!("-j map show id {id}")).exits(0).json());
        let map = maps.into_iter().find(|map| map["name"] == name).expect("it uses this one");
        map["max_entries"].clone()
    };
    assert_eq!((of("filled"), of("counted")), (filled.into(), counted.into()));
}

#[kernel_test]
fn a_map_that_is_left_open_gets_a_size() {
    let sandbox = Sandbox::new();
    applies(&sandbox, "filled = 5", &["+ x  task"]);
    has(&sandbox, "x", 5, 2);
}

#[kernel_test]
fn another_size_replaces_the_pin_in_one_step() {
    let sandbox = Sandbox::new();
    applies(&sandbox, "filled = 5", &["+ x  task"]);
    applies(&sandbox, "filled = 7", &["~ x  max-entries of `filled` changed: 5 -> 7"]);
    has(&sandbox, "x", 7, 2);
    let line = "~ x  max-entries of `counted` changed: own -> 3";
    applies(&sandbox, "counted = 3, filled = 7", &[line]);
    has(&sandbox, "x", 7, 3);
    applies(
        &sandbox,
        "counted = 1, filled = 9",
        &["~ x  max-entries of `counted` changed: 3 -> 1, max-entries of `filled` changed: 7 -> 9"],
    );
    has(&sandbox, "x", 9, 1);
    let line = "~ x  max-entries of `counted` changed: 1 -> own";
    applies(&sandbox, "filled = 9", &[line]);
    has(&sandbox, "x", 9, 2);
}

#[kernel_test]
fn programs_see_the_kind_of_the_change() {
    let sandbox = Sandbox::new();
    applies(&sandbox, "filled = 5", &["+ x  task"]);
    sizes(&sandbox, "filled = 6");
    let report = sandbox.iterctl("-j plan -f iters.toml").exits(0).json();
    let reasons = report["changes"][0]["reasons"].as_array().expect("a list");
    let kinds: Vec<_> = reasons.iter().map(|reason| &reason["kind"]).collect();
    assert_eq!(kinds, ["max-entries-changed"]);
}

#[kernel_test]
fn generated_loaders_make_maps_of_these_sizes() {
    needs(Feature::Loader);
    needs(Feature::KernelCore);
    let sandbox = Sandbox::new();
    sizes(&sandbox, "counted = 4, filled = 5");
    let (run, calls) = strace::trace(&sandbox, "-e trace=bpf", APPLY);
    run.exits(0);
    assert!(calls.iter().any(|call| call.contains("__loader.prog")), "{calls:#?}");
    has(&sandbox, "x", 5, 4);
}

#[kernel_test]
fn entries_share_a_program_if_the_sizes_are_equal() {
    let sandbox = Sandbox::new();
    let sized = |path: &str, size: u32| {
        entry_with("open_size.bpf.o", path, &format!("max-entries.filled = {size}"))
    };
    sandbox.manifest("iters.toml", &(sized("a", 5) + &sized("b", 5)));
    sandbox.iterctl(APPLY).exits(0);
    // This also holds for a program that an earlier apply has loaded.
    sandbox.manifest(
        "iters.toml",
        &(sized("a", 5) + &sized("b", 5) + &sized("c", 5) + &sized("d", 6)),
    );
    sandbox.iterctl(APPLY).exits(0).plans(&["+ c  task", "+ d  task"]);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|path| sandbox.number(path, "prog_id"));
    assert!(a == b && b == c && c != d, "{a} {b} {c} {d}");
    has(&sandbox, "c", 5, 2);
    has(&sandbox, "d", 6, 2);
}

#[kernel_test]
fn without_its_size_the_pin_that_is_there_stays() {
    let sandbox = Sandbox::new();
    applies(&sandbox, "filled = 5", &["+ x  task"]);
    let before = sandbox.tree();
    sandbox.manifest("iters.toml", &entry("open_size.bpf.o", "x"));
    sandbox
        .iterctl(APPLY)
        .exits(65)
        .says("the object's map `filled` has no size (`max_entries` is 0)");
    assert_eq!(sandbox.tree(), before);
    has(&sandbox, "x", 5, 2);
}

#[kernel_test]
fn a_map_that_is_walked_has_its_size() {
    let sandbox = Sandbox::new();
    let name = "a_map_with_a_long_name";
    let keys = format!("map.own = \"{name}\"\nmax-entries.{name} = 2");
    sandbox.manifest("iters.toml", &entry_with("own_map_used.bpf.o", "x", &keys));
    sandbox.iterctl(APPLY).exits(0);
    assert_eq!(sandbox.read("x"), "0 1\n1 1\n");
}

#[kernel_test]
fn a_size_that_the_kernel_does_not_take_changes_nothing() {
    let sandbox = Sandbox::new();
    sizes(&sandbox, "filled = 4294967295");
    sandbox
        .iterctl(APPLY)
        .exits(1)
        .says("max-entries = { filled = 4294967295 }\n  |                 ^^^^^^")
        .says("failed to create the object's map `filled`")
        .says("nothing was changed");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}
