//! Objects that are made to keep the code busy that reads them are refused before libbpf sees them, or read,
//! with little time and memory. The reasons of all other refusals: core/tests/objects/refused.rs.

mod broken {
    pub(crate) mod object;
}
#[path = "../core/tests/objects/build.rs"]
mod build;

use std::fs;
use std::path::Path;
use std::time::Duration;

use broken::object;
use build::*;
use iterctl::host::object::facts_of;
use rustix::time::{ClockId, clock_gettime};

/// A debug build takes ten times as long for each byte.
const IS_SLOW: bool = cfg!(debug_assertions);

/// Bytes of large test objects: objects of more than 64 MiB are not read at all.
const LARGE: usize = if IS_SLOW { 4 << 20 } else { 60 << 20 };

/// Processor time: other tests run at the same time.
const LONGEST: Duration = Duration::from_secs(if IS_SLOW { 10 } else { 2 });

/// Peak memory of the process, in kB.
const MOST_MEMORY: u64 = 1_500_000;

/// Prepares the object as far as no kernel is needed, and checks the reason why it is refused; an empty
/// reason means that it can be used.
#[track_caller]
fn check(object: &Object, expected: &str) {
    check_bytes(&object.to_bytes(), expected);
}

#[track_caller]
fn check_bytes(bytes: &[u8], expected: &str) {
    assert!(bytes.len() <= 64 * 1024 * 1024, "larger objects are not read: {}", bytes.len());
    let start = clock_gettime(ClockId::ThreadCPUTime);
    let said = facts_of(Path::new("x.bpf.o"), bytes).err().map(|why| why.to_string());
    if said.is_none() {
        object::look(bytes);
    }
    let took = clock_gettime(ClockId::ThreadCPUTime) - start;
    let took = Duration::try_from(took).expect("time goes on");
    println!("{took:?} for {expected:?}");
    let said = said.unwrap_or_default();
    if expected.is_empty() {
        assert_eq!(said, "");
    } else {
        assert!(said.contains(expected), "{expected:?} is not in {said:?}");
    }
    assert!(took < LONGEST, "it took {took:?}");
    let memory = memory();
    assert!(memory < MOST_MEMORY, "{memory} kB");
}

fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.expect("the kernel tells");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn add_many(btf: &mut Btf, number: usize) {
    for _ in 0..number {
        btf.add("x", 7, 0, 0, &[]);
    }
}

#[test]
fn valid_built_objects_are_read() {
    check(&Object::with_iterator(&PROGRAM), "");
    let pointer = |btf: &mut Btf| {
        let array = array(btf, 2);
        btf.add("", 2, 0, array, &[])
    };
    check(&with_map(pointer), "");
    check(&with_configuration(1, |btf| array(btf, 8)), "");
    let facts = facts_of(Path::new("x.bpf.o"), &with_map(pointer).to_bytes()).expect("it is good");
    assert_eq!((facts.iterators.len(), facts.maps.len()), (1, 1));
}

#[test]
fn overlapping_bytes_are_refused() {
    let mut object = Object::with_iterator(&PROGRAM);
    let first = object.add(Section::new(".data.0", PROGBITS, 3, vec![1; LARGE / 2]));
    for number in 1..100 {
        let other = Section::new(&format!(".data.{number}"), PROGBITS, 3, Vec::new());
        object.add(Section { size: Some(LARGE as u64 / 2), shares: Some(first.into()), ..other });
    }
    check(&object, "its sections overlap in the file");
    // 1,000 large programs of the same code.
    let code = PROGRAM.repeat(LARGE / 2 / PROGRAM.len());
    let mut object = Object::with_iterator(&code);
    for number in 0..1000 {
        let name = format!("p{number}");
        object.symbols.push(Symbol::new(&name, GLOBAL_FUNCTION, 3, 0, code.len() as u64));
    }
    check(&object, "its functions overlap");
}

#[test]
fn strings_without_end_are_refused() {
    let mut object = Object::with_iterator(&PROGRAM);
    object.more = 500_000;
    object.endless_strings = LARGE / 2;
    check(&object, "its strings in section `.strtab` have no end");
    object = Object::with_iterator(&PROGRAM);
    object.compressed_strings = true;
    check(&object, "its strings in section `");
}

#[test]
fn names_without_end_are_refused() {
    // 100,000 symbols share a name of 32 MiB.
    let mut object = Object::with_iterator(&PROGRAM);
    object.symbols.insert(0, Symbol::new(&"x".repeat(32 << 20), 0, 3, 0, 0));
    object.more = 100_000;
    check(&object, "its names are too long");
    // There are 100,000 programs, each with a copy of its section's name.
    let mut object = Object::with_iterator(&PROGRAM);
    object.sections[0].name = format!("iter/task{}", "x".repeat(1 << 20));
    object.add(Section::new("iter/tcp", PROGBITS, CODE, PROGRAM.repeat(60_000)));
    object.symbols.extend((0..50_000).map(|at| Symbol::new("", GLOBAL_FUNCTION, 3, at, 0)));
    check(&object, "its names are too long");
}

#[test]
fn deep_calls_and_large_data_are_accepted() {
    // Each subprogram calls the next.
    let chain = |number: u64| {
        let mut object = Object::with_iterator(&[&call(-1)[..], &PROGRAM].concat());
        let code = [&call(1)[..], &PROGRAM[8..]].concat();
        let last = code.len() as u64 * number;
        let text = object.add(Section::new(
            ".text",
            PROGBITS,
            CODE,
            [code.repeat(number as usize), PROGRAM.to_vec()].concat(),
        ));
        for start in (0..=last).step_by(code.len()) {
            object.symbols.push(Symbol::new("f", GLOBAL_FUNCTION, text, start, 16));
        }
        object.add(Section::relocations(".reliter/task", 3, &[(0, 2)]));
        object
    };
    check(&chain(4000), "");
    check(&chain(60_000), "it has 60001 subprograms, and 4096 are allowed");
    // 4 GiB of zeros.
    let mut object = Object::with_iterator(&PROGRAM);
    let bss = Section::new(".bss", NOBITS, 3, Vec::new());
    object.add(Section { size: Some(0xffff_fff0), ..bss });
    check(&object, "");
    let mut object = Object::with_iterator(&PROGRAM);
    object.add(Section::new(".rodata", PROGBITS, 2, vec![1; LARGE]));
    check(&object, "");
    let mut object = Object::with_iterator(&PROGRAM);
    object.add(Section::new("iter/tcp", PROGBITS, CODE, PROGRAM.repeat(LARGE / 16)));
    object.symbols.push(Symbol::new("large", GLOBAL_FUNCTION, 5, 0, LARGE as u64));
    check(&object, "");
}

#[test]
fn objects_that_need_quadratic_time_are_refused() {
    let expected = "which take too long to read";
    // Many sections of code, and many symbols.
    let mut object = Object::with_iterator(&PROGRAM);
    for _ in 0..60_000 {
        object.add(Section::new("iter/tcp", PROGBITS, CODE, PROGRAM.to_vec()));
    }
    object.symbols.insert(0, Symbol::new("", 0, 3, 0, 0));
    object.more = 900_000;
    check(&object, expected);
    object.more *= 2;
    check(&object, "symbols, and 1000000 are allowed");
    // Many externs, and many types.
    let mut btf = Btf::default();
    add_many(&mut btf, 900_000);
    let variable = btf.add("y", 14, 0, 1, &[2]);
    btf.add(".ksyms", 15, 1, 0, &[variable, 0, 0]);
    let mut object = with_btf(&btf);
    object.symbols.insert(0, Symbol::new("y", GLOBAL_UNTYPED, 0, 0, 0));
    object.more = 500_000;
    check(&object, expected);
    // Many variables, and many symbols.
    let mut btf = Btf::default();
    let kind = character(&mut btf);
    let variable = btf.add("x", 14, 0, kind, &[1]);
    btf.add(".data", 15, 65_535, 0, &[variable, 0, 0].repeat(65_535));
    let mut object = with_btf(&btf);
    let data = object.add(Section::new(".data", PROGBITS, 3, vec![0; 8]));
    object.symbols.insert(0, Symbol::new("y", GLOBAL_OBJECT, data, 0, 0));
    object.symbols.push(Symbol::new("x", GLOBAL_OBJECT, data, 0, 0));
    object.more = 900_000;
    check(&object, expected);
    // Many programs, and much code that they share.
    let mut object = Object::with_iterator(&[&call(-1)[..], &PROGRAM].concat());
    let code = [&call(-1)[..], &PROGRAM].concat();
    let section = object.add(Section::new("iter/tcp", PROGBITS, CODE, code.repeat(50_000)));
    let length = LARGE / 2;
    let text =
        object.add(Section::new(".text", PROGBITS, CODE, PROGRAM.repeat(length / PROGRAM.len())));
    let mut relocations = Vec::new();
    for number in 0..50_000_u64 {
        object.symbols.push(Symbol::new("p", GLOBAL_FUNCTION, section, number * 24, 24));
        relocations.push((number * 24, 50_002));
    }
    object.symbols.push(Symbol::new("f", GLOBAL_FUNCTION, text, 0, length as u64));
    object.add(Section::relocations(".reliter/tcp", section.into(), &relocations));
    check(&object, expected);
}

#[test]
fn objects_of_this_size_are_read_in_time() {
    // More than any real object has: 500 programs that share 10,000 instructions, 5,000 symbols, 100,000
    // types.
    let mut btf = Btf::default();
    add_many(&mut btf, if IS_SLOW { 10_000 } else { 100_000 });
    let mut object = with_btf(&btf);
    let code = [&call(-1)[..], &PROGRAM].concat();
    let text = object.add(Section::new(".text", PROGBITS, CODE, PROGRAM.repeat(5_000)));
    object.symbols.push(Symbol::new("f", GLOBAL_FUNCTION, text, 0, 80_000));
    for number in 0..500 {
        let section = object.add(Section::new("iter/tcp", PROGBITS, CODE, code.clone()));
        let name = format!("p{number}");
        object.symbols.push(Symbol::new(&name, GLOBAL_FUNCTION, section, 0, 24));
        object.add(Section::relocations(".reliter/tcp", section.into(), &[(0, 2)]));
    }
    for number in 0..5_000 {
        object.symbols.push(Symbol::new(&format!("label_{number}"), 0, text, 0, 0));
    }
    check(&object, "");
}
