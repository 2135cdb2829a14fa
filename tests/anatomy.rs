//! What is found about the needs of each iterator in compiled objects, without a kernel.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use iterctl::host::object::facts_of;
use iterctl_core::anatomy::{
    CoreKind, Malformed, Needs, anatomy, needs, with_weak_externs, without_slots,
};
use iterctl_core::fault::ObjectFault;
use object::Endianness;
use object::elf::{FileHeader64, STB_WEAK};
use object::read::elf::{ElfFile64, ElfSymbol64};
use object::read::{
    Object as _, ObjectSection as _, ObjectSymbol as _, Relocation, RelocationTarget,
};

/// Numbers of helpers.
const LOOKUP: u32 = 1;
const UPDATE: u32 = 2;
const TAIL_CALL: u32 = 12;
const PROBE_READ_KERNEL: u32 = 113;
const SEQ_PRINTF: u32 = 126;
const PER_CPU: u32 = 153;
const FOR_EACH_MAP_ELEM: u32 = 164;

/// The program of that object needs exactly this.
#[track_caller]
fn check(object: &str, program: &str, expected: &Needs) {
    let anatomy = anatomy(&bytes(object)).expect("the object is good");
    let needs = anatomy.programs.get(program);
    assert_eq!(needs, Some(expected), "{object} {program}: {:?}", anatomy.programs.keys());
}

/// The needs of an iterator that reads a field through CO-RE, and prints.
fn printer(program: &str) -> Needs {
    Needs {
        programs: names(program),
        sections: names(".rodata"),
        core: [CoreKind::Field].into(),
        helpers: [SEQ_PRINTF].into(),
        ..Needs::default()
    }
}

/// The same for one that also uses these maps itself.
fn user(program: &str, maps: &str, helpers: &[u32]) -> Needs {
    let printer = printer(program);
    let helpers = printer.helpers.iter().chain(helpers).copied().collect();
    Needs { maps: names(maps), held: names(maps), helpers, ..printer }
}

/// Names from a text that separates them by blanks.
fn names(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn path(object: &str) -> PathBuf {
    let name = format!("tests/objects/{object}.bpf.o");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[track_caller]
fn bytes(object: &str) -> Vec<u8> {
    fs::read(path(object)).expect("the objects are compiled: `make objects`")
}

#[test]
fn a_program_alone_needs_its_constants() {
    check("tasks_v1", "dump", &printer("dump"));
    check("sleepable", "dump", &printer("dump"));
    check("many", "dump_file", &printer("dump_file"));
}

#[test]
fn parts_that_only_a_sibling_uses_are_not_needed() {
    for object in
        ["beside_maps", "beside_arena", "beside_struct_ops", "behind_struct_ops", "sibling"]
    {
        check(object, "dump", &printer("dump"));
    }
    let externs = "CONFIG_ITERCTL_NUMBER CONFIG_ITERCTL_SWITCH CONFIG_ITERCTL_TEXT CONFIG_ITERCTL_MODULE \
                   iterctl_has_no_such_symbol iterctl_has_no_such_function";
    check("beside_externs", "dump", &Needs { other_externs: names(externs), ..printer("dump") });
    check("subprograms", "alone", &printer("alone"));
    check("variables", "one", &Needs { sections: names(".rodata .data.other"), ..printer("one") });
}

#[test]
fn maps_that_a_program_uses_are_needed_and_held() {
    check("reuse", "dump", &user("dump", "seen", &[LOOKUP]));
    check("reuse_hash", "dump", &user("dump", "seen", &[LOOKUP, UPDATE]));
    check("pinned_map", "dump", &user("dump", "readings", &[LOOKUP]));
    check("own_map_used", "dump", &user("dump", "a_map_with_a_long_name", &[LOOKUP]));
    let kinds = "percpu_array percpu_hash lru lru_percpu allocated_late untyped";
    check("map_kinds", "dump", &user("dump", kinds, &[LOOKUP, UPDATE]));
    check("other_maps", "in_trie", &user("in_trie", "trie", &[LOOKUP, UPDATE]));
    // The map is walked, but no program refers to it.
    check("own_map", "dump", &printer("dump"));
}

#[test]
fn maps_in_the_slots_of_a_map_are_needed_and_not_held() {
    let array =
        Needs { maps: names("in_array first second"), ..user("array", "in_array", &[LOOKUP]) };
    check("maps_in_maps", "array", &array);
    let hash = Needs { maps: names("in_hash third"), ..user("hash", "in_hash", &[LOOKUP]) };
    check("maps_in_maps", "hash", &hash);
}

#[test]
fn exception_callbacks_are_needed_and_not_held() {
    let throwing = Needs {
        maps: names("thrown"),
        sections: names(".rodata .bss"),
        ..user("dump", "", &[LOOKUP])
    };
    check("throwing", "dump", &throwing);
}

#[test]
fn programs_in_the_slots_of_a_map_are_needed() {
    let dump = Needs { programs: names("dump print"), ..user("dump", "steps", &[TAIL_CALL]) };
    check("tail_call", "dump", &dump);
    check("tail_call", "print", &printer("print"));
    let anatomy = anatomy(&bytes("beside_maps")).expect("the object is good");
    assert_eq!(
        anatomy.programs.keys().collect::<Vec<_>>(),
        ["dump"],
        "the others are no iterators"
    );
}

/// `outer` calls `inner` without a relocation, because both are in the section `.text`.
#[test]
fn subprograms_are_followed_by_relocation_and_without() {
    let called = user("called", "of_global of_static", &[LOOKUP]);
    check("subprograms", "called", &Needs { sections: names(".rodata .data"), ..called });
    let bytes = bytes("subprograms");
    let object: ElfFile64<'_, Endianness> = ElfFile64::parse(&*bytes).expect("it is an ELF file");
    let text = object.section_by_name(".text").expect("it has subprograms");
    let named = |relocation: &Relocation| {
        let RelocationTarget::Symbol(index) = relocation.target() else { return "" };
        object.symbol_by_index(index).and_then(|symbol| symbol.name()).unwrap_or_default()
    };
    let named: BTreeSet<&str> = text.relocations().map(|(_, one)| named(&one)).collect();
    assert_eq!(named, BTreeSet::from(["of_global", "of_static", "last_static"]));
}

#[test]
fn a_subprogram_whose_address_is_taken_is_followed() {
    let maps = "walked of_callback";
    check("callback", "dump", &user("dump", maps, &[LOOKUP, FOR_EACH_MAP_ELEM]));
}

#[test]
fn sections_with_variables_are_needed_if_used() {
    let all = ".data .bss .rodata .data.other .bss.other .rodata.other";
    check("variables", "all", &Needs { sections: names(all), ..printer("all") });
    check("rodata", "dump", &printer("dump"));
}

#[test]
fn externs_of_other_programs_are_listed_separately() {
    let all = "runqueues schedule bpf_rcu_read_lock bpf_rcu_read_unlock iterctl_has_no_such_function \
               iterctl_has_no_such_symbol";
    let with = |program: &str, externs: &str| {
        let externs = names(externs);
        let other_externs = names(all).difference(&externs).cloned().collect();
        // Strings that are printed with `%s` are in a section of their own.
        let sections = names(".rodata .rodata.str1.1");
        Needs { sections, externs, other_externs, ..printer(program) }
    };
    check("linked", "symbol", &with("symbol", "schedule"));
    let weak = "iterctl_has_no_such_function iterctl_has_no_such_symbol";
    check("linked", "lacking", &with("lacking", weak));
    let function = with("function", "bpf_rcu_read_lock bpf_rcu_read_unlock");
    check("linked", "function", &Needs { sections: names(".rodata"), ..function });
    let variable = with("variable", "runqueues");
    check("linked", "variable", &Needs { helpers: [SEQ_PRINTF, PER_CPU].into(), ..variable });
    let version = Needs {
        externs: names("LINUX_KERNEL_VERSION"),
        other_externs: names("CONFIG_HZ CONFIG_ITERCTL_HAS_NO_SUCH_OPTION"),
        ..printer("version")
    };
    check("configured", "version", &version);

    let weak = |object: &str| anatomy(&bytes(object)).expect("the object is good").weak;
    assert_eq!(
        weak("linked"),
        names(
            "bpf_rcu_read_lock bpf_rcu_read_unlock iterctl_has_no_such_function iterctl_has_no_such_symbol"
        )
    );
    assert_eq!(weak("beside_externs"), BTreeSet::new());
}

#[test]
fn kinds_of_core_relocations_are_distinguished() {
    for (program, kind) in [
        ("fields", None),
        ("bits", None),
        ("types", Some(CoreKind::Type)),
        ("ids", Some(CoreKind::Type)),
        ("local_ids", Some(CoreKind::LocalType)),
        ("enums", Some(CoreKind::EnumValue)),
    ] {
        let core = kind.into_iter().chain([CoreKind::Field]).collect();
        check("core_kinds", program, &Needs { core, ..printer(program) });
    }
}

#[test]
fn helpers_are_listed() {
    let helpers = [PROBE_READ_KERNEL, SEQ_PRINTF].into();
    check("probe_read", "dump", &Needs { helpers, ..printer("dump") });
}

/// Whether the program reads structures of the kernel without CO-RE.
#[track_caller]
fn has_fixed_layout(object: &str, program: &str, expected: bool) {
    let without = Needs { core: BTreeSet::new(), ..printer(program) };
    check(object, program, &Needs { reads_fixed_layout: expected, ..without });
}

#[test]
fn reads_at_fixed_offsets_are_seen() {
    has_fixed_layout("fixed_layout", "dump", true);
    has_fixed_layout("fixed_elem", "map_id", true);
    // This program reads only its context.
    has_fixed_layout("no_core", "dump", false);
    has_fixed_layout("no_btf", "dump", false);
    // Keys and values do not belong to the kernel.
    has_fixed_layout("fixed_elem", "element", false);
    check("elem", "dump_elem", &printer("dump_elem"));
}

#[test]
fn the_licence_is_the_objects() {
    let licence = |object: &str| anatomy(&bytes(object)).expect("the object is good").licence;
    assert_eq!(licence("tasks_v1"), Some("Dual BSD/GPL".to_owned()));
    assert_eq!(licence("not_gpl"), Some("Apache-2.0".to_owned()));
    assert_eq!(licence("unlicensed"), None);
}

#[test]
fn externs_become_weak_and_nothing_else_changes() {
    let before = bytes("beside_externs");
    let all = anatomy(&before).expect("the object is good").externs();
    assert_eq!(all.len(), 6);
    let weak: BTreeSet<String> = all.iter().filter(|name| name.contains("such")).cloned().collect();
    assert_eq!(weak.len(), 2);
    let after = with_weak_externs(&before, &weak).expect("the object is good");

    assert_eq!(before.len(), after.len());
    let differing: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    assert_eq!(differing.len(), weak.len(), "a byte for each");
    for at in differing {
        // The upper half of `st_info` is the binding, the lower one the type.
        assert_eq!((before[at] >> 4, after[at] >> 4), (1, STB_WEAK.0));
        assert_eq!(before[at] & 0xf, after[at] & 0xf);
    }
    let object: ElfFile64<'_, Endianness> = ElfFile64::parse(&*after).expect("it is an ELF file");
    let is_weak = |one: &ElfSymbol64<'_, '_, Endianness>| one.is_weak() && one.is_undefined();
    let found = object.symbols().filter(is_weak);
    let found: BTreeSet<String> = found.map(|one| one.name().expect("UTF-8").to_owned()).collect();
    assert_eq!(found, weak);
    assert_eq!(anatomy(&after).expect("the object is good").weak, weak);
    let facts = facts_of(Path::new("beside_externs.bpf.o"), &after).expect("libbpf opens it");
    assert_eq!(facts.iterators.len(), 1);

    let nothing = with_weak_externs(&before, &names("dump no_such_extern")).expect("it is good");
    assert!(nothing == before, "only externs have bindings to change");
}

#[test]
fn a_map_loses_its_slots_and_nothing_else_changes() {
    let bytes = bytes("tail_call");
    let without = without_slots(&bytes, &BTreeSet::from(["steps"])).expect("it is whole");
    let dump = needs(&without, "dump").expect("it is whole").expect("it is there");
    assert_eq!(dump.programs, names("dump"));
    assert_eq!(dump.maps, names("steps"));
    let differing = without.iter().zip(&bytes).filter(|(a, b)| a != b).count();
    assert_eq!((without.len(), differing), (bytes.len(), 1), "the size of a table");
    let others = without_slots(&bytes, &BTreeSet::from(["print"])).expect("it is whole");
    assert_eq!(others, bytes);
}

#[test]
fn a_map_keeps_its_slots_when_another_loses_them() {
    let bytes = bytes("maps_in_maps");
    let before = anatomy(&bytes).expect("it is whole");
    for (name, program) in &before.programs {
        for map in &program.held {
            let without = without_slots(&bytes, &BTreeSet::from([map.as_str()]));
            let after = needs(&without.expect("it is whole"), name);
            let after = after.expect("it is whole").expect("it is there");
            assert_eq!(after.held, program.held, "{name}, {map}");
            assert!(after.maps.is_subset(&program.maps), "{name}, {map}");
        }
    }
}

/// The object as `llvm-strip` without `-g` leaves it: its symbol table has another type.
fn stripped(object: &str) -> Vec<u8> {
    let mut bytes = bytes(object);
    let header: &FileHeader64<Endianness> =
        object::pod::from_bytes(&bytes).map(|(header, _)| header).expect("it is an ELF file");
    let order = Endianness::default();
    let sections = header.e_shoff.get(order);
    let (size, number) = (header.e_shentsize.get(order), header.e_shnum.get(order));
    let sections = (0..number).map(|at| sections + u64::from(at) * u64::from(size));
    for at in sections.map(|at| usize::try_from(at).expect("it is small") + 4) {
        let kind = &mut bytes[at..at + 4];
        if kind == 2_u32.to_ne_bytes() {
            kind.copy_from_slice(&[0; 4]);
        }
    }
    bytes
}

/// The output of `check` for an object without symbols.
#[track_caller]
fn has_no_symbols(bytes: &[u8]) {
    assert_eq!(anatomy(bytes), Err(Malformed::NoSymbols));
    let path = Path::new("stripped.bpf.o");
    let fault = facts_of(path, bytes).expect_err("nothing can be said of it");
    assert_eq!(fault, ObjectFault::NoSymbols(path.to_path_buf()));

    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes);
    write("stripped.bpf.o", bytes).expect("own folder");
    write("iters.toml", b"[[iter]]\nobj = \"stripped.bpf.o\"\npath = \"x\"\n").expect("own folder");
    let mut check = Command::new(env!("CARGO_BIN_EXE_iterctl"));
    let check = check.args(["check", "-f", "iters.toml"]).current_dir(folder.path());
    let output = check.output().expect("the binary is there");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let object = folder.path().join("stripped.bpf.o");
    assert_eq!(output.status.code(), Some(65), "{said}");
    let first = format!("error: {} has no symbol table\n --> iters.toml:2:7\n", object.display());
    assert!(said.starts_with(&first), "{said}");
    let help = "help: compile it again; to strip its debug information, use `llvm-strip -g`\n";
    assert!(said.ends_with(help), "{said}");
}

#[test]
fn an_object_without_symbols_says_so() {
    has_no_symbols(&stripped("tasks_v1"));
    has_no_symbols(&stripped("subprograms"));
}

/// Uses the real tool, which comes with the compiler that the objects need.
#[test]
fn llvm_strip_removes_the_symbols_and_with_g_only_debug_information() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let strip = |options: &[&str], object: &str| {
        let to = folder.path().join("stripped.bpf.o");
        let mut command = Command::new("llvm-strip");
        match command.args(options).arg(path(object)).arg("-o").arg(&to).status() {
            Ok(status) => assert!(status.success(), "llvm-strip {options:?}"),
            // Some installations of clang have it only with a version in its name.
            Err(_) => return None,
        }
        Some(fs::read(to).expect("it has been written"))
    };
    let Some(all) = strip(&["--strip-all"], "tasks_v1") else { return };
    has_no_symbols(&all);
    let debug = strip(&["-g"], "tail_call").expect("it ran before");
    assert_eq!(anatomy(&debug), anatomy(&bytes("tail_call")));
}

#[test]
fn a_truncated_object_is_never_accepted() {
    let bytes = bytes("subprograms");
    for end in 0..bytes.len() {
        match anatomy(&bytes[..end]) {
            Err(Malformed::Elf(why)) => assert!(!why.is_empty(), "of {end} bytes"),
            other @ (Err(_) | Ok(_)) => panic!("of {end} bytes: {other:?}"),
        }
    }
    assert!(anatomy(&bytes).is_ok());
}
