//! Large numbers of pins, sets and foreign pins; and long paths.
//!
//! `ITERCTL_SETS` says how many sets there are on one bpffs; a hundred if it is not set.

use std::fs::File;
use std::io::Read as _;

use libbpf_rs::Link;

use super::bpf;
use super::sandbox::{ITERCTL, Run, Sandbox, entry};

/// Runs the binary with 64 descriptors and 256 MiB of address space: neither need grows with the amount of
/// work.
#[track_caller]
fn bounded(sandbox: &Sandbox, arguments: &str) -> Run {
    let limits = "--nofile=64:64 --as=268435456:268435456";
    sandbox.run("prlimit", &format!("{limits} {ITERCTL} {arguments}"))
}

/// The numbers of a report's summary, and its comment.
#[track_caller]
fn answers(run: Run, summary: (usize, usize, usize, usize)) {
    let report = run.exits(0).json();
    let number = |key: &str| report["summary"][key].as_u64().expect("a number") as usize;
    let found = (number("pin"), number("replace"), number("unpin"), number("unchanged"));
    assert_eq!(found, summary, "{}", report["comment"]);
}

#[kernel_test]
fn ten_thousand_pins_are_made_kept_replaced_and_unpinned() {
    const MANY: usize = 10_000;
    let sandbox = Sandbox::new();
    let manifest = |object: &str| {
        let path = |number: usize| format!("d{}/p{number}", number % 100);
        let entries: String = (0..MANY).map(|number| entry(object, &path(number))).collect();
        sandbox.manifest("iters.toml", &entries);
    };
    manifest("tasks_v1.bpf.o");
    answers(bounded(&sandbox, "-j apply -f iters.toml"), (MANY, 0, 0, 0));
    answers(bounded(&sandbox, "-j apply -f iters.toml"), (0, 0, 0, MANY));
    assert_eq!(sandbox.first_line("d99/p9999"), "v1\n");
    manifest("tasks_v2.bpf.o");
    answers(bounded(&sandbox, "-j apply -f iters.toml"), (0, MANY, 0, 0));
    assert_eq!(sandbox.first_line("d99/p9999"), "v2\n");
    answers(bounded(&sandbox, "-j unpin -f iters.toml"), (0, 0, MANY, 0));
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn many_sets_do_not_disturb_each_other() {
    let sets = std::env::var("ITERCTL_SETS")
        .ok()
        .map_or(100, |number| number.parse::<usize>().expect("ITERCTL_SETS is a number"));
    let sandbox = Sandbox::new();
    let set = |number: usize| format!("set{number}");
    let write = |number: usize, object: &str| {
        let entries = entry(object, &format!("{}/pin", set(number)))
            + &entry(object, &format!("shared/{number}"));
        sandbox.manifest(&format!("{}.toml", set(number)), &entries);
    };
    for number in 0..sets {
        write(number, "tasks_v1.bpf.o");
        answers(sandbox.iterctl(&format!("-j apply -f {}.toml", set(number))), (2, 0, 0, 0));
    }
    let pins = |arguments: &str| {
        let report = sandbox.iterctl(&format!("-j list --bpffs bpf {arguments}")).exits(0).json();
        report["pins"].as_array().map(Vec::len)
    };
    assert_eq!(pins(""), Some(2 * sets));
    assert_eq!(pins("--set set12"), Some(2));
    let mut before = sandbox.tree();
    write(12, "tasks_v2.bpf.o");
    answers(sandbox.iterctl("-j apply -f set12.toml"), (0, 2, 0, 0));
    answers(sandbox.iterctl("-j unpin -f set32.toml"), (0, 0, 2, 0));
    let mut after = sandbox.tree();
    before.retain(|path, _| !["set32", "set32/pin", "shared/32"].contains(&path.as_str()));
    for path in ["set12/pin", "shared/12"] {
        assert_ne!(before.remove(path), after.remove(path));
    }
    assert_eq!(after, before, "nobody else's");
}

#[kernel_test]
fn twenty_thousand_pins_of_others_are_left_alone() {
    const OTHERS: usize = 20_000;
    let sandbox = Sandbox::new();
    bpf::pin_foreign(&sandbox, "many.bpf.o", "theirs0");
    let link = Link::open(sandbox.pin("theirs0")).expect("it is pinned");
    for number in 1..OTHERS {
        bpf::pin_again(&link, &sandbox.pin(&format!("theirs{number}")));
    }
    let before = sandbox.tree();
    assert_eq!(before.len(), OTHERS);
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "ours/pin"));
    bounded(&sandbox, "apply -f iters.toml").exits(0).plans(&["+ ours/pin  task"]);
    bounded(&sandbox, "plan --detailed-exitcode -f iters.toml").exits(0);
    let report = bounded(&sandbox, "-j list --bpffs bpf").exits(0).json();
    assert_eq!(report["pins"].as_array().map(Vec::len), Some(OTHERS + 1));
    bounded(&sandbox, "unpin -f iters.toml").exits(0).plans(&["- ours/pin  asked for"]);
    assert_eq!(sandbox.tree(), before);
}

#[kernel_test]
fn directories_deeper_than_a_pin_path_are_told_and_left_alone() {
    let sandbox = Sandbox::new();
    let deepest = ["d"; 64].join("/");
    // Each of 50 chains is as deep as the kernel accepts a path.
    for chain in 0..50 {
        let chain = sandbox.pin(&format!("chain{chain}/{}", ["d"; 1900].join("/")));
        std::fs::create_dir_all(chain).expect("root may");
    }
    let note = "note: what is in `chain0/";
    let others = "` and in 49 other directories was not looked at";
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "ours"));
    for arguments in ["list --bpffs bpf", "plan -f iters.toml", "apply -f iters.toml"] {
        bounded(&sandbox, arguments).exits(0).says(note).says(others);
    }
    bounded(&sandbox, "unpin -f iters.toml").exits(0).plans(&["- ours  asked for"]);

    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", &deepest));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
    sandbox.iterctl("unpin -f iters.toml").exits(0).plans(&[format!("- {deepest}  asked for")]);
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", &format!("{deepest}/d")));
    let fault = "pin path has 65 components, and 64 are allowed";
    sandbox.iterctl("apply -f iters.toml").exits(65).says(fault);
}

/// A path of this length, of components of 255 bytes and a shorter last one.
fn path_of(length: usize) -> String {
    let mut path = format!("{}/", "n".repeat(255)).repeat(length / 256);
    path += &"p".repeat(length % 256);
    assert_eq!(path.len(), length);
    path
}

#[kernel_test]
fn paths_can_be_as_long_as_the_kernel_takes() {
    let sandbox = Sandbox::new();
    // PATH_MAX without its NUL byte. With the bpffs in front, the path is longer than the kernel accepts.
    let longest = path_of(4095);
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", &longest));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&[format!("+ {longest}  task")]);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
    assert_eq!(first_line(&sandbox, &longest), "v1\n");
    sandbox.manifest("iters.toml", &entry("tasks_v2.bpf.o", &longest));
    sandbox
        .iterctl("apply -f iters.toml")
        .exits(0)
        .plans(&[format!("~ {longest}  object changed")]);
    assert_eq!(first_line(&sandbox, &longest), "v2\n");
    sandbox.iterctl("unpin -f iters.toml").exits(0);
    assert_eq!(sandbox.paths(), [] as [&str; 0]);

    let absolute = sandbox.pin(&longest).display().to_string();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", &absolute));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox.iterctl("unpin -f iters.toml").exits(0);

    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", &path_of(4097)));
    let run = sandbox.iterctl("apply -f iters.toml").exits(65);
    run.says("error: pin path has 4097 bytes, and 4095 are allowed").says("iters.toml:4:8");
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

/// Goes there in steps, because no single path is short enough.
#[track_caller]
fn first_line(sandbox: &Sandbox, path: &str) -> String {
    let (parent, name) = path.rsplit_once('/').expect("it is long");
    let mut directory = File::open(sandbox.bpffs()).expect("it is there");
    let open = |at: &File, name: &str, flags| {
        rustix::fs::openat(at, name, flags, rustix::fs::Mode::empty()).map(File::from)
    };
    for component in parent.split('/') {
        directory =
            open(&directory, component, rustix::fs::OFlags::DIRECTORY).expect("it is there");
    }
    let mut pin = open(&directory, name, rustix::fs::OFlags::RDONLY).expect("it is pinned");
    let mut line = [0; 3];
    pin.read_exact(&mut line).expect("it has a line");
    String::from_utf8(line.to_vec()).expect("ASCII")
}
