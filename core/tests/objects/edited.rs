//! Objects that are changed before libbpf sees them: nothing else in them changes.

use std::collections::BTreeSet;

use iterctl_core::anatomy::{Malformed, with_weak_externs, without_slots};

use crate::build::*;
use crate::needs::{names, with_slots};

#[test]
fn externs_become_weak_and_keep_their_type() {
    let object = |infos: [u8; 3]| {
        let mut object = Object::with_iterator(&PROGRAM);
        for (name, info) in ["a", "b", "c"].iter().zip(infos) {
            object.symbols.push(Symbol::new(name, info, 0, 0, 0));
        }
        object.to_bytes()
    };
    let before = object([0x12, 0x11, 0x10]);
    let weak = |weak: &str| with_weak_externs(&before, &names(weak)).expect("the object is good");
    assert!(weak("a") == object([0x22, 0x11, 0x10]));
    assert!(weak("b c") == object([0x12, 0x21, 0x20]));
    assert!(weak("tasks d") == before, "only externs have bindings to change");
}

#[test]
fn maps_lose_their_slots_and_others_keep_theirs() {
    let slots = [(8, 4), (16, 3), (0, 6), (24, 2)];
    let before = with_slots(&slots);
    // The slots that are kept move to the front, and the size becomes theirs.
    let expected = |kept: &[(u64, u32)]| {
        let mut object = before.clone();
        let section = object.sections.last_mut().expect("it has slots");
        let kept = Section::relocations("", 5, kept).bytes;
        section.bytes[..kept.len()].copy_from_slice(&kept);
        section.size = Some(kept.len() as u64);
        object.to_bytes()
    };
    let before = before.to_bytes();
    let without = |maps: &[&str]| {
        let maps: BTreeSet<&str> = maps.iter().copied().collect();
        without_slots(&before, &maps).expect("the object is good")
    };
    assert!(without(&["a"]) == expected(&[(16, 3), (24, 2)]));
    assert!(without(&["b"]) == expected(&[(8, 4), (0, 6)]));
    assert!(without(&["a", "b"]) == expected(&[]));
    assert!(without(&["c", "tasks"]) == before, "they have none");
}

#[test]
fn objects_without_symbols_are_not_changed() {
    let mut bytes = Object::with_iterator(&PROGRAM).to_bytes();
    let table = u64::from_le_bytes(*bytes[40..].first_chunk().expect("it is long")) as usize;
    bytes[table + 2 * 64 + 4] = 1;
    assert_eq!(with_weak_externs(&bytes, &names("a")), Err(Malformed::NoSymbols));
    assert_eq!(without_slots(&bytes, &BTreeSet::from(["a"])), Err(Malformed::NoSymbols));
}
