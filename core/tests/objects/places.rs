//! Objects are refused if something in them lies beyond the end of its section, or within an instruction.

use crate::build::*;
use crate::refused::{LOAD_64, check};

#[test]
fn core_relocation_within_an_instruction_is_refused() {
    // libbpf would leak 168 bytes: found by libFuzzer.
    let object = |place: u32| {
        let mut btf = Btf::default();
        let kind = btf.add("s", 4, 0, 4, &[]);
        let (section, access) = (btf.string("iter/task"), btf.string("0"));
        let mut object = with_btf(&btf);
        let records = [16, section, 1, place, kind, access, 8];
        let header = [0x0001_eb9f, 32, 0, 0, 0, 0, 0, 4 * records.len() as u32];
        let words = header.iter().chain(&records).flat_map(|word| word.to_le_bytes());
        object.add(Section::new(".BTF.ext", PROGBITS, 0, words.collect()));
        object
    };
    check(&object(4), "it has a CO-RE relocation within an instruction");
    check(&object(8), "");
}

#[test]
fn struct_ops_beyond_their_section_are_refused() {
    let object = |offset: u32, size: u32, place: u64| {
        let mut btf = Btf::default();
        let member = btf.string("f");
        let kind = btf.add("ops", 4, 1, size, &[member, 0, 32]);
        let variable = btf.add("x", 14, 0, kind, &[1]);
        btf.add(".struct_ops", 15, 1, 8, &[variable, offset, size]);
        let mut object = with_btf(&btf);
        let section = object.add(Section::new(".struct_ops", PROGBITS, 3, vec![0; 16]));
        object.symbols.push(Symbol::new("x", GLOBAL_OBJECT, section, 0, 8));
        object.add(Section::relocations(".rel.struct_ops", section.into(), &[(place, 1)]));
        object
    };
    let expected = "something in its section `.struct_ops` lies beyond";
    // Offset and size add up to 16 in 32 bits.
    check(&object(0xffff_fff0, 0x20, 0), expected);
    // A pointer would be written to the last four bytes of the variable, and four after it.
    check(&object(0, 8, 4), expected);
}

#[test]
fn relocation_beyond_its_section_is_refused() {
    let expected = "something in its section `.maps` lies beyond";
    // libbpf would allocate as many slots as fit before it.
    for place in [0xffff_ff00, u64::MAX - 7] {
        let mut object = with_map(|btf| {
            let array = array(btf, 3);
            btf.add("", 2, 0, array, &[])
        });
        let maps = u32::from(object.symbols[1].section);
        object.add(Section::relocations(".rel.maps", maps, &[(place, 1)]));
        check(&object, expected);
        let maps = object
            .sections
            .iter_mut()
            .find(|section| section.name == ".maps")
            .expect("the object has maps");
        *maps = Section { kind: NOBITS, size: Some(0xffff_ffff), ..maps.clone() };
        check(&object, "its section `.maps` is empty");
    }
    let mut object = Object::with_iterator(&[&LOAD_64[..], &[0; 8], &PROGRAM].concat());
    let table = object.add(Section::new(".jumptables", PROGBITS, 3, vec![0; 16]));
    object.symbols.push(Symbol::new("x", GLOBAL_OBJECT, table, 0xffff_fff8, 16));
    object.add(Section::relocations(".reliter/task", 3, &[(0, 2)]));
    check(&object, "something in its section `.jumptables` lies beyond");
}

/// An object with this `.BTF.ext`.
fn with_info(words: &[u32]) -> Object {
    let mut object = with_btf(&Btf::default());
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    object.add(Section::new(".BTF.ext", PROGBITS, 0, bytes));
    object
}

#[test]
fn core_relocations_are_found_if_the_header_says_so() {
    let within = "it has a CO-RE relocation within an instruction";
    let object = |header: u32, length: u32, records: &[u32]| {
        // They are after the 32 bytes of the header, also if it says that it is shorter.
        let offset = 32 - header;
        with_info(&[&[0x0001_eb9f, header, 0, 0, 0, 0, offset, length], records].concat())
    };
    let good = [16, 1, 1, 8, 1, 1, 1];
    check(&object(32, 28, &good), "");
    let mut bad = good;
    bad[3] = 12;
    check(&object(32, 28, &bad), within);
    // The header ends before it says where they are, or how many.
    check(&object(31, 28, &bad), "");
    check(&object(24, 28, &bad), "");
    check(&object(32, 27, &bad), "");
    check(&object(32, 32, &bad), "");
    // Those of a second section, and the second one of the first.
    check(&object(32, 52, &[&good[..], &[1, 1, 12, 1, 1, 1]].concat()), within);
    let two = [16, 1, 2, 8, 1, 1, 1, 12, 1, 1, 1];
    check(&object(32, 44, &two), within);
    // Records without a size.
    check(&object(32, 12, &[0, 1, 1]), "");
}

#[test]
fn relocations_reach_the_end_of_their_section() {
    let object = |name: &str, flags: u64, place: u64| {
        let mut object = Object::with_iterator(&PROGRAM);
        let section = object.add(Section::new(name, PROGBITS, flags, vec![0; 16]));
        object.add(Section::relocations(".rel", section.into(), &[(place, 1)]));
        object
    };
    for (name, flags) in [
        ("iter/tcp", CODE),
        (".maps", 3),
        (".struct_ops", 3),
        ("?.struct_ops", 3),
        (".struct_ops.link", 3),
        ("?.struct_ops.link", 3),
    ] {
        check(&object(name, flags, 8), "");
        let expected = format!("something in its section `{name}` lies beyond");
        check(&object(name, flags, 9), &expected);
    }
    // libbpf does not look at these.
    check(&object(".data", 3, 9), "");
}

#[test]
fn jump_tables_reach_the_end_of_their_section() {
    let object = |name: &str, start: u64| {
        let mut object = Object::with_iterator(&PROGRAM);
        let table = object.add(Section::new(name, PROGBITS, 3, vec![0; 16]));
        object.symbols.push(Symbol::new("x", GLOBAL_OBJECT, table, start, 8));
        object
    };
    check(&object(".jumptables", 8), "");
    check(&object(".jumptables", 9), "something in its section `.jumptables` lies beyond");
    check(&object(".data", 9), "");
}

/// `struct_ops` in a section of 16 bytes: the variables, by offset and size, and the place of a relocation.
fn with_struct_ops(variables: &[(u32, u32)], place: Option<u64>) -> Object {
    let mut btf = Btf::default();
    let mut list = Vec::new();
    for (at, (offset, size)) in variables.iter().enumerate() {
        let kind = btf.add("ops", 4, 0, *size, &[]);
        let variable = btf.add(&format!("v{at}"), 14, 0, kind, &[1]);
        list.extend([variable, *offset, *size]);
    }
    btf.add(".struct_ops", 15, variables.len() as u32, 16, &list);
    let mut object = with_btf(&btf);
    let section = object.add(Section::new(".struct_ops", PROGBITS, 3, vec![0; 16]));
    let places: Vec<_> = place.into_iter().map(|place| (place, 1)).collect();
    object.add(Section::relocations(".rel.struct_ops", section.into(), &places));
    object
}

#[test]
fn struct_ops_fit_into_their_section() {
    let beyond = "something in its section `.struct_ops` lies beyond";
    check(&with_struct_ops(&[(0, 16)], Some(8)), "");
    check(&with_struct_ops(&[(8, 8)], Some(8)), "");
    check(&with_struct_ops(&[(8, 8)], Some(0)), "");
    check(&with_struct_ops(&[(1, 16)], None), beyond);
    check(&with_struct_ops(&[(9, 8)], None), beyond);
    // Pointers that are partly in the variable, from its second to its last byte.
    check(&with_struct_ops(&[(0, 8)], Some(1)), beyond);
    check(&with_struct_ops(&[(0, 8)], Some(7)), beyond);
    check(&with_struct_ops(&[(0, 8)], Some(8)), "");
    check(&with_struct_ops(&[(0, 4)], Some(0)), beyond);
    check(&with_struct_ops(&[(8, 4)], Some(5)), "");
    check(&with_struct_ops(&[(8, 4)], Some(8)), beyond);
    // All have room by themselves.
    check(&with_struct_ops(&[(0, 8), (0, 8)], None), "");
    check(&with_struct_ops(&[(0, 8), (0, 8), (0, 8)], None), beyond);
}

#[test]
fn struct_ops_are_where_the_first_global_variable_of_their_name_is() {
    /// `STB_WEAK` with `STT_OBJECT`, and `STB_LOCAL` with it.
    const WEAK_OBJECT: u8 = 0x21;
    const LOCAL_OBJECT: u8 = 0x01;
    let beyond = "something in its section `.struct_ops` lies beyond";
    let object = |symbols: &[(&str, u8, u64)]| {
        let mut object = with_struct_ops(&[(0, 8)], None);
        for (name, info, start) in symbols {
            object.symbols.push(Symbol::new(name, *info, 6, *start, 8));
        }
        object
    };
    check(&object(&[("v0", GLOBAL_OBJECT, 8)]), "");
    check(&object(&[("v0", GLOBAL_OBJECT, 9)]), beyond);
    check(&object(&[("v0", WEAK_OBJECT, 9)]), beyond);
    check(&object(&[("v0", LOCAL_OBJECT, 9)]), "");
    check(&object(&[("v0", GLOBAL_UNTYPED, 9)]), "");
    check(&object(&[("v1", GLOBAL_OBJECT, 9)]), "");
    check(&object(&[("v0", GLOBAL_OBJECT, 8), ("v0", GLOBAL_OBJECT, 9)]), "");
    check(&object(&[("v0", GLOBAL_OBJECT, 9), ("v0", GLOBAL_OBJECT, 8)]), beyond);
}
