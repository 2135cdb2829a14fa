//! Objects that libbpf would crash on are refused for the right reason, and objects that differ from them as
//! little as possible are not.

use iterctl_core::anatomy::anatomy;

use crate::build::*;

/// The first half of `BPF_LD | BPF_DW | BPF_IMM`.
pub(crate) const LOAD_64: [u8; 8] = [0x18, 0, 0, 0, 0, 0, 0, 0];

/// Checks the reason why the object is refused; an empty reason means that it is not.
#[track_caller]
pub(crate) fn check(object: &Object, expected: &str) {
    let said = anatomy(&object.to_bytes()).err().map(|why| why.to_string()).unwrap_or_default();
    assert!(
        said.contains(expected) && said.is_empty() == expected.is_empty(),
        "{expected:?}: {said:?}"
    );
}

#[test]
fn type_that_never_ends_is_refused() {
    // `skip_mods_and_typedefs()` would loop for ever.
    check(&with_map(|btf| btf.add("round", 8, 0, 1, &[])), "a type that holds itself: `round`");
    let two = |btf: &mut Btf| {
        btf.add("", 9, 0, 2, &[]);
        btf.add("", 10, 0, 1, &[])
    };
    check(&with_map(two), "a type that holds itself: `[1]`");
    let returns_nothing_known = |btf: &mut Btf| btf.add("", 13, 0, 1_000_000, &[]);
    let nothing_known = "its BTF names type 1000000, which is not there";
    check(&with_map(returns_nothing_known), nothing_known);
    // `btf__align_of()` would recurse for ever.
    let itself = |btf: &mut Btf| btf.add("s", 4, 1, 4, &[0, 1, 0]);
    check(&with_configuration(1, itself), "a type that holds itself: `s`");
    // It would recurse two to the power of 60 times.
    let tree = |btf: &mut Btf| {
        let mut id = character(btf);
        for _ in 0..60 {
            id = btf.add("", 4, 2, 1, &[0, id, 0, 0, id, 0]);
        }
        id
    };
    check(&with_configuration(1, tree), "its extern `CONFIG_X` is no value");
}

#[test]
fn list_through_a_pointer_is_no_endless_type() {
    let mut btf = Btf::default();
    btf.add("list", 4, 1, 8, &[0, 2, 0]);
    btf.add("", 2, 0, 1, &[]);
    check(&with_btf(&btf), "");
}

#[test]
fn configuration_that_does_not_fit_is_refused() {
    let expected = "its extern `CONFIG_X` is no value";
    // libbpf mistakes it for an error code, and that for an object: found by libFuzzer.
    check(&with_configuration(1, |btf| array(btf, 0xff00_0001)), expected);
    // Their offsets would not fit into 32 bits.
    check(&with_configuration(3, |btf| array(btf, 0x7fff_ffff)), expected);
    check(&with_configuration(100_000, |btf| array(btf, 0xffff)), expected);
}

#[test]
fn section_with_something_other_than_variables_is_refused() {
    // libbpf writes a linkage after each variable, here after the end of all types.
    let mut btf = Btf::default();
    let kind = character(&mut btf);
    let variable = btf.add("x", 14, 0, kind, &[2]);
    btf.add(".ksyms", 15, 2, 0, &[variable, 0, 0, 4, 0, 0]);
    btf.add("x", 8, 0, kind, &[]);
    let mut object = with_btf(&btf);
    object.symbols.push(Symbol::new("x", GLOBAL_UNTYPED, 0, 0, 0));
    check(&object, "its BTF lists something in `.ksyms` that is not a variable");
}

#[test]
fn half_instruction_is_refused() {
    // libbpf would write after the end of the code, as the offset of a variable.
    let mut object = Object::with_iterator(&[&PROGRAM[8..], &LOAD_64[..]].concat());
    let data = object.add(Section::new(".data", PROGBITS, 3, vec![0; 8]));
    object.symbols.push(Symbol::new("x", GLOBAL_OBJECT, data, 0, 8));
    object.add(Section::relocations(".reliter/task", 3, &[(8, 2)]));
    check(&object, "its function `tasks` ends within an instruction");
}

#[test]
fn sections_have_no_more_bytes_than_the_file() {
    let object = |more: u64| {
        let mut object = Object::with_iterator(&PROGRAM);
        let first = object.add(Section::new(".data.0", PROGBITS, 3, vec![1; 1024]));
        let size = Some(0);
        let other = Section::new(".data.1", PROGBITS, 3, Vec::new());
        object.add(Section { size, shares: Some(first.into()), ..other });
        let own: u64 = object.sections.iter().map(|section| section.bytes.len() as u64).sum();
        let bytes = object.to_bytes();
        let field = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("it is long"));
        // The sizes of the strings and of the symbols: sections 1 and 2.
        let table = field(40) as usize;
        let others = field(table + 64 + 32) + field(table + 2 * 64 + 32);
        object.sections.last_mut().expect("it was added").size =
            Some(bytes.len() as u64 - own - others + more);
        object
    };
    check(&object(0), "");
    check(&object(1), "its sections overlap in the file");
}

#[test]
fn sections_that_may_occur_once_are_refused_if_there_are_two() {
    for name in [".BTF", ".BTF.ext", ".maps"] {
        let mut object = Object::with_iterator(&PROGRAM);
        object.add(Section::new(name, PROGBITS, 3, Vec::new()));
        check(&object, "");
        object.add(Section::new(name, PROGBITS, 3, Vec::new()));
        check(&object, &format!("it has two sections `{name}`"));
    }
}

#[test]
fn strings_that_are_compressed_or_have_no_end_are_refused() {
    let mut object = Object::with_iterator(&PROGRAM);
    object.endless_strings = 1;
    check(&object, "its strings in section `.strtab` have no end");
    object = Object::with_iterator(&PROGRAM);
    object.compressed_strings = true;
    check(&object, "its strings in section `.strtab` have no end");
}

#[test]
fn other_byte_order_is_refused() {
    let mut btf = Btf::default().to_section();
    btf.bytes.swap(0, 1);
    let mut object = Object::with_iterator(&PROGRAM);
    object.add(btf);
    check(&object, "its BTF is of the other byte order");
}

#[test]
fn code_in_two_functions_is_accepted_and_in_three_refused() {
    let mut object = Object::with_iterator(&PROGRAM);
    let data = object.add(Section::new(".data", PROGBITS, 3, vec![0; 8]));
    // These are no functions of the code.
    object.symbols.push(Symbol::new("x", GLOBAL_FUNCTION, data, 0, 1 << 40));
    object.symbols.push(Symbol::new("y", GLOBAL_OBJECT, 3, 0, 1 << 40));
    object.symbols.push(Symbol::new("alias", GLOBAL_FUNCTION, 3, 0, 16));
    check(&object, "");
    object.symbols.push(Symbol::new("third", GLOBAL_FUNCTION, 3, 8, 1));
    check(&object, "its functions overlap");
    // Another section with code leaves room for it.
    object.add(Section::new("iter/tcp", PROGBITS, CODE, PROGRAM.to_vec()));
    check(&object, "");
}

#[test]
fn names_of_sections_count_once_for_each_function() {
    let object = |functions: u64| {
        let mut object = Object::with_iterator(&PROGRAM);
        let name = format!("iter/{}", "x".repeat((1 << 20) - 5));
        let section = object.add(Section::new(&name, PROGBITS, CODE, PROGRAM.to_vec()));
        let one = Symbol::new("f", GLOBAL_FUNCTION, section, 0, 0);
        // The name of section 3 counts too.
        object.symbols[0] = one.clone();
        object.symbols.extend((1..functions).map(|_| one.clone()));
        object
    };
    check(&object(64), "");
    check(&object(65), "its names are too long");
}

#[test]
fn names_share_bytes_up_to_a_limit() {
    let object = |length: usize| {
        let mut object = Object::with_iterator(&PROGRAM);
        object.symbols.insert(0, Symbol::new(&"x".repeat(length), 0, 3, 0, 0));
        object.more = 1023;
        object
    };
    // 64 MiB, of which some bytes are needed for other names.
    check(&object(65_535), "");
    check(&object(65_536), "its names are too long");
}

#[test]
fn configuration_has_room_up_to_a_limit() {
    let expected = "its extern `CONFIG_X` is no value";
    // One MiB, with the pointer that each value takes.
    check(&with_configuration(1, |btf| array(btf, (1 << 20) - 8)), "");
    check(&with_configuration(1, |btf| array(btf, (1 << 20) - 7)), expected);
    let pointers = |number| {
        move |btf: &mut Btf| {
            let pointer = btf.add("", 2, 0, 0, &[]);
            btf.add("", 3, 0, 0, &[pointer, pointer, number])
        }
    };
    check(&with_configuration(1, pointers((1 << 17) - 1)), "");
    check(&with_configuration(1, pointers(1 << 17)), expected);
    check(&with_configuration(2, |btf| array(btf, (1 << 19) - 8)), "");
    check(&with_configuration(2, |btf| array(btf, (1 << 19) - 7)), expected);
    // These are in the file, or have no name, or no size.
    let large = |btf: &mut Btf| array(btf, 1 << 20);
    let mut object = with_configuration(1, large);
    object.symbols[1].section = 3;
    check(&object, "");
    let mut object = with_configuration(0, large);
    object.symbols.insert(0, Symbol::new("other", GLOBAL_UNTYPED, 0, 0, 0));
    object.more = 1 << 17;
    check(&object, "");
}

#[test]
fn only_the_kernels_configuration_is_limited() {
    let object = |section: &str, composite: bool| {
        let mut btf = Btf::default();
        let kind =
            if composite { btf.add("s", 4, 0, 8, &[]) } else { array(&mut btf, 0x7fff_ffff) };
        let variable = btf.add(NAME, 14, 0, kind, &[2]);
        btf.add(section, 15, 1, 0, &[variable, 0, 0]);
        let mut object = with_btf(&btf);
        object.symbols.push(Symbol::new(NAME, GLOBAL_UNTYPED, 0, 0, 0));
        object
    };
    for composite in [true, false] {
        check(&object(".ksyms", composite), "");
        check(&object(".kconfig", composite), "its extern `CONFIG_X` is no value");
    }
}
