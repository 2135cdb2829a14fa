//! It does nothing behind the user's back: a second manifest of its set, another set, a special file as the metrics
//! file.

use std::fs;
use std::os::unix::fs::{lchown, symlink};

use rustix::process::Signal;

use super::super::sandbox::{ITERCTL, Sandbox, entry};
use super::Watching;

#[kernel_test]
fn another_iterctl_with_another_manifest_is_found_out() {
    let sandbox = Sandbox::new();
    let set = |entries: &str| format!("set = \"x\"\n{}", sandbox.with_bpffs(entries));
    sandbox.write("a.toml", &set(&entry("tasks_v1.bpf.o", "p")));
    sandbox.write("b.toml", &set(&entry("tasks_v2.bpf.o", "p")));
    let start = |file: &str| {
        let command = sandbox.command(ITERCTL, &format!("-j watch -f {file}.toml"));
        Watching::run_beside_others(&sandbox, command, file)
    };
    let first = start("a");
    first.changes(&["pin p"]);
    let second = start("b");
    second.changes(&["replace p"]);
    for (watching, other) in [(&first, "b.toml"), (&second, "a.toml")] {
        let told = loop {
            let round = watching.round();
            let diagnostics = round["diagnostics"].to_string();
            if diagnostics.contains("another iterctl") {
                break diagnostics;
            }
        };
        let source = sandbox.file(other);
        let source = source.to_str().expect("UTF-8");
        for text in ["the set `x` with another manifest", source, "`p` is another iterator here"] {
            assert!(told.contains(text), "no {text:?} in {told}");
        }
        // It goes on, and says it once.
        watching.changes(&["replace p"]);
        let log = watching.log();
        assert_eq!(log.matches(" WARN warning: another iterctl manages").count(), 1, "{log}");
    }
    first.signal(Signal::TERM);
    second.signal(Signal::TERM);
}

#[kernel_test]
fn an_apply_now_and_then_is_no_rival() {
    let sandbox = Sandbox::new();
    let set = |entries: &str| format!("set = \"x\"\n{}", sandbox.with_bpffs(entries));
    sandbox.write("iters.toml", &set(&entry("tasks_v1.bpf.o", "p")));
    let (watching, _) = Watching::start(&sandbox, "");
    sandbox.write("b.toml", &set(&entry("tasks_v1.bpf.o", "q")));
    sandbox.iterctl("apply -f b.toml").exits(0);
    watching.changes(&["pin p", "unpin q"]);
    // Its own pins under other names are no work of others.
    for _ in 0..5 {
        fs::rename(sandbox.pin("p"), sandbox.pin("moved")).expect("it is there");
        watching.changes(&["unpin moved", "pin p"]);
    }
    assert!(!watching.log().contains("another iterctl"), "{}", watching.log());
}

#[kernel_test]
fn pins_of_a_set_that_the_manifest_has_left_are_told() {
    let sandbox = Sandbox::new();
    let manifest = |set: &str, bpffs: &str, path: &str| {
        let bpffs = sandbox.file(bpffs).display().to_string();
        let text = format!("set = \"{set}\"\nbpffs = \"{bpffs}\"\n");
        sandbox.write("iters.toml", &(text + &entry("tasks_v1.bpf.o", path)));
    };
    manifest("old", "bpf", "a");
    let (watching, _) = Watching::start(&sandbox, "");
    manifest("new", "bpf", "b");
    let told = |expected: &str| {
        let round = watching.round();
        assert_eq!(round["changed"], true, "{round:#}");
        let diagnostics = round["diagnostics"].to_string();
        assert!(diagnostics.contains("1 pin of the set"), "{diagnostics}");
        assert!(diagnostics.contains(expected), "{diagnostics}");
        assert!(watching.log().contains(expected), "{}", watching.log());
        sandbox.iterctl(expected.strip_prefix("iterctl ").expect("a command")).exits(0);
    };
    told(&format!("iterctl unpin --set old --bpffs {}", sandbox.bpffs().display()));
    assert_eq!(sandbox.paths(), ["b"]);
    sandbox.mount_bpffs("other");
    manifest("new", "other", "b");
    told(&format!("iterctl unpin --set new --bpffs {}", sandbox.bpffs().display()));
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
    assert!(sandbox.file("other/b").exists());
    watching.stop(Signal::TERM);
}

#[kernel_test]
fn the_metrics_file_is_a_regular_file() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    // The link is in the sandbox, so that nothing is lost if it is not followed.
    symlink("/dev/null", sandbox.file("null")).expect("own folder");
    let watch = format!("20 {ITERCTL} watch -f iters.toml --metrics-file null");
    sandbox.run("timeout", &watch).exits(64).says("/dev/null is not a regular file");
    assert!(sandbox.file("null").is_symlink());
    fs::create_dir(sandbox.file("collector")).expect("own folder");
    symlink("collector/iterctl.prom", sandbox.file("link")).expect("own folder");
    let (watching, _) = Watching::start(&sandbox, "--metrics-file link");
    assert!(sandbox.file("link").is_symlink());
    let page = fs::read_to_string(sandbox.file("collector/iterctl.prom")).expect("it is written");
    assert!(page.ends_with("# EOF\n"), "{page}");
    watching.stop(Signal::TERM);
    // Another user's link could lead to any file of root's.
    let secret = "it is root's";
    sandbox.write("secret", secret);
    symlink(sandbox.file("secret"), sandbox.file("theirs")).expect("own folder");
    lchown(sandbox.file("theirs"), Some(7), Some(7)).expect("root may");
    let watch = format!("20 {ITERCTL} watch -f iters.toml --metrics-file theirs");
    sandbox.run("timeout", &watch).exits(64).says("the user 7 owns the symbolic link");
    assert_eq!(fs::read_to_string(sandbox.file("secret")).expect("it is there"), secret);
}
