//! `.BTF.ext` → which instructions have CO-RE relocations, and of which kind. Pure.
//!
//! Source: Documentation/bpf/btf.rst and include/uapi/linux/bpf.h, `struct bpf_core_relo`.

use std::collections::BTreeMap;

use super::layout::{Function, Layout};
use super::types::number;

/// The question of a relocation about the kernel's types: `enum bpf_core_relo_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A field: its offset, size, existence, sign or shifts.
    Field,
    /// The id of a type in the object.
    LocalType,
    /// A type of the kernel: its id, existence or size.
    Type,
    /// Whether a type of the kernel matches.
    TypeMatches,
    /// A value of an enum.
    EnumValue,
    /// A kind that iterctl does not know.
    Unknown(u32),
}

/// The relocations of every section, in the order of its instructions.
#[derive(Debug, Default)]
pub(super) struct CoreRelocations(BTreeMap<usize, BTreeMap<u64, Kind>>);

impl CoreRelocations {
    /// The kinds of the relocations in a function.
    pub(super) fn in_function(&self, function: &Function<'_>) -> impl Iterator<Item = Kind> {
        let all = self.0.get(&function.section);
        // A broken file may have functions that end before they begin.
        let range = function.start..function.end.max(function.start);
        all.into_iter().flat_map(move |all| all.range(range.clone()).map(|(_, kind)| *kind))
    }
}

/// Reads all relocations. Returns none if there is no BTF, or if it is cut short.
pub(super) fn relocations(layout: &Layout<'_>) -> CoreRelocations {
    let found = layout.section(".BTF.ext").and_then(|bytes| records(bytes, layout));
    CoreRelocations(found.unwrap_or_default())
}

fn records(bytes: &[u8], layout: &Layout<'_>) -> Option<BTreeMap<usize, BTreeMap<u64, Kind>>> {
    const CORE_RELO_OFF: usize = 24;
    let header = number(bytes, 4)? as usize;
    if header < CORE_RELO_OFF + 8 {
        return None;
    }
    let start = header.checked_add(number(bytes, CORE_RELO_OFF)? as usize)?;
    let end = start.checked_add(number(bytes, CORE_RELO_OFF + 4)? as usize)?;
    let bytes = bytes.get(start..end)?;
    let size = number(bytes, 0)? as usize;
    let mut found: BTreeMap<usize, BTreeMap<u64, Kind>> = BTreeMap::new();
    let mut rest = bytes.get(4..)?;
    while !rest.is_empty() && size >= 16 {
        let name = name(layout, number(rest, 0)?)?;
        let length = size.checked_mul(number(rest, 4)? as usize)?;
        let (records, after) = rest.get(8..)?.split_at_checked(length)?;
        let section = layout.sections.iter().position(|section| section.name == name);
        if let Some(section) = section {
            let all = found.entry(section).or_default();
            for record in records.chunks_exact(size) {
                all.insert(number(record, 0)?.into(), kind(number(record, 12)?));
            }
        }
        rest = after;
    }
    Some(found)
}

/// A name in the strings of `.BTF`.
fn name<'a>(layout: &Layout<'a>, offset: u32) -> Option<&'a str> {
    let btf = layout.section(".BTF")?;
    let strings = (number(btf, 4)? as usize).checked_add(number(btf, 16)? as usize)?;
    let text = btf.get(strings.checked_add(offset as usize)?..)?;
    std::str::from_utf8(text.split(|byte| *byte == 0).next()?).ok()
}

fn kind(number: u32) -> Kind {
    match number {
        0..=5 => Kind::Field,
        6 => Kind::LocalType,
        7..=9 => Kind::Type,
        10 | 11 => Kind::EnumValue,
        12 => Kind::TypeMatches,
        other => Kind::Unknown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Section;
    use super::*;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// The kinds of those in bytes 8 to 23 of `iter/task`, if `.BTF.ext` has a header of so many words and these.
    #[track_caller]
    fn check(header: usize, words: &[u32], expected: &[Kind]) {
        let btf = [bytes(&[0, 24, 0, 0, 0, 0]), b"\0iter/task\0iter/tcp\0".to_vec()].concat();
        let mut begin = vec![0; header];
        begin[1] = 4 * header as u32;
        match begin.get_mut(7) {
            Some(length) => *length = 4 * words.len() as u32,
            // The first word is the length then.
            None => begin[6] = 4,
        }
        let ext = bytes(&[&begin, words].concat());
        let mut layout = Layout::default();
        let sections =
            [("iter/tcp", &[][..]), ("iter/task", &[]), (".BTF", &btf), (".BTF.ext", &ext)];
        let sections = sections.map(|(name, bytes)| Section { name, bytes, is_code: false });
        layout.sections.extend(sections);
        let function = Function { name: "dump", section: 1, start: 8, end: 24 };
        let kinds: Vec<Kind> = relocations(&layout).in_function(&function).collect();
        assert_eq!(kinds, expected, "{words:?}");
    }

    #[test]
    fn relocations_are_those_of_the_functions_instructions() {
        let task = [16, 1, 4, 0, 1, 0, 5, 8, 1, 0, 0, 16, 1, 0, 8, 24, 1, 0, 12];
        check(8, &task, &[Kind::Field, Kind::Type]);
        check(10, &task, &[Kind::Field, Kind::Type]);
        let both = [16, 11, 1, 8, 1, 0, 6, 1, 1, 16, 1, 0, 11];
        check(8, &both, &[Kind::EnumValue]);
        check(8, &[20, 1, 1, 8, 1, 0, 12, 99], &[Kind::TypeMatches]);
    }

    #[test]
    fn what_is_cut_short_has_no_relocations() {
        let task = [16, 1, 1, 8, 1, 0, 13];
        check(8, &task, &[Kind::Unknown(13)]);
        check(8, &task[..6], &[]);
        check(8, &[8, 1, 1, 8, 1], &[]);
        // The header ends before it says how many bytes there are: they would be 28.
        check(7, &[28, 16, 1, 1, 8, 1, 0, 13], &[]);
    }
}
