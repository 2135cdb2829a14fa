//! Names of sets and maps, and digests: text that has been checked. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name under which one manifest owns its pins: 1 to 64 ASCII letters, digits, `_`, `-`, `.`,
/// `@`, `+` or `:`, the first a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SetName(String);

/// Text that is not a valid set name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetName(pub String);

impl SetName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SetName {
    type Err = InvalidSetName;

    fn from_str(text: &str) -> Result<Self, InvalidSetName> {
        let first_is_plain = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        let all_allowed = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.@+:".contains(c));
        if first_is_plain && all_allowed && text.len() <= 64 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSetName(text.to_owned()))
        }
    }
}

impl TryFrom<String> for SetName {
    type Error = InvalidSetName;

    fn try_from(text: String) -> Result<Self, InvalidSetName> {
        text.parse()
    }
}

impl From<SetName> for String {
    fn from(name: SetName) -> Self {
        name.0
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InvalidSetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a set name", self.0.escape_debug())
    }
}

impl std::error::Error for InvalidSetName {}

/// The name of a loaded map: at most 15 bytes, for `BPF_OBJ_NAME_LEN` is 16 with the NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapName(String);

/// Why a text is not the name of a loaded map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidMapName {
    /// An empty text.
    Empty,
    /// More than 15 bytes, of which the kernel would keep the first ones.
    TooLong {
        /// The first 15 bytes, cut at a character.
        kept: String,
    },
}

impl MapName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MapName {
    type Err = InvalidMapName;

    fn from_str(text: &str) -> Result<Self, InvalidMapName> {
        const LONGEST: usize = 15;
        if text.is_empty() {
            return Err(InvalidMapName::Empty);
        }
        if text.len() > LONGEST {
            let kept = text.chars().scan(0, |length, c| {
                *length += c.len_utf8();
                (*length <= LONGEST).then_some(c)
            });
            return Err(InvalidMapName::TooLong { kept: kept.collect() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for MapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InvalidMapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "map name is empty"),
            Self::TooLong { .. } => {
                write!(f, "map name is longer than the 15 bytes a kernel keeps")
            }
        }
    }
}

impl std::error::Error for InvalidMapName {}

/// A SHA-256 in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(String);

/// A text that is not 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSha256;

impl Sha256 {
    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Sha256 {
    type Err = InvalidSha256;

    fn from_str(text: &str) -> Result<Self, InvalidSha256> {
        let is_hex = text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if text.len() != 64 || !is_hex {
            return Err(InvalidSha256);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl From<[u8; 32]> for Sha256 {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl TryFrom<String> for Sha256 {
    type Error = InvalidSha256;

    fn try_from(text: String) -> Result<Self, InvalidSha256> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InvalidSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a SHA-256 is 64 hex digits")
    }
}

impl std::error::Error for InvalidSha256 {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_names_are_plain_words() {
        for good in ["observe", "iters", "a.b-c_d@e+f:g", "7"] {
            assert!(good.parse::<SetName>().is_ok(), "{good}");
        }
        for bad in ["", ".hidden", "-x", "two words", "ü", "a/b", &"x".repeat(65)] {
            assert!(bad.parse::<SetName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn map_names_fit_the_kernel() {
        assert!("fifteen_bytes_x".parse::<MapName>().is_ok());
        assert_eq!(
            "sixteen_bytes_xy".parse::<MapName>(),
            Err(InvalidMapName::TooLong { kept: "sixteen_bytes_x".to_owned() })
        );
    }

    #[test]
    fn digests_are_written_in_lower_case() {
        let upper = "AB".repeat(32);
        let digest = upper.parse::<Sha256>().expect("64 hex digits");
        assert_eq!(digest, Sha256::from([0xab; 32]));
        let lower = upper.to_lowercase();
        assert_eq!((digest.as_str(), digest.to_string()), (lower.as_str(), lower.clone()));
        for bad in ["", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64)] {
            assert_eq!(bad.parse::<Sha256>(), Err(InvalidSha256), "{bad}");
        }
        assert_eq!(InvalidSha256.to_string(), "a SHA-256 is 64 hex digits");
    }

    #[test]
    fn names_are_written_as_they_are() {
        let longest = "x".repeat(64);
        let set: SetName = longest.parse().expect("as long as a set name may be");
        assert_eq!((set.as_str(), set.to_string()), (longest.as_str(), longest.clone()));
        let map: MapName = "conns".parse().expect("a map name");
        assert_eq!((map.as_str(), map.to_string()), ("conns", "conns".to_owned()));
    }

    #[test]
    fn what_is_wrong_with_a_name_is_told() {
        let set = "a\nb".parse::<SetName>().expect_err("this is no set name");
        assert_eq!(set.to_string(), "`a\\nb` is not a set name");
        let map = |text: &str| text.parse::<MapName>().expect_err("this is no map name");
        assert_eq!(map("").to_string(), "map name is empty");
        let too_long = "map name is longer than the 15 bytes a kernel keeps";
        assert_eq!(map("sixteen_bytes_xy").to_string(), too_long);
        let kept = "ü".repeat(7);
        assert_eq!(map(&"ü".repeat(8)), InvalidMapName::TooLong { kept });
    }
}
