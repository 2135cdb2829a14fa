//! What kind of BPF object a descriptor is: `/proc/self/fdinfo/N`.
//!
//! `BPF_OBJ_GET_INFO_BY_FD` answers with the structure of whatever the descriptor is, and libbpf-rs
//! 0.27.2 reads it as whatever was asked for: so this is asked first.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::observed::Kind;

/// What a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FdKind {
    /// A link of an iterator.
    IteratorLink,
    /// A map.
    Map,
    /// Another kind of link, a program, or something that a later kernel pins.
    Other(Kind),
}

impl FdKind {
    /// Asks the kernel.
    pub(super) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
        Ok(Self::parse(&info))
    }

    /// Reads what `bpf_link_show_fdinfo()`, `bpf_map_show_fdinfo()` and `bpf_prog_show_fdinfo()` in
    /// kernel/bpf/syscall.c write.
    fn parse(info: &str) -> Self {
        for line in info.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            match (key, value.trim()) {
                ("link_type", "iter") => return Self::IteratorLink,
                ("link_type", other) => return Self::Other(Kind::Link(other.to_owned())),
                ("map_type", _) => return Self::Map,
                ("prog_type", _) => return Self::Other(Kind::Program),
                _ => {}
            }
        }
        Self::Other(Kind::Unknown("not a map, a program or a link".to_owned()))
    }

    /// The same in the words of [`Kind`]; `None` for an iterator link.
    pub(super) fn not_an_iterator(&self) -> Option<Kind> {
        match self {
            Self::IteratorLink => None,
            Self::Map => Some(Kind::Map),
            Self::Other(kind) => Some(kind.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(info: &str, expected: FdKind) {
        assert_eq!(FdKind::parse(info), expected);
    }

    #[test]
    fn kinds_are_told_apart() {
        let head = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1057\n";
        check(&format!("{head}link_type:\titer\nlink_id:\t3\n"), FdKind::IteratorLink);
        check(
            &format!("{head}link_type:\txdp\nlink_id:\t3\n"),
            FdKind::Other(Kind::Link("xdp".to_owned())),
        );
        check(&format!("{head}map_type:\t1\nkey_size:\t4\n"), FdKind::Map);
        check(&format!("{head}prog_type:\t26\nprog_jited:\t1\n"), FdKind::Other(Kind::Program));
        let unknown = Kind::Unknown("not a map, a program or a link".to_owned());
        check(head, FdKind::Other(unknown));
    }
}
