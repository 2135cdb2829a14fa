//! The bytes bound to a program → a stamp → the output of `list`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/broken/stamp.rs"]
mod stamp;

fuzz_target!(|bytes: &[u8]| stamp::read(bytes));
