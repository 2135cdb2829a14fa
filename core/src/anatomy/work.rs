//! The number of each kind of part in an object → whether it can be read in reasonable time. Pure.
//!
//! Real objects have some hundreds of symbols and some thousands of types, and libbpf finds many things by
//! a linear search. A file of 64 MiB has room for millions.

use super::Malformed;
use super::unsound::Unsound;

/// Higher numbers have special meanings (`SHN_LORESERVE` of include/uapi/linux/elf.h).
pub(super) const MOST_SECTIONS: u64 = 0xff00;
pub(super) const MOST_SYMBOLS: u64 = 1_000_000;
const MOST_TYPES: u64 = 1_000_000;
const MOST_RELOCATIONS: u64 = 1_000_000;
const MOST_FUNCTIONS: u64 = 65_536;

/// libbpf recurses once for each subprogram in a chain of calls (`bpf_object__reloc_code()`), which takes
/// some hundred bytes of stack each time. The kernel accepts 256 subprograms in a program
/// (`BPF_MAX_SUBPROGS`).
const MOST_SUBPROGRAMS: u64 = 4096;

/// About how many nanoseconds may be spent on an object by libbpf and by the checks before it.
const LONGEST: u64 = 2_000_000_000;

/// How many of each kind of part an object has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Amounts {
    pub(super) sections: u64,
    pub(super) code_sections: u64,
    /// Data sections in the file and in the BTF.
    pub(super) data_sections: u64,
    pub(super) symbols: u64,
    /// Bytes in the longest name of a symbol.
    pub(super) longest: u64,
    pub(super) functions: u64,
    /// Functions in `.text`.
    pub(super) subprograms: u64,
    pub(super) externs: u64,
    pub(super) relocations: u64,
    /// Relocations of maps.
    pub(super) slots: u64,
    pub(super) maps: u64,
    pub(super) types: u64,
    pub(super) variables: u64,
    /// Sections of code that `.BTF.ext` describes.
    pub(super) infos: u64,
    pub(super) instructions: u64,
    /// Instructions in `.text`.
    pub(super) shared_instructions: u64,
}

/// Checks that `number` is at most `most`.
pub(super) fn few(what: &'static str, number: usize, most: u64) -> Result<(), Malformed> {
    limit(what, number as u64, most).map_err(Malformed::Unsound)
}

fn limit(what: &'static str, number: u64, most: u64) -> Result<(), Unsound> {
    if number > most { Err(Unsound::TooMany(what, number, most)) } else { Ok(()) }
}

impl Amounts {
    pub(super) fn check(&self) -> Result<(), Unsound> {
        limit("functions", self.functions, MOST_FUNCTIONS)?;
        limit("subprograms", self.subprograms, MOST_SUBPROGRAMS)?;
        limit("types", self.types, MOST_TYPES)?;
        limit("relocations", self.relocations, MOST_RELOCATIONS)?;
        let entries = self.functions - self.subprograms.min(self.functions);
        // A comparison of names stops at the first difference; it takes a nanosecond for 16 bytes.
        let name = self.longest.min(1024) / 16;
        // The instructions that a program can reach, directly or through the slots of a map.
        let reached = if self.slots > 0 { self.instructions } else { self.shared_instructions };
        // For each of the first, all of the second are scanned, in the function named above; nanoseconds
        // for one.
        let products = [
            // bpf_object__add_programs()
            ("sections of code", self.code_sections, "symbols", self.symbols, 3),
            // btf_fixup_datasec(): find_elf_var_sym()
            ("variables", self.variables, "symbols", self.symbols, 30 + name),
            // bpf_object__collect_externs(): find_extern_btf_id(), find_extern_sec_btf_id(), find_extern_by_name()
            ("externs", self.externs, "types", self.types, 5 + name),
            ("externs", self.externs, "variables", self.variables, 10 + name),
            // bpf_program__record_reloc()
            ("relocations", self.relocations, "maps", self.maps + self.data_sections, 2),
            ("relocations", self.relocations, "externs", self.externs, 2),
            // bpf_object__init_btf(): elf_sec_by_name()
            ("sections with lines", self.infos, "sections", self.sections, 30),
            // find_elf_sec_sz(), map_fill_btf_type_info()
            ("sections of data", self.data_sections, "sections", self.sections, 30),
            ("sections of data", self.data_sections, "types", self.types, 5),
            // bpf_object__sanitize_and_load_btf(), bpf_prog_assign_exc_cb(), and our own `globals::context()`
            ("functions", self.functions, "types", self.types, 5 + name),
            // Our own `reach::needs()`.
            ("programs", entries, "instructions", reached, 20),
            ("programs", entries, "externs", self.externs, 60),
            ("programs", entries, "slots of maps", self.slots, 60),
        ];
        let time = |product: &(_, u64, _, u64, u64)| {
            product.1.saturating_mul(product.3).saturating_mul(product.4)
        };
        let whole = products.iter().map(time).fold(0, u64::saturating_add);
        match products.iter().max_by_key(|product| time(product)) {
            Some((first, a, second, b, _)) if whole > LONGEST => {
                Err(Unsound::TooLong { first: (*first, *a), second: (*second, *b) })
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` names the thing of which there is too much, or the two things that take too long.
    #[track_caller]
    fn check(amounts: Amounts, expected: &[&str]) {
        let found = match amounts.check() {
            Ok(()) => vec![],
            Err(Unsound::TooMany(what, ..)) => vec![what],
            Err(Unsound::TooLong { first, second }) => vec![first.0, second.0],
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found, expected, "{amounts:?}");
    }

    #[test]
    fn as_many_as_are_allowed_are_not_too_many() {
        assert_eq!(few("symbols", 2, 2), Ok(()));
        let one_more = Unsound::TooMany("symbols", 3, 2);
        assert_eq!(few("symbols", 3, 2), Err(Malformed::Unsound(one_more)));
        let functions = |functions| Amounts { functions, ..Amounts::default() };
        check(functions(65_536), &[]);
        check(functions(65_537), &["functions"]);
        let subprograms =
            |subprograms| Amounts { functions: 5_000, subprograms, ..Amounts::default() };
        check(subprograms(4_096), &[]);
        check(subprograms(4_097), &["subprograms"]);
    }

    #[test]
    fn two_seconds_are_not_too_long() {
        let relocations = 1_000_000;
        let externs = |externs| Amounts { relocations, externs, ..Amounts::default() };
        check(externs(1_000), &[]);
        check(externs(1_001), &["relocations", "externs"]);
        let maps = |maps| Amounts { relocations, maps, data_sections: 600, ..Amounts::default() };
        check(maps(400), &[]);
        check(maps(401), &["relocations", "maps"]);
    }

    #[test]
    fn long_names_take_longer() {
        let types =
            |longest, types| Amounts { externs: 10_000, types, longest, ..Amounts::default() };
        check(types(0, 40_000), &[]);
        check(types(0, 40_001), &["externs", "types"]);
        for longest in [1_024, 100_000] {
            check(types(longest, 2_898), &[]);
            check(types(longest, 2_899), &["externs", "types"]);
        }
        let one = Amounts { longest: 16, ..Amounts::default() };
        let symbols = |symbols| Amounts { variables: 1_000, symbols, ..one };
        check(symbols(64_516), &[]);
        check(symbols(64_517), &["variables", "symbols"]);
        let variables = |variables| Amounts { externs: 1_000, variables, ..one };
        check(variables(181_818), &[]);
        check(variables(181_819), &["externs", "variables"]);
        let types = |types| Amounts { functions: 1_000, types, ..one };
        check(types(333_333), &[]);
        check(types(333_334), &["functions", "types"]);
    }

    #[test]
    fn programs_are_the_functions_that_are_no_subprograms() {
        let externs = |externs| {
            let (functions, subprograms) = (5_000, 4_000);
            Amounts { functions, subprograms, externs, ..Amounts::default() }
        };
        check(externs(33_333), &[]);
        check(externs(33_334), &["programs", "externs"]);
    }

    #[test]
    fn slots_of_maps_lead_to_every_instruction() {
        let slots = |slots| {
            let (instructions, shared_instructions) = (1_000_000_000, 10);
            Amounts { functions: 1, slots, instructions, shared_instructions, ..Amounts::default() }
        };
        check(slots(0), &[]);
        check(slots(1), &["programs", "instructions"]);
    }
}
