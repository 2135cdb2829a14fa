//! Reasons why a value does not fit its variable, and their messages. Pure.

use std::fmt;

use crate::escaped::Escaped;
use crate::language::Language;

/// A value that does not fit its variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The object has no such variable.
    Unknown {
        /// The name as written.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// The struct has no such member.
    UnknownMember {
        /// The name as written.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A member of a union, while another member of the union has a value too.
    Overlap(String),
    /// A value of another type than the variable's.
    Kind {
        /// The type of the variable.
        wanted: String,
        /// The type of the written value.
        found: &'static str,
    },
    /// A number that the variable cannot hold.
    Range {
        /// The type of the variable.
        wanted: String,
        /// The smallest number that it can hold.
        least: i128,
        /// The largest number that it can hold.
        most: i128,
    },
    /// No value of the enum has that name.
    NotInEnum {
        /// The name as written.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A string that is too long for its array, which must also hold a NUL byte.
    StringTooLong {
        /// Bytes of the string.
        length: usize,
        /// Bytes of the array.
        room: usize,
    },
    /// An array with too many elements.
    ArrayTooLong {
        /// Elements written.
        length: usize,
        /// Elements that there are.
        room: usize,
    },
    /// A value that is larger than the limit for one variable.
    TooLarge {
        /// Bytes of the value.
        size: usize,
        /// The limit in bytes.
        most: usize,
    },
    /// A string with a NUL byte in it.
    Nul,
    /// A type whose values cannot be written.
    CannotWrite(String),
}

impl Misfit {
    /// The hint in that language, if there is one.
    pub fn help(&self, language: Language) -> Option<String> {
        match self {
            Self::Unknown { known, .. } if known.is_empty() => Some(
                "it describes no variable at all: compile it with `clang -g`, for BTF".to_owned(),
            ),
            Self::Unknown { known, .. }
            | Self::UnknownMember { known, .. }
            | Self::NotInEnum { known, .. } => match known.as_slice() {
                [] => None,
                some => Some(format!("there is {}", quoted(some))),
            },
            Self::Range { least, most, .. } => Some(format!("it holds {least} to {most}")),
            Self::Kind { .. } => match language {
                Language::Manifest => None,
                Language::CommandLine => Some(
                    "the VALUE of `--global NAME=VALUE` is TOML, such as `5`, `true`, `[1, 2]` or \
                     `{ a = 1 }`; anything else is a string"
                        .to_owned(),
                ),
            },
            Self::Overlap(_)
            | Self::StringTooLong { .. }
            | Self::ArrayTooLong { .. }
            | Self::TooLarge { .. }
            | Self::Nul
            | Self::CannotWrite(_) => None,
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{}`", Escaped::new(name))).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, .. } => {
                write!(f, "the object has no variable `{}`", name.escape_debug())
            }
            Self::UnknownMember { name, .. } => {
                write!(f, "the struct has no member `{}`", name.escape_debug())
            }
            Self::Overlap(name) => write!(
                f,
                "`{}` shares its bytes with another member that is given a value",
                name.escape_debug()
            ),
            Self::Kind { wanted, found } => write!(f, "{found} for {wanted}"),
            Self::Range { wanted, .. } => write!(f, "too small or too large for {wanted}"),
            Self::NotInEnum { name, .. } => {
                write!(f, "the enum has no value `{}`", name.escape_debug())
            }
            Self::StringTooLong { length, room } => write!(
                f,
                "string of {length} bytes for an array of {room}, which also holds a NUL byte"
            ),
            Self::ArrayTooLong { length, room } => {
                write!(f, "{length} elements for an array of {room}")
            }
            Self::TooLarge { size, most } => {
                write!(f, "{size} bytes are too many: {most} at most")
            }
            Self::Nul => write!(f, "string with a NUL byte in it"),
            Self::CannotWrite(what) => write!(f, "{what} cannot be given a value"),
        }
    }
}
