//! The bytes of an object → its programs, maps and variables, through libbpf.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

#[path = "../../tests/broken/object.rs"]
mod object;
#[path = "../../tests/broken/places.rs"]
mod places;

fuzz_target!(|bytes: &[u8]| object::look(bytes));

// Every other time, one of the numbers that libbpf trusts is changed, or replaced by one from a similar
// place: a type, a symbol, an offset. Random bytes are mostly code, and rarely a number with a meaning.
fuzz_mutator!(|bytes: &mut [u8], size: usize, most: usize, seed: u32| {
    let mut lots = Lots(u64::from(seed) | 1);
    let places = places::places(&bytes[..size]);
    if lots.draw(2) == 0 || places.is_empty() {
        return fuzzer_mutate(bytes, size, most);
    }
    let at = |lots: &mut Lots| {
        let place = &places[lots.draw(places.len())];
        (place.start + lots.draw(place.len()) & !3).min(size.saturating_sub(4))
    };
    for _ in 0..=lots.draw(3) {
        let to = at(&mut lots);
        let old = u32::from_le_bytes([bytes[to], bytes[to + 1], bytes[to + 2], bytes[to + 3]]);
        let new = match lots.draw(8) {
            0 => 0,
            1 => old.wrapping_add(1),
            2 => old.wrapping_sub(1),
            3 => old ^ 1 << lots.draw(32),
            4 => [u32::MAX, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8][lots.draw(4)],
            5 => lots.draw(64) as u32,
            _ => {
                let from = at(&mut lots);
                u32::from_le_bytes([bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]])
            }
        };
        bytes[to..to + 4].copy_from_slice(&new.to_le_bytes());
    }
    size
});

/// Random numbers (xorshift).
struct Lots(u64);

impl Lots {
    fn draw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}
