//! An object's bytes → what each of its iterators uses: maps, data, other programs, externs. Pure.
//!
//! In: an ELF file. Out: for every iterator, exactly what has to be loaded with it. libbpf finds the same
//! out while it loads, but does not report it. This module follows what libbpf does with relocations
//! (`bpf_program__record_reloc()`, `bpf_object__reloc_code()` and `bpf_object__collect_map_relos()`, libbpf
//! 1.7).

mod code;
mod core_relo;
mod edited;
mod layout;
mod reach;
mod sound;
mod types;
mod unsound;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use self::core_relo::Kind as CoreKind;
pub use self::edited::{with_weak_externs, without_slots};
use self::layout::Layout;
pub use self::unsound::Unsound;

/// The declarations of an object, read before libbpf sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anatomy {
    /// Every iterator, by its name.
    pub programs: BTreeMap<String, Needs>,
    /// The licence that the object declares in its section `license`.
    pub licence: Option<String>,
    /// The externs that are declared `__weak`: a program loads without them.
    pub weak: BTreeSet<String>,
}

/// The parts that a program needs to be loaded: itself, with its subprograms and the programs it tail-calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The programs to load: itself, and those in the slots of a `PROG_ARRAY` that one of them uses.
    pub programs: BTreeSet<String>,
    /// The maps of `.maps` that these programs use, and the maps in the slots of those.
    pub maps: BTreeSet<String>,
    /// The part of `maps` that the program itself refers to: they are in its `map_ids` once it is loaded.
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
    /// Whether the program seems to read the kernel's memory through a pointer from its context, without
    /// any CO-RE relocation of a field. This is judged from the code, which is not run.
    pub reads_fixed_layout: bool,
}

/// A function, variable or option of the kernel that a program uses by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extern {
    /// A function (`__ksym`).
    Function(String),
    /// A variable, or the address of any symbol (`__ksym`).
    Symbol(String),
    /// An option of the kernel's configuration, or a value that libbpf provides (`__kconfig`).
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

/// Why a file cannot be analysed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not a relocatable 64-bit ELF file that can be read; the ELF reader's message.
    Elf(String),
    /// No symbol table: `llvm-strip` without `-g` removes it.
    NoSymbols,
    /// libbpf would crash on it, hang, or use up all memory.
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

/// Analyses the bytes of an object file.
///
/// # Errors
/// If the file cannot be read, has no symbols, or must not reach libbpf.
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

/// The needs of one iterator of the file; `None` if there is none of that name.
///
/// # Errors
/// The same as for [`anatomy()`].
pub fn needs(bytes: &[u8], iterator: &str) -> Result<Option<Needs>, Malformed> {
    let layout = Layout::read(bytes)?;
    let core = core_relo::relocations(&layout);
    let entry = layout.iterators().find(|entry| layout.functions[*entry].name == iterator);
    Ok(entry.map(|entry| reach::needs(&layout, &core, entry)))
}

/// Whether the kernel considers a licence GPL-compatible (`license_is_gpl_compatible()` of
/// include/linux/license.h).
pub(crate) fn is_gpl_compatible(licence: &str) -> bool {
    GPL_COMPATIBLE.contains(&licence)
}

/// The licences that the kernel considers GPL-compatible.
pub const GPL_COMPATIBLE: [&str; 6] =
    ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
