//! An object's bytes → what each of its iterators uses: maps, data, other programs, externs. Pure.
//!
//! In: an ELF file. Out: for every iterator an account of what has to be loaded with it, and no more. libbpf
//! finds the same out while it loads, and tells nobody; what it does with relocations is the model
//! (`bpf_program__record_reloc()`, `bpf_object__reloc_code()` and `bpf_object__collect_map_relos()`,
//! libbpf 1.7).

mod code;
mod core_relo;
mod layout;
mod reach;
mod sound;
mod types;
mod unsound;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use self::core_relo::Kind as CoreKind;
use self::layout::Layout;
pub use self::unsound::Unsound;

/// What an object says of itself before libbpf sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anatomy {
    /// Every iterator, by its name.
    pub programs: BTreeMap<String, Needs>,
    /// The licence that the object declares in its section `license`.
    pub licence: Option<String>,
    /// The externs that are declared `__weak`: a program loads without them.
    pub weak: BTreeSet<String>,
}

/// What a program needs to be loaded: itself, with its subprograms and the programs it tail-calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The programs to load: itself, and those in the slots of a `PROG_ARRAY` that one of them uses.
    pub programs: BTreeSet<String>,
    /// The maps of `.maps` that these programs use, and the maps in the slots of those.
    pub maps: BTreeSet<String>,
    /// Those of `maps` that the program itself refers to: they are in its `map_ids` once it is loaded.
    pub held: BTreeSet<String>,
    /// The sections with variables that these programs use: `.bss`, `.rodata`, `.data.counters`, …
    pub sections: BTreeSet<String>,
    /// The kernel's functions, variables and configuration values that these programs use.
    pub externs: BTreeSet<String>,
    /// The externs of the object that only other programs use.
    pub other_externs: BTreeSet<String>,
    /// The kinds of CO-RE relocations in these programs.
    pub core: BTreeSet<CoreKind>,
    /// The helpers that these programs call, by number.
    pub helpers: BTreeSet<u32>,
    /// Whether the program reads the kernel's memory through a pointer of its context, and has no CO-RE
    /// relocation of a field: as far as that is told without running it.
    pub reads_fixed_layout: bool,
}

/// What a program takes from the kernel by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extern {
    /// A function (`__ksym`).
    Function(String),
    /// A variable, or the address of any symbol (`__ksym`).
    Symbol(String),
    /// An option of the kernel's configuration, or a value of libbpf's (`__kconfig`).
    Config(String),
}

impl Extern {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Function(name) | Self::Symbol(name) | Self::Config(name) => name,
        }
    }
}

impl Anatomy {
    /// The names of all externs that the object's programs use.
    pub fn externs(&self) -> BTreeSet<String> {
        let all = self
            .programs
            .values()
            .flat_map(|needs| needs.externs.iter().chain(&needs.other_externs));
        all.cloned().collect()
    }
}

/// Why nothing can be said of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not a relocatable ELF file of 64 bits that can be read; the reader's words.
    Elf(String),
    /// No symbol table: `llvm-strip` without `-g` removes it.
    NoSymbols,
    /// libbpf would not survive it.
    Unsound(Unsound),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elf(why) => f.write_str(why),
            Self::NoSymbols => write!(f, "it has no symbol table"),
            Self::Unsound(why) => why.fmt(f),
        }
    }
}

/// Looks at the file.
///
/// # Errors
/// Where it cannot be read, has no symbols, or must not reach libbpf.
pub fn anatomy(bytes: &[u8]) -> Result<Anatomy, Malformed> {
    sound::check(bytes)?;
    let layout = Layout::read(bytes)?;
    let core = core_relo::relocations(&layout);
    let names = layout.iterators().map(|entry| layout.functions[entry].name.to_owned());
    let needs = layout.iterators().map(|entry| reach::needs(&layout, &core, entry));
    Ok(Anatomy {
        programs: names.zip(needs).collect(),
        licence: layout.licence(),
        weak: layout.weak_externs().map(str::to_owned).collect(),
    })
}

/// What one iterator of the file needs; `None` if there is none of that name.
///
/// # Errors
/// As [`anatomy()`].
pub fn needs(bytes: &[u8], iterator: &str) -> Result<Option<Needs>, Malformed> {
    let layout = Layout::read(bytes)?;
    let core = core_relo::relocations(&layout);
    let entry = layout.iterators().find(|entry| layout.functions[*entry].name == iterator);
    Ok(entry.map(|entry| reach::needs(&layout, &core, entry)))
}

/// The same bytes, but with weak bindings of these externs: libbpf takes zero for a weak one that the kernel
/// lacks, and fails for any other, whichever program it is for (`bpf_object__resolve_externs()`).
///
/// # Errors
/// As [`anatomy()`].
pub fn with_weak_externs(bytes: &[u8], weak: &BTreeSet<String>) -> Result<Vec<u8>, Malformed> {
    let mut copy = bytes.to_vec();
    for offset in Layout::read(bytes)?.bindings(weak) {
        if let Some(info) = copy.get_mut(offset) {
            *info = (object::elf::STB_WEAK.0 << 4) | (*info & 0xf);
        }
    }
    Ok(copy)
}

/// Whether the kernel takes a licence for compatible with the GPL (`license_is_gpl_compatible()` of
/// include/linux/license.h).
pub fn is_gpl_compatible(licence: &str) -> bool {
    GPL_COMPATIBLE.contains(&licence)
}

/// The licences that the kernel takes for compatible with the GPL.
pub const GPL_COMPATIBLE: [&str; 6] =
    ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
