//! Mode, owner and group of a pin or a directory. Pure.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Permission, set-id and sticky bits of a pin or a directory: 0 to 07777.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u32);

/// Text that is not a valid mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidMode;

impl Mode {
    /// All bits of an `st_mode` but those of the file type.
    pub const fn from_stat(st_mode: u32) -> Self {
        Self(st_mode & 0o7777)
    }

    /// Whether it has set-id or sticky bits, which make sense for directories only.
    pub const fn has_special_bits(self) -> bool {
        self.0 & 0o7000 != 0
    }

    /// The bits, as `chmod` takes them.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for Mode {
    type Err = InvalidMode;

    /// Three or four octal digits.
    fn from_str(text: &str) -> Result<Self, InvalidMode> {
        let is_octal = text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        if !(3..=4).contains(&text.len()) || !is_octal {
            return Err(InvalidMode);
        }
        u32::from_str_radix(text, 8).map(Self).map_err(|_| InvalidMode)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Display for InvalidMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a mode is three or four octal digits")
    }
}

impl std::error::Error for InvalidMode {}

impl Serialize for Mode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Mode and ownership of a pin or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Meta {
    /// Permission bits.
    pub mode: Mode,
    /// The owner's uid.
    pub uid: u32,
    /// The group's gid.
    pub gid: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u32>) {
        assert_eq!(text.parse::<Mode>().ok().map(Mode::bits), expected, "{text:?}");
    }

    #[test]
    fn modes_are_octal_permission_bits() {
        check("0440", Some(0o440));
        check("600", Some(0o600));
        check("0777", Some(0o777));
        check("", None);
        check("44", None);
        check("0800", None);
        check("1777", Some(0o1777));
        check("8777", None);
        check("00440", None);
        check("+440", None);
        check("u=rw", None);
    }

    #[test]
    fn the_file_type_of_a_stat_is_left_out() {
        let check = |st_mode, written| assert_eq!(Mode::from_stat(st_mode).to_string(), written);
        check(0o100_640, "0640");
        check(0o041_777, "1777");
        check(0o107_000, "7000");
    }

    #[test]
    fn set_id_and_sticky_bits_are_special() {
        for (bits, special) in [(0o777, false), (0o1777, true), (0o2000, true), (0o4700, true)] {
            assert_eq!(Mode::from_stat(bits).has_special_bits(), special, "{bits:o}");
        }
    }

    #[test]
    fn what_a_mode_is_is_told() {
        assert_eq!(InvalidMode.to_string(), "a mode is three or four octal digits");
    }
}
