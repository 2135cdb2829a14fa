//! What is bound to a program → a stamp → what `list` shows.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/broken/stamp.rs"]
mod stamp;

fuzz_target!(|bytes: &[u8]| stamp::read(bytes));
