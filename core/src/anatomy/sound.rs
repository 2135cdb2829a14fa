//! An object's bytes → whether they are safe to pass to libbpf 1.7. Pure.
//!
//! libbpf parses an object inside this process and trusts much of its contents, in `bpf_object_open()` and
//! in the part of `bpf_object_load()` before its first call of bpf(2). Each check here names what libbpf
//! does not check.

use std::collections::BTreeMap;

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, Rel as _, SectionHeader as _, Sym as _};

use super::Malformed;
use super::layout::{INSTRUCTION, MAPS};
use super::types::{Kind, Type, Types, number, text};
use super::unsound::Unsound;
use super::work::{self, Amounts};

/// Most bytes that all values of the kernel's configuration in an object may take.
const MOST_CONFIGURATION: u64 = 1024 * 1024;

/// Most bytes of all names of sections and symbols: names with the same ending may share their bytes.
const MOST_NAMES: usize = 64 * 1024 * 1024;

/// Size of a pointer in bytes, which is what a relocation of data fills.
const POINTER: u64 = 8;

/// An object as libbpf sees it: unlike in [`Layout`](super::layout::Layout), nothing is left out.
#[derive(Debug, Default)]
struct Elf<'a> {
    sections: Vec<Section<'a>>,
    symbols: Vec<Symbol<'a>>,
    /// The relocations of code, of `.maps` and of `struct_ops`: the section and the offset of each.
    relocations: Vec<(usize, u64)>,
}

#[derive(Debug)]
struct Section<'a> {
    name: &'a str,
    bytes: &'a [u8],
    kind: elf::SectionType,
    is_code: bool,
    is_compressed: bool,
}

#[derive(Debug)]
struct Symbol<'a> {
    name: &'a [u8],
    section: usize,
    start: u64,
    size: u64,
    is_function: bool,
    is_variable: bool,
    is_extern: bool,
}

/// Checks that libbpf will not crash on the file, hang, or use up all memory.
pub(super) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let file = Elf::read(bytes)?;
    let types = Types::read(file.section(".BTF").map_or(&[], |section| section.bytes))
        .map_err(Malformed::Unsound)?;
    file.check(&types).map_err(Malformed::Unsound)
}

impl<'a> Elf<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let malformed = |error: object::read::Error| Malformed::Elf(error.to_string());
        let header = FileHeader64::<Endianness>::parse(bytes).map_err(malformed)?;
        let endian = header.endian().map_err(malformed)?;
        let table = header.sections(endian, bytes).map_err(malformed)?;
        let mut file = Self::default();
        work::few("sections", table.len(), work::MOST_SECTIONS)?;
        let mut room = MOST_NAMES;
        let mut take = |name: &[u8]| {
            room = room.checked_sub(name.len()).ok_or(Malformed::Unsound(Unsound::LongName))?;
            Ok(())
        };
        for section in table.iter() {
            let name = table.section_name(endian, section).map_err(malformed)?;
            take(name)?;
            let flags = section.sh_flags(endian);
            file.sections.push(Section {
                name: std::str::from_utf8(name).unwrap_or_default(),
                bytes: section.data(endian, bytes).map_err(malformed)?,
                kind: section.sh_type(endian),
                is_code: flags.contains(elf::SHF_EXECINSTR),
                is_compressed: flags.contains(elf::SHF_COMPRESSED),
            });
        }
        // This comes before any look-up: names may share bytes, and so may sections.
        file.check_sections(bytes)?;
        let symbols = table.symbols(endian, bytes, elf::SHT_SYMTAB).map_err(malformed)?;
        if symbols.is_empty() {
            return Err(Malformed::NoSymbols);
        }
        let names = header.shstrndx(endian, bytes).map_err(malformed)? as usize;
        for strings in [names, symbols.string_section().0] {
            file.check_strings(strings)?;
        }
        work::few("symbols", symbols.len(), work::MOST_SYMBOLS)?;
        for symbol in symbols.iter() {
            let name = symbols.symbol_name(endian, symbol).unwrap_or_default();
            take(name)?;
            let binding = symbol.st_bind();
            let is_global = binding == elf::STB_GLOBAL || binding == elf::STB_WEAK;
            file.symbols.push(Symbol {
                name,
                section: symbol.st_shndx(endian).0.into(),
                start: symbol.st_value(endian),
                size: symbol.st_size(endian),
                is_function: symbol.st_type() == elf::STT_FUNC,
                is_variable: symbol.st_type() == elf::STT_OBJECT && is_global,
                is_extern: symbol.is_undefined(endian) && !name.is_empty(),
            });
        }
        for section in table.iter() {
            let Some((relocations, _)) = section.rel(endian, bytes).map_err(malformed)? else {
                continue;
            };
            let of = section.sh_info(endian) as usize;
            if file.sections.get(of).is_some_and(Section::is_relocated) {
                let offsets = relocations.iter().map(|one| (of, one.r_offset(endian)));
                file.relocations.extend(offsets);
            }
        }
        Ok(file)
    }

    fn section(&self, name: &str) -> Option<&Section<'a>> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// libbpf copies the contents of data sections and the code of programs.
    fn check_sections(&self, bytes: &[u8]) -> Result<(), Malformed> {
        let unsound = |what| Err(Malformed::Unsound(what));
        let lengths = self.sections.iter().map(|section| section.bytes.len());
        if lengths.fold(0, usize::saturating_add) > bytes.len() {
            return unsound(Unsound::SharedBytes);
        }
        // If there are two, libbpf takes the last, but the checks here are made on the first.
        for name in [".BTF", ".BTF.ext", MAPS] {
            if self.sections.iter().filter(|section| section.name == name).count() > 1 {
                return unsound(Unsound::Twice(name));
            }
        }
        // libbpf trusts the size in the header of `.maps`, whatever the type of the section.
        let empty = self.section(MAPS).filter(|maps| maps.kind == elf::SHT_NOBITS);
        empty.map_or(Ok(()), |maps| unsound(Unsound::NoBytes(maps.name.to_owned())))
    }

    /// For each string, libelf searches its table from the end for a NUL, and inflates the table if it is
    /// compressed (`elf_strptr()`, libelf 0.192).
    fn check_strings(&self, index: usize) -> Result<(), Malformed> {
        let Some(strings) = self.sections.get(index) else { return Ok(()) };
        if strings.is_compressed || strings.bytes.last().is_some_and(|last| *last != 0) {
            return Err(Malformed::Unsound(Unsound::Strings(strings.name.to_owned())));
        }
        Ok(())
    }

    fn infos(&self, at: usize) -> (usize, Vec<&'a [u8]>) {
        self.section(".BTF.ext").and_then(|section| infos(section.bytes, at)).unwrap_or_default()
    }

    fn check(&self, types: &Types<'a>) -> Result<(), Unsound> {
        self.amounts(types).check()?;
        types.check()?;
        self.check_core()?;
        self.check_functions()?;
        self.check_places()?;
        self.check_struct_ops(types)?;
        self.check_configuration(types)
    }

    /// libbpf copies the code of each function, one by one, and writes to both halves of a 16-byte
    /// instruction (`bpf_object__init_prog()`, `bpf_object__relocate_data()`, `bpf_core_patch_insn()`).
    fn check_functions(&self) -> Result<(), Unsound> {
        /// `BPF_LD | BPF_DW | BPF_IMM`.
        const LOAD_64: u8 = 0x18;
        let code = |symbol: &&Symbol<'_>| {
            symbol.is_function
                && self.sections.get(symbol.section).is_some_and(|section| section.is_code)
        };
        let (mut copied, mut whole, mut names) = (0_u64, 0_u64, 0);
        for function in self.symbols.iter().filter(code) {
            copied = copied.saturating_add(function.size);
            // libbpf copies the section's name for each function.
            names += self.sections.get(function.section).map_or(0, |section| section.name.len());
            if names > MOST_NAMES {
                return Err(Unsound::LongName);
            }
            let Some(last) = function.start.saturating_add(function.size).checked_sub(INSTRUCTION)
            else {
                continue;
            };
            let bytes = self.sections.get(function.section).map_or(&[][..], |it| it.bytes);
            if usize::try_from(last).ok().and_then(|last| bytes.get(last)) == Some(&LOAD_64) {
                return Err(Unsound::HalfInstruction(text(function.name)));
            }
        }
        for section in self.sections.iter().filter(|section| section.is_code) {
            whole = whole.saturating_add(section.bytes.len() as u64);
        }
        // The factor allows each function a second name.
        if copied > whole.saturating_mul(2) { Err(Unsound::SharedCode) } else { Ok(()) }
    }

    /// libbpf refuses a relocation inside an instruction, but leaks memory (`bpf_object__relocate_core()`):
    /// `watch` would leak at each attempt.
    fn check_core(&self) -> Result<(), Unsound> {
        let (size, all) = self.infos(CORE);
        let records = all.iter().flat_map(|records| records.chunks_exact(size));
        let mut offsets = records.filter_map(|record| number(record, 0)).map(u64::from);
        if offsets.any(|offset| offset % INSTRUCTION != 0) {
            return Err(Unsound::CoreWithinInstruction);
        }
        Ok(())
    }

    /// libbpf adds offsets and sizes in 32 bits (`create_jt_map()`), and allocates as many slots of a map
    /// as the highest relocation asks for (`bpf_object__collect_map_relos()`).
    fn check_places(&self) -> Result<(), Unsound> {
        let lies_in = |section: &Section<'_>, at: u64, size: u64| {
            at.checked_add(size).is_some_and(|end| end <= section.bytes.len() as u64)
        };
        let beyond = |section: &Section<'_>| Err(Unsound::Beyond(section.name.to_owned()));
        for (of, at) in &self.relocations {
            let Some(section) = self.sections.get(*of) else { continue };
            if !lies_in(section, *at, POINTER) {
                return beyond(section);
            }
        }
        for symbol in &self.symbols {
            let Some(section) = self.sections.get(symbol.section) else { continue };
            if section.name == ".jumptables" && !lies_in(section, symbol.start, symbol.size) {
                return beyond(section);
            }
        }
        Ok(())
    }

    /// libbpf calculates the end of a variable in 32 bits, and writes a whole pointer at any offset that a
    /// relocation names (`init_struct_ops_maps()`, `bpf_object__collect_st_ops_relos()`).
    fn check_struct_ops(&self, types: &Types<'a>) -> Result<(), Unsound> {
        // The first symbol of each name, which is the one that libbpf finds (`btf_fixup_datasec()`).
        let mut starts: BTreeMap<&[u8], u32> = BTreeMap::new();
        let mut places = self.relocations.clone();
        places.sort_unstable();
        for (name, list) in types.sections().filter(|(name, _)| is_struct_ops(name)) {
            if starts.is_empty() {
                for symbol in self.symbols.iter().filter(|symbol| symbol.is_variable) {
                    starts.entry(symbol.name).or_insert(symbol.start as u32);
                }
            }
            let sections = self.sections.iter().enumerate().filter(|(_, it)| it.name == name);
            for (index, section) in sections {
                let length = section.bytes.len() as u64;
                let mut whole = 0_u64;
                for variable in list.variables() {
                    let Some((one, _)) = types.element(variable.id) else { continue };
                    whole += u64::from(one.size);
                    let name = types.get(variable.id).map_or(&[][..], |one| types.name(one));
                    for start in starts.get(name).into_iter().chain([&variable.offset]) {
                        let end = u64::from(*start) + u64::from(one.size);
                        let from = end.saturating_sub(POINTER - 1).max((*start).into());
                        let cut = places.partition_point(|place| *place < (index, from));
                        let is_cut = places.get(cut).is_some_and(|place| *place < (index, end));
                        if is_cut || end > length {
                            return Err(Unsound::Beyond(section.name.to_owned()));
                        }
                    }
                }
                if whole > length {
                    return Err(Unsound::Beyond(name.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// libbpf mistakes a size of 2 GiB for an error, and then the error for an object. It adds offsets in
    /// 32 bits, and visits all members of members of a structure before it refuses the structure
    /// (`bpf_object__collect_externs()`).
    fn check_configuration(&self, types: &Types<'a>) -> Result<(), Unsound> {
        let mut sizes: BTreeMap<&[u8], u64> = BTreeMap::new();
        for (_, list) in types.sections().filter(|(name, _)| *name == ".kconfig") {
            for variable in list.variables() {
                let name = types.get(variable.id).map_or(&[][..], |one| types.name(one));
                let Some((one, number)) = types.element(variable.id) else { continue };
                if one.kind() == Kind::Composite {
                    return Err(Unsound::Configuration(text(name)));
                }
                let size = sizes.entry(name).or_default();
                *size = number.saturating_mul(size_of(one)).max(*size);
            }
        }
        let mut whole = 0_u64;
        for symbol in self.symbols.iter().filter(|symbol| symbol.is_extern) {
            let size = sizes.get(symbol.name).copied().unwrap_or_default();
            whole = whole.saturating_add(size).saturating_add(u64::from(size > 0) * POINTER);
            if whole > MOST_CONFIGURATION {
                return Err(Unsound::Configuration(text(symbol.name)));
            }
        }
        Ok(())
    }

    fn amounts(&self, types: &Types<'a>) -> Amounts {
        let count = |number: usize| number as u64;
        let mut amounts = Amounts {
            sections: count(self.sections.len()),
            symbols: count(self.symbols.len()),
            types: count(types.len()),
            relocations: count(self.relocations.len()),
            longest: count(self.symbols.iter().map(|one| one.name.len()).max().unwrap_or_default()),
            infos: INFOS.iter().map(|at| self.infos(*at).1.len() as u64).sum(),
            ..Amounts::default()
        };
        for section in &self.sections {
            let instructions = count(section.bytes.len()) / INSTRUCTION;
            if section.is_code {
                amounts.code_sections += 1;
                amounts.instructions += instructions;
            }
            if section.is_code && section.name == ".text" {
                amounts.shared_instructions += instructions;
            }
            amounts.data_sections += u64::from(section.is_data());
        }
        for symbol in &self.symbols {
            amounts.externs += u64::from(symbol.is_extern);
            let Some(section) = self.sections.get(symbol.section) else { continue };
            if symbol.is_function && section.is_code {
                amounts.functions += 1;
                amounts.subprograms += u64::from(section.name == ".text");
            }
        }
        for (name, section) in types.sections() {
            amounts.data_sections += 1;
            let variables = count(section.variables().count());
            amounts.variables += variables;
            amounts.maps += if name == MAPS { variables } else { 0 };
        }
        amounts.slots = count(
            self.relocations
                .iter()
                .filter(|(of, _)| self.sections.get(*of).is_some_and(|it| it.name == MAPS))
                .count(),
        );
        amounts
    }
}

impl Section<'_> {
    /// Whether libbpf looks at its relocations.
    fn is_relocated(&self) -> bool {
        self.is_code || self.name == MAPS || is_struct_ops(self.name)
    }

    /// Whether libbpf makes a map of it.
    fn is_data(&self) -> bool {
        [".data", ".rodata", ".bss"].iter().any(|prefix| self.name.starts_with(prefix))
    }
}

fn is_struct_ops(section: &str) -> bool {
    let name = section.strip_prefix('?').unwrap_or(section);
    name == ".struct_ops" || name == ".struct_ops.link"
}

/// The size of a type that is not an array.
fn size_of(one: Type<'_>) -> u64 {
    if one.kind() == Kind::Pointer { POINTER } else { one.size.into() }
}

/// The fields in the header of `.BTF.ext` that locate its parts on functions, lines and CO-RE relocations:
/// their offsets (`struct btf_ext_header`).
const INFOS: [usize; 3] = [8, 16, CORE];
const CORE: usize = 24;

/// The size of one record, and the records for each section of code, in one of these parts (`struct
/// btf_ext_info_sec`).
fn infos(bytes: &[u8], at: usize) -> Option<(usize, Vec<&[u8]>)> {
    let field = |bytes: &[u8], at: usize| number(bytes, at).map(|number| number as usize);
    let header = field(bytes, 4)?;
    if header < at + 8 {
        return None;
    }
    let start = header.checked_add(field(bytes, at)?)?;
    let bytes = bytes.get(start..start.checked_add(field(bytes, at + 4)?)?)?;
    let size = field(bytes, 0).filter(|size| *size > 0)?;
    let mut rest = bytes.get(4..)?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = size.checked_mul(field(rest, 4)?)?;
        let (records, after) = rest.get(8..)?.split_at_checked(length)?;
        found.push(records);
        rest = after;
    }
    Some((size, found))
}
