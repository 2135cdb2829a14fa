//! Everything that can be wrong with an object file. Pure.

use std::fmt;
use std::path::PathBuf;

use crate::anatomy::Unsound;
use crate::escaped::Escaped;

/// Why an object cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectFault {
    /// No such file.
    Missing(PathBuf),
    /// The file cannot be read; the system's message.
    Unreadable(PathBuf, String),
    /// A directory, a device, a FIFO, …
    NotAFile(PathBuf),
    /// Larger than any BPF object: its bytes, and the limit.
    TooLarge(PathBuf, u64, u64),
    /// Empty, or without an ELF header.
    NotElf(PathBuf),
    /// An ELF file for another machine, with this `e_machine`.
    NotBpf(PathBuf, u16),
    /// An object for machines of the other byte order, which is given.
    OtherByteOrder(PathBuf, ByteOrder),
    /// Without a symbol table.
    NoSymbols(PathBuf),
    /// Not a complete ELF file; the ELF reader's message.
    Malformed(PathBuf, String),
    /// libbpf would crash on it or hang.
    Unsound(PathBuf, Box<Unsound>),
    /// libbpf cannot open it; libbpf's message.
    Rejected(PathBuf, String),
}

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The least significant byte comes first.
    Little,
    /// The most significant byte comes first.
    Big,
}

impl ByteOrder {
    /// The byte order of this machine.
    pub const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    fn as_str(self) -> &'static str {
        match self {
            Self::Little => "little-endian",
            Self::Big => "big-endian",
        }
    }
}

impl ObjectFault {
    /// The hint, if there is one.
    pub(super) fn help(&self) -> Option<String> {
        match self {
            Self::Missing(_) => {
                Some("a relative `obj` is looked for in the manifest's directory".to_owned())
            }
            Self::NotElf(_) | Self::NotBpf(..) => {
                Some("compile it with `clang -g -O2 -target bpf -c`".to_owned())
            }
            Self::OtherByteOrder(..) => Some(format!(
                "use the {} object, or compile it with `-target bpf` on this machine",
                ByteOrder::NATIVE.as_str()
            )),
            Self::NoSymbols(_) => Some(
                "compile it again; to strip its debug information, use `llvm-strip -g`".to_owned(),
            ),
            Self::Malformed(..) => Some(CUT_SHORT.to_owned()),
            Self::Unsound(..) => Some(
                "no compiler writes such a file: compile it again from a source that you trust"
                    .to_owned(),
            ),
            Self::Rejected(_, why) => Some(rejection_hint(why).to_owned()),
            Self::Unreadable(..) | Self::NotAFile(_) | Self::TooLarge(..) => None,
        }
    }
}

impl fmt::Display for ObjectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "no object at {}", Escaped::new(path)),
            Self::Unreadable(path, why) => write!(f, "cannot read {}: {why}", Escaped::new(path)),
            Self::NotAFile(path) => write!(f, "{} is not a regular file", Escaped::new(path)),
            Self::TooLarge(path, size, limit) => {
                write!(f, "{} has {size} bytes, and {limit} are allowed", Escaped::new(path))
            }
            Self::NotElf(path) => write!(f, "{} is not an ELF file", Escaped::new(path)),
            Self::NotBpf(path, machine) => {
                write!(
                    f,
                    "{} is an ELF file for machine {machine}, not for BPF",
                    Escaped::new(path)
                )
            }
            Self::OtherByteOrder(path, order) => write!(
                f,
                "{} is {}, but this machine is {}",
                Escaped::new(path),
                order.as_str(),
                ByteOrder::NATIVE.as_str()
            ),
            Self::NoSymbols(path) => write!(f, "{} has no symbol table", Escaped::new(path)),
            Self::Malformed(path, why) => {
                write!(f, "{} is not a complete ELF file: {why}", Escaped::new(path))
            }
            Self::Rejected(path, why) => {
                write!(f, "libbpf cannot open {}: {why}", Escaped::new(path))
            }
            Self::Unsound(path, why) => {
                write!(f, "{} cannot be used: {why}", Escaped::new(path))
            }
        }
    }
}

const CUT_SHORT: &str = "the file may be cut short: compile or copy it again";

/// The hint for a message of libbpf 1.7 about an object that it cannot open.
fn rejection_hint(why: &str) -> &'static str {
    // Parts of the message, and the hint. The messages are from `bpf_object__elf_collect()`,
    // `bpf_object__init_user_btf_map()`, `parse_btf_map_def()` and `bpf_object__collect_externs()`.
    const HINTS: [(&[&str], &str); 5] = [
        (&["BTF is required"], "compile it with `clang -g`: without that, an object has no BTF"),
        (
            &["legacy map definitions"],
            "declare the maps as `struct { __uint(type, …); … } NAME SEC(\".maps\")`",
        ),
        (&["unsupported map linkage"], "declare the map without `static`"),
        (
            &["unknown field"],
            "use a newer iterctl, whose libbpf knows the field, or remove it from the map's declaration",
        ),
        (
            &["failed to find BTF for extern", "section"],
            "link it with the object that defines the function: `bpftool gen object OUT.o IN1.o IN2.o`",
        ),
    ];
    let says = |words: &[&str]| words.iter().all(|word| why.contains(word));
    HINTS.iter().find(|(words, _)| says(words)).map_or(CUT_SHORT, |(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_bytes_is_that_of_the_machine() {
        let (mine, other, of_other) = if cfg!(target_endian = "big") {
            ("big-endian", "little-endian", ByteOrder::Little)
        } else {
            ("little-endian", "big-endian", ByteOrder::Big)
        };
        let fault = ObjectFault::OtherByteOrder(PathBuf::from("/x"), of_other);
        assert_eq!(fault.to_string(), format!("/x is {other}, but this machine is {mine}"));
        let help =
            format!("use the {mine} object, or compile it with `-target bpf` on this machine");
        assert_eq!(fault.help(), Some(help));
    }

    #[test]
    fn the_way_out_fits_the_words_of_libbpf() {
        #[track_caller]
        fn check(why: &str, expected: &str) {
            let fault = ObjectFault::Rejected(PathBuf::from("/x"), why.to_owned());
            assert_eq!(fault.to_string(), format!("libbpf cannot open /x: {why}"));
            assert_eq!(fault.help().as_deref(), Some(expected));
        }
        let btf = "compile it with `clang -g`: without that, an object has no BTF";
        check("BTF is required, but is missing or corrupted.", btf);
        let link = "link it with the object that defines the function: `bpftool gen object OUT.o IN1.o IN2.o`";
        check("failed to find BTF for extern 'f' [1] section: -2", link);
        check("failed to find BTF for extern 'f'", CUT_SHORT);
        check("invalid argument", CUT_SHORT);
    }
}
