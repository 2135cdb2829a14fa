//! Mode, owner and group of a pin or a directory. Pure.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Permission bits of a pin or a directory, 0 to 0777.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u32);

/// Text that is not a valid mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidMode;

impl Mode {
    /// The permission bits of an `st_mode`; the file type, set-id and sticky bits are left out.
    pub const fn from_stat(st_mode: u32) -> Self {
        Self(st_mode & 0o777)
    }

    /// The bits, as `chmod` takes them.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for Mode {
    type Err = InvalidMode;

    /// Three octal digits, or four of which the first is 0.
    fn from_str(text: &str) -> Result<Self, InvalidMode> {
        let digits = match text.len() {
            4 => text.strip_prefix('0').ok_or(InvalidMode)?,
            _ => text,
        };
        if digits.len() != 3 || !digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
            return Err(InvalidMode);
        }
        u32::from_str_radix(digits, 8).map(Self).map_err(|_| InvalidMode)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Display for InvalidMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a mode is three octal digits with an optional 0 before them")
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
        check("1777", None);
        check("00440", None);
        check("+440", None);
        check("u=rw", None);
    }
}
