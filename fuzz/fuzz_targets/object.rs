//! The bytes of an object → its programs, maps and variables, by way of libbpf.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/broken/object.rs"]
mod object;

fuzz_target!(|bytes: &[u8]| object::look(bytes));
