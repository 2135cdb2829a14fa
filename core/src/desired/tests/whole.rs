//! The set, the bpffs, and the rules for a call as a whole.

use std::path::Path;

use super::case::{at, check, check_also, check_pins, check_set, directory, file, files, of};
use crate::desired::{Naming, resolve_empty};
use crate::manifest::{Argument, parse};

#[test]
fn bpffs_is_an_absolute_path() {
    let line = "a task/dump_task 0600 1000:1000 below 0700";
    for spelling in ["/run/bpf", "/run/bpf/", "//run//bpf//"] {
        let call = file(&format!("bpffs = '{spelling}'\n{}", at("/run/bpf/a")));
        assert_eq!(call.resolve().expect("no fault").bpffs, Path::new("/run/bpf"), "{spelling}");
        check_pins(call, &[line]);
    }
    let call = file(&at("a"));
    assert_eq!(call.resolve().expect("no fault").bpffs, Path::new("/sys/fs/bpf"));
    for wrong in ["\"\"", "\"run/bpf\"", "\"/run/../bpf\"", "\"/run\\u0000bpf\""] {
        check(
            file(&format!("bpffs = {wrong}")),
            &[(wrong, "`bpffs` is not an absolute path without `.` and `..`")],
        );
    }
}

#[test]
fn the_name_of_a_set_is_written_or_taken_from_the_file() {
    check_set(file("set = 'observe'"), "observe", Naming::Written);
    check_set(file(""), "iters", Naming::Taken);
    check_set(file("set = 'observe'").set("mine"), "mine", Naming::Written);
    check_set(file("").set("mine"), "mine", Naming::Written);
    check_set(file("set = 'iters'"), "iters", Naming::Written);
    check_set(files(&[("/x/tcp.v4.toml", "")]), "tcp.v4", Naming::Taken);
    check_set(files(&[("/x/a.toml", ""), ("/y/a.toml", "")]), "a", Naming::Taken);
    let one_of_two = [("/x/a.toml", ""), ("/x/b.toml", "set = 'observe'")];
    check_set(files(&one_of_two), "observe", Naming::Written);
    let both = [("/x/a.toml", "set = 'observe'"), ("/x/b.toml", "set = 'observe'")];
    check_set(files(&both), "observe", Naming::Written);
}

#[test]
fn the_set_of_a_directory_is_its_name_without_d() {
    #[track_caller]
    fn taken(path: &str, name: &str) {
        let drop_ins = files(&[("/x/10-a.toml", ""), ("/x/20-b.toml", "")]);
        check_set(drop_ins.given(&[directory(path)]), name, Naming::Taken);
    }
    taken("/etc/observe.d", "observe");
    taken("/etc/observe.d/", "observe");
    taken("/etc/observe", "observe");
    taken("/etc/observe.d.d", "observe.d");
    let both = [directory("/etc/observe.d"), Argument::File("/x/observe.toml".into())];
    check_set(file("").given(&both), "observe", Naming::Taken);
    check(
        file("").given(&[directory("/etc/.d")]),
        &[("", "no name for the set can be taken from /etc/.d")],
    );
    check(file("").given(&[directory("/")]), &[("", "no name for the set can be taken from /")]);
}

#[test]
fn standard_input_gives_no_name() {
    let nameless = [("", "no name for the set can be taken from standard input")];
    check(file("").given(&[Argument::Stdin]), &nameless);
    let beside = [Argument::File("/x/a.toml".into()), Argument::Stdin];
    check(file("").given(&beside), &nameless);
    check_set(file("set = 'observe'").given(&[Argument::Stdin]), "observe", Naming::Written);
    check_set(file("").given(&[Argument::Stdin]).set("mine"), "mine", Naming::Written);
    let nothing = [("", "no name for the set can be taken from an empty command line")];
    check(files(&[]), &nothing);
}

#[test]
fn an_invalid_set_name_is_refused() {
    check(file("set = 'two words'"), &[("'two words'", "`two words` is not a set name")]);
    check(file("set = ''"), &[("''", "`` is not a set name")]);
    check(file("").set("-x"), &[("", "`-x` is not a set name")]);
    let spaced = files(&[("/x/two words.toml", "")]);
    check(spaced, &[("", "no name for the set can be taken from /x/two words.toml")]);
    let two = [("/x/a.toml", "set = '-a'"), ("/x/b.toml", "set = '-b'")];
    check(files(&two), &[("'-a'", "`-a` is not a set name"), ("'-b'", "`-b` is not a set name")]);
}

#[test]
fn one_call_is_one_set() {
    let three = [("/a.toml", "set = 'a'"), ("/b.toml", "set = 'b'"), ("/c.toml", "set = 'c'")];
    let differ = [
        ("'b'", "two sets in one call: `a` and `b`"),
        ("'c'", "two sets in one call: `a` and `c`"),
    ];
    check(files(&three), &differ);
    let first = (0, "'a'", "first named here");
    check_also(files(&three), &[first, first]);
    check_set(files(&three).set("mine"), "mine", Naming::Written);
    let taken = [("/x/a.toml", ""), ("/x/b.toml", "")];
    check(files(&taken), &[("", "two sets in one call: `a` and `b`")]);
    check_set(files(&taken).set("mine"), "mine", Naming::Written);
}

#[test]
fn one_call_has_one_bpffs() {
    let same = [("/x/a.toml", "bpffs = '/run/bpf'"), ("/y/a.toml", "bpffs = '/run/bpf/'")];
    check(files(&same), &[]);
    let one_of_two = [("/x/a.toml", ""), ("/y/a.toml", "bpffs = '/run/bpf'")];
    assert_eq!(files(&one_of_two).resolve().expect("no fault").bpffs, Path::new("/run/bpf"));
    let two = [("/x/a.toml", "bpffs = '/run/bpf'"), ("/y/a.toml", "bpffs = '/srv/bpf'")];
    check(files(&two), &[("'/srv/bpf'", "another bpffs than /run/bpf in the same call")]);
    check_also(files(&two), &[(0, "'/run/bpf'", "first named here")]);
}

#[test]
fn a_file_does_not_choose_the_bpffs_of_another() {
    let (silent, here) = (at("a"), at("/run/bpf/b"));
    let names = |bpffs: &str| format!("bpffs = '{bpffs}'\n{}", at("c"));
    let [elsewhere, usual] = [names("/run/bpf"), names("/sys/fs/bpf")];
    let message = "another file of the same call names the bpffs /run/bpf, and this one names none";
    for (two, names_it) in [([&silent, &elsewhere], 1), ([&elsewhere, &silent], 0)] {
        let call = || files(&[("/x/a.toml", two[0]), ("/y/a.toml", two[1])]);
        check(call(), &[("\"a\"", message)]);
        check_also(call(), &[(names_it, "'/run/bpf'", "the other bpffs")]);
    }
    // It says the same.
    check(files(&[("/x/a.toml", &silent), ("/y/a.toml", &usual)]), &[]);
    // Its paths say it.
    check(files(&[("/x/a.toml", &here), ("/y/a.toml", &elsewhere)]), &[]);
}

#[test]
fn the_source_is_the_arguments_of_the_call() {
    let given = [directory("/etc/observe.d"), Argument::Stdin];
    let call = file("set = 'observe'").given(&given);
    assert_eq!(call.resolve().expect("no fault").set.source, ["/etc/observe.d", "-"]);
}

#[test]
fn all_faults_are_found_at_once() {
    let text = "\
set = 'two words'
bpffs = 'sys'
colour = 'red'
[defaults]
mode = 'rw'
[[iter]]
obj = 'gone.bpf.o'
path = 'a.b'
owner = 'nobody_here'
map = { id = 0 }
[[iter]]
obj = 'many.bpf.o'
path = 'x'
group = 'nobody_here'
[[iter]]
obj = 'task.bpf.o'
path = 'x/y'
map = { id = 20 }
sha256 = 'abcd'
dir-mode = '7'
[[iter]]
path = 'x'
";
    check(
        file(text),
        &[
            ("'two words'", "`two words` is not a set name"),
            ("'sys'", "`bpffs` is not an absolute path without `.` and `..`"),
            ("colour", "unknown key `colour`, expected one of `set`, `bpffs`, `defaults`, `iter`"),
            ("'rw'", "`rw` is not a mode"),
            ("'gone.bpf.o'", "no object at /etc/iterctl/gone.bpf.o"),
            ("'a.b'", "pin path has a dot, which bpffs reserves"),
            ("'nobody_here'", "no user `nobody_here`"),
            ("{ id = 0 }", "no map has the id 0"),
            (
                "'many.bpf.o'",
                "the object holds several iterators, and the entry names none: \
                 `first` (task), `second` (tcp)",
            ),
            ("'x'", "`x` cannot be a pin and the parent directory of `x/y`"),
            ("'nobody_here'", "no group `nobody_here`"),
            ("{ id = 20 }", "target `task` takes no map"),
            ("'abcd'", "not a SHA-256 in hex"),
            ("'7'", "`7` is not a mode"),
            ("[[iter]]", "entry has no `obj`"),
            ("'x'", "two entries have the path `x`"),
        ],
    );
}

#[test]
fn an_empty_desired_looks_at_no_entry() {
    let call = file(&format!("set = 'observe'\nbpffs = '/run/bpf'\n{}", of("gone.bpf.o", "")));
    let desired = resolve_empty(&parse(&call.0)).expect("no fault");
    assert_eq!(desired.set.name.as_str(), "observe");
    assert_eq!(desired.bpffs, Path::new("/run/bpf"));
    assert!(desired.pins.is_empty());
    let faulty = file("set = 'two words'\nbpffs = 'x'\ncolour = 1");
    let faults = resolve_empty(&parse(&faulty.0)).expect_err("three faults");
    assert_eq!(faults.iter().count(), 3);
}

#[test]
fn a_missing_name_is_told_beside_the_faults_of_entries() {
    check(
        file("[[iter]]\nobj = 5\npath = 'a'").given(&[Argument::Stdin]),
        &[
            ("5", "invalid type: integer `5`, expected a string"),
            ("", "no name for the set can be taken from standard input"),
        ],
    );
}
