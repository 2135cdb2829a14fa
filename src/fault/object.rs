//! What can be wrong with an object file. Pure.

use std::fmt;
use std::path::PathBuf;

use crate::path::Printable;

/// Why an object cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectFault {
    /// No such file.
    Missing(PathBuf),
    /// The system's words on why it cannot be read.
    Unreadable(PathBuf, String),
    /// A directory, a device, a FIFO, …
    NotAFile(PathBuf),
    /// Larger than any BPF object; bytes, and how many are allowed.
    TooLarge(PathBuf, u64, u64),
    /// Empty, or without an ELF header.
    NotElf(PathBuf),
    /// An ELF file for another machine; `e_machine`.
    NotBpf(PathBuf, u16),
    /// libbpf cannot open it; libbpf's words.
    Rejected(PathBuf, String),
}

impl ObjectFault {
    /// The way out, where there is one.
    pub(super) fn help(&self) -> Option<String> {
        match self {
            Self::Missing(_) => {
                Some("a relative `obj` is looked for in the manifest's folder".to_owned())
            }
            Self::NotElf(_) | Self::NotBpf(..) => {
                Some("compile it with `clang -g -O2 -target bpf -c`".to_owned())
            }
            Self::Rejected(_, why) if why.contains("BTF is required") => {
                Some("compile it with `clang -g`: without that, an object has no BTF".to_owned())
            }
            Self::Rejected(..) => {
                Some("the file may be cut short: compile or copy it again".to_owned())
            }
            Self::Unreadable(..) | Self::NotAFile(_) | Self::TooLarge(..) => None,
        }
    }
}

impl fmt::Display for ObjectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "no object at {}", Printable(path)),
            Self::Unreadable(path, why) => write!(f, "cannot read {}: {why}", Printable(path)),
            Self::NotAFile(path) => write!(f, "{} is not a regular file", Printable(path)),
            Self::TooLarge(path, size, limit) => {
                write!(f, "{} has {size} bytes, and {limit} are allowed", Printable(path))
            }
            Self::NotElf(path) => write!(f, "{} is not an ELF file", Printable(path)),
            Self::NotBpf(path, machine) => {
                write!(f, "{} is an ELF file for machine {machine}, not for BPF", Printable(path))
            }
            Self::Rejected(path, why) => write!(f, "libbpf cannot open {}: {why}", Printable(path)),
        }
    }
}
