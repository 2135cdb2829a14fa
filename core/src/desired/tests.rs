//! Results of manifests, and every fault that they can have, case by case.

mod case;
mod given;
mod max_entries;
mod needs;
mod objects;
mod whole;

use std::sync::Arc;

use case::{at, check, check_also, check_help, check_pins, elem, file, files, of, paths, task};

use super::MapRef;
use crate::manifest::Argument;

#[test]
fn an_entry_needs_an_object_and_a_path() {
    check_pins(file(&task("")), &["a task/dump_task 0600 1000:1000 below 0700"]);
    check_pins(file(""), &[]);
    check(file("[[iter]]\npath = \"a\""), &[("[[iter]]", "entry has no `obj`")]);
    check(file("[[iter]]\nobj = 'task.bpf.o'"), &[("[[iter]]", "entry has no `path`")]);
    let both = [("[[iter]]", "entry has no `path`"), ("[[iter]]", "entry has no `obj`")];
    check(file("[[iter]]"), &both);
}

#[test]
fn paths_must_be_valid_on_bpffs() {
    #[track_caller]
    fn faulty(path: &str, what: &str) {
        check(file(&at(path)), &[(&format!("\"{path}\""), what)]);
    }
    faulty("", "pin path is empty");
    faulty("a//b", "pin path has an empty component");
    faulty("a/", "pin path has an empty component");
    faulty("a/../b", "pin path has a `..` component");
    faulty("./a", "pin path has a `.` component");
    faulty("a/tcp.v4", "pin path has a dot, which bpffs reserves");
    faulty(&"x".repeat(256), "pin path has a component of 256 bytes, and 255 are allowed");
    faulty(&"x/".repeat(2048), "pin path has 4096 bytes, and 4095 are allowed");
    faulty("a\\nb", "pin path has a control character");
    faulty(
        "iterctl-staging-1/a",
        "pin path begins with `iterctl-staging-`, which apply uses itself",
    );
}

#[test]
fn absolute_paths_are_below_bpffs() {
    let line = "a/b task/dump_task 0600 1000:1000 below 0700";
    check_pins(file(&at("/sys/fs/bpf/a/b")), &[line]);
    check_pins(file(&format!("bpffs = '/run/bpf'\n{}", at("/run/bpf/a/b"))), &[line]);
    let outside = [("\"/run/bpf/a\"", "pin path is not below the bpffs /sys/fs/bpf")];
    check(file(&at("/run/bpf/a")), &outside);
    let outside = [("\"/sys/fs/bpfa\"", "pin path is not below the bpffs /sys/fs/bpf")];
    check(file(&at("/sys/fs/bpfa")), &outside);
    let outside = [("\"/sys/fs/bpf/a\"", "pin path is not below the bpffs /run/bpf")];
    check(file(&format!("bpffs = '/run/bpf'\n{}", at("/sys/fs/bpf/a"))), &outside);
    check(
        file(&at("/sys/fs/bpf")),
        &[("\"/sys/fs/bpf\"", "pin path is not below the bpffs /sys/fs/bpf")],
    );
}

#[test]
fn what_follows_bpffs_in_an_absolute_path_is_checked() {
    #[track_caller]
    fn faulty(path: &str, what: &str) {
        check(file(&at(path)), &[(&format!("\"{path}\""), what)]);
    }
    faulty("/sys/fs/bpf/../a", "pin path has a `..` component");
    faulty("/sys/fs/bpf/a/../b", "pin path has a `..` component");
    faulty("/sys/fs/bpf/a.b", "pin path has a dot, which bpffs reserves");
    faulty("/sys/fs/bpf/a//b", "pin path has an empty component");
}

#[test]
fn the_hint_for_an_absolute_path_works() {
    check_help(file(&at("a//b")), "write `a/b`");
    check_help(file(&at("/sys/fs/bpf/a//b")), "write `a/b`");
    check_help(file(&at("a/tcp.v4")), "write `a/tcp_v4`");
    check_help(file(&format!("bpffs = '/run/bpf.d'\n{}", at("/run/bpf.d/v.4"))), "write `v_4`");
}

#[test]
fn a_path_is_used_once() {
    let two = format!("{}{}", at("a"), at("a"));
    check(file(&two), &[("\"a\"", "two entries have the path `a`")]);
    check_also(file(&two), &[(0, "\"a\"", "first used here")]);
    let three = format!("{}{}{}", at("a"), at("/sys/fs/bpf/a"), at("a"));
    let twice = "two entries have the path `a`";
    check(file(&three), &[("\"/sys/fs/bpf/a\"", twice), ("\"a\"", twice)]);
    let call = || files(&[("/x/one.toml", &at("a/b")), ("/x/two.toml", &at("/sys/fs/bpf/a/b"))]);
    check(call().set("x"), &[("\"/sys/fs/bpf/a/b\"", "two entries have the path `a/b`")]);
    check_also(call().set("x"), &[(0, "\"a/b\"", "first used here")]);
}

#[test]
fn a_path_is_no_parent_of_another() {
    let two = format!("{}{}", at("a/b"), at("a"));
    let lines = [("\"a\"", "`a` cannot be a pin and the parent directory of `a/b`")];
    check(file(&two), &lines);
    check_also(file(&two), &[(0, "\"a/b\"", "this pin would be below it")]);
    let three = format!("{}{}{}", at("a"), at("a/b"), at("a/b/c"));
    check(
        file(&three),
        &[
            ("\"a\"", "`a` cannot be a pin and the parent directory of `a/b`"),
            ("\"a\"", "`a` cannot be a pin and the parent directory of `a/b/c`"),
            ("\"a/b\"", "`a/b` cannot be a pin and the parent directory of `a/b/c`"),
        ],
    );
    let call = files(&[("/x/one.toml", &at("a")), ("/x/two.toml", &at("a/b"))]).set("x");
    check_also(call, &[(1, "\"a/b\"", "this pin would be below it")]);
    let siblings = format!("{}{}{}", at("a/b"), at("a/bc"), at("a-b"));
    check(file(&siblings), &[]);
}

#[test]
fn defaults_apply_unless_an_entry_overrides_them() {
    let defaults = "[defaults]\nmode = '0440'\nowner = 'root'\ngroup = 'observers'\n\
                    dir-mode = '755'\n";
    let all = format!("{defaults}{}", task(""));
    check_pins(file(&all), &["a task/dump_task 0440 0:50 below 0755"]);
    let own = "mode = '0400'\nowner = '7'\ngroup = '8'\ndir-mode = '0711'";
    let none = format!("{defaults}{}", task(own));
    check_pins(file(&none), &["a task/dump_task 0400 7:8 below 0711"]);
    check_pins(file(&task(own)), &["a task/dump_task 0400 7:8 below 0711"]);
    let some = format!("{defaults}{}", task("group = '8'"));
    check_pins(file(&some), &["a task/dump_task 0440 0:8 below 0755"]);
}

#[test]
fn defaults_apply_to_their_own_file_only() {
    let one = format!("[defaults]\nmode = '0440'\n{}", at("a"));
    check_pins(
        files(&[("/x/one.toml", &one), ("/x/two.toml", &at("b"))]).set("x"),
        &[
            "a task/dump_task 0440 1000:1000 below 0700",
            "b task/dump_task 0600 1000:1000 below 0700",
        ],
    );
}

#[test]
fn faulty_defaults_are_reported_once() {
    let defaults = "[defaults]\nmode = 'rw'\nowner = 'nobody_here'\ngroup = 'nobody_here'\n\
                    dir-mode = '9'\n";
    let faults = [
        ("'rw'", "`rw` is not a mode"),
        ("'nobody_here'", "no user `nobody_here`"),
        ("'nobody_here'", "no group `nobody_here`"),
        ("'9'", "`9` is not a mode"),
    ];
    check(file(defaults), &faults);
    check(file(&format!("{defaults}{}{}", at("a"), at("b"))), &faults);
    let own = "mode = '0400'\nowner = '7'\ngroup = '8'\ndir-mode = '0711'";
    check(file(&format!("{defaults}{}", task(own))), &faults);
}

#[test]
fn modes_are_octal() {
    for wrong in ["'rw'", "'0o644'", "'0888'", "''"] {
        let what = format!("`{}` is not a mode", wrong.trim_matches('\''));
        check(file(&task(&format!("mode = {wrong}"))), &[(wrong, &what)]);
        check(file(&task(&format!("dir-mode = {wrong}"))), &[(wrong, &what)]);
    }
    // Set-id and sticky bits are for directories.
    check(file(&task("mode = '4440'")), &[("'4440'", "`4440` is not a mode")]);
    check_pins(file(&task("dir-mode = '3777'")), &["a task/dump_task 0600 1000:1000 below 3777"]);
}

#[test]
fn directories_have_an_owner_and_a_group_of_their_own() {
    let stated = "dir-owner = 'root'\ndir-group = '8'";
    check_pins(file(&task(stated)), &["a task/dump_task 0600 1000:1000 below 0700 0:8"]);
    let by_default = format!("[defaults]\ndir-group = 'observers'\n{}", task("dir-owner = '7'"));
    check_pins(file(&by_default), &["a task/dump_task 0600 1000:1000 below 0700 7:50"]);
    let wrong = [("'nobody_here'", "no user `nobody_here`")];
    check(file(&task("dir-owner = 'nobody_here'")), &wrong);
    let wrong = [("'nobody_here'", "no group `nobody_here`")];
    check(file(&format!("[defaults]\ndir-group = 'nobody_here'\n{}", task(""))), &wrong);
}

#[test]
fn entries_must_not_contradict_each_other_about_a_directory() {
    let entry = |path: &str, mode: &str| {
        format!("[[iter]]\nobj = 'task.bpf.o'\npath = \"{path}\"\ndir-mode = '{mode}'\n")
    };
    let two = |one: String, other: String| file(&format!("{one}{other}"));
    let problem = "two entries want a different `dir-mode` for the directory `d`";
    check(two(entry("d/a", "0750"), entry("d/b", "0711")), &[("\"d/b\"", problem)]);
    check(two(entry("d/e/a", "0750"), entry("d/f/a", "0711")), &[("\"d/f/a\"", problem)]);
    let pins = [
        "d/a task/dump_task 0600 1000:1000 below 0711",
        "d/e/a task/dump_task 0600 1000:1000 below 0750",
    ];
    check_pins(two(entry("d/e/a", "0750"), entry("d/a", "0711")), &pins);
}

#[test]
fn owners_and_groups_are_names_or_numbers() {
    let numbers = "owner = '4294967294'\ngroup = '0'";
    check_pins(file(&task(numbers)), &["a task/dump_task 0600 4294967294:0 below 0700"]);
    let names = "owner = 'root'\ngroup = 'observers'";
    check_pins(file(&task(names)), &["a task/dump_task 0600 0:50 below 0700"]);
    for wrong in ["nobody_here", "never_asked", "observers", "", "-1", "4294967295"] {
        let quoted = format!("'{wrong}'");
        let what = format!("no user `{wrong}`");
        check(file(&task(&format!("owner = {quoted}"))), &[(&quoted, &what)]);
    }
    for wrong in ["nobody_here", "never_asked", "root", "", "-1", "4294967295"] {
        let quoted = format!("'{wrong}'");
        let what = format!("no group `{wrong}`");
        check(file(&task(&format!("group = {quoted}"))), &[(&quoted, &what)]);
    }
}

#[test]
fn objects_are_found_in_the_manifests_folder() {
    let absolute = of("/etc/iterctl/task.bpf.o", "");
    check_pins(file(&absolute), &["a task/dump_task 0600 1000:1000 below 0700"]);
    let gone = [("'gone.bpf.o'", "no object at /etc/iterctl/gone.bpf.o")];
    check(file(&of("gone.bpf.o", "")), &gone);
    let gone = [("'/opt/task.bpf.o'", "no object at /opt/task.bpf.o")];
    check(file(&of("/opt/task.bpf.o", "")), &gone);
    let text = [("'text.bpf.o'", "/etc/iterctl/text.bpf.o is not an ELF file")];
    check(file(&of("text.bpf.o", "")), &text);
}

#[test]
fn a_program_is_named_if_the_object_has_several() {
    let second = ["a tcp/second 0600 1000:1000 below 0700"];
    check_pins(file(&of("many.bpf.o", "program = 'second'")), &second);
    let only = ["a task/dump_task 0600 1000:1000 below 0700"];
    check_pins(file(&task("program = 'dump_task'")), &only);
    check(
        file(&of("many.bpf.o", "")),
        &[(
            "'many.bpf.o'",
            "the object holds several iterators, and the entry names none: \
             `first` (task), `second` (tcp)",
        )],
    );
    let third = [("'third'", "the object holds no iterator `third`")];
    check(file(&of("many.bpf.o", "program = 'third'")), &third);
    check(file(&of("none.bpf.o", "program = 'third'")), &third);
    check(file(&of("none.bpf.o", "")), &[("'none.bpf.o'", "the object holds no iterator")]);
}

#[test]
fn equal_programs_are_shared() {
    let many = "[[iter]]\nobj = 'many.bpf.o'\nprogram = 'first'\npath = 'd'\n";
    let call = file(&format!("{}{}{many}", at("a"), at("b")));
    let pins = call.resolve().expect("no fault").pins;
    let programs: Vec<_> = pins.values().map(|pin| &pin.program).collect();
    assert!(Arc::ptr_eq(programs[0], programs[1]));
    assert!(!Arc::ptr_eq(programs[1], programs[2]));
}

#[test]
fn an_object_with_another_digest_is_refused() {
    let right = "ab".repeat(32);
    let line = ["a task/dump_task 0600 1000:1000 below 0700"];
    check_pins(file(&task(&format!("sha256 = '{right}'"))), &line);
    check_pins(file(&task(&format!("sha256 = '{}'", right.to_uppercase()))), &line);
    let other = format!("'{}'", "cd".repeat(32));
    let differs = [(other.as_str(), "the object's SHA-256 does not match `sha256`")];
    check(file(&task(&format!("sha256 = {other}"))), &differs);
    for wrong in ["''", "'abcd'", &format!("'{}'", "xy".repeat(32))] {
        let wrong_digest = [(wrong, "not a SHA-256 in hex")];
        check(file(&task(&format!("sha256 = {wrong}"))), &wrong_digest);
    }
}

#[test]
fn the_form_of_a_digest_is_checked_without_its_object() {
    let faults = [
        ("'gone.bpf.o'", "no object at /etc/iterctl/gone.bpf.o"),
        ("'abcd'", "not a SHA-256 in hex"),
    ];
    check(file(&of("gone.bpf.o", "sha256 = 'abcd'")), &faults);
    let no_object = [("[[iter]]", "entry has no `obj`"), ("'abcd'", "not a SHA-256 in hex")];
    check(file("[[iter]]\npath = 'a'\nsha256 = 'abcd'"), &no_object);
}

#[test]
fn a_map_has_one_of_three_names() {
    #[track_caller]
    fn named(map: &str, found: &str) {
        let line = format!("a bpf_map_elem/dump_elem map {found} 0600 1000:1000 below 0700");
        check_pins(file(&elem(&format!("map = {map}"))), &[&line]);
    }
    named("{ id = 20 }", "id 20");
    named("{ name = 'conns' }", "name conns");
    named("{ pinned = '/run/bpf/conns' }", "pinned /run/bpf/conns");
    named("{ pinned = 'conns' }", "pinned /sys/fs/bpf/conns");
}

#[test]
fn faulty_maps_are_pointed_at() {
    #[track_caller]
    fn faulty(map: &str, what: &str) {
        check(file(&elem(&format!("map = {map}"))), &[(map, what)]);
    }
    faulty("{ id = 0 }", "no map has the id 0");
    faulty("{ name = '' }", "map name is empty");
    faulty("{ name = 'sixteen_bytes_xy' }", "map name is longer than the 15 bytes a kernel keeps");
    faulty("{ pinned = '' }", "not the path of a pinned map");
    faulty("{ pinned = \"a\\u0000b\" }", "not the path of a pinned map");
    faulty("{ pinned = '../conns' }", "not the path of a pinned map");
}

#[test]
fn different_spellings_of_a_map_are_equal() {
    let walk = |path: &str, map: &str| {
        format!("[[iter]]\nobj = 'elem.bpf.o'\npath = '{path}'\nmap = {{ pinned = '{map}' }}\n")
    };
    let spelled = [("a", "conns"), ("b", "/sys/fs/bpf/conns"), ("c", "/sys/fs/bpf//conns/")];
    let text: String = spelled.iter().map(|(path, map)| walk(path, map)).collect();
    let desired = file(&text).resolve().expect("no fault");
    let maps: Vec<String> = desired.maps().into_iter().map(MapRef::to_string).collect();
    assert_eq!(maps, ["pinned /sys/fs/bpf/conns"]);
    check_pins(
        file(&elem("map = { pinned = '/sys/fs/bpf//conns/' }")),
        &["a bpf_map_elem/dump_elem map pinned /sys/fs/bpf/conns 0600 1000:1000 below 0700"],
    );
}

#[test]
fn maps_fit_their_target() {
    check(file(&elem("")), &[("'elem.bpf.o'", "target `bpf_map_elem` needs a map")]);
    let taken = "{ id = 20 }";
    let keys = format!("map = {taken}");
    check(file(&task(&keys)), &[(taken, "target `task` takes no map")]);
    let tcp = of("many.bpf.o", &format!("program = 'second'\n{keys}"));
    check(file(&tcp), &[(taken, "target `tcp` takes no map")]);
    check(
        file(&of("cgroup.bpf.o", &keys)),
        &[
            ("'cgroup.bpf.o'", "target `cgroup` needs a cgroup"),
            (taken, "target `cgroup` takes no map"),
        ],
    );
    let needs = "target `cgroup` needs a cgroup";
    check(file(&of("cgroup.bpf.o", "")), &[("'cgroup.bpf.o'", needs)]);
}

#[test]
fn unknown_targets_are_left_to_the_kernel() {
    let future = |keys: &str| file(&of("future.bpf.o", keys));
    check_pins(future(""), &["a warp_core/dump_core 0600 1000:1000 below 0700"]);
    let walking = ["a warp_core/dump_core map id 20 0600 1000:1000 below 0700"];
    check_pins(future("map = { id = 20 }"), &walking);
    check(future("map = { id = 0 }"), &[("{ id = 0 }", "no map has the id 0")]);
}

#[test]
fn entries_with_faults_can_be_left_out() {
    let bad = "[[iter]]\nobj = 'gone.bpf.o'\npath = 'bad'\nmode = '9'\n";
    let sound = file(&format!("{}{bad}{}", at("a"), at("z"))).resolve_sound().expect("a whole");
    assert_eq!(paths(sound.desired.pins.keys()), ["a", "z"]);
    assert_eq!(paths(&sound.desired.left_out), ["bad"]);
    assert_eq!(sound.faults.values().map(Vec::len).collect::<Vec<_>>(), [2]);
}

#[test]
fn faults_that_hide_what_is_listed_refuse_the_whole_manifest() {
    #[track_caller]
    fn refused(text: &str) {
        file(&format!("{}{text}", at("a"))).resolve_sound().expect_err("not known what is listed");
    }
    refused("[[iter]\n");
    refused("[[iter]]\nobj = 'task.bpf.o'\n");
    refused("[[iter]]\nobj = 'task.bpf.o'\npath = 'b'\nmod = '0600'\n");
    refused(&at("b.c"));
    refused(&at("/run/b"));
    refused(&at("a"));
    refused(&at("a/b"));
}

#[test]
fn unreadable_keys_are_not_reported_as_missing() {
    check(
        file("[[iter]]\nobj = 5\npath = 'a'"),
        &[("5", "invalid type: integer `5`, expected a string")],
    );
    let map = "map = { id = -1 }";
    check(
        file(&elem(map)),
        &[("-1", "invalid value: integer `-1`, expected a number from 0 to 4294967295")],
    );
    let program = [("5", "invalid type: integer `5`, expected a string")];
    check(file(&of("many.bpf.o", "program = 5")), &program);
    check(file("set = 5").given(&[Argument::Stdin]), &program);
    let broken = [("", "not TOML: unclosed array table, expected `]`")];
    check(file("set = 'x'\n[[iter]\n").given(&[Argument::Stdin]), &broken);
}

#[test]
fn no_path_is_outside_of_a_bpffs_that_is_written_wrongly() {
    let text = |bpffs: &str| format!("bpffs = {bpffs}\n{}", at("/run/bpf/a"));
    let relative = [("'run'", "`bpffs` is not an absolute path without `.` and `..`")];
    check(file(&text("'run'")), &relative);
    check(file(&text("5")), &[("5", "invalid type: integer `5`, expected a string")]);
}
