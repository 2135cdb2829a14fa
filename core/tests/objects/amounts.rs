//! Objects with so many parts that libbpf would be busy with them are refused: each part is counted once.

use iterctl_core::anatomy::anatomy;

use crate::build::*;

/// Checks which amounts the refusal names.
#[track_caller]
fn check(object: &Object, first: &str, second: &str) {
    let said = anatomy(&object.to_bytes()).err().map(|why| why.to_string());
    let expected = format!("it has {first} and {second}, which take too long to read");
    assert_eq!(said, Some(expected));
}

/// The object with this many more symbols.
fn with_symbols(mut object: Object, number: usize, one: &Symbol) -> Object {
    object.symbols.extend(std::iter::repeat_n(one.clone(), number));
    object
}

fn label() -> Symbol {
    Symbol::new("", 0, 3, 0, 0)
}

fn with_sections(number: usize, one: &Section) -> Object {
    let mut object = Object::with_iterator(&PROGRAM);
    object.sections.extend(std::iter::repeat_n(one.clone(), number));
    object
}

/// BTF of this many types, with a section that lists a variable so many times.
fn types(types: usize, section: &str, variables: u32) -> Btf {
    let mut btf = Btf::default();
    let kind = character(&mut btf);
    let variable = btf.add("x", 14, 0, kind, &[1]);
    btf.add(section, 15, variables, 0, &[variable, 0, 0].repeat(variables as usize));
    for _ in 3..types {
        btf.add("x", 7, 0, 0, &[]);
    }
    btf
}

fn undefined() -> Symbol {
    Symbol::new("y", GLOBAL_UNTYPED, 0, 0, 0)
}

#[test]
fn as_many_sections_as_a_file_can_number_are_too_many() {
    let object = with_sections(0xff00 - 4, &Section::new("x", PROGBITS, 0, Vec::new()));
    let said = anatomy(&object.to_bytes()).err().map(|why| why.to_string());
    assert_eq!(said.as_deref(), Some("it has 65281 sections, and 65280 are allowed"));
}

#[test]
fn sections_of_code_and_symbols_are_counted() {
    let section = Section::new("iter/tcp", PROGBITS, CODE, Vec::new());
    let object = with_symbols(with_sections(25_999, &section), 26_000, &label());
    check(&object, "26000 sections of code", "26002 symbols");
}

#[test]
fn variables_and_symbols_are_counted() {
    let object = with_symbols(with_btf(&types(3, ".ksyms", 9_000)), 9_000, &label());
    check(&object, "9000 variables", "9002 symbols");
}

#[test]
fn externs_types_and_variables_are_counted() {
    let object = with_symbols(with_btf(&types(21_000, ".ksyms", 1)), 20_000, &undefined());
    check(&object, "20000 externs", "21000 types");
    // The symbol without a name is no extern, nor is one that is defined.
    let object = with_btf(&types(3, ".ksyms", 30_000));
    let mut object = with_symbols(object, 7_000, &undefined());
    object.symbols[1].section = 3;
    check(&object, "30000 variables", "7002 symbols");
}

#[test]
fn externs_with_a_long_name_take_longer() {
    let object = |name: &str| {
        let long = Symbol { name: name.to_owned(), ..undefined() };
        with_symbols(with_btf(&types(5_500, ".ksyms", 1)), 5_500, &long)
    };
    assert!(anatomy(&object("y").to_bytes()).is_ok());
    check(&object(&"y".repeat(1024)), "5500 externs", "5500 types");
}

/// A section of 16 bytes, and this many relocations of its first bytes.
fn relocate(object: &mut Object, name: &str, flags: u64, number: usize) {
    let section = object.add(Section::new(name, PROGBITS, flags, vec![0; 16]));
    object.add(Section::relocations(".rel", section.into(), &[(0, 1)].repeat(number)));
}

#[test]
fn relocations_maps_and_externs_are_counted() {
    // A map is a variable of `.maps`, or a section with data, in the file or in the BTF.
    let mut object = with_btf(&types(3, ".maps", 5_000));
    for name in [".data", ".rodata.x", ".bss", "data"] {
        object.add(Section::new(name, PROGBITS, 3, Vec::new()));
    }
    relocate(&mut object, "iter/tcp", CODE, 200_000);
    check(&object, "200000 relocations", "5004 maps");
    // Those of data are not looked at.
    relocate(&mut object, ".data.x", 3, 100);
    relocate(&mut object, ".struct_ops", 3, 100);
    check(&object, "200100 relocations", "5005 maps");
    let mut object = with_symbols(Object::with_iterator(&PROGRAM), 5_000, &undefined());
    relocate(&mut object, "iter/tcp", CODE, 200_100);
    check(&object, "200100 relocations", "5000 externs");
}

#[test]
fn sections_with_lines_are_counted() {
    // Functions, lines and CO-RE relocations of each: 10,000 sections without any record, of 8 bytes.
    let part = [&[8][..], &[0; 20_000]].concat();
    let length = 4 * part.len() as u32;
    let header = [0x0001_eb9f, 32, 0, length, length, length, 2 * length, length];
    let words = [&header[..], &part, &part, &part].concat();
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut object = with_sections(2_500, &Section::new("x", PROGBITS, 0, Vec::new()));
    object.add(Section::new(".BTF.ext", PROGBITS, 0, bytes));
    check(&object, "30000 sections with lines", "2506 sections");
}

#[test]
fn sections_of_data_are_counted() {
    for name in [".data", ".rodata", ".bss"] {
        let object = with_sections(9_000, &Section::new(name, PROGBITS, 3, Vec::new()));
        check(&object, "9000 sections of data", "9005 sections");
    }
    let mut btf = types(10_000, "a", 1);
    for _ in 0..16_000 {
        btf.add(".ksyms", 15, 0, 0, &[]);
    }
    check(&with_btf(&btf), "16001 sections of data", "26000 types");
}

#[test]
fn functions_are_counted() {
    let mut object = with_btf(&types(50_000, ".ksyms", 1));
    let data = object.add(Section::new("x", PROGBITS, 3, Vec::new()));
    let mut object = with_symbols(object, 10_000, &Symbol::new("f", GLOBAL_FUNCTION, 3, 0, 0));
    object.symbols.push(Symbol::new("g", GLOBAL_FUNCTION, data, 0, 0));
    object.symbols.push(label());
    check(&object, "10001 functions", "50000 types");
    let mut object = Object::with_iterator(&PROGRAM);
    object.add(Section::new(".text", PROGBITS, CODE, Vec::new()));
    let object = with_symbols(object, 4_097, &Symbol::new("f", GLOBAL_FUNCTION, 5, 0, 0));
    let said = anatomy(&object.to_bytes()).err().map(|why| why.to_string());
    assert_eq!(said.as_deref(), Some("it has 4097 subprograms, and 4096 are allowed"));
}

#[test]
fn programs_instructions_externs_and_slots_are_counted() {
    let programs = |object: Object, number: usize| {
        with_symbols(object, number, &Symbol::new("f", GLOBAL_FUNCTION, 3, 0, 0))
    };
    let with_text = |name: &str, flags: u64| {
        let mut object = Object::with_iterator(&PROGRAM);
        object.add(Section::new(name, PROGBITS, flags, PROGRAM.repeat(6_500)));
        with_symbols(programs(object, 10_000), 4_000, &undefined())
    };
    check(&with_text(".text", CODE), "10001 programs", "13000 instructions");
    // Programs share no code but that of subprograms.
    check(&with_text(".text", 3), "10001 programs", "4000 externs");
    check(&with_text("iter/tcp", CODE), "10001 programs", "4000 externs");
    // Slots of maps lead to every program.
    let mut object = with_text("iter/tcp", CODE);
    relocate(&mut object, ".maps", 3, 1);
    check(&object, "10001 programs", "13002 instructions");
    let with_relocations = |name: &str, flags: u64| {
        let object = programs(Object::with_iterator(&PROGRAM), 6_000);
        let mut object = with_symbols(object, 5_900, &undefined());
        relocate(&mut object, name, flags, 6_000);
        object
    };
    check(&with_relocations(".maps", 3), "6001 programs", "6000 slots of maps");
    check(&with_relocations("iter/tcp", CODE), "6001 programs", "5900 externs");
}
