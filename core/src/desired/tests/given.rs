//! The parameter, globals and maps of an iterator and its program.

use std::sync::Arc;

use super::case::{
    check, check_help, check_maps, check_patches, check_pins, elem, entries, file, of, task,
};
use crate::desired::{Globals, MapRef, Program};
use crate::language::Language;

/// An entry with the only program of `cgroup.bpf.o`.
fn cgroup(keys: &str) -> String {
    of("cgroup.bpf.o", keys)
}

const CGROUP: &str = "{ path = '/sys/fs/cgroup', order = 'children' }";

#[test]
fn parameters_that_the_target_takes_are_accepted() {
    #[track_caller]
    fn taken(text: &str, expected: &str) {
        check_pins(file(text), &[&format!("a {expected} 0600 1000:1000 below 0700")]);
    }
    taken(&task("task = { pid = 1 }"), "task/dump_task pid 1");
    taken(&task("task = { tid = 4294967295 }"), "task/dump_task tid 4294967295");
    taken(&task("[iter.task]\ntid = 7"), "task/dump_task tid 7");
    taken(&elem("map = { own = 'seen' }"), "bpf_map_elem/dump_elem own map seen");
    let walked = "cgroup/walk cgroup";
    taken(&cgroup(&format!("cgroup = {CGROUP}")), &format!("{walked} /sys/fs/cgroup children"));
    let id = "cgroup = { id = 18446744073709551615, order = 'self-only' }";
    taken(&cgroup(id), &format!("{walked} 18446744073709551615 self-only"));
    let path = "cgroup.path = '/sys/fs//cgroup/'\ncgroup.order = 'ancestors-up'";
    taken(&cgroup(path), &format!("{walked} /sys/fs/cgroup ancestors-up"));
    for order in ["descendants-pre", "descendants-post"] {
        let keys = format!("[iter.cgroup]\nid = 1\norder = '{order}'");
        taken(&cgroup(&keys), &format!("{walked} 1 {order}"));
    }
}

#[test]
fn parameters_that_the_target_does_not_take_are_refused() {
    let tcp = |keys: &str| file(&of("many.bpf.o", &format!("program = 'second'\n{keys}")));
    let pid = "{ pid = 1 }";
    let (given_cgroup, given_task) = (format!("cgroup = {CGROUP}"), format!("task = {pid}"));
    let (given_map, both) = ("map = { id = 20 }", format!("{given_cgroup}\n{given_task}"));
    check(tcp(&given_cgroup), &[(CGROUP, "target `tcp` takes no cgroup")]);
    check(tcp(&given_task), &[(pid, "target `tcp` takes no task")]);
    check(file(&task(&given_cgroup)), &[(CGROUP, "target `task` takes no cgroup")]);
    check(
        tcp(&both),
        &[(CGROUP, "target `tcp` takes no cgroup"), (pid, "target `tcp` takes no task")],
    );
    check(
        file(&task(&format!("{both}\n{given_map}"))),
        &[(CGROUP, "target `task` takes no cgroup"), ("{ id = 20 }", "target `task` takes no map")],
    );
    check(
        file(&elem(&format!("{given_map}\n{given_task}"))),
        &[(pid, "target `bpf_map_elem` takes no task")],
    );
    check(file(&cgroup(&both)), &[(pid, "target `cgroup` takes no task")]);
    check_help(tcp(&given_cgroup), "remove `cgroup`");
    check_help(tcp(&given_task), "remove `task`");
}

#[test]
fn an_invalid_parameter_is_also_reported() {
    check(
        file(&task("map = { own = 'nope' }\ntask = { tid = 0 }")),
        &[
            ("{ own = 'nope' }", "the object declares no map `nope`"),
            ("{ own = 'nope' }", "target `task` takes no map"),
            ("{ tid = 0 }", "no task has the number 0"),
        ],
    );
    let gone = of("gone.bpf.o", "task = { pid = 0 }\nmaps = { x = { id = 0 } }");
    check(
        file(&gone),
        &[
            ("'gone.bpf.o'", "no object at /etc/iterctl/gone.bpf.o"),
            ("{ pid = 0 }", "no task has the number 0"),
            ("{ id = 0 }", "no map has the id 0"),
        ],
    );
}

#[test]
fn cgroups_have_one_name_and_an_order() {
    #[track_caller]
    fn faulty(cgroup_key: &str, what: &[&str]) {
        let faults: Vec<_> = what.iter().map(|what| (cgroup_key, *what)).collect();
        check(file(&cgroup(&format!("cgroup = {cgroup_key}"))), &faults);
    }
    let (name, order) = ("name the cgroup either by `path` or by `id`", "cgroup without an order");
    check(file(&cgroup("")), &[("'cgroup.bpf.o'", "target `cgroup` needs a cgroup")]);
    faulty("{ path = '/a' }", &[order]);
    faulty("{ id = 1 }", &[order]);
    faulty("{ path = '/a', id = 1, order = 'children' }", &[name]);
    faulty("{ order = 'children' }", &[name]);
    faulty("{ id = 0, order = 'children' }", &[name]);
    faulty("{ path = '', order = 'children' }", &[name]);
    faulty("{ path = 'system.slice', order = 'children' }", &[name]);
    faulty("{ path = '/a/../b', order = 'children' }", &[name]);
    faulty("{ path = \"/a\\u0000b\", order = 'children' }", &[name]);
    faulty("{ }", &[name, order]);
    faulty("{ path = '/a', id = 1 }", &[name, order]);
    check(file(&cgroup("[iter.cgroup]\nid = 1")), &[("[iter.cgroup]", order)]);
    // The hints name the directory where cgroup v2 is mounted.
    let directory = "/sys/fs/cgroup/unified";
    let needed =
        format!("add `cgroup = {{ path = \"{directory}\", order = \"descendants-pre\" }}`");
    check_help(file(&cgroup("")), &needed);
    let named = format!("write either `path = \"{directory}/…\"` or `id = …`");
    check_help(file(&cgroup("cgroup = { order = 'children' }")), &named);
}

#[test]
fn orders_are_those_of_linux() {
    #[track_caller]
    fn faulty(order: &str, what: &str) {
        let keys = format!("cgroup = {{ id = 1, order = {order} }}");
        check(file(&cgroup(&keys)), &[(order, what)]);
        let keys = format!("[iter.cgroup]\nid = 1\norder = {order}");
        check(file(&cgroup(&keys)), &[(order, what)]);
    }
    let one_of = "expected one of `self-only`, `descendants-pre`, `descendants-post`, \
                  `ancestors-up`, `children`";
    faulty("'sideways'", &format!("unknown order `sideways`, {one_of}"));
    faulty("'Self-Only'", &format!("unknown order `Self-Only`, {one_of}"));
    faulty("''", &format!("unknown order ``, {one_of}"));
    faulty("2", "invalid type: integer `2`, expected a string");
}

#[test]
fn tasks_have_one_number() {
    #[track_caller]
    fn faulty(key: &str, at: &str, what: &str) {
        check(file(&task(&format!("task = {key}"))), &[(at, what)]);
    }
    let (zero, more) = ("no task has the number 0", "one key belongs here, and there are more");
    faulty("{ pid = 0 }", "{ pid = 0 }", zero);
    faulty("{ tid = 0 }", "{ tid = 0 }", zero);
    faulty("{ pid = 1, tid = 1 }", "{ pid = 1, tid = 1 }", more);
    faulty("{ }", "{ }", "one key belongs here, and there is none");
    faulty("{ uid = 1 }", "uid", "unknown key `uid`, expected `pid` or `tid`");
    faulty("1", "1", "invalid type: integer `1`, expected a table");
    faulty("'pid'", "'pid'", "invalid type: string \"pid\", expected a table");
    let range = "expected a number from 0 to 4294967295";
    faulty("{ pid = -1 }", "-1", &format!("invalid value: integer `-1`, {range}"));
    check(file(&task("[iter.task]\npid = 1\ntid = 1")), &[("[iter.task]", more)]);
}

#[test]
fn an_unknown_target_may_take_one_parameter() {
    let future = |keys: &str| file(&of("future.bpf.o", keys));
    let line = |param: &str| format!("a warp_core/dump_core {param} 0600 1000:1000 below 0700");
    check_pins(future("task = { pid = 1 }"), &[&line("pid 1")]);
    check_pins(future("map = { own = 'seen' }"), &[&line("own map seen")]);
    let given_cgroup = format!("cgroup = {CGROUP}");
    check_pins(future(&given_cgroup), &[&line("cgroup /sys/fs/cgroup children")]);
    let what = "an iterator takes only one of `map`, `cgroup` and `task`";
    check(future(&format!("task = {{ pid = 1 }}\n{given_cgroup}")), &[("{ pid = 1 }", what)]);
    check(future(&format!("map = {{ id = 1 }}\n{given_cgroup}")), &[(CGROUP, what)]);
    let three = format!("task = {{ pid = 1 }}\n{given_cgroup}\nmap = {{ id = 1 }}");
    check(future(&three), &[(CGROUP, what)]);
    check(future("task = { pid = 0 }"), &[("{ pid = 0 }", "no task has the number 0")]);
}

#[test]
fn own_maps_are_those_that_the_object_defines() {
    let nope = [("{ own = 'nope' }", "the object declares no map `nope`")];
    check(file(&elem("map = { own = 'nope' }")), &nope);
    check_help(file(&elem("map = { own = 'nope' }")), "it declares `seen`, `counts`");
    let mapless = |keys: &str| file(&of("mapless.bpf.o", keys));
    check_help(mapless("map = { own = 'seen' }"), "it declares no map");
    check_help(mapless("map = { id = 1 }\nmaps = { seen = { id = 1 } }"), "it declares no map");
}

#[test]
fn maps_are_given_for_the_objects_own() {
    let pinned = "maps = { seen = { pinned = 'x//y' }, counts = { name = 'conns' } }";
    check_maps(file(&task(pinned)), &["counts: name conns", "seen: pinned /sys/fs/bpf/x/y"]);
    check_maps(file(&task("[iter.maps.seen]\nid = 4294967295")), &["seen: id 4294967295"]);
    check_maps(file(&task("maps = {}")), &[]);
    check_maps(file(&task("")), &[]);
}

#[test]
fn faulty_given_maps_are_pointed_at() {
    #[track_caller]
    fn faulty(maps: &str, expected: &[(&str, &str)]) {
        check(file(&task(&format!("maps = {maps}"))), expected);
    }
    faulty("{ nope = { id = 1 } }", &[("nope", "the object declares no map `nope`")]);
    faulty("{ seen = { id = 0 } }", &[("{ id = 0 }", "no map has the id 0")]);
    faulty("{ seen = { name = '' } }", &[("{ name = '' }", "map name is empty")]);
    let not_a_path = "not the path of a pinned map";
    faulty("{ seen = { pinned = '' } }", &[("{ pinned = '' }", not_a_path)]);
    faulty("{ seen = { pinned = 'a/../b' } }", &[("{ pinned = 'a/../b' }", not_a_path)]);
    let own =
        ("{ own = 'counts' }", "`own` is not an existing map, but one of the object's own maps");
    faulty("{ seen = { own = 'counts' } }", &[own]);
    faulty(
        "{ nope = { id = 0 }, \"\" = { name = '' }, seen = { own = 'counts' } }",
        &[
            ("nope", "the object declares no map `nope`"),
            ("{ id = 0 }", "no map has the id 0"),
            ("\"\"", "the object declares no map ``"),
            ("{ name = '' }", "map name is empty"),
            own,
        ],
    );
    faulty("{ seen = 5 }", &[("5", "invalid type: integer `5`, expected a table")]);
    faulty("{ seen = {} }", &[("{}", "one key belongs here, and there is none")]);
    check_help(
        file(&task("maps = { seen = { own = 'counts' } }")),
        "name a map that exists already: `id`, `pinned` or `name`",
    );
}

#[test]
fn a_replaced_own_map_is_walked_as_the_existing_one() {
    let keys = "map = { own = 'seen' }\nmaps = { seen = { pinned = 'x' } }";
    let line = "a bpf_map_elem/dump_elem map pinned /sys/fs/bpf/x 0600 1000:1000 below 0700";
    check_pins(file(&elem(keys)), &[line]);
    check_maps(file(&elem(keys)), &["seen: pinned /sys/fs/bpf/x"]);
    let other = "map = { own = 'seen' }\nmaps = { counts = { pinned = 'x' } }";
    let line = "a bpf_map_elem/dump_elem own map seen 0600 1000:1000 below 0700";
    check_pins(file(&elem(other)), &[line]);
}

#[test]
fn all_maps_and_cgroups_to_look_up_are_listed() {
    let keys = "map = { id = 7 }\nmaps = { seen = { id = 8 }, counts = { id = 7 } }";
    let text = format!(
        "{}{}{}{}",
        elem(keys).replace("\"a\"", "'b'"),
        cgroup(&format!("cgroup = {CGROUP}")).replace("\"a\"", "'c'"),
        cgroup("cgroup = { id = 1, order = 'children' }").replace("\"a\"", "'d'"),
        task("maps = { seen = { id = 9 } }\ntask = { pid = 1 }"),
    );
    let desired = file(&text).resolve().expect("no fault");
    let maps: Vec<_> = desired.maps().into_iter().map(MapRef::to_string).collect();
    assert_eq!(maps, ["id 7", "id 8", "id 9"]);
    let cgroups: Vec<_> = desired.cgroups().into_iter().map(|path| path.display()).collect();
    assert_eq!(cgroups.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/sys/fs/cgroup"]);
}

#[test]
fn globals_are_patches_of_their_sections() {
    #[track_caller]
    fn patched(toml: &str, expected: &[&str]) {
        check_patches(file(&task(&format!("globals = {toml}"))), expected, toml);
    }
    patched("{ level = -1 }", &[".rodata+0: [255]"]);
    patched("{ enabled = true }", &[".rodata+16: [1]"]);
    patched(r#"{ name = "abc" }"#, &[".rodata+32: [97, 98, 99, 0]"]);
    patched("{ ports = [1, 2] }", &[".rodata+48: [1, 2, 0]"]);
    let udp = 17_u32.to_ne_bytes();
    patched(r#"{ kind = "UDP" }"#, &[&format!(".rodata+64: {udp:?}")]);
    patched("{ range = { from = 1, to = 2 } }", &[".rodata+80: [1]", ".rodata+81: [2]"]);
    patched(
        "{ enabled = false, level = 2, range = { to = 3 } }",
        &[".rodata+16: [0]", ".rodata+0: [2]", ".rodata+81: [3]"],
    );
    check_patches(file(&task("globals = {}")), &[], "");
    check_patches(file(&task("globals.range = {}")), &[], "");
    check_patches(file(&task("")), &[], "");
    let dotted = file(&task("globals.range.to = 0x03"));
    check_patches(dotted, &[".rodata+81: [3]"], "{ range = { to = 3 } }");
    let header = file(&task("[iter.globals.range]\nto = 3"));
    check_patches(header, &[".rodata+81: [3]"], "{ range = { to = 3 } }");
}

#[test]
fn faulty_globals_are_pointed_at() {
    #[track_caller]
    fn faulty(globals: &str, expected: &[(&str, &str)]) {
        check(file(&task(&format!("globals = {globals}"))), expected);
    }
    faulty("{ nope = 1 }", &[("nope", "the object has no variable `nope`")]);
    faulty("{ range = { by = 1 } }", &[("by", "the struct has no member `by`")]);
    faulty("{ range.by = 1 }", &[("by", "the struct has no member `by`")]);
    faulty("{ level = true }", &[("true", "a boolean for a signed integer of 1 byte")]);
    let beyond = "too small or too large for a signed integer of 1 byte";
    faulty("{ level = 128 }", &[("128", beyond)]);
    let too_long = "string of 4 bytes for an array of 4, which also holds a NUL byte";
    faulty("{ name = 'abcd' }", &[("'abcd'", too_long)]);
    faulty("{ kind = 'ICMP' }", &[("'ICMP'", "the enum has no value `ICMP`")]);
    faulty("{ ports = [1, 2, 3, 4] }", &[("[1, 2, 3, 4]", "4 elements for an array of 3")]);
    faulty("{ next = 0 }", &[("0", "a pointer cannot be given a value")]);
    faulty(
        "{ nope = 1, level = -129, range = { to = 'x', by = 2 }, enabled = true }",
        &[
            ("nope", "the object has no variable `nope`"),
            ("-129", beyond),
            ("'x'", "a string for an unsigned integer of 1 byte"),
            ("by", "the struct has no member `by`"),
        ],
    );
    let no_value = "expected a boolean, an integer, a string, an array or a table";
    let float = format!("invalid type: floating point `1.5`, {no_value}");
    faulty("{ level = 1.5 }", &[("1.5", &float)]);
    let date = format!("invalid type: date or time, {no_value}");
    faulty("{ level = 1979-05-27 }", &[("1979-05-27", &date)]);
    faulty("5", &[("5", "invalid type: integer `5`, expected a table")]);
}

#[test]
fn the_hint_for_a_faulty_global_lists_what_exists() {
    #[track_caller]
    fn help(globals: &str, expected: &str) {
        check_help(file(&task(&format!("globals = {globals}"))), expected);
    }
    let all = "there is `level`, `enabled`, `name`, `ports`, `kind`, `range`, `next`";
    help("{ nope = 1 }", all);
    help("{ range = { by = 1 } }", "there is `from`, `to`");
    help("{ kind = 'ICMP' }", "there is `TCP`, `UDP`");
    help("{ level = 200 }", "it holds -128 to 127");
}

#[test]
fn a_fault_below_a_header_hides_no_other_entry() {
    for table in ["globals]\nlevel = 1.5", "globals.range]\nto = 1.5", "maps]\nseen = 1.5"] {
        let text = format!("{}{}", task(&format!("[iter.{table}")), of("gone.bpf.o", ""));
        let faults = file(&text).resolve().expect_err("two entries have faults");
        let lines: Vec<_> =
            faults.iter().map(|fault| fault.problem.message(Language::Manifest)).collect();
        assert!(lines.contains(&"no object at /etc/iterctl/gone.bpf.o".to_owned()), "{lines:?}");
        assert_eq!(lines.len(), 3, "the value, the object, and the path that is used twice");
    }
}

#[test]
fn programs_with_equal_values_are_shared() {
    let programs = |keys: &[&str]| -> Vec<Arc<Program>> {
        let desired = file(&entries("elem.bpf.o", keys)).resolve().expect("no fault");
        desired.pins.into_values().map(|pin| pin.program).collect()
    };
    let shared = |one: &str, two: &str| {
        let keys = [one, two].map(|keys| format!("map = {{ id = 20 }}\n{keys}"));
        let programs = programs(&[&keys[0], &keys[1]]);
        assert_eq!(Arc::ptr_eq(&programs[0], &programs[1]), programs[0] == programs[1]);
        programs[0] == programs[1]
    };
    assert!(shared("", ""));
    assert!(shared("", "globals = {}"));
    assert!(shared("maps = {}", "globals.range = {}"));
    assert!(shared("globals = { level = 1 }", "[iter.globals]\nlevel = 0x1"));
    assert!(shared(
        "globals = { level = 1, enabled = true }",
        "globals = { enabled = true, level = 1 }"
    ));
    assert!(!shared("globals = { level = 1 }", "globals = { level = 2 }"));
    assert!(!shared("globals = { level = 0 }", ""));
    assert!(shared("maps = { seen = { id = 1 } }", "maps = { seen = { id = 1 } }"));
    assert!(!shared("maps = { seen = { id = 1 } }", "maps = { seen = { id = 2 } }"));
    assert!(!shared("maps = { seen = { id = 1 } }", "maps = { counts = { id = 1 } }"));
    assert!(shared("max-entries = {}", ""));
    assert!(shared("max-entries = { seen = 16 }", "[iter.max-entries]\nseen = 0x10"));
    assert!(!shared("max-entries = { seen = 1 }", "max-entries = { seen = 2 }"));
    assert!(!shared("max-entries = { seen = 1 }", "max-entries = { counts = 1 }"));
    assert!(!shared("max-entries = { seen = 1 }", ""));
    assert!(!shared("", "max-entries = { seen = 1 }"));
    let walking = programs(&["map = { own = 'seen' }", "map = { own = 'counts' }"]);
    assert!(Arc::ptr_eq(&walking[0], &walking[1]), "one object, two of its maps");
}

#[test]
fn patches_have_a_digest() {
    let globals = |keys: &str| -> Globals {
        let desired = file(&task(keys)).resolve().expect("no fault");
        desired
            .pins
            .into_values()
            .map(|pin| pin.program.globals.clone())
            .collect::<Vec<_>>()
            .remove(0)
    };
    let digest = |keys: &str| globals(keys).digest();
    assert_eq!(digest(""), None);
    assert_eq!(digest("globals = {}"), None);
    assert!(digest("globals = { level = 0 }").is_some());
    assert_eq!(digest("globals = { kind = 6 }"), digest("globals = { kind = 'TCP' }"));
    assert_eq!(digest("globals = { ports = [1] }"), digest("globals = { ports = [1, 0] }"));
    let differing = [
        "level = 1",
        "level = 2",
        "enabled = true",
        "range = { from = 1 }",
        "range = { to = 1 }",
        "range = { from = 1, to = 1 }",
        "ports = [1]",
        "ports = [0, 1]",
        "name = 'a'",
    ];
    let digests: std::collections::BTreeSet<_> =
        differing.iter().map(|global| digest(&format!("globals = {{ {global} }}"))).collect();
    assert_eq!(digests.len(), differing.len());
}
