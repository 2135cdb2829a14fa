//! The places of numbers in an ELF file that libbpf trusts. Most of the other bytes of an object are code
//! and text, where any value is accepted, or DWARF, which is not read.

use std::ops::Range;

/// The sections with types, relocations, symbols and definitions of maps, and the section table itself.
/// None if the file is no longer an ELF file.
pub(crate) fn places(bytes: &[u8]) -> Vec<Range<usize>> {
    find(bytes).unwrap_or_default()
}

fn find(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    const HEADER: usize = 64;
    let table = word(bytes, 40)?;
    let number = usize::from(half(bytes, 60)?);
    // Only values within the file, so that additions do not overflow.
    let header = |index: usize| {
        let at = table.checked_add(index * HEADER)?;
        (at <= bytes.len()).then_some(at)
    };
    let place = |at: usize| {
        let start = word(bytes, at + 24)?;
        let end = start.checked_add(word(bytes, at + 32)?)?;
        (start < end && end <= bytes.len()).then_some(start..end)
    };
    let names = place(header(usize::from(half(bytes, 62)?))?)?;
    let mut places = Vec::new();
    for index in 1..number {
        let Some(at) = header(index) else { break };
        let name = names.start.checked_add(quarter(bytes, at)?)?;
        let name = bytes.get(name..names.end)?.split(|byte| *byte == 0).next()?;
        let is_debug = name.starts_with(b".debug") || name.starts_with(b".rel.debug");
        // SHT_SYMTAB and SHT_REL.
        let is_table = matches!(quarter(bytes, at + 4)?, 2 | 9);
        let is_known = [&b".BTF"[..], b".BTF.ext", b".maps"].contains(&name);
        if !is_debug && (is_table || is_known) {
            places.extend(place(at));
        }
    }
    let end = header(number).unwrap_or(bytes.len());
    places.extend((table < end).then_some(table..end));
    Some(places)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

fn quarter(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
