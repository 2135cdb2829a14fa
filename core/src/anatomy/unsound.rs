//! The parts of an object that make libbpf crash, hang or use up all memory. Pure.

use std::fmt;

/// Why an object is not passed to libbpf 1.7. No compiler produces such an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsound {
    /// More of something than any real object has: what, how many, and the limit.
    TooMany(&'static str, u64, u64),
    /// So many of two things that scanning all of one for each of the other takes too long.
    TooLong {
        /// What, and how many.
        first: (&'static str, u64),
        /// The same for the second.
        second: (&'static str, u64),
    },
    /// Its sections have more bytes than the file.
    SharedBytes,
    /// Two sections with a name that may occur only once.
    Twice(&'static str),
    /// A table of strings that is compressed, or does not end with a NUL.
    Strings(String),
    /// The section has no bytes in the file, only a size.
    NoBytes(String),
    /// Its functions have far more bytes than its code.
    SharedCode,
    /// The function ends with the first half of a 16-byte instruction.
    HalfInstruction(String),
    /// A CO-RE relocation points inside an instruction.
    CoreWithinInstruction,
    /// A relocation, a symbol or a variable in the section lies beyond the section's end.
    Beyond(String),
    /// The byte order of the BTF is not that of the file.
    OtherByteOrder,
    /// A name in the BTF is far longer than the kernel accepts, or all names together are too long.
    LongName,
    /// A type in the BTF holds itself; its name or number.
    HoldsItself(String),
    /// A function in the BTF returns a type that does not exist.
    NoType(u32),
    /// The BTF lists something in the section that is not a variable.
    NoVariable(String),
    /// A value of the kernel's configuration is a structure, or too large.
    Configuration(String),
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(what, number, most) => {
                write!(f, "it has {number} {what}, and {most} are allowed")
            }
            Self::TooLong { first: (first, a), second: (second, b) } => {
                write!(f, "it has {a} {first} and {b} {second}, which take too long to read")
            }
            Self::SharedBytes => write!(f, "its sections overlap in the file"),
            Self::Twice(name) => write!(f, "it has two sections `{name}`"),
            Self::Strings(name) => {
                write!(f, "its strings in section `{}` have no end", Name(name))
            }
            Self::NoBytes(name) => write!(f, "its section `{}` is empty", Name(name)),
            Self::SharedCode => write!(f, "its functions overlap"),
            Self::HalfInstruction(name) => {
                write!(f, "its function `{}` ends within an instruction", Name(name))
            }
            Self::CoreWithinInstruction => {
                write!(f, "it has a CO-RE relocation within an instruction")
            }
            Self::Beyond(name) => {
                write!(f, "something in its section `{}` lies beyond the section's end", Name(name))
            }
            Self::OtherByteOrder => write!(f, "its BTF is of the other byte order"),
            Self::LongName => write!(f, "its names are too long"),
            Self::HoldsItself(name) => {
                write!(f, "its BTF has a type that holds itself: `{}`", Name(name))
            }
            Self::NoType(id) => write!(f, "its BTF names type {id}, which is not there"),
            Self::NoVariable(name) => {
                write!(f, "its BTF lists something in `{}` that is not a variable", Name(name))
            }
            Self::Configuration(name) => write!(
                f,
                "its extern `{}` is no value that the kernel's configuration could have",
                Name(name)
            ),
        }
    }
}

/// A name from the file, escaped for a terminal and cut to a readable length.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 64;
        self.0.chars().take(LONGEST).try_for_each(|one| write!(f, "{}", one.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unsound: &Unsound, expected: &str) {
        assert_eq!(unsound.to_string(), expected);
    }

    #[test]
    fn names_are_escaped_and_cut() {
        check(
            &Unsound::HoldsItself("\u{1b}[2J\n".to_owned()),
            "its BTF has a type that holds itself: `\\u{1b}[2J\\n`",
        );
        check(
            &Unsound::Beyond("x".repeat(1000)),
            &format!("something in its section `{}` lies beyond the section's end", "x".repeat(64)),
        );
    }

    #[test]
    fn exceeded_limits_are_reported_with_numbers() {
        check(&Unsound::TooMany("symbols", 2, 1), "it has 2 symbols, and 1 are allowed");
        check(
            &Unsound::TooLong { first: ("externs", 3), second: ("types", 4) },
            "it has 3 externs and 4 types, which take too long to read",
        );
    }
}
