//! The types that libbpf comes to an end with, and those that it does not.

use super::{Kind, LONGEST_NAME, MAGIC, Types, Unsound};

/// BTF of these types, each with the words of its `struct btf_type` and of what follows it, and these strings.
fn btf(types: &[&[u32]], strings: &str) -> Vec<u8> {
    let types = types.concat();
    let (length, strings_length) = (4 * types.len() as u32, strings.len() as u32);
    let header = [24, 0, length, length, strings_length];
    let words = header.iter().chain(&types).flat_map(|word| word.to_ne_bytes());
    // Its version and flags are after the magic.
    let begin = MAGIC.to_ne_bytes().into_iter().chain([1, 0]);
    begin.chain(words).chain(strings.bytes()).collect()
}

const fn info(kind: u32, members: u32) -> u32 {
    kind << 24 | members
}

const INT: &[u32] = &[1, info(1, 0), 4, 32];

/// The names are `a`, at 1, and `.ksyms`, at 3.
#[track_caller]
fn check(types: &[&[u32]], expected: Result<(), Unsound>) {
    let btf = btf(types, "\0a\0.ksyms\0");
    let read = Types::read(&btf).expect("the bytes are in order");
    assert_eq!(read.len(), types.len(), "all are read");
    assert_eq!(read.check(), expected, "{types:?}");
}

#[test]
fn types_that_hold_themselves_are_found() {
    let itself = |name: &str| Err(Unsound::HoldsItself(name.to_owned()));
    check(&[&[1, info(8, 0), 1]], itself("a"));
    check(&[&[0, info(10, 0), 1]], itself("[1]"));
    check(&[&[1, info(14, 0), 1, 0]], itself("a"));
    check(&[&[0, info(3, 0), 0, 1, 1, 2]], itself("[1]"));
    check(&[INT, &[1, info(4, 3), 12, 0, 1, 0, 0, 1, 32, 0, 2, 64]], itself("a"));
    check(&[&[1, info(9, 0), 2], &[0, info(11, 0), 1]], itself("a"));
    check(&[INT, &[1, info(4, 2), 8, 0, 1, 0, 0, 1, 32], &[0, info(3, 0), 0, 2, 1, 2]], Ok(()));
    check(&[&[1, info(5, 1), 8, 0, 2, 0], &[0, info(2, 0), 1]], Ok(()));
    check(&[&[1, info(8, 0), 9]], Ok(()));
}

#[test]
fn a_function_returns_a_type_that_is_there() {
    check(&[&[0, info(13, 0), 2]], Err(Unsound::NoType(2)));
    check(&[&[0, info(13, 0), 1]], Ok(()));
    check(&[&[0, info(13, 0), 0]], Ok(()));
}

#[test]
fn sections_list_variables() {
    let none = |name: &str| Err(Unsound::NoVariable(name.to_owned()));
    let variable: &[u32] = &[1, info(14, 0), 1, 1];
    let function: &[u32] = &[1, info(12, 0), 0];
    let section = |name: u32, id: u32| [name, info(15, 2), 0, 2, 0, 4, id, 4, 4];
    check(&[INT, variable, &section(1, 2)], Ok(()));
    check(&[INT, variable, &section(1, 1)], none("a"));
    check(&[INT, variable, &section(1, 9)], none("a"));
    check(&[INT, variable, function, &section(1, 3)], none("a"));
    check(&[INT, variable, function, &section(3, 3)], Ok(()));
    let btf = btf(&[INT, variable, &section(3, 2)], "\0a\0.ksyms\0");
    let types = Types::read(&btf).expect("the bytes are in order");
    let (name, list) = types.sections().next().expect("there is one");
    let places: Vec<_> = list.variables().map(|one| (one.id, one.offset)).collect();
    assert_eq!((name, places), (".ksyms", vec![(2, 0), (2, 4)]));
}

#[test]
fn names_have_an_end() {
    let long = format!("\0{}\0b\0", "x".repeat(LONGEST_NAME + 2));
    let is_long = |one: &[u32]| {
        let btf = btf(&[one], &long);
        let types = Types::read(&btf).expect("the bytes are in order");
        assert_eq!(types.len(), 1, "it is read");
        types.check() == Err(Unsound::LongName)
    };
    // A name may begin within another.
    for name in [1, 2] {
        assert!(is_long(&[name, info(7, 0), 0]), "{name}");
    }
    for short in [0, 3, LONGEST_NAME as u32 + 4] {
        assert!(!is_long(&[short, info(7, 0), 0]), "{short}");
    }
    for tag in [&[1, info(17, 0), 0, 0][..], &[1, info(18, 0), 0]] {
        assert!(!is_long(tag), "the texts of tags may be long");
    }
    for (kind, stride) in [(4, 3), (5, 3), (19, 3), (6, 2), (13, 2)] {
        let mut one = vec![0; 3 + 2 * stride];
        one[1] = info(kind, 2);
        assert!(!is_long(&one), "{kind}");
        for at in [3, 3 + stride] {
            one[at] = 1;
            assert!(is_long(&one), "{kind}");
            one[at] = 0;
        }
    }
}

#[test]
fn elements_are_behind_arrays_and_names() {
    let (three, five) = ([0, info(3, 0), 0, 1, 1, 3], [0, info(3, 0), 0, 3, 1, 5]);
    let btf = btf(&[INT, &three, &[1, info(8, 0), 2], &five, &[0, info(2, 0), 1]], "\0a\0");
    let types = Types::read(&btf).expect("the bytes are in order");
    let element = |id| types.element(id).map(|(one, number)| (one.kind(), one.size, number));
    assert_eq!(element(1), Some((Kind::Sized, 4, 1)));
    assert_eq!(element(4), Some((Kind::Sized, 4, 15)));
    assert_eq!(element(5), Some((Kind::Pointer, 1, 1)));
    assert_eq!((element(0), element(6)), (None, None));
}

#[test]
fn no_more_names_are_looked_through_than_libbpf_does() {
    let alias = |id: u32| [1, info(8, 0), id];
    let aliases: Vec<[u32; 3]> = (1..=32).map(alias).collect();
    let all: Vec<&[u32]> = [INT].into_iter().chain(aliases.iter().map(|one| &one[..])).collect();
    let btf = btf(&all, "\0a\0");
    let types = Types::read(&btf).expect("the bytes are in order");
    assert!(types.element(32).is_some());
    assert!(types.element(33).is_none());
}

#[test]
fn what_is_no_btf_is_nothing() {
    let good = btf(&[INT], "\0a\0");
    let length = |bytes: &[u8]| Types::read(bytes).map(|types| types.len());
    assert_eq!(length(&good), Ok(1));
    assert_eq!(length(&good[..good.len() - 1]), Ok(0), "the strings are cut short");
    assert_eq!(length(&btf(&[&[0, info(20, 0), 0]], "\0")), Ok(0), "no such kind");
    assert_eq!(length(&btf(&[&INT[..3]], "\0")), Ok(0), "the type is cut short");
    assert_eq!(length(&[]), Ok(0));
    let mut other = good;
    other[0] ^= 1;
    assert_eq!(length(&other), Ok(0), "the magic is another one");
    other[0] ^= 1;
    other.swap(0, 1);
    assert_eq!(length(&other), Err(Unsound::OtherByteOrder));
}
