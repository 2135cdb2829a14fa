//! The output of an iterator → the same as text that does nothing to a terminal. Pure.
//!
//! A process can put anything into its name, and most iterators print it as it is. Into files and pipes it goes
//! byte for byte.

use std::mem;

use iterctl_core::escaped::escape_lines;

/// The longest line that is waited for: what is longer is shown in parts.
const LONGEST: usize = 64 * 1024;

/// Escapes output line by line, in whatever pieces it comes.
#[derive(Debug, Default)]
pub struct Lines {
    /// The last line, which has no end yet.
    rest: Vec<u8>,
}

impl Lines {
    /// Takes more of the output. Returns the lines that are complete by now.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let end = match self.rest.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None if self.rest.len() > LONGEST => self.rest.len() - begun(&self.rest),
            None => 0,
        };
        let rest = self.rest.split_off(end);
        text(&mem::replace(&mut self.rest, rest))
    }

    /// The last line, if it has no newline.
    pub fn end(self) -> String {
        text(&self.rest)
    }
}

fn text(bytes: &[u8]) -> String {
    escape_lines(&String::from_utf8_lossy(bytes)).into_owned()
}

/// How many bytes at the end begin a character that is not complete.
fn begun(bytes: &[u8]) -> usize {
    let tail = bytes.iter().rev().take(3).enumerate();
    let mut tail = tail.map(|(back, byte)| (back + 1, byte.leading_ones() as usize));
    // A byte that continues a character begins with one 1, and the first has as many as there are bytes.
    let first = tail.find(|(_, ones)| *ones != 1);
    first.filter(|(length, ones)| ones > length).map_or(0, |(length, _)| length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&[u8]], expected: &[&str]) {
        let mut lines = Lines::default();
        let mut shown: Vec<String> = pieces.iter().map(|piece| lines.push(piece)).collect();
        shown.push(lines.end());
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_newlines_and_tabs_do_something() {
        check(&[b"1\ta\x1b[31m\r\n2 \xc2\x9b\n"], &["1\ta\\u{1b}[31m\\r\n2 \\u{9b}\n", ""]);
        check(&["\u{202e}x".as_bytes()], &["", "\\u{202e}x"]);
        check(&[b"\xff\0\n"], &["\u{fffd}\\u{0}\n", ""]);
    }

    #[test]
    fn a_line_may_come_in_pieces() {
        check(&[b"\x1b", b"[2J", b"\nab", b"c"], &["", "", "\\u{1b}[2J\n", "", "abc"]);
        let euro = "€".as_bytes();
        check(&[&euro[..1], &euro[1..], b"\n"], &["", "", "€\n", ""]);
    }

    #[test]
    fn a_very_long_line_is_shown_in_parts_of_whole_characters() {
        for character in ["x", "é", "€", "🦀"] {
            for before in 0..4 {
                let text = "x".repeat(before) + &character.repeat(2 * LONGEST);
                let mut lines = Lines::default();
                let shown: String =
                    text.as_bytes().chunks(1000).map(|one| lines.push(one)).collect();
                assert!(shown.len() >= LONGEST);
                assert!(shown + &lines.end() == text, "{character} after {before}");
            }
        }
    }
}
