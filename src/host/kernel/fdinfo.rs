//! A descriptor → the kind of BPF object behind it, by its open mode, its name, or `/proc/thread-self/fdinfo/N`.
//!
//! `BPF_OBJ_GET_INFO_BY_FD` answers with the structure of whatever the descriptor is, and libbpf-rs
//! 0.27.2 reads it as whatever was asked for: so this is asked first.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::fs::{OFlags, fcntl_getfl};

use super::ffi::link::{LinkInfo, link_info};
use crate::host::sys::descriptors;
use iterctl_core::observed::Kind;

/// The kind of BPF object behind a descriptor.
#[derive(Clone, Debug)]
pub(super) enum FdKind {
    /// A link of an iterator, and what the kernel says of it.
    IteratorLink(LinkInfo),
    /// A map.
    Map,
    /// Another kind of link, a program, or something that a later kernel pins.
    Other(Kind),
}

/// The same, as far as fdinfo tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    IteratorLink,
    Map,
    Other(Kind),
}

impl FdKind {
    /// Asks the kernel.
    pub(super) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        // All that is needed of nearly every pin.
        if is_read_only(fd)
            && let Ok(info) = link_info(fd)
            && info.is_iterator
        {
            return Ok(Self::IteratorLink(info));
        }
        // Half of what fdinfo costs.
        match named(fd) {
            Some(Named::Map) => return Ok(Self::Map),
            Some(Named::Program) => return Ok(Self::Other(Kind::Program)),
            None => {}
        }
        let text = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", fd.as_raw_fd()))?;
        Ok(match Told::parse(&text) {
            Told::IteratorLink => Self::IteratorLink(link_info(fd)?),
            Told::Map => Self::Map,
            Told::Other(kind) => Self::Other(kind),
        })
    }

    /// The same in the words of [`Kind`].
    pub(super) fn into_kind(self) -> Kind {
        match self {
            Self::IteratorLink(_) => Kind::Link("iter".to_owned()),
            Self::Map => Kind::Map,
            Self::Other(kind) => kind,
        }
    }
}

/// Whether it is a link: maps and programs are opened for reading and writing unless that is not wanted, and
/// links for reading only (`bpf_link_new_fd()`, `bpf_map_new_fd()` and `bpf_prog_new_fd()` in
/// kernel/bpf/syscall.c; the same in 5.10 and in 6.18).
fn is_read_only(fd: BorrowedFd<'_>) -> bool {
    fcntl_getfl(fd).is_ok_and(|flags| flags.intersection(OFlags::ACCMODE) == OFlags::RDONLY)
}

/// The kinds that the kernel's name of a descriptor tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Map,
    Program,
}

/// Reads the kernel's name of the descriptor (`bpf_map_new_fd()` and `bpf_prog_new_fd()` in
/// kernel/bpf/syscall.c; the same in 5.10 and in 6.18).
fn named(fd: BorrowedFd<'_>) -> Option<Named> {
    match descriptors::name(fd).ok()?.as_slice() {
        b"anon_inode:bpf-map" => Some(Named::Map),
        b"anon_inode:bpf-prog" => Some(Named::Program),
        _ => None,
    }
}

impl Told {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(info: &str, expected: Told) {
        assert_eq!(Told::parse(info), expected);
    }

    #[test]
    fn kinds_are_told_apart() {
        let head = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1057\n";
        check(&format!("{head}link_type:\titer\nlink_id:\t3\n"), Told::IteratorLink);
        check(
            &format!("{head}link_type:\txdp\nlink_id:\t3\n"),
            Told::Other(Kind::Link("xdp".to_owned())),
        );
        check(&format!("{head}map_type:\t1\nkey_size:\t4\n"), Told::Map);
        check(&format!("{head}prog_type:\t26\nprog_jited:\t1\n"), Told::Other(Kind::Program));
        let unknown = Kind::Unknown("not a map, a program or a link".to_owned());
        check(head, Told::Other(unknown));
    }
}
