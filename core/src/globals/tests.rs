//! The patches for written values, type by type.

mod properties;

use serde_spanned::Spanned;

use super::{Global, Member, Misfit, Type, encode};
use crate::language::Language;
use crate::manifest::parse_values;
use crate::value::Value;

/// The offset of the variable in its section.
const OFFSET: usize = 8;

/// The value of bytes that no patch covers.
const BEFORE: u8 = 0xee;

/// The bytes of a variable of this type for which a manifest says `name = toml`.
#[track_caller]
fn check(kind: Type, toml: &str, expected: &[u8]) {
    let mut bytes = vec![BEFORE; kind.size()];
    let text = format!("variable = {toml}\n");
    let (global, value) = (global(kind), value_of(&text));
    for patch in encode(&global, &value).expect("a value that fits") {
        assert_eq!(patch.section, ".data.mine");
        let start = patch.offset.checked_sub(OFFSET).expect("a patch behind the variable's start");
        let room = bytes.get_mut(start..start + patch.bytes.len()).expect("one within it");
        room.copy_from_slice(&patch.bytes);
    }
    assert_eq!(bytes, expected);
}

/// Each misfit: the text that it points at, and its message.
#[track_caller]
fn refuse(kind: Type, toml: &str, expected: &[(&str, &str)]) {
    let text = format!("variable = {toml}\n");
    let misfits = encode(&global(kind), &value_of(&text)).expect_err("a value that does not fit");
    let words = |misfit: &Misfit| misfit.to_string();
    let found: Vec<(&str, String)> =
        misfits.iter().map(|(span, misfit)| (&text[span.clone()], words(misfit))).collect();
    let expected: Vec<(&str, String)> =
        expected.iter().map(|(at, what)| (*at, (*what).to_owned())).collect();
    assert_eq!(found, expected);
}

/// The only misfit's hint.
#[track_caller]
fn check_help(kind: Type, toml: &str, expected: Option<&str>) {
    let value = value_of(&format!("variable = {toml}\n"));
    let misfits = encode(&global(kind), &value).expect_err("a value that does not fit");
    let help: Vec<_> = misfits.iter().map(|(_, misfit)| misfit.help(Language::Manifest)).collect();
    assert_eq!(help, [expected.map(str::to_owned)]);
}

fn global(kind: Type) -> Global {
    Global { name: "variable".to_owned(), section: ".data.mine".to_owned(), offset: OFFSET, kind }
}

fn value_of(text: &str) -> Spanned<Value> {
    let mut document = parse_values(text).expect("this is TOML");
    document.0.remove(0).1
}

fn int(size: usize, signed: bool) -> Type {
    Type::Int { size, signed }
}

fn array(element: Type, length: usize) -> Type {
    Type::Array { element: Box::new(element), length }
}

fn string(length: usize) -> Type {
    array(Type::Char { signed: true }, length)
}

fn protocol(size: usize, signed: bool) -> Type {
    let values = [("TCP", 6), ("UDP", 17), ("ANY", if signed { -1 } else { 0xff })];
    let values = values.map(|(name, number)| (name.to_owned(), number)).to_vec();
    Type::Enum { size, signed, values }
}

fn structure(size: usize, members: &[(&str, usize, Type)]) -> Type {
    let member = |(name, offset, kind): &(&str, usize, Type)| Member {
        name: (*name).to_owned(),
        offset: *offset,
        kind: kind.clone(),
    };
    Type::Struct { size, members: members.iter().map(member).collect() }
}

#[test]
fn integers_go_from_bound_to_bound() {
    check(int(1, true), "-128", &i8::MIN.to_ne_bytes());
    check(int(1, true), "127", &i8::MAX.to_ne_bytes());
    check(int(1, false), "0", &[0]);
    check(int(1, false), "255", &[255]);
    check(int(2, true), "-32768", &i16::MIN.to_ne_bytes());
    check(int(2, true), "32767", &i16::MAX.to_ne_bytes());
    check(int(2, false), "65535", &u16::MAX.to_ne_bytes());
    check(int(2, false), "0x1234", &0x1234_u16.to_ne_bytes());
    check(int(4, true), "-2147483648", &i32::MIN.to_ne_bytes());
    check(int(4, true), "2147483647", &i32::MAX.to_ne_bytes());
    check(int(4, false), "4294967295", &u32::MAX.to_ne_bytes());
    check(int(8, true), "-9223372036854775808", &i64::MIN.to_ne_bytes());
    check(int(8, true), "9223372036854775807", &i64::MAX.to_ne_bytes());
    check(int(8, false), "18446744073709551615", &u64::MAX.to_ne_bytes());
    check(int(8, false), "0xffff_ffff_ffff_ffff", &u64::MAX.to_ne_bytes());
    check(int(16, true), "-1", &(-1_i128).to_ne_bytes());
    check(int(16, true), &i128::MIN.to_string(), &i128::MIN.to_ne_bytes());
    check(int(16, true), &i128::MAX.to_string(), &i128::MAX.to_ne_bytes());
    check(int(16, false), &i128::MAX.to_string(), &i128::MAX.to_ne_bytes());
}

#[test]
fn integers_beyond_their_bounds_are_refused() {
    #[track_caller]
    fn beyond(size: usize, signed: bool, least: &str, most: &str, numbers: [&str; 2]) {
        let sign = if signed { "a signed" } else { "an unsigned" };
        let bytes = if size == 1 { "byte" } else { "bytes" };
        let what = format!("too small or too large for {sign} integer of {size} {bytes}");
        for number in numbers {
            refuse(int(size, signed), number, &[(number, &what)]);
            let help = format!("it holds {least} to {most}");
            check_help(int(size, signed), number, Some(&help));
        }
    }
    beyond(1, true, "-128", "127", ["-129", "128"]);
    beyond(1, false, "0", "255", ["-1", "256"]);
    beyond(2, true, "-32768", "32767", ["-32769", "32768"]);
    beyond(2, false, "0", "65535", ["-1", "65536"]);
    beyond(4, true, "-2147483648", "2147483647", ["-2147483649", "2147483648"]);
    beyond(4, false, "0", "4294967295", ["-1", "4294967296"]);
    let (least, most) = ("-9223372036854775808", "9223372036854775807");
    beyond(8, true, least, most, ["-9223372036854775809", "9223372036854775808"]);
    beyond(8, false, "0", "18446744073709551615", ["-1", "18446744073709551616"]);
    refuse(
        int(16, false),
        "-1",
        &[("-1", "too small or too large for an unsigned integer of 16 bytes")],
    );
}

#[test]
fn bools_and_chars_have_one_byte() {
    check(Type::Bool, "true", &[1]);
    check(Type::Bool, "false", &[0]);
    check(Type::Char { signed: true }, "-128", &[0x80]);
    check(Type::Char { signed: true }, "127", &[127]);
    check(Type::Char { signed: false }, "255", &[255]);
    let what = "too small or too large for a char";
    refuse(Type::Char { signed: true }, "128", &[("128", what)]);
    refuse(Type::Char { signed: false }, "-1", &[("-1", what)]);
}

#[test]
fn values_of_another_kind_are_refused() {
    #[track_caller]
    fn other(kind: Type, toml: &str, what: &str) {
        refuse(kind, toml, &[(toml, what)]);
    }
    other(int(4, true), "true", "a boolean for a signed integer of 4 bytes");
    other(int(4, false), "\"1\"", "a string for an unsigned integer of 4 bytes");
    other(Type::Bool, "1", "an integer for a bool");
    other(Type::Bool, "{ x = 1 }", "a table for a bool");
    other(Type::Char { signed: true }, "\"a\"", "a string for a char");
    other(protocol(4, false), "true", "a boolean for an enum");
    other(string(4), "1", "an integer for a string of up to 3 bytes");
    other(array(int(4, true), 2), "\"ab\"", "a string for an array of 2 elements");
    other(array(int(4, true), 2), "1", "an integer for an array of 2 elements");
    other(structure(4, &[("a", 0, int(4, true))]), "[1]", "an array for a struct");
    check_help(Type::Bool, "1", None);
}

#[test]
fn strings_end_with_a_nul() {
    check(string(4), "\"abc\"", b"abc\0");
    check(string(4), "\"a\"", b"a\0\0\0");
    check(string(4), "\"\"", b"\0\0\0\0");
    check(string(4), "\"é\"", b"\xc3\xa9\0\0");
    check(string(1), "\"\"", b"\0");
    check(string(4), "[97, 98, 99, 100]", b"abcd");
}

#[test]
fn strings_without_room_for_the_nul_are_refused() {
    let too_long = |length: usize, room: usize| {
        format!("string of {length} bytes for an array of {room}, which also holds a NUL byte")
    };
    refuse(string(4), "\"abcd\"", &[("\"abcd\"", &too_long(4, 4))]);
    refuse(string(4), "\"éé\"", &[("\"éé\"", &too_long(4, 4))]);
    refuse(string(0), "\"\"", &[("\"\"", &too_long(0, 0))]);
    let nul = "\"a\\u0000\"";
    refuse(string(4), nul, &[(nul, "string with a NUL byte in it")]);
}

#[test]
fn enums_take_names_and_numbers() {
    check(protocol(4, false), "\"UDP\"", &17_u32.to_ne_bytes());
    check(protocol(8, true), "\"ANY\"", &(-1_i64).to_ne_bytes());
    check(protocol(1, false), "\"ANY\"", &[255]);
    check(protocol(4, false), "6", &6_u32.to_ne_bytes());
    check(protocol(4, false), "99", &99_u32.to_ne_bytes());
    check(protocol(4, true), "-1", &(-1_i32).to_ne_bytes());
    check(protocol(4, false), "-1", &(-1_i32).to_ne_bytes());
    check(protocol(4, true), "4294967295", &u32::MAX.to_ne_bytes());
    refuse(protocol(4, true), "\"udp\"", &[("\"udp\"", "the enum has no value `udp`")]);
    check_help(protocol(4, true), "\"udp\"", Some("there is `TCP`, `UDP`, `ANY`"));
    refuse(protocol(1, true), "256", &[("256", "too small or too large for an enum")]);
    refuse(protocol(1, false), "-129", &[("-129", "too small or too large for an enum")]);
}

#[test]
fn elements_that_are_not_written_are_zero() {
    check(array(int(1, false), 3), "[1, 2, 3]", &[1, 2, 3]);
    check(array(int(1, false), 3), "[1]", &[1, 0, 0]);
    check(array(int(1, false), 3), "[]", &[0, 0, 0]);
    check(array(int(2, false), 2), "[1, 2]", &[1_u16.to_ne_bytes(), 2_u16.to_ne_bytes()].concat());
    check(array(array(int(1, false), 2), 2), "[[1], [2, 3]]", &[1, 0, 2, 3]);
    check(array(string(3), 2), "[\"ab\", \"c\"]", b"ab\0c\0\0");
    check(array(int(1, false), 0), "[]", &[]);
    check(array(Type::Bool, 2), "[true, false]", &[1, 0]);
}

#[test]
fn every_element_must_fit() {
    let bytes = || array(int(1, false), 2);
    refuse(bytes(), "[1, 2, 3]", &[("[1, 2, 3]", "3 elements for an array of 2")]);
    refuse(array(int(1, false), 0), "[1]", &[("[1]", "1 elements for an array of 0")]);
    refuse(
        bytes(),
        "[256, true]",
        &[
            ("256", "too small or too large for an unsigned integer of 1 byte"),
            ("true", "a boolean for an unsigned integer of 1 byte"),
        ],
    );
    let short = [("[0, 0, 0]", "3 elements for an array of 2")];
    refuse(array(bytes(), 2), "[[0], [0, 0, 0]]", &short);
}

/// `struct { u8 a; struct { u16 c; bool d; } b; }` with the padding that C puts in.
fn nested() -> Type {
    let inner = structure(4, &[("c", 0, int(2, false)), ("d", 2, Type::Bool)]);
    structure(6, &[("a", 0, int(1, false)), ("b", 2, inner)])
}

#[test]
fn members_go_where_the_struct_has_them() {
    let c = 0x0102_u16.to_ne_bytes();
    let all = [1, BEFORE, c[0], c[1], 1, BEFORE];
    check(nested(), "{ a = 1, b = { c = 0x0102, d = true } }", &all);
    let part = [BEFORE, BEFORE, c[0], c[1], BEFORE, BEFORE];
    check(nested(), "{ b.c = 0x0102 }", &part);
    check(nested(), "{ b = { c = 0x0102 } }", &part);
    check(nested(), "{}", &[BEFORE; 6]);
    let pair = structure(2, &[("x", 0, int(1, false)), ("y", 1, int(1, false))]);
    check(array(pair, 2), "[{ y = 2 }, { x = 3, y = 4 }]", &[0, 2, 3, 4]);
}

#[test]
fn dotted_keys_name_members() {
    let text = "variable.a = 7\nvariable.b.d = true\n";
    let patches = encode(&global(nested()), &value_of(text)).expect("a value that fits");
    let places: Vec<_> =
        patches.iter().map(|patch| (patch.offset - OFFSET, patch.bytes.as_slice())).collect();
    assert_eq!(places, [(0, [7].as_slice()), (4, &[1])]);
}

#[test]
fn members_of_a_union_share_their_bytes() {
    let union = structure(4, &[("word", 0, int(4, false)), ("bytes", 0, array(int(1, false), 4))]);
    check(union.clone(), "{ word = 0 }", &[0; 4]);
    check(union, "{ bytes = [1, 2] }", &[1, 2, 0, 0]);
    // A table has no order, so it could not be seen which of two would win.
    let union = structure(4, &[("a", 0, int(4, false)), ("z", 0, array(int(1, false), 4))]);
    let what = "`z` shares its bytes with another member that is given a value";
    refuse(union.clone(), "{ a = 1, z = [1] }", &[("z", what)]);
    refuse(array(union, 1), "[{ a = 1, z = [1] }]", &[("z", what)]);
}

#[test]
fn unknown_members_are_named() {
    let text = "{ a = 1, b = { e = 1 }, f = 2 }";
    let what = |name: &str| format!("the struct has no member `{name}`");
    refuse(nested(), text, &[("e", &what("e")), ("f", &what("f"))]);
    check_help(nested(), "{ b.e = 1 }", Some("there is `c`, `d`"));
    check_help(structure(1, &[("", 0, int(1, true))]), "{ b = 1 }", None);
}

#[test]
fn members_of_anonymous_members_are_members() {
    let inner = structure(2, &[("x", 0, int(1, false)), ("y", 1, int(1, false))]);
    let outer = || structure(3, &[("a", 0, int(1, false)), ("", 1, inner.clone())]);
    check(outer(), "{ y = 2 }", &[BEFORE, BEFORE, 2]);
    refuse(outer(), "{ \"\" = { y = 2 } }", &[("\"\"", "the struct has no member ``")]);
    check_help(outer(), "{ z = 2 }", Some("there is `a`, `x`, `y`"));
}

#[test]
fn types_that_cannot_be_written_are_reported() {
    for what in ["a pointer", "a floating point number", "a bit field"] {
        let other = || Type::Other { what: what.to_owned(), size: 8 };
        let words = format!("{what} cannot be given a value");
        refuse(other(), "1", &[("1", &words)]);
        refuse(structure(8, &[("p", 0, other())]), "{ p = 1 }", &[("1", &words)]);
        check_help(other(), "1", None);
    }
}

#[test]
fn every_misfit_is_found() {
    let kind = structure(8, &[("a", 0, int(1, false)), ("s", 1, string(3)), ("b", 4, Type::Bool)]);
    refuse(
        kind,
        "{ a = 256, s = \"abc\", c = 1, b = 0 }",
        &[
            ("256", "too small or too large for an unsigned integer of 1 byte"),
            ("0", "an integer for a bool"),
            ("c", "the struct has no member `c`"),
            ("\"abc\"", "string of 3 bytes for an array of 3, which also holds a NUL byte"),
        ],
    );
}

#[test]
fn equal_bytes_are_equal_patches() {
    let patches = |kind: Type, toml: &str| {
        encode(&global(kind), &value_of(&format!("variable = {toml}"))).expect("a value that fits")
    };
    let words = || array(int(4, false), 3);
    assert_eq!(patches(words(), "[1]"), patches(words(), "[0x1, 0, 0]"));
    assert_eq!(patches(string(3), "\"a\""), patches(string(3), "[97]"));
    assert_eq!(patches(protocol(4, true), "\"TCP\""), patches(protocol(4, true), "6"));
    assert_eq!(patches(array(nested(), 2), "[]"), patches(array(nested(), 2), "[{ a = 0 }, {}]"));
    assert_eq!(patches(array(words(), 99), "[[1, 2], [3]]").len(), 1);
}

#[test]
fn huge_types_are_refused_without_allocating_them() {
    let huge = 1 << 32;
    let words = |size: usize| format!("{size} bytes are too many: 1048576 at most");
    refuse(array(int(8, false), huge), "[1]", &[("[1]", &words(8 * huge))]);
    let limit = array(int(1, false), 1 << 20);
    assert!(encode(&global(limit), &value_of("variable = []")).is_ok(), "as many as are allowed");
    refuse(string((1 << 20) + 1), "\"a\"", &[("\"a\"", &words((1 << 20) + 1))]);
    refuse(string(huge), "\"a\"", &[("\"a\"", &words(huge))]);
    let half = || array(int(1, false), (1 << 19) + 1);
    let two = structure(1 << 21, &[("a", 0, half()), ("b", 1 << 20, half())]);
    refuse(two, "{ a = [], b = [] }", &[("[]", &words((1 << 20) + 2))]);
    let far = structure(usize::MAX, &[("a", 1 << 40, int(1, false))]);
    assert!(encode(&global(far), &value_of("variable.a = 1")).is_ok(), "one byte, far away");
}

#[test]
fn wrong_type_information_does_not_reach_other_variables() {
    let words = "a variable with wrong type information cannot be given a value";
    let beyond = |offset| structure(4, &[("a", offset, int(4, false))]);
    refuse(beyond(1), "{ a = 1 }", &[("1", words)]);
    refuse(beyond(usize::MAX), "{ a = 1 }", &[("1", words)]);
    refuse(structure(4, &[("a", 2, string(4))]), "{ a = \"x\" }", &[("\"x\"", words)]);
    refuse(array(int(8, false), usize::MAX), "[]", &[("[]", words)]);
    refuse(int(0, true), "1", &[("1", "too small or too large for a signed integer of 0 bytes")]);
    check(int(0, true), "0", &[]);
    check(int(3, true), "-2", &[0xfe, 0xff, 0xff]);
    refuse(int(17, true), "1", &[("1", words)]);
}

#[test]
fn an_object_that_describes_no_variable_lacks_btf() {
    let help = |known: Vec<String>| {
        Misfit::Unknown { name: "x".to_owned(), known }.help(Language::Manifest)
    };
    let no_btf = "it describes no variable at all: compile it with `clang -g`, for BTF";
    assert_eq!(help(Vec::new()).as_deref(), Some(no_btf));
    assert_eq!(help(vec!["a".to_owned()]).as_deref(), Some("there is `a`"));
}
