//! Pins that are not on the usual bpffs: on another one, on one that is mounted inside, and files of one call that do
//! not agree on it.

use std::fs;

use super::sandbox::{Sandbox, entry, tree_of};

#[kernel_test]
fn the_bpffs_is_found_by_the_path_of_a_pin() {
    let sandbox = Sandbox::new();
    sandbox.mount_bpffs("other");
    let pin = |path: &str| sandbox.file(path).display().to_string();
    let path = pin("other/a/b");
    let report = sandbox.iterctl(&format!("-j pin tasks_v1.bpf.o {path}")).exits(0).json();
    assert_eq!(report["changes"][0]["path"], path);
    let bpffs = format!("bpffs = \"{}\"", sandbox.file("other").display());
    assert!(report["manifest"].as_str().is_some_and(|toml| toml.contains(&bpffs)), "{report}");
    assert_eq!(tree_of(&sandbox.file("other")).len(), 2);
    assert!(sandbox.paths().is_empty());
    assert!(sandbox.iterctl(&format!("read {path}")).exits(0).stdout.starts_with("v1\n"));
    // A bpffs that is given is the one.
    let given = format!("pin tasks_v1.bpf.o {path} --bpffs {}", sandbox.bpffs().display());
    sandbox.iterctl(&given).exits(65).says("pin path is not below the bpffs");
    // On no bpffs at all, it is the usual one.
    let plain = format!("pin tasks_v1.bpf.o {}", pin("plain/a"));
    sandbox.iterctl(&plain).exits(65).says("pin path is not below the bpffs /sys/fs/bpf");

    let both = format!("unpin {path} {}", sandbox.pin("x").display());
    sandbox.iterctl(&both).exits(64).says("the paths are on two bpffs");
    sandbox.iterctl(&format!("unpin {path}")).exits(0);
    assert!(tree_of(&sandbox.file("other")).is_empty());
}

#[kernel_test]
fn a_bpffs_that_is_mounted_inside_another_is_named() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.pin("inner")).expect("nothing is there");
    sandbox.mount_bpffs("bpf/inner");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "inner/deep/a"));
    let inner = sandbox.pin("inner").display().to_string();
    for call in ["plan -f iters.toml", "apply -f iters.toml"] {
        let run = sandbox.iterctl(call).exits(73);
        let reason = "another bpffs is mounted on its parent `inner`";
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(text.contains(reason), "{run}");
        run.says(&format!(
            "write `path = \"deep/a\"` in a manifest of its own with `bpffs = \"{inner}\"`"
        ));
    }
    // What the hint says.
    sandbox.write(
        "inner.toml",
        &format!("bpffs = \"{inner}\"\n{}", entry("tasks_v1.bpf.o", "deep/a")),
    );
    sandbox.iterctl("apply -f inner.toml").exits(0);
    assert_eq!(tree_of(&sandbox.pin("inner")).len(), 2);
    // A pin of the command line goes there by itself.
    let pin = format!("pin tasks_v1.bpf.o {inner}/b");
    sandbox.iterctl(&pin).exits(0);
    assert_eq!(tree_of(&sandbox.pin("inner")).len(), 3);

    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "inner"));
    let run = sandbox.iterctl("plan -f iters.toml").exits(73);
    assert!(
        run.stdout.contains("not an iterator but a directory on which another bpffs is mounted"),
        "{run}"
    );
}

#[kernel_test]
fn a_drop_in_does_not_move_the_pins_of_others() {
    let sandbox = Sandbox::new();
    sandbox.write("etc/a.toml", &entry("../tasks_v1.bpf.o", "a"));
    sandbox.manifest("etc/b.toml", &entry("../tasks_v1.bpf.o", "b"));
    let bpffs = sandbox.bpffs().display().to_string();
    for call in ["check -f etc", "plan -f etc", "apply -f etc", "unpin -f etc"] {
        let run = sandbox.iterctl(call).exits(65);
        let run = run.says(&format!("another file of the same call names the bpffs {bpffs}"));
        let run = run.says("--> etc/a.toml:3:8").says("::: etc/b.toml:1:9");
        run.says(&format!("write `bpffs = \"{bpffs}\"` at the top of this file too"));
    }
    assert!(sandbox.paths().is_empty());
    sandbox.manifest("etc/a.toml", &entry("../tasks_v1.bpf.o", "a"));
    sandbox.iterctl("apply -f etc").exits(0);
    assert_eq!(sandbox.paths(), ["a", "b"]);
}
