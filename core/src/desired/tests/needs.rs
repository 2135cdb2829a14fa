//! The parts of an object that matter to the program that an entry wants, and possible mistakes.

use super::case::{
    check, check_help, check_maps, check_pins, check_warnings, file, of, only_program,
};
use crate::anatomy::Extern;

/// An entry with the program of `needy.bpf.o`: it uses `seen`, `shared`, which is pinned by name, and `open`,
/// which has no size. Other programs of the object use `other`, which has neither.
fn needy(keys: &str) -> String {
    of("needy.bpf.o", keys)
}

const SIZED: &str = "max-entries = { open = 7 }";
const NAMED: &str = "shared: pinned /sys/fs/bpf/shared";

#[test]
fn a_map_that_is_pinned_by_name_is_given() {
    check_maps(file(&needy(SIZED)), &[NAMED]);
    let elsewhere = format!("bpffs = '/run/bpf'\n{}", needy(SIZED));
    check_maps(file(&elsewhere), &["shared: pinned /run/bpf/shared"]);
    let explicit = needy(&format!("{SIZED}\nmaps = {{ shared = {{ id = 7 }} }}"));
    check_maps(file(&explicit), &["shared: id 7"]);
    let walked = of("needy_elem.bpf.o", "map = { own = 'shared' }");
    let line = "a bpf_map_elem/dump_elem map pinned /sys/fs/bpf/shared 0600 1000:1000 below 0700";
    check_pins(file(&walked), &[line]);
}

#[test]
fn maps_that_the_program_does_not_need_are_not_given() {
    let maps = "maps = { other = { id = 5 }, seen = { id = 6 } }";
    check_maps(file(&needy(&format!("{SIZED}\n{maps}"))), &["seen: id 6", NAMED]);
    let program = only_program(&file(&needy(&format!("{SIZED}\n{maps}"))));
    // Only the program that it tail-calls uses `shared`.
    assert_eq!(program.held.iter().collect::<Vec<_>>(), ["seen"]);
    let externs: Vec<&str> = program.externs.iter().map(Extern::name).collect();
    assert_eq!(externs, ["strong"], "what is weak need not be there");
}

#[test]
fn a_needed_map_has_a_size() {
    let message = "the object's map `open` has no size (`max_entries` is 0)";
    check(file(&needy("")), &[("'needy.bpf.o'", message)]);
    check_help(
        file(&needy("")),
        "the object leaves its size to the loader: add `max-entries = { open = N }`, or use an existing map with \
         `maps = { open = … }`",
    );
    check_maps(file(&needy("maps = { open = { id = 9 } }")), &["open: id 9", NAMED]);
    let walked = of("needy_elem.bpf.o", "map = { own = 'other' }");
    let message = "the object's map `other` has no size (`max_entries` is 0)";
    check(file(&walked), &[("{ own = 'other' }", message)]);
    let sized = of("needy_elem.bpf.o", "map = { own = 'other' }\nmax-entries.other = 1");
    let line = "a bpf_map_elem/dump_elem own map other 0600 1000:1000 below 0700";
    check_pins(file(&sized), &[line]);
}

#[test]
fn programs_that_no_kernel_loads_are_refused() {
    let program = |name: &str| format!("program = '{name}'");
    let refused = |name: &str, message: &str| {
        let text = of("bad.bpf.o", &program(name));
        check(file(&text), &[(&format!("'{name}'"), message)]);
    };
    refused("misspelt", "there is no target `tasks`");
    refused("sleeps", "target `tcp` takes no sleepable program (`iter.s/…`)");
    let silent = of("bad.bpf.o", &program("silent"));
    check_pins(file(&silent), &["a task/silent 0600 1000:1000 below 0700"]);
}

#[test]
fn possible_mistakes_are_reported_and_pinned() {
    let odd = of("odd.bpf.o", "");
    check_pins(file(&odd), &["a task/odd 0600 1000:1000 below 0700"]);
    check_warnings(
        file(&odd),
        &[
            (
                "'odd.bpf.o'",
                "the program is for target `task`, but its argument is the context of target `tcp`: it may be \
                 rejected or print nonsense",
            ),
            (
                "'odd.bpf.o'",
                "the program has no CO-RE relocations: it uses the structure layouts from when it was compiled, \
                 and may print wrong values on this kernel",
            ),
        ],
    );
    let gpl_only = "the program calls GPL-only functions, but the object's licence is `Apache-2.0`: the kernel may reject it";
    for program in ["'prints'", "'calls'"] {
        let entry = of("bad.bpf.o", &format!("program = {program}"));
        check_warnings(file(&entry), &[(program, gpl_only)]);
    }
    check_warnings(file(&of("bad.bpf.o", "program = 'silent'")), &[]);
    check_warnings(file(&needy(SIZED)), &[]);
}
