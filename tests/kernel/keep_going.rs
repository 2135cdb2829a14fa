//! `--keep-going`: entries that fail are skipped, and their existing pins are kept. The other entries are
//! applied. The exit status is still 1.

use super::bpf;
use super::sandbox::{Sandbox, entry, entry_with, finish};

/// One of every kind of failure: a fault of an object, a foreign pin, a missing map, and an object that the
/// verifier rejects, which two entries share.
fn broken(sandbox: &Sandbox) -> String {
    bpf::pin_foreign(sandbox, "tasks_v1.bpf.o", "foreign");
    entry("gone.bpf.o", "object/gone")
        + &entry("tasks_v1.bpf.o", "foreign")
        + &entry_with("elem.bpf.o", "map/gone", "map = { pinned = \"nowhere\" }")
        + &entry("rejected.bpf.o", "rejected/a")
        + &entry("rejected.bpf.o", "rejected/b")
}

/// The rows for these failures: the last two fail only when they are loaded.
fn rows(sandbox: &Sandbox) -> [String; 5] {
    let (map, object) = (sandbox.pin("nowhere"), sandbox.file("gone.bpf.o"));
    [
        "! foreign  pinned by another tool".to_owned(),
        format!("! map/gone  no map is pinned at {}", map.display()),
        format!("! object/gone  no object at {}", object.display()),
        "! rejected/a  the verifier rejected it".to_owned(),
        "! rejected/b  the verifier rejected it".to_owned(),
    ]
}

#[kernel_test]
fn other_entries_are_applied() {
    let sandbox = Sandbox::new();
    let broken = broken(&sandbox);
    sandbox.manifest("iters.toml", &(entry("tasks_v1.bpf.o", "good/a") + &broken));
    let apply = "apply --keep-going -f iters.toml";
    let run = sandbox.iterctl(apply).exits(1);
    let mut lines = rows(&sandbox).to_vec();
    lines.insert(1, "+ good/a  task".to_owned());
    lines.push("1 pinned; 5 left out".to_owned());
    assert_eq!(run.stdout.lines().collect::<Vec<_>>(), lines, "{run}");
    let run = run.says("iters.toml:").says("hint: `--adopt` takes it over").says("nowhere");
    let run = run.says("failed to load `dump`").says("ptr_or_null_");
    assert!(!run.stderr.contains("nothing was changed"), "{run}");
    assert_eq!(sandbox.paths(), ["foreign", "good", "good/a"], "no directory is made in vain");
    // The second time, there is nothing to do, and the status is still 1.
    let run = sandbox.iterctl(apply).exits(1);
    assert!(run.stdout.ends_with("nothing to do: 1 iterator in sync; 5 left out\n"), "{run}");
    // Without the option, nothing is done.
    sandbox.manifest("iters.toml", &(entry("tasks_v2.bpf.o", "good/a") + &broken));
    sandbox.iterctl("apply -f iters.toml").exits(65);
    assert_eq!(sandbox.first_line("good/a"), "v1\n");
}

#[kernel_test]
fn pins_of_failed_entries_stay() {
    let sandbox = Sandbox::new();
    let all = ["a", "b", "gone/c", "d"].map(|path| entry("tasks_v1.bpf.o", path)).concat();
    sandbox.manifest("iters.toml", &all);
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let entries = entry("tasks_v2.bpf.o", "a")
        + &entry("gone.bpf.o", "b")
        + &entry("rejected.bpf.o", "gone/c");
    sandbox.manifest("iters.toml", &entries);
    let run = sandbox.iterctl("apply --keep-going -f iters.toml").exits(1);
    assert!(run.stdout.ends_with("1 replaced, 1 unpinned; 2 left out\n"), "{run}");
    assert_eq!(sandbox.paths(), ["a", "b", "gone", "gone/c"]);
    assert_eq!(["a", "b", "gone/c"].map(|path| sandbox.first_line(path)), ["v2\n", "v1\n", "v1\n"]);
}

#[kernel_test]
fn plan_shows_as_much_as_can_be_known_without_loading() {
    let sandbox = Sandbox::new();
    let broken = broken(&sandbox);
    sandbox.manifest("iters.toml", &(entry("tasks_v1.bpf.o", "good/a") + &broken));
    let plan = "plan --keep-going --detailed-exitcode -f iters.toml";
    let run = sandbox.iterctl(plan).exits(1).says("iters.toml:").says("`--adopt`");
    let mut lines = rows(&sandbox)[..3].to_vec();
    lines.insert(1, "+ good/a  task".to_owned());
    lines.extend(["a", "b"].map(|path| format!("+ rejected/{path}  task")));
    lines.push("3 to pin; 3 left out".to_owned());
    assert_eq!(run.stdout.lines().collect::<Vec<_>>(), lines, "{run}");
}

#[kernel_test]
fn the_report_has_both() {
    let sandbox = Sandbox::new();
    let entries = entry("tasks_v1.bpf.o", "a") + &entry("gone.bpf.o", "b");
    sandbox.manifest("iters.toml", &(entries + &entry("rejected.bpf.o", "c")));
    let report = sandbox.iterctl("-j apply --keep-going -f iters.toml").exits(1).json();
    assert_eq!(report["changed"], true);
    assert_eq!(report["comment"], "1 pinned; 2 left out");
    assert_eq!((&report["summary"]["pin"], &report["summary"]["blocked"]), (&1.into(), &2.into()));
    let change = |number: usize, key: &str| report["changes"][number][key].clone();
    let actions = [0, 1, 2].map(|number| change(number, "action"));
    assert_eq!(actions, ["pin", "blocked", "blocked"]);
    assert_eq!(change(1, "source")["line"], 7);
    let kinds = [1, 2].map(|number| change(number, "reasons")[0]["kind"].clone());
    assert_eq!(kinds, ["faulty", "failed"]);
    let errors = report["diagnostics"].as_array().expect("a list");
    assert_eq!(errors.len(), 2);
    assert!(errors.iter().all(|error| error["severity"] == "error"), "{errors:?}");
}

#[kernel_test]
fn a_manifest_that_cannot_be_read_whole_is_refused() {
    let sandbox = Sandbox::new();
    let good = entry("tasks_v1.bpf.o", "a");
    sandbox.manifest("iters.toml", &good);
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let before = sandbox.tree();
    let whole = [
        "[[iter]\n".to_owned(),
        entry_with("tasks_v1.bpf.o", "b", "mod = '0640'"),
        entry("tasks_v1.bpf.o", "b.c"),
        entry("tasks_v1.bpf.o", "v2") + &entry("tasks_v1.bpf.o", "v2"),
        entry("tasks_v1.bpf.o", "v2") + &entry("tasks_v1.bpf.o", "v2/below"),
    ];
    for text in whole {
        sandbox.manifest("iters.toml", &text);
        sandbox.iterctl("apply --keep-going -f iters.toml").exits(65);
        assert_eq!(sandbox.tree(), before, "{text}");
    }
    sandbox.manifest("iters.toml", "");
    sandbox.iterctl("apply --keep-going -f iters.toml").exits(65).says("--allow-empty");
}

#[kernel_test]
fn other_entries_are_pinned_while_one_is_waited_for() {
    let sandbox = Sandbox::new();
    let entries = entry("tasks_v1.bpf.o", "a")
        + &entry_with("elem.bpf.o", "b", "map = { pinned = 'later' }")
        + &entry("rejected.bpf.o", "c");
    sandbox.manifest("iters.toml", &entries);
    let child = sandbox.start("apply --keep-going --wait 10min -f iters.toml");
    while !sandbox.pin("a").exists() {
        std::thread::yield_now();
    }
    let _map = bpf::pinned_hash_map(&sandbox.pin("later"), (1, 10));
    let run = finish("apply --keep-going --wait", child).exits(1);
    let lines = [
        "+ a  task".to_owned(),
        format!("+ b  bpf_map_elem map {}", sandbox.number("b", "map_id")),
        "! c  the verifier rejected it".to_owned(),
        "2 pinned; 1 left out".to_owned(),
    ];
    assert_eq!(run.stdout.lines().collect::<Vec<_>>(), lines, "{run}");
}

#[kernel_test]
fn entries_are_skipped_when_the_wait_is_over() {
    let sandbox = Sandbox::new();
    let entries = entry("never.bpf.o", "a") + &entry("tasks_v1.bpf.o", "b");
    sandbox.manifest("iters.toml", &entries);
    let run = sandbox.iterctl("apply --keep-going --wait 200ms -f iters.toml").exits(1);
    assert!(run.stdout.ends_with("1 pinned; 1 left out\n"), "{run}");
    run.says("never.bpf.o");
}
