//! What each iterator of an object needs: built objects show every case, while the root package's
//! tests/anatomy.rs reads compiled ones.

use std::collections::BTreeSet;

use iterctl_core::anatomy::{CoreKind, Malformed, Needs, anatomy, needs};

use crate::build::*;

const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

/// The address of something that a relocation names: two instructions long.
const ADDRESS: [u8; 16] = [0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn helper(number: u8) -> [u8; 8] {
    [0x85, 0, 0, 0, number, 0, 0, 0]
}

pub(crate) fn names(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The program needs exactly this, and itself.
#[track_caller]
fn check(object: &Object, program: &str, expected: &Needs) {
    let mut expected = expected.clone();
    expected.programs.insert(program.to_owned());
    let bytes = object.to_bytes();
    let anatomy = anatomy(&bytes).expect("the object is good");
    assert_eq!(anatomy.programs.get(program), Some(&expected));
    assert_eq!(needs(&bytes, program), Ok(Some(expected)));
}

/// An iterator `tasks` whose code loads these symbols' addresses, one after the other. They follow its own
/// symbol, and this many sections the licence.
fn loading(symbols: &[Symbol], sections: &[Section], loaded: &[u32]) -> Object {
    let mut object = Object::with_iterator(&[&ADDRESS.repeat(loaded.len())[..], &EXIT].concat());
    object.symbols.extend_from_slice(symbols);
    object.sections.extend_from_slice(sections);
    let places = loaded.iter().zip(0_u64..).map(|(symbol, at)| (16 * at, *symbol));
    object.add(Section::relocations(".rel", 3, &places.collect::<Vec<_>>()));
    object
}

fn data(name: &str) -> Section {
    Section::new(name, PROGBITS, 3, vec![0; 48])
}

#[test]
fn the_map_at_a_symbol_is_needed() {
    let symbols = [
        Symbol::new("a", GLOBAL_OBJECT, 5, 0, 16),
        Symbol::new("b", GLOBAL_OBJECT, 5, 16, 16),
        Symbol::new("c", GLOBAL_OBJECT, 5, 32, 16),
        // The section, and a variable elsewhere at the same offset.
        Symbol::new("", 3, 5, 16, 0),
        Symbol::new("variable", GLOBAL_OBJECT, 6, 16, 16),
        Symbol::new("function", GLOBAL_FUNCTION, 6, 16, 16),
    ];
    let sections = [data(".maps"), data(".data")];
    let both = |maps: &str| Needs { maps: names(maps), held: names(maps), ..Needs::default() };
    check(&loading(&symbols, &sections, &[3]), "tasks", &both("b"));
    check(&loading(&symbols, &sections, &[5]), "tasks", &both("b"));
    check(&loading(&symbols, &sections, &[2, 4]), "tasks", &both("a c"));
    let data = Needs { sections: names(".data"), ..Needs::default() };
    check(&loading(&symbols, &sections, &[6]), "tasks", &data);
    check(&loading(&symbols, &sections, &[]), "tasks", &Needs::default());
}

#[test]
fn externs_are_undefined_and_have_names() {
    const WEAK: u8 = 0x20;
    const ABSOLUTE: u16 = 0xfff1;
    let symbols = [
        Symbol::new("used", GLOBAL_UNTYPED, 0, 0, 0),
        Symbol::new("other", WEAK, 0, 0, 0),
        Symbol::new("", GLOBAL_UNTYPED, 0, 0, 0),
        Symbol::new("absolute", GLOBAL_UNTYPED, ABSOLUTE, 0, 0),
        // Sections 0 to 5 are there.
        Symbol::new("beyond", GLOBAL_FUNCTION, 6, 0, 0),
    ];
    let object = loading(&symbols, &[], &[2, 4, 5, 6]);
    let expected =
        Needs { externs: names("used"), other_externs: names("other"), ..Needs::default() };
    check(&object, "tasks", &expected);
    let anatomy = anatomy(&object.to_bytes()).expect("the object is good");
    assert_eq!(anatomy.weak, names("other"));
    assert_eq!(anatomy.externs(), names("other used"));
    assert_eq!(anatomy.licence.as_deref(), Some("GPL"));
}

#[test]
fn programs_are_the_functions_in_sections_of_iterators() {
    let mut object = Object::with_iterator(&PROGRAM);
    for (name, section) in [("a", "iter.s/task"), ("b", "tracing"), ("c", ".text")] {
        let section = object.add(Section::new(section, PROGBITS, CODE, PROGRAM.to_vec()));
        object.symbols.push(Symbol::new(name, GLOBAL_FUNCTION, section, 0, 16));
        object.symbols.push(Symbol::new("variable", GLOBAL_OBJECT, section, 0, 16));
    }
    let data = object.add(Section::new("iter/tcp", PROGBITS, 3, PROGRAM.to_vec()));
    object.symbols.push(Symbol::new("no_code", GLOBAL_FUNCTION, data, 0, 16));
    let bytes = object.to_bytes();
    let anatomy = anatomy(&bytes).expect("the object is good");
    assert_eq!(anatomy.programs.into_keys().collect::<BTreeSet<_>>(), names("a tasks"));
    assert_eq!(needs(&bytes, "b"), Ok(None));
}

/// Three programs in one section call three subprograms, of which `f` and `g` are next to each other; each
/// subprogram loads a section with its name.
fn calling() -> Object {
    let mut object = Object::with_iterator(&[helper(1), EXIT].concat());
    let subprogram = [&ADDRESS[..], &EXIT].concat();
    let text = [&subprogram[..], &subprogram, &[call(1), EXIT, EXIT].concat()].concat();
    let text = object.add(Section::new(".text", PROGBITS, CODE, text));
    let code = [[helper(2), EXIT], [call(1), helper(3)], [helper(4), EXIT]].concat().concat();
    let tcp = object.add(Section::new("iter/tcp", PROGBITS, CODE, code));
    for (name, section, start, size) in [
        ("f", text, 0, 24),
        ("g", text, 24, 24),
        ("h", text, 48, 24),
        ("first", tcp, 0, 16),
        ("second", tcp, 16, 16),
        ("third", tcp, 32, 16),
    ] {
        object.symbols.push(Symbol::new(name, GLOBAL_FUNCTION, section, start, size));
    }
    for name in ["f", "g"] {
        let section = object.add(data(name));
        object.symbols.push(Symbol::new(name, 3, section, 0, 0));
    }
    object.add(Section::relocations(".rel", text.into(), &[(0, 8), (24, 9)]));
    object
}

#[test]
fn calls_without_a_relocation_stay_in_their_section() {
    let helpers =
        |numbers: &[u32]| Needs { helpers: numbers.iter().copied().collect(), ..Needs::default() };
    check(&calling(), "tasks", &helpers(&[1]));
    check(&calling(), "first", &helpers(&[2]));
    // It calls the third.
    check(&calling(), "second", &helpers(&[3, 4]));
    check(&calling(), "third", &helpers(&[4]));
}

#[test]
fn calls_with_a_relocation_count_from_its_symbol() {
    // The immediate of each call is -1, so that the symbol itself is called.
    let object = |symbol: u32, immediate: i32| {
        let mut object = calling();
        let tcp = &mut object.sections[3];
        assert_eq!(tcp.name, "iter/tcp");
        tcp.bytes[16..24].copy_from_slice(&call(immediate));
        object.add(Section::relocations(".rel", 6, &[(16, symbol)]));
        object
    };
    let sections = |names_of: &str| Needs {
        helpers: [3].into(),
        sections: names(names_of),
        ..Needs::default()
    };
    check(&object(2, -1), "second", &sections("f"));
    check(&object(3, -1), "second", &sections("g"));
    // Within the first, at its last instruction, and after it.
    check(&object(2, 1), "second", &sections("f"));
    check(&object(2, 2), "second", &sections("g"));
    // `h` begins with a call of its own last instruction.
    check(&object(4, -1), "second", &sections(""));
    // Nothing of it changes the others.
    check(&object(2, -1), "third", &Needs { helpers: [4].into(), ..Needs::default() });
}

#[test]
fn both_names_of_a_subprogram_are_followed() {
    let mut object = calling();
    // The alias is longer: it has the code of the next one too.
    object.symbols.push(Symbol::new("alias", GLOBAL_FUNCTION, 5, 0, 48));
    object.add(Section::relocations(".rel", 6, &[(16, 2)]));
    let tcp = &mut object.sections[3].bytes[16..24];
    tcp.copy_from_slice(&call(-1));
    let expected = Needs { helpers: [3].into(), sections: names("f g"), ..Needs::default() };
    check(&object, "second", &expected);
}

#[test]
fn exception_callbacks_are_needed_by_all() {
    let mut object = calling();
    let mut btf = Btf::default();
    btf.string("f");
    btf.string("exception_callback:g");
    object.add(btf.to_section());
    let expected = Needs { helpers: [4].into(), sections: names("g"), ..Needs::default() };
    check(&object, "third", &expected);
}

/// Maps `a` and `b` of 16 bytes and `c`, `d` of 8, and these relocations of their section. The iterator uses
/// `a`, and `other` uses `d`.
pub(crate) fn with_slots(slots: &[(u64, u32)]) -> Object {
    let symbols = [
        Symbol::new("a", GLOBAL_OBJECT, 5, 0, 16),
        Symbol::new("b", GLOBAL_OBJECT, 5, 16, 16),
        Symbol::new("c", GLOBAL_OBJECT, 5, 32, 8),
        Symbol::new("d", GLOBAL_OBJECT, 5, 40, 8),
        Symbol::new("other", GLOBAL_FUNCTION, 6, 0, 24),
        Symbol::new("y", GLOBAL_UNTYPED, 0, 0, 0),
    ];
    let code = Section::new("iter/tcp", PROGBITS, CODE, [&ADDRESS[..], &EXIT].concat());
    let mut object = loading(&symbols, &[data(".maps"), code], &[2]);
    object.add(Section::relocations(".rel", 6, &[(0, 5)]));
    object.add(Section::relocations(".rel.maps", 5, slots));
    object
}

#[test]
fn what_is_in_the_slots_of_a_map_is_needed_and_not_held() {
    let check = |slots: &[(u64, u32)], maps: &str, programs: &str| {
        let expected = Needs {
            programs: names(programs),
            maps: names(maps),
            held: names("a"),
            other_externs: names("y"),
            ..Needs::default()
        };
        check(&with_slots(slots), "tasks", &expected);
    };
    check(&[], "a", "");
    check(&[(8, 4)], "a c", "");
    check(&[(0, 4)], "a c", "");
    // The next byte after `a` belongs to `b`.
    check(&[(16, 4)], "a", "");
    check(&[(8, 3), (16, 4)], "a b c", "");
    check(&[(8, 3), (24, 4), (32, 2)], "a b c", "");
    check(&[(8, 6)], "a d", "other");
    // Slots within a slot's program, and an extern, which is nothing that can be in a slot.
    check(&[(8, 6), (40, 4)], "a c d", "other");
    check(&[(8, 7)], "a", "");
}

#[test]
fn relocations_of_data_are_no_slots() {
    let mut object = with_slots(&[]);
    let other = object.add(data(".data"));
    object.add(Section::relocations(".rel.data", other.into(), &[(8, 4)]));
    let both = names("a");
    let expected =
        Needs { maps: both.clone(), held: both, other_externs: names("y"), ..Needs::default() };
    check(&object, "tasks", &expected);
}

#[test]
fn fixed_offsets_are_those_of_programs_without_core() {
    // r2 = the pointer at offset 8 of the context; r0 = what it points to.
    const READ: [u8; 16] = [0x79, 0x12, 8, 0, 0, 0, 0, 0, 0x61, 0x20, 0, 0, 0, 0, 0, 0];
    let object = |code: &[u8], kind: u32| {
        let mut btf = Btf::default();
        let section = btf.string("iter/task");
        let words = [0x0001_eb9f, 32, 0, 0, 0, 0, 0, 28, 16, section, 1, 0, 1, 1, kind];
        let mut object = Object::with_iterator(code);
        object.add(btf.to_section());
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        object.add(Section::new(".BTF.ext", PROGBITS, 0, bytes));
        object
    };
    let reading = [&READ[..], &EXIT].concat();
    let expected = |core, reads_fixed_layout| Needs {
        core: [core].into(),
        reads_fixed_layout,
        ..Needs::default()
    };
    check(&object(&reading, 0), "tasks", &expected(CoreKind::Field, false));
    check(&object(&reading, 8), "tasks", &expected(CoreKind::Type, true));
    check(&object(&PROGRAM, 8), "tasks", &expected(CoreKind::Type, false));
    check(&object(&PROGRAM, 0), "tasks", &expected(CoreKind::Field, false));
}

#[test]
fn files_that_are_no_objects_say_why() {
    let why = |bytes: &[u8]| anatomy(bytes).err().map(|why| why.to_string()).unwrap_or_default();
    assert_eq!(why(b""), "Invalid ELF header size or alignment");
    let mut bytes = Object::with_iterator(&PROGRAM).to_bytes();
    let table = u64::from_le_bytes(*bytes[40..].first_chunk().expect("it is long")) as usize;
    // The type of the symbol table, section 2.
    bytes[table + 2 * 64 + 4] = 1;
    assert_eq!(why(&bytes), "it has no symbol table");
    assert_eq!(needs(&bytes, "tasks"), Err(Malformed::NoSymbols));
}
