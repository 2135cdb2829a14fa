//! An ELF file of BPF → its functions, maps and externs, and which instruction refers to what. Pure.

use std::collections::{BTreeMap, BTreeSet};

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, Rel as _, SectionHeader as _, SectionTable, Sym as _};

use super::Malformed;
use crate::target::Target;

/// Size of one instruction in bytes.
pub(super) const INSTRUCTION: u64 = 8;

/// Size of an `Elf64_Sym` in bytes, and the offset of `st_info` in it.
const SYMBOL: u64 = 24;
const SYMBOL_INFO: u64 = 4;

/// The contents of an object file.
#[derive(Debug, Default)]
pub(super) struct Layout<'a> {
    pub(super) sections: Vec<Section<'a>>,
    /// Every function, sorted by section and offset.
    pub(super) functions: Vec<Function<'a>>,
    /// Every map of `.maps`.
    pub(super) maps: Vec<Map<'a>>,
    /// The references of the instructions, by section and offset.
    pub(super) references: BTreeMap<(usize, u64), Reference<'a>>,
    /// The references of the slots of maps, by offset in `.maps`.
    pub(super) slots: BTreeMap<u64, Reference<'a>>,
    /// The names of all externs, with the offsets of their bindings in the file.
    externs: BTreeMap<&'a str, u64>,
    weak: BTreeSet<&'a str>,
}

#[derive(Debug, Default)]
pub(super) struct Section<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) is_code: bool,
}

/// A function, global or static: bytes `start..end` of a section.
#[derive(Debug)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) section: usize,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A map: bytes `start..end` of `.maps`.
#[derive(Debug)]
pub(super) struct Map<'a> {
    pub(super) name: &'a str,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The symbol that a relocation names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reference<'a> {
    /// Something in a section of this file, at an offset.
    Here {
        section: usize,
        offset: u64,
    },
    Extern(&'a str),
}

impl<'a> Layout<'a> {
    /// Reads the file, which may contain anything. Whatever makes no sense is left out, because libbpf
    /// refuses it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let malformed = |error: object::read::Error| Malformed::Elf(error.to_string());
        let header = FileHeader64::<Endianness>::parse(bytes).map_err(malformed)?;
        let endian = header.endian().map_err(malformed)?;
        let table = header.sections(endian, bytes).map_err(malformed)?;
        let symbols = table.symbols(endian, bytes, elf::SHT_SYMTAB).map_err(malformed)?;
        if symbols.is_empty() {
            return Err(Malformed::NoSymbols);
        }
        let mut layout = Self::default();
        for section in table.iter() {
            let name = table.section_name(endian, section).map_err(malformed)?;
            layout.sections.push(Section {
                name: std::str::from_utf8(name).unwrap_or_default(),
                bytes: section.data(endian, bytes).map_err(malformed)?,
                is_code: section.sh_flags(endian).contains(elf::SHF_EXECINSTR),
            });
        }
        let symbols_at = table.section(symbols.section()).map_err(malformed)?.sh_offset(endian);
        let mut references = Vec::with_capacity(symbols.len());
        for (index, symbol) in symbols.enumerate() {
            let name = symbols.symbol_name(endian, symbol).unwrap_or_default();
            let name = std::str::from_utf8(name).unwrap_or_default();
            let start = symbol.st_value(endian);
            let end = start.saturating_add(symbol.st_size(endian));
            let section = symbols.symbol_section(endian, symbol, index).ok().flatten();
            let section = section.map(|section| section.0).filter(|at| *at < layout.sections.len());
            references.push(match section {
                Some(section) => Some(Reference::Here { section, offset: start }),
                None if symbol.is_undefined(endian) && !name.is_empty() => {
                    let binding = symbols_at
                        .saturating_add((index.0 as u64).saturating_mul(SYMBOL))
                        .saturating_add(SYMBOL_INFO);
                    layout.externs.insert(name, binding);
                    if symbol.st_bind() == elf::STB_WEAK {
                        layout.weak.insert(name);
                    }
                    Some(Reference::Extern(name))
                }
                None => None,
            });
            let Some(section) = section else { continue };
            if symbol.st_type() == elf::STT_FUNC && layout.sections[section].is_code {
                layout.functions.push(Function { name, section, start, end });
            } else if layout.sections[section].name == MAPS && !name.is_empty() {
                layout.maps.push(Map { name, start, end });
            }
        }
        layout.functions.sort_by_key(|function| (function.section, function.start, function.end));
        layout.refer(&table, endian, bytes, &references).map_err(malformed)?;
        Ok(layout)
    }

    /// Adds every relocation of code and of `.maps`.
    fn refer(
        &mut self,
        table: &SectionTable<'a, FileHeader64<Endianness>>,
        endian: Endianness,
        bytes: &'a [u8],
        symbols: &[Option<Reference<'a>>],
    ) -> object::read::Result<()> {
        for section in table.iter() {
            let Some((relocations, _)) = section.rel(endian, bytes)? else { continue };
            let of = section.sh_info(endian) as usize;
            let Some(target) = self.sections.get(of) else { continue };
            let (is_code, is_maps) = (target.is_code, target.name == MAPS);
            for relocation in relocations {
                let symbol = relocation.r_sym(endian) as usize;
                let Some(reference) = symbols.get(symbol).copied().flatten() else { continue };
                let offset = relocation.r_offset(endian);
                if is_code {
                    self.references.insert((of, offset), reference);
                } else if is_maps {
                    self.slots.insert(offset, reference);
                }
            }
        }
        Ok(())
    }

    /// The functions whose section says that they are iterators.
    pub(super) fn iterators(&self) -> impl Iterator<Item = usize> {
        let is_iterator = |function: &Function<'_>| {
            let section = self.sections.get(function.section);
            section.is_some_and(|section| Target::from_section(section.name).is_some())
        };
        let functions = self.functions.iter().enumerate();
        functions.filter(move |(_, function)| is_iterator(function)).map(|(index, _)| index)
    }

    /// The functions that the kernel calls when a program throws. BTF tags name them, and libbpf loads them
    /// with the programs that have such a tag (`bpf_object__relocate()`, libbpf 1.7). Which programs have
    /// one is not checked.
    pub(super) fn exception_callbacks(&self) -> impl Iterator<Item = usize> {
        const TAG: &[u8] = b"exception_callback:";
        let btf = self.section(".BTF").unwrap_or_default();
        let names: BTreeSet<&[u8]> =
            btf.split(|byte| *byte == 0).filter_map(|string| string.strip_prefix(TAG)).collect();
        let functions = self.functions.iter().enumerate();
        functions
            .filter(move |(_, function)| names.contains(function.name.as_bytes()))
            .map(|(index, _)| index)
    }

    /// The functions that hold this byte: more than one if a symbol is an alias of another.
    pub(super) fn functions_at(&self, section: usize, offset: u64) -> impl Iterator<Item = usize> {
        let before =
            |function: &Function<'_>| (function.section, function.start) <= (section, offset);
        let end = self.functions.partition_point(before);
        let candidates = self.functions.iter().enumerate().take(end).rev();
        candidates
            .take_while(move |(_, function)| function.section == section)
            .filter(move |(_, function)| offset < function.end)
            .map(|(index, _)| index)
            .take(MOST_ALIASES)
    }

    /// The map that begins there.
    pub(super) fn map_at(&self, offset: u64) -> impl Iterator<Item = &Map<'a>> {
        self.maps.iter().filter(move |map| map.start == offset)
    }

    /// The maps that hold this byte of `.maps`.
    pub(super) fn maps_over(&self, offset: u64) -> impl Iterator<Item = &Map<'a>> {
        self.maps.iter().filter(move |map| map.start <= offset && offset < map.end)
    }

    pub(super) fn externs(&self) -> impl Iterator<Item = &'a str> {
        self.externs.keys().copied()
    }

    pub(super) fn weak_externs(&self) -> impl Iterator<Item = &'a str> {
        self.weak.iter().copied()
    }

    /// The offsets of these externs' bindings in the file.
    pub(super) fn bindings(&self, names: &BTreeSet<String>) -> Vec<usize> {
        let is_named = |(name, at): (&&str, &u64)| {
            names.contains(*name).then(|| usize::try_from(*at).ok()).flatten()
        };
        self.externs.iter().filter_map(is_named).collect()
    }

    pub(super) fn section(&self, name: &str) -> Option<&'a [u8]> {
        self.sections.iter().find(|section| section.name == name).map(|section| section.bytes)
    }

    /// The text in the section `license`.
    pub(super) fn licence(&self) -> Option<String> {
        let bytes = self.section("license")?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

/// The section that declares the maps.
pub(super) const MAPS: &str = ".maps";

/// A function has few names, but a broken file may give it any number.
const MOST_ALIASES: usize = 8;
