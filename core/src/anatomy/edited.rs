//! An object's bytes → the same bytes without the parts that must not affect the loaded program. Pure.

use std::collections::BTreeSet;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, Rel as _, SectionHeader as _};
use object::{Endian as _, Endianness};

use super::Malformed;
use super::layout::{Layout, MAPS};

/// Size of an `Elf64_Rel` in bytes.
const RELOCATION: usize = 16;

/// Size of an `Elf64_Shdr` in bytes, and the offset of `sh_size` in it.
const SECTION_HEADER: usize = 64;
const SECTION_SIZE: usize = 32;

/// Returns the bytes with these externs made weak. libbpf uses zero for a weak extern that the kernel
/// lacks, and fails for any other, whichever program uses it (`bpf_object__resolve_externs()`).
///
/// # Errors
/// The same as for [`anatomy()`](super::anatomy()).
pub fn with_weak_externs(bytes: &[u8], weak: &BTreeSet<String>) -> Result<Vec<u8>, Malformed> {
    let mut copy = bytes.to_vec();
    for offset in Layout::read(bytes)?.bindings(weak) {
        if let Some(info) = copy.get_mut(offset) {
            let kind = elf::SymbolInfo(*info).st_type();
            *info = elf::SymbolInfo::new(elf::STB_WEAK, kind).0;
        }
    }
    Ok(copy)
}

/// Returns the bytes with empty slots in these maps. libbpf fills the slots of a `PROG_ARRAY` even if the
/// map is an existing one, which others may be using (`bpf_object_init_prog_arrays()`, libbpf 1.7).
///
/// # Errors
/// The same as for [`anatomy()`](super::anatomy()).
pub fn without_slots(bytes: &[u8], maps: &BTreeSet<&str>) -> Result<Vec<u8>, Malformed> {
    let malformed = |error: object::read::Error| Malformed::Elf(error.to_string());
    let layout = Layout::read(bytes)?;
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(malformed)?;
    let endian = header.endian().map_err(malformed)?;
    let table = header.sections(endian, bytes).map_err(malformed)?;
    let mut copy = bytes.to_vec();
    for (index, section) in table.iter().enumerate() {
        let Some((relocations, _)) = section.rel(endian, bytes).map_err(malformed)? else {
            continue;
        };
        let of = layout.sections.get(section.sh_info(endian) as usize);
        if of.is_none_or(|of| of.name != MAPS) {
            continue;
        }
        let is_kept = |offset: u64| !layout.maps_over(offset).any(|map| maps.contains(map.name));
        let kept: Vec<u8> = relocations
            .iter()
            .zip(section.data(endian, bytes).map_err(malformed)?.chunks_exact(RELOCATION))
            .filter(|(relocation, _)| is_kept(relocation.r_offset(endian)))
            .flat_map(|(_, bytes)| bytes.iter().copied())
            .collect();
        let size = endian.write_u64(kept.len() as u64);
        put(&mut copy, section.sh_offset(endian), 0, &kept);
        put(&mut copy, header.e_shoff(endian), index * SECTION_HEADER + SECTION_SIZE, &size);
    }
    Ok(copy)
}

/// Overwrites a place that the ELF reader has found to be inside the file.
fn put(file: &mut [u8], start: u64, offset: usize, bytes: &[u8]) {
    let start = usize::try_from(start).ok().and_then(|start| start.checked_add(offset));
    let place = start.and_then(|start| file.get_mut(start..start.checked_add(bytes.len())?));
    if let Some(place) = place {
        place.copy_from_slice(bytes);
    }
}
