//! Initial values of an object's variables: each kind of variable gets them, equal programs are shared, and
//! drift is found.

use super::sandbox::{Sandbox, entry, entry_with};

const OBJECT: &str = "globals.bpf.o";

/// The object's output with its own values.
const INITIAL: &str = "\
u8 1
s8 -1
u16 2
s16 -2
u32 3
s32 -3
u64 4
s64 -4
flag 0
letter 97
name initial
level 0
array 1 2 3 4
grid 1 2 3 4 5 6
nested 1 one
number 1 1
bits 1 2 3
anonymous 1 2
pointer 0
data 10
bss 0
data_data 40
data_extra 20
rodata_extra 30
";

/// With these globals, exactly these lines of the output differ.
#[track_caller]
fn check(globals: &str, changed: &[&str]) {
    let sandbox = Sandbox::new();
    let keys = format!("globals = {{ {globals} }}");
    sandbox.manifest("iters.toml", &entry_with(OBJECT, "x", &keys));
    sandbox.iterctl("apply -f iters.toml").exits(0).plans(&["+ x  task"]);
    let output = sandbox.read("x");
    let differing: Vec<&str> = output
        .lines()
        .zip(INITIAL.lines())
        .filter_map(|(now, before)| (now != before).then_some(now))
        .collect();
    assert_eq!(differing, changed, "{output}");
    assert_eq!(output.lines().count(), INITIAL.lines().count());
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

#[kernel_test]
fn without_globals_the_object_has_its_own_values() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry(OBJECT, "x"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(sandbox.read("x"), INITIAL);
}

#[kernel_test]
fn integers_of_every_width_and_sign() {
    check("u8 = 255, s8 = -128", &["u8 255", "s8 -128"]);
    check("u16 = 65535, s16 = -32768", &["u16 65535", "s16 -32768"]);
    check("u32 = 4294967295, s32 = -2147483648", &["u32 4294967295", "s32 -2147483648"]);
    let (most, least) = ("u64 9223372036854775807", "s64 -9223372036854775808");
    check("u64 = 9223372036854775807, s64 = -9223372036854775808", &[most, least]);
}

#[kernel_test]
fn truth_text_and_names() {
    check("flag = true", &["flag 1"]);
    check("name = \"nginx\"", &["name nginx"]);
    check("name = \"123456789012345\"", &["name 123456789012345"]);
    check("level = \"LEVEL_HIGH\"", &["level 7"]);
    check("level = \"LEVEL_NONE\"", &["level -1"]);
    check("level = 3", &["level 3"]);
}

#[kernel_test]
fn arrays_and_structures() {
    check("array = [9, 8, 7, 6]", &["array 9 8 7 6"]);
    check("array = [9]", &["array 9 0 0 0"]);
    check("grid = [[9, 8, 7], [6, 5, 4]]", &["grid 9 8 7 6 5 4"]);
    check("nested.a.b = 5", &["nested 5 one"]);
    check("nested = { a = { b = 5 }, s = \"two\" }", &["nested 5 two"]);
    check("number.whole = 258", &["number 258 2"]);
    check("bits.whole = 9", &["bits 1 2 9"]);
    check("anonymous = { first = 7, last = 8 }", &["anonymous 7 8"]);
}

#[kernel_test]
fn variables_of_every_section() {
    check("data = 11, bss = 12", &["data 11", "bss 12"]);
    let globals = "data_data = 13, data_extra = 14, rodata_extra = 15";
    check(globals, &["data_data 13", "data_extra 14", "rodata_extra 15"]);
}

#[kernel_test]
fn other_globals_are_drift() {
    let sandbox = Sandbox::new();
    let applies = |keys: &str, lines: &[&str], printed: &str| {
        sandbox.manifest("iters.toml", &entry_with(OBJECT, "x", keys));
        sandbox.iterctl("plan -f iters.toml").exits(0).plans(lines);
        sandbox.iterctl("apply -f iters.toml").exits(0).plans(lines);
        sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
        assert_eq!(sandbox.first_line("x"), printed);
    };
    applies("", &["+ x  task"], "u8 1\n");
    applies("globals.u8 = 2", &["~ x  globals changed"], "u8 2\n");
    applies("globals.u8 = 3", &["~ x  globals changed"], "u8 3\n");
    applies("globals.u8 = 0x03", &[], "u8 3\n");
    applies("globals = { u16 = 2, u8 = 3 }", &["~ x  globals changed"], "u8 3\n");
    applies("globals = { u8 = 3, u16 = 2 }", &[], "u8 3\n");
    applies("globals = {}", &["~ x  globals changed"], "u8 1\n");
    applies("", &[], "u8 1\n");
}

#[kernel_test]
fn entries_with_equal_globals_share_a_program() {
    let sandbox = Sandbox::new();
    let entries = entry_with(OBJECT, "a", "globals = { u8 = 5, u16 = 6 }")
        + &entry_with(OBJECT, "b", "globals = { u16 = 6, u8 = 5 }")
        + &entry_with(OBJECT, "c", "globals.u8 = 7")
        + &entry(OBJECT, "d");
    sandbox.manifest("iters.toml", &entries);
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let programs = ["a", "b", "c", "d"].map(|path| sandbox.number(path, "prog_id"));
    let [a, b, c, d] = programs;
    assert_eq!(a, b);
    assert!(a != c && a != d && c != d, "{programs:?}");
    let lines = ["a", "b", "c", "d"].map(|path| sandbox.first_line(path));
    assert_eq!(lines, ["u8 5\n", "u8 5\n", "u8 7\n", "u8 1\n"]);
    sandbox.iterctl("plan --detailed-exitcode -f iters.toml").exits(0);
}

#[kernel_test]
fn globals_that_do_not_fit_change_nothing() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry(OBJECT, "x"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    let before = sandbox.tree();
    let keys = "globals = { u8 = 256, no_such = 1, name = \"1234567890123456\" }";
    sandbox.manifest("iters.toml", &entry_with(OBJECT, "x", keys));
    for command in ["check", "plan", "apply"] {
        let run = sandbox.iterctl(&format!("{command} -f iters.toml")).exits(65);
        run.says("u8 = 256").says("no_such").says("string of 16 bytes").says("iters.toml:5:18");
    }
    assert_eq!(sandbox.tree(), before);
}
