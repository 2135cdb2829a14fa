//! The sizes that maps of the object's own are given.

use super::case::{check, check_also, check_help, check_max_entries, elem, file, of, task};

#[test]
fn maps_of_the_objects_own_are_given_sizes() {
    let both = "max-entries = { seen = 4096, counts = 4294967295 }";
    check_max_entries(file(&task(both)), &[("counts", u32::MAX), ("seen", 4096)]);
    check_max_entries(file(&task("[iter.max-entries]\nseen = 0x10")), &[("seen", 16)]);
    check_max_entries(file(&task("max-entries.seen = 1")), &[("seen", 1)]);
    check_max_entries(file(&task("max-entries = {}")), &[]);
    check_max_entries(file(&task("")), &[]);
    let walked = "map = { own = 'seen' }\nmax-entries.seen = 8";
    check_max_entries(file(&elem(walked)), &[("seen", 8)]);
    let beside = "maps = { counts = { id = 1 } }\nmax-entries.seen = 8";
    check_max_entries(file(&task(beside)), &[("seen", 8)]);
}

#[test]
fn faulty_sizes_are_pointed_at() {
    #[track_caller]
    fn faulty(sizes: &str, expected: &[(&str, &str)]) {
        check(file(&task(&format!("max-entries = {sizes}"))), expected);
    }
    let range = "expected a number from 1 to 4294967295";
    let beyond = |number: &str| format!("invalid value: integer `{number}`, {range}");
    faulty("{ seen = 0 }", &[("0", &beyond("0"))]);
    faulty("{ seen = -1 }", &[("-1", &beyond("-1"))]);
    faulty("{ seen = 4294967296 }", &[("4294967296", &beyond("4294967296"))]);
    let text = format!("invalid type: string \"8\", {range}");
    faulty("{ seen = '8' }", &[("'8'", &text)]);
    let float = format!("invalid type: floating point `8`, {range}");
    faulty("{ seen = 8.0 }", &[("8.0", &float)]);
    faulty("8", &[("8", "invalid type: integer `8`, expected a table")]);
    faulty(
        "{ nope = 1, seen = 2, \"\" = 3 }",
        &[("nope", "the object declares no map `nope`"), ("\"\"", "the object declares no map ``")],
    );
    check_help(file(&task("max-entries.nope = 1")), "it declares `seen`, `counts`");
}

#[test]
fn an_existing_map_is_given_no_size() {
    let both = |maps: &str| file(&task(&format!("max-entries = {{ seen = 8 }}\nmaps = {maps}")));
    let what = "`maps` uses an existing map for `seen`, which has a size";
    check(both("{ seen = { id = 1 } }"), &[("seen", what)]);
    check_help(both("{ seen = { id = 1 } }"), "remove it from `max-entries`, or from `maps`");
    check_also(both("{ seen = { id = 1 } }"), &[(0, "seen", "the existing map")]);
    let faulty = [("seen", what), ("{ id = 0 }", "no map has the id 0")];
    check(both("{ seen = { id = 0 } }"), &faulty);
}

#[test]
fn a_map_that_is_pinned_by_name_is_given_no_size() {
    let needy = |keys: &str| file(&of("needy.bpf.o", keys));
    let what = "the object uses the map that is pinned at /sys/fs/bpf/shared for `shared`, which has a size";
    let both = || needy("max-entries = { open = 7, shared = 8 }");
    check(both(), &[("shared", what)]);
    check_help(both(), "remove it from `max-entries`");
    let replaced = "max-entries = { open = 7, shared = 8 }\nmaps.shared.id = 7";
    check(
        needy(replaced),
        &[("shared", "`maps` uses an existing map for `shared`, which has a size")],
    );
}
