//! BPF instructions, decoded as far as needed to see what a program uses. Pure.
//!
//! Source: Documentation/bpf/standardization/instruction-set.rst and include/uapi/linux/bpf.h.

use std::collections::BTreeMap;

use super::layout::{Function, INSTRUCTION, Layout};
use crate::target::Target;

/// One instruction of 8 bytes. The second half of a 64-bit load does not count as one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction {
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: i32,
}

/// `BPF_LD | BPF_DW | BPF_IMM`.
const LOAD_64: u8 = 0x18;
/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_CALL` and `BPF_PSEUDO_FUNC`.
const PSEUDO_CALL: u8 = 1;
const PSEUDO_FUNCTION: u8 = 4;
/// Instruction classes: the lowest three bits of the opcode.
const LDX: u8 = 0x01;
const ALU64: u8 = 0x07;
/// `BPF_STX | BPF_MEM | BPF_DW`, `BPF_LDX | BPF_MEM | BPF_DW`, `BPF_ALU64 | BPF_MOV | BPF_X` and
/// `BPF_ALU64 | BPF_ADD | BPF_K`.
const STORE_64: u8 = 0x7b;
const FETCH_64: u8 = 0x79;
const MOVE: u8 = 0xbf;
const ADD: u8 = 0x07;
/// The frame pointer.
const R10: u8 = 10;

/// Every instruction with its offset in bytes.
pub(super) fn instructions(code: &[u8]) -> impl Iterator<Item = (u64, Instruction)> {
    let (chunks, _) = code.as_chunks::<8>();
    let mut is_second_half = false;
    chunks.iter().enumerate().filter_map(move |(number, bytes)| {
        if std::mem::take(&mut is_second_half) {
            return None;
        }
        let [code, registers, o1, o2, i1, i2, i3, i4] = *bytes;
        is_second_half = code == LOAD_64;
        // The two registers are nibbles: in a little-endian object the destination is the low one.
        let (low, high) = (registers & 0xf, registers >> 4);
        let is_little = cfg!(target_endian = "little");
        let instruction = Instruction {
            code,
            destination: if is_little { low } else { high },
            source: if is_little { high } else { low },
            offset: i16::from_ne_bytes([o1, o2]),
            immediate: i32::from_ne_bytes([i1, i2, i3, i4]),
        };
        Some((number as u64 * INSTRUCTION, instruction))
    })
}

impl Instruction {
    /// The offset in a section that it refers to, if its relocation names a symbol at `symbol`. The
    /// immediate of a call counts instructions from the next one; that of an address counts bytes.
    pub(super) fn target(self, symbol: u64) -> u64 {
        let offset = match self.code {
            CALL => (i64::from(self.immediate) + 1) * INSTRUCTION as i64,
            _ => i64::from(self.immediate),
        };
        symbol.wrapping_add_signed(offset)
    }

    /// The offset in the same section that a call or an address without a relocation refers to.
    pub(super) fn local_target(self, at: u64) -> Option<u64> {
        let is_local = (self.code == CALL && self.source == PSEUDO_CALL)
            || (self.code == LOAD_64 && self.source == PSEUDO_FUNCTION);
        let offset = (i64::from(self.immediate) + 1) * INSTRUCTION as i64;
        is_local.then(|| at.wrapping_add_signed(offset))
    }

    /// The number of the helper that it calls.
    pub(super) fn helper(self) -> Option<u32> {
        (self.code == CALL && self.source == 0).then(|| self.immediate.cast_unsigned())
    }
}

impl<'a> Layout<'a> {
    /// The bytes of a function.
    pub(super) fn code(&self, function: &Function<'_>) -> &'a [u8] {
        let bytes = self.sections.get(function.section).map_or(&[][..], |section| section.bytes);
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        bytes.get(place(function.start)..place(function.end)).unwrap_or_default()
    }
}

/// The value of a register or of a place on the stack.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Context,
    /// A pointer that was loaded from this offset of the context.
    Field(i16),
}

/// Whether the program reads the kernel's memory through a pointer from its context.
///
/// This looks at every instruction once, in the order of the file, and does not follow branches. It misses
/// some reads, but is good enough for a warning.
pub(super) fn reads_kernel(layout: &Layout<'_>, function: &Function<'_>) -> bool {
    let section = layout.sections.get(function.section).map_or("", |section| section.name);
    let Some(target) = Target::from_section(section) else { return false };
    let mut registers: BTreeMap<u8, Held> = [(1, Held::Context)].into();
    let mut stack: BTreeMap<i16, Held> = BTreeMap::new();
    for (_, one) in instructions(layout.code(function)) {
        let source = registers.get(&one.source).copied();
        match (one.code, one.code & 0x07) {
            (MOVE, _) => set(&mut registers, one.destination, source),
            (ADD, _) => {}
            (FETCH_64, _) if one.source == R10 => {
                set(&mut registers, one.destination, stack.get(&one.offset).copied());
            }
            (FETCH_64, _) if source == Some(Held::Context) => {
                set(&mut registers, one.destination, Some(Held::Field(one.offset)));
            }
            (_, LDX) => {
                if source.is_some_and(|held| held.is_kernel_memory(&target)) {
                    return true;
                }
                set(&mut registers, one.destination, None);
            }
            (STORE_64, _) if one.destination == R10 => set(&mut stack, one.offset, source),
            (CALL, _) => {
                let read = registers.get(&3).is_some_and(|held| held.is_kernel_memory(&target));
                if read && one.helper().is_some_and(|helper| READERS.contains(&helper)) {
                    return true;
                }
                (0..=5).for_each(|register| set(&mut registers, register, None));
            }
            (LOAD_64, _) | (_, ALU64) => set(&mut registers, one.destination, None),
            _ => {}
        }
    }
    false
}

/// `bpf_probe_read`, `_str`, `_kernel` and `_kernel_str`: they read what their third argument points to.
const READERS: [u32; 4] = [4, 45, 113, 115];

fn set<K: Ord>(places: &mut BTreeMap<K, Held>, place: K, held: Option<Held>) {
    match held {
        Some(held) => places.insert(place, held),
        None => places.remove(&place),
    };
}

impl Held {
    /// Whether it points to a structure of the kernel. Two kinds of pointers do not count: `meta`, the
    /// first member of every context, has not changed since Linux 5.8; keys and values of maps are the
    /// object's own (`struct bpf_iter__…` in kernel/bpf/map_iter.c, net/core/bpf_sk_storage.c and
    /// net/core/sock_map.c).
    fn is_kernel_memory(self, target: &Target) -> bool {
        let Self::Field(offset) = self else { return false };
        let own: &[i16] = match target.as_str() {
            "bpf_map_elem" => &[0, 16, 24],
            "bpf_sk_storage_map" => &[0, 24],
            "sockmap" => &[0, 16],
            _ => &[0],
        };
        !own.contains(&offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Section;
    use super::*;

    fn one(code: u8, (destination, source): (u8, u8), offset: i16, immediate: i32) -> [u8; 8] {
        let registers = match cfg!(target_endian = "little") {
            true => source << 4 | destination,
            false => destination << 4 | source,
        };
        let ([o1, o2], [i1, i2, i3, i4]) = (offset.to_ne_bytes(), immediate.to_ne_bytes());
        [code, registers, o1, o2, i1, i2, i3, i4]
    }

    /// The target of a second instruction without a relocation, and the helper that it calls.
    #[track_caller]
    fn check_call(code: u8, source: u8, immediate: i32, target: Option<u64>, helper: Option<u32>) {
        let bytes = [one(MOVE, (1, 2), 0, 0), one(code, (0, source), 0, immediate)].concat();
        let (at, instruction) = instructions(&bytes).nth(1).expect("there are two");
        assert_eq!((instruction.local_target(at), instruction.helper()), (target, helper));
    }

    #[test]
    fn calls_and_addresses_of_functions_are_in_the_same_section() {
        check_call(CALL, PSEUDO_CALL, 1, Some(24), None);
        check_call(CALL, PSEUDO_CALL, -2, Some(0), None);
        check_call(CALL, 0, 126, None, Some(126));
        check_call(LOAD_64, PSEUDO_FUNCTION, 1, Some(24), None);
        check_call(LOAD_64, PSEUDO_CALL, 1, None, None);
        check_call(LOAD_64, 0, 1, None, None);
        check_call(MOVE, 0, 1, None, None);
    }

    #[test]
    fn calls_count_instructions_and_addresses_bytes() {
        let target = |code: u8, immediate: i32| {
            let bytes = one(code, (0, 0), 0, immediate);
            instructions(&bytes).next().map(|(_, instruction)| instruction.target(8))
        };
        assert_eq!(target(CALL, 1), Some(24));
        assert_eq!(target(CALL, -2), Some(0));
        assert_eq!(target(LOAD_64, 3), Some(11));
    }

    #[test]
    fn the_second_half_of_a_load_is_no_instruction() {
        let load = one(LOAD_64, (1, 0), 0, 0);
        let bytes = [load, load, load, load, one(CALL, (0, 0), 0, 1)].concat();
        let places: Vec<u64> = instructions(&bytes).map(|(at, _)| at).collect();
        assert_eq!(places, [0, 16, 32]);
    }

    /// Whether a program in that section reads the kernel's memory.
    #[track_caller]
    fn check(section: &str, code: &[[u8; 8]], expected: bool) {
        let bytes = code.concat();
        let end = bytes.len() as u64;
        let section = Section { name: section, bytes: &bytes, is_code: true };
        let mut layout = Layout::default();
        layout.sections.push(section);
        let function = Function { name: "dump", section: 0, start: 0, end };
        assert_eq!(reads_kernel(&layout, &function), expected, "{code:?}");
    }

    /// `BPF_LDX | BPF_MEM | BPF_W` and `BPF_ALU64 | BPF_MOV | BPF_K`.
    const FETCH_32: u8 = 0x61;
    const SET: u8 = 0xb7;

    /// The instruction that loads the pointer at that offset of the context.
    fn field(register: u8, offset: i16) -> [u8; 8] {
        one(FETCH_64, (register, 1), offset, 0)
    }

    fn read(register: u8) -> [u8; 8] {
        one(FETCH_32, (0, register), 0, 0)
    }

    #[test]
    fn reading_through_a_pointer_of_the_context_is_found() {
        let is_found = |code: &[[u8; 8]]| check("iter/task", code, true);
        is_found(&[field(2, 8), read(2)]);
        is_found(&[field(2, 8), one(FETCH_64, (3, 2), 0, 0)]);
        is_found(&[field(2, 8), one(MOVE, (6, 2), 0, 0), one(CALL, (0, 0), 0, 126), read(6)]);
        is_found(&[field(2, 8), one(ADD, (2, 0), 0, 16), read(2)]);
        let (spill, fill) = (one(STORE_64, (10, 2), -8, 0), one(FETCH_64, (4, 10), -8, 0));
        is_found(&[field(2, 8), spill, fill, read(4)]);
        is_found(&[field(3, 8), one(CALL, (0, 0), 0, 113)]);
    }

    #[test]
    fn reading_something_else_is_not_taken_for_it() {
        let is_other = |code: &[[u8; 8]]| check("iter/task", code, false);
        is_other(&[field(2, 0), read(2)]);
        is_other(&[read(1)]);
        is_other(&[one(FETCH_64, (4, 7), 8, 0), read(4)]);
        is_other(&[field(2, 8), one(SET, (2, 0), 0, 1), read(2)]);
        let load = one(LOAD_64, (2, 0), 0, 0);
        is_other(&[field(2, 8), load, load, read(2)]);
        is_other(&[field(2, 8), one(FETCH_32, (2, 7), 0, 0), read(2)]);
        is_other(&[field(2, 8), one(CALL, (0, 0), 0, 113), read(2)]);
        is_other(&[field(3, 8), one(CALL, (0, 0), 0, 126)]);
        let elsewhere = one(STORE_64, (7, 2), -8, 0);
        is_other(&[field(2, 8), elsewhere, one(FETCH_64, (4, 10), -8, 0), read(4)]);
        check("tracepoint/task", &[field(2, 8), read(2)], false);
    }

    #[test]
    fn keys_and_values_of_maps_are_not_the_kernels() {
        for (target, own, other) in
            [("bpf_map_elem", 16, 8), ("bpf_sk_storage_map", 24, 16), ("sockmap", 16, 24)]
        {
            let section = format!("iter/{target}");
            check(&section, &[field(2, own), read(2)], false);
            check(&section, &[field(2, other), read(2)], true);
        }
    }
}
